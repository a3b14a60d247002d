"""How a task waits, and in which event loop. No other part of a channel knows futures.

- `BoundState` is the state of a channel with the event loop in which one of its ends first had to wait.
- `Waiter` is the ticket of a task that waits. It first gives the loop a turn (`spin`), and if that brought nothing it sleeps on a
  future (`park`) until it is woken: spin-then-park, as in the locks of operating systems.
- `SpinPolicy` remembers, for one end, whether spinning pays.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import _get_running_loop
from collections.abc import Callable, Generator
from contextvars import Context
from threading import get_ident
from types import coroutine
from typing import Final, Generic, TypeVar

from . import errors
from ._call_graph import Edges
from ._ends import is_closing
from ._finish import finish
from ._override import override
from ._queue import Ticket
from ._state import ChannelState

__all__ = [
    "ASKS_FOR_LOOP",
    "FOR_ITEM",
    "IN_ITEMIZE",
    "BoundState",
    "SpinPolicy",
    "Waiter",
    "park",
    "spin",
    "turn",
    "turns_to_be_cancelled",
]

T = TypeVar("T")

SKIPS: Final = 64
"""How many waits go without a spin after one that brought nothing."""

# What a wait is for, as the repr of a task shows it.
IN_ITEMIZE: Final = "waiting in itemize of"
FOR_ITEM: Final = "waiting for an item of"

FIRST: Final = -1
"""The first wait of an end: the channel has to be bound to the event loop."""

# Whether an end asks for the running loop at each call. Before Python 3.12 that takes a system call, so there it asks for the
# thread, and whether the channel's loop runs, since a thread runs one loop at a time: measured, that saves 6 % of a hand-over and a
# third of a buffered item. The price: a loop that has moved to another thread is noticed when the channel is first used there.
ASKS_FOR_LOOP: Final = sys.version_info >= (3, 12)


class BoundState(ChannelState[T]):
    """The state of a channel, and the event loop to which the first wait binds it."""

    __slots__ = ("loop", "loop_runs", "thread")

    loop: asyncio.AbstractEventLoop | None
    loop_runs: Callable[[], bool]
    thread: int
    """Ident of the thread in which the loop was last seen running; initially 0, which is no thread."""

    def __init__(self, buffer: int, origin: str | None = None) -> None:
        ChannelState.__init__(self, buffer, origin)  # super() would take a tenth of the time to make a channel on Python 3.11
        self.loop = None
        self.thread = 0

    def bind_loop(self) -> None:
        """Bind to the running loop.

        A waiter has to look at the state once more between this and parking. A finalizer sets a phase first and reads `loop`
        second, so one of the two sees what the other did, whichever threads they run in.
        """
        if self.loop is None:
            loop = _get_running_loop()
            if loop is None:
                raise errors.no_loop(repr(self))
            self.loop_runs = loop.is_running
            self.loop = loop

    @property
    def in_other_loop(self) -> bool:
        """Return whether the channel is bound to a loop that is not the running one."""
        return self.loop is not None and self.loop is not _get_running_loop()

    def check_loop(self) -> None:
        if self.in_other_loop:
            raise errors.foreign_loop(repr(self))
        if self.loop is not None:
            self.thread = get_ident()  # and not again, until the loop moves

    def notify_end_in_loop(self) -> None:
        """Have the loop call `notify_end`, from any thread."""
        assert self.loop is not None
        try:
            self.loop.call_soon_threadsafe(self.notify_end)
        except RuntimeError:  # it is closed, so nothing waits in it
            self.drop_all()

    def end_block(self, error: BaseException | None) -> bool:
        """Leave the sender block, in any loop or thread. Return whether it suppresses `error`, being left for a closed receiver."""
        if self.loop is None or self.loop is _get_running_loop():
            finish(self.end_sending, error)
            return error is not None and is_closing(error, self)
        if error is None:
            raise errors.foreign_loop(repr(self))
        # A coroutine that is closed where its loop doesn't run, by the garbage collector for example. What it is closed by must
        # leave the block unchanged, so this does no more than dropping the sender would.
        self.stop_sending(error)
        self.notify_end_in_loop()
        return False


class SpinPolicy(Generic[T]):
    """How the waits of one end begin.

    While two busy tasks hand items over, what a wait is for has come after one turn of the loop. Spinning costs no wake-up, and
    lets both tasks run in every iteration of the loop: measured, 0.8 of the cost of parking both. When the other side waits for
    something else the turn is wasted, so the next waits skip it.
    """

    __slots__ = ("edges", "purpose", "skips", "state")

    edges: Edges | None
    """What has asyncio's call graph show that a task which is parked here awaits the producer of the channel."""
    purpose: str
    """What the waits are for; shown in the repr of the task."""
    skips: int
    """How many waits until one spins, that one included; 0 while every wait does. FIRST before the first one."""
    state: BoundState[T]

    def __init__(self, purpose: str, state: BoundState[T]) -> None:
        self.edges = None
        self.purpose = purpose
        self.skips = FIRST
        self.state = state


class Waiter(Ticket[T]):
    """The ticket of a task that waits, and what that task awaits while it is parked.

    asyncio takes any object with these attributes for a future. Unlike an asyncio.Future, one serves for all waits of an end; its
    repr, which that of the task contains, shows what the task waits for; and a wake-up that fails, because the stack has run out,
    changes nothing and can be repeated, where a future whose `set_result` fails never wakes its task.
    """

    __slots__ = ("_asyncio_future_blocking", "_loop", "callback", "cancellation", "context", "policy", "wake_up")

    _asyncio_future_blocking: bool
    """Whether a task is about to await this."""
    _loop: asyncio.AbstractEventLoop
    callback: Callable[[Waiter[T]], object] | None
    """What wakes the task. None while none is parked, and once its wake-up is under way."""
    context: Context | None
    wake_up: asyncio.Handle | None
    """The wake-up that is under way. The repr shows that there is one."""
    cancellation: asyncio.CancelledError | None
    policy: SpinPolicy[T]

    def __init__(self, policy: SpinPolicy[T]) -> None:
        self.done = False
        self.callback = self.context = self.wake_up = self.cancellation = None
        self.policy = policy

    @property
    def sleeps(self) -> bool:
        """Return whether a task is parked here and no wake-up is under way. For `chanstream.diagnosis`."""
        return self.callback is not None

    @override
    def wake(self) -> None:
        callback = self.callback
        if callback is not None:
            try:
                # First, since the handler of a signal may cancel the task in the middle of `call_soon`, which would wake it twice.
                self.callback = None
                self.wake_up = self._loop.call_soon(callback, self, context=self.context)
            except BaseException:
                self.callback = callback
                raise

    @override
    def __repr__(self) -> str:
        woken = ", woken" if self.wake_up else ""
        return f"<{self.policy.purpose} {self.policy.state!r}{woken}>"

    # What a task calls of a future.

    def add_done_callback(self, callback: Callable[[Waiter[T]], object], *, context: Context | None = None) -> None:
        self.context, self.callback = context, callback

    def cancel(self, msg: object = None) -> bool:
        if self.callback is None:
            return False
        self.wake()
        self.cancellation = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        return True

    def result(self) -> None:
        if self.cancellation is not None:
            raise self.cancellation


# Generators, because a coroutine can't give the event loop a plain turn. They raise what is thrown in, such as a cancellation, and
# the caller leaves the queue.


@coroutine
def turn() -> Generator[None, None, None]:
    """Give every other task a turn."""
    yield None


@coroutine
def turns_to_be_cancelled() -> Generator[None, None, None]:
    """Give every other task enough turns for a cancellation to get from a producer to its child tasks, and to theirs."""
    for _ in range(3):
        yield None


@coroutine
def spin(waiter: Waiter[T]) -> Generator[None, None, None]:
    """Begin a wait: give every other task a turn, unless that has not paid. The caller looks again before it calls `park`."""
    policy = waiter.policy
    skips = policy.skips
    if skips:
        if skips == FIRST:
            policy.state.bind_loop()
        elif skips > 1:
            policy.skips = skips - 1
            return
        policy.skips = 0
    yield None


@coroutine
def park(waiter: Waiter[T]) -> Generator[object, None, None]:
    """Sleep until the next wake-up, after a spin that brought nothing or was skipped."""
    policy = waiter.policy
    state = policy.state
    if state.loop is None:  # after a plain `turn`, which binds to no loop
        state.bind_loop()
        return
    if not policy.skips:
        policy.skips = SKIPS
    waiter._loop = state.loop
    waiter._asyncio_future_blocking = True
    edges = policy.edges
    if edges is not None and not edges.add():
        edges = None
    state.parked += 1
    try:
        yield waiter
    finally:
        state.parked -= 1
        if edges is not None:
            edges.discard()
        waiter.callback = waiter.context = waiter.wake_up = waiter.cancellation = None

"""How a task waits for the core to let it go on, and in which event loop. No other module knows futures.

- `Home` is the event loop of a channel, shared by its two ends.
- `Waiter` is a ticket that can be awaited: `next_wake` waits for the next `wake`, which may be in vain.
- `Pace` remembers, for one end, whether it pays to begin a wait with a plain turn of the event loop.
- `Parking` is the future on which a task is parked, and tells what for.
"""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop, get_running_loop
from collections.abc import Callable, Generator
from contextlib import suppress
from types import coroutine
from typing import Generic, TypeVar

from typing_extensions import override

from . import errors
from ._line import Ticket

__all__ = ["Home", "Pace", "Waiter", "next_wake"]

T = TypeVar("T")

# A pace that has found its turns wasted goes at most 2 ** LONGEST waits without one.
LONGEST = 16


class Home:
    """The event loop in which a channel first had to wait. It keeps to that one."""

    __slots__ = ("loop",)

    loop: asyncio.AbstractEventLoop | None

    def __init__(self) -> None:
        self.loop = None

    def settle_in(self, channel: object) -> None:
        """Bind to the running loop, before the first wait.

        Whoever waits has to look at the phases again after this. A finalizer sets a phase first and reads the loop second, so one
        of the two sees what the other did, in whatever threads they run.
        """
        try:
            self.loop = get_running_loop()
        except RuntimeError:
            raise errors.no_loop(repr(channel)) from None

    def is_elsewhere(self) -> bool:
        """Whether this is another loop or thread. While nobody has ever waited, there is no loop to be away from."""
        return self.loop is not None and _get_running_loop() is not self.loop

    def check(self, channel: object) -> None:
        if self.is_elsewhere():
            raise errors.foreign_loop(repr(channel))

    def tell(self, message: Callable[[], None]) -> None:
        """Have the loop call `message`, from whatever thread. Without a loop, or with a closed one, nobody waits for it."""
        if self.loop is not None:
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(message)


class Pace:
    """How one end waits: what its waits are for, and whether they had better begin with a plain turn of the event loop.

    While two busy tasks hand items over, what a wait is for is there after one turn. Giving it that turn costs no future, and lets
    both tasks run in every iteration of the loop: measured, 0.8 of the cost of parking both on futures. When the other side really
    waits for something, the turn is wasted, so each wasted one doubles the number of waits that go without.
    """

    __slots__ = ("channel", "pause", "purpose", "wasted")

    channel: object
    purpose: str
    pause: int
    wasted: int

    def __init__(self, purpose: str, channel: object) -> None:
        self.purpose = purpose
        self.channel = channel
        self.pause = 0
        self.wasted = 0


class Parking(asyncio.Future[None]):
    """What a parked task waits for. The repr of the task shows it, so it tells who waits for whom."""

    __slots__ = ("pace",)

    pace: Pace

    @override
    def __repr__(self) -> str:
        state = "" if not self.done() else ", woken"
        return f"<{self.pace.purpose} {self.pace.channel!r}{state}>"


class Waiter(Ticket[T], Generic[T]):
    __slots__ = ("awake", "future", "pace")

    awake: bool
    future: asyncio.Future[None] | None
    pace: Pace

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.awake = False
        self.future = None
        self.pace = pace

    @override
    def wake(self) -> None:
        self.awake = True
        future = self.future
        if future is not None and not future.done():  # done: woken before, or cancelled
            future.set_result(None)


@coroutine
def next_wake(waiter: Waiter[T]) -> Generator[object, None, None]:
    """Wait for the next `wake`. Raises what is thrown in, such as a cancellation; the caller then leaves the line.

    A generator, because a coroutine can't give the event loop a plain turn, and no ``__await__``, which costs 2 % more.
    """
    pace = waiter.pace
    if pace.pause:
        pace.pause -= 1
    else:
        yield None
        if waiter.awake:
            pace.wasted = 0
        else:
            pace.wasted = min(pace.wasted + 1, LONGEST)
            pace.pause = 1 << pace.wasted
    if not waiter.awake:
        waiter.future = future = Parking(loop=get_running_loop())
        future.pace = pace
        yield from future
        waiter.future = None
    waiter.awake = False

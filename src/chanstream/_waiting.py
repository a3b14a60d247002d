"""How a task waits for the core to let it go on, and in which event loop. No other module knows futures.

- `Home` is a core with the event loop that its two ends wait in.
- `Pace` remembers, for one end, whether it pays to begin a wait with a plain turn of the event loop.
- `Waiter` is the ticket of a task that waits: after a `turn` it looks again, and as long as it looks in vain, it is parked with
  `park` until it is woken.
- `Parking` is the future on which it is parked, and tells what for.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import _get_running_loop
from collections.abc import Callable, Generator
from enum import Enum
from threading import get_ident
from types import coroutine
from typing import Final, Generic, Literal, TypeVar

from . import errors
from ._core import Core
from ._line import Ticket
from ._override import override

__all__ = ["LOOP_IS_CHEAP", "NOWHERE", "Home", "Pace", "Waiter", "park", "turn"]

T = TypeVar("T")

# A pace that has found its turns wasted goes at most 2 ** LONGEST waits without one.
LONGEST: Final = 16

# Whether asking for the running loop is cheap. Before Python 3.12 it takes a system call. There, the ends ask for the thread, and
# whether the home's loop runs, since a thread runs one loop at a time: measured, that saves 6 % of a hand-over and a third of a
# buffered item. The price: when a loop has moved to another thread, that is noticed when the channel is first used there.
LOOP_IS_CHEAP: Final = sys.version_info >= (3, 12)


class Unset(Enum):
    NOWHERE = "nowhere"


NOWHERE: Final = Unset.NOWHERE


class Home(Core[T]):
    """A core in the event loop in which one of its ends first had to wait. It keeps to that one."""

    __slots__ = ("loop", "loop_runs", "thread")

    loop: asyncio.AbstractEventLoop | Literal[Unset.NOWHERE]
    loop_runs: Callable[[], bool]
    """The method of the loop that tells it."""
    thread: int
    """Where the loop ran when that was last asked for. No thread has the number 0, which stands there first."""

    def __init__(self, buffer: int, origin: str | None = None) -> None:
        super().__init__(buffer, origin)
        self.loop = NOWHERE
        self.thread = 0

    def settle_in(self) -> None:
        """Bind to the running loop, before the first wait.

        Whoever waits has to look at the phases again after this. A finalizer sets a phase first and reads the loop second, so one
        of the two sees what the other did, in whatever threads they run.
        """
        if self.loop is NOWHERE:
            loop = _get_running_loop()
            if loop is None:
                raise errors.no_loop(repr(self))
            self.loop_runs = loop.is_running
            self.loop = loop

    def is_elsewhere(self) -> bool:
        """Whether this is another loop or thread. While nobody has ever waited, there is no loop to be away from."""
        loop = self.loop
        return loop is not NOWHERE and loop is not _get_running_loop()

    def check(self) -> None:
        if self.is_elsewhere():
            raise errors.foreign_loop(repr(self))
        if self.loop is not NOWHERE:
            self.thread = get_ident()  # and not again, until the loop moves

    def tell(self, message: Callable[[], None]) -> bool:
        """Have the loop call `message`, from whatever thread. False if it is closed, so that nobody waits for it."""
        assert self.loop is not NOWHERE
        try:
            self.loop.call_soon_threadsafe(message)
        except RuntimeError:
            return False
        return True

    def end_block(self, error: BaseException | None) -> bool:
        """Leave the sender block, in whatever loop or thread. Whether it ends quietly."""
        if error is not None and self.is_elsewhere():
            # A coroutine that is closed where its loop doesn't run, by the garbage collector for example. What closes it must leave
            # the block unchanged, so this is what dropping the sender would be.
            self.break_off(error)
            self.tell(self.settle)
            return False
        self.check()
        return self.leave_block(error)


class Pace(Generic[T]):
    """How one end waits: what its waits are for, and whether they had better begin with a plain turn of the event loop.

    While two busy tasks hand items over, what a wait is for is there after one turn. Giving it that turn costs no future, and lets
    both tasks run in every iteration of the loop: measured, 0.8 of the cost of parking both on futures. When the other side really
    waits for something, the turn is wasted, so each wasted one doubles the number of waits that go without.
    """

    __slots__ = ("home", "pause", "purpose", "wasted")

    home: Home[T]
    purpose: str
    pause: int
    """How many waits go on without a turn. The last of them tries one."""
    wasted: int
    """How many turns were wasted in a row."""

    def __init__(self, purpose: str, home: Home[T]) -> None:
        home.settle_in()
        self.purpose = purpose
        self.home = home
        self.pause = 0
        self.wasted = 0


class Parking(asyncio.Future[None]):
    """What a parked task waits for. The repr of the task shows it, so it tells who waits for whom."""

    __slots__ = ("home", "purpose")

    home: object
    purpose: str

    @override
    def __repr__(self) -> str:
        state = "" if not self.done() else ", woken"
        return f"<{self.purpose} {self.home!r}{state}>"


class Waiter(Ticket[T]):
    __slots__ = ("future", "pace")

    future: Parking
    pace: Pace[T]

    def __init__(self, pace: Pace[T]) -> None:
        super().__init__()
        self.pace = pace

    @override
    def wake(self) -> None:
        if self.asleep and not self.future.done():  # done: woken before, or cancelled
            self.future.set_result(None)


# Both are generators, because a coroutine can't give the event loop a plain turn. They raise what is thrown in, such as a
# cancellation, and the caller leaves the line.


@coroutine
def turn(pace: Pace[T]) -> Generator[None, None, None]:
    """Give every other task a turn, unless that does not pay."""
    pause = pace.pause
    if pause > 1:
        pace.pause = pause - 1
        return
    if pause:
        pace.pause = 0
    else:
        pace.wasted = 0  # the last one has paid; otherwise `park` would have set a pause
    yield None


@coroutine
def park(waiter: Waiter[T]) -> Generator[object, None, None]:
    """Wait for the next wake-up, after a turn that brought nothing or was left out."""
    pace = waiter.pace
    home = pace.home
    if not pace.pause:
        pace.wasted = min(pace.wasted + 1, LONGEST)
        pace.pause = 1 << pace.wasted
    assert home.loop is not NOWHERE
    waiter.future = future = Parking(loop=home.loop)
    future.home = home
    future.purpose = pace.purpose
    waiter.asleep = True
    try:
        yield from future
    finally:
        waiter.asleep = False
        del waiter.future

"""The sending end: it opens once, and what it binds is the itemizer."""

from __future__ import annotations

from asyncio import _get_running_loop
from types import TracebackType
from typing import Generic, TypeVar, final

from typing_extensions import override

from . import errors
from ._core import Core
from ._pinned import Pinned
from ._waiting import Home, Pace, Waiter, next_wake
from .protocols import Itemizer

__all__ = ["Sender"]

T_contra = TypeVar("T_contra", contravariant=True)


@final
class Sender(Pinned, Generic[T_contra]):
    """The sending end of a `Channel`, a `SenderContext`: ``async with channel.sender as itemize:``.

    The protocol tells what entering, leaving and the itemizer promise. In addition, entering raises `SenderClosed` when the sender
    has been opened before, and both raise RuntimeError in an event loop that is not the channel's.

    A sender that nothing refers to any more ends the stream as failed, if it was never opened or its block was not left. An
    itemizer refers to its sender.
    """

    __slots__ = ("__weakref__", "_core", "_home", "_pace", "_spare")

    _core: Core[T_contra]
    _home: Home
    _pace: Pace | None
    _spare: Waiter[T_contra] | None

    def __init__(self, core: Core[T_contra], home: Home, /) -> None:
        self._core = core
        self._home = home
        self._pace = None
        self._spare = None  # the ticket of the last wait, kept for the next one

    @override
    def __repr__(self) -> str:
        return f"<Sender of {self._core!r}>"

    async def __aenter__(self) -> Itemizer[T_contra]:
        self._home.check(self._core)
        self._core.open()
        return self._itemize

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool:
        core, home = self._core, self._home
        if exc is not None and home.is_elsewhere():
            # A coroutine that is closed where its loop doesn't run, by the garbage collector for example. What closes it must leave
            # the block unchanged, so this is what dropping the sender would be.
            core.break_off(exc)
            home.tell(core.settle)
            return False
        home.check(core)
        return core.leave_block(exc)

    async def _itemize(self, item: T_contra, /) -> None:
        core, home = self._core, self._home
        # Home.check without the call: every item comes by here.
        if home.loop is not None and _get_running_loop() is not home.loop:
            raise errors.foreign_loop(repr(core))
        if core.buffer and core.put(item):
            return
        if home.loop is None:
            home.settle_in(core)
        offer = self._spare
        if offer is None:
            if self._pace is None:
                self._pace = Pace("waiting in itemize of", core)
            offer = Waiter(self._pace)
        else:
            self._spare = None
            offer.done = False
        offer.item = item
        del item  # the consumer decides how long it lives
        core.offer(offer)
        try:
            await next_wake(offer)
            while not core.released(offer):
                await next_wake(offer)
        except BaseException:
            # Cancelled, or the receiver closed. Either way this task no longer stands behind the item: if it is still in the
            # channel, it goes, and if it was the first in line, the next one is woken in its place.
            core.withdraw(offer)
            raise
        self._spare = offer

    def __del__(self) -> None:
        # In any thread, in the middle of anything.
        core, home = self._core, self._home
        core.drop_sender()
        if home.loop is not None:  # otherwise nobody has ever waited
            home.tell(core.settle)

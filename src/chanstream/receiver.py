"""The receiving end: an async iterator that can be closed."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar, final
from warnings import warn

from typing_extensions import override

from . import errors
from ._core import END, WAIT, Core
from ._pinned import Pinned
from ._waiting import Home, Pace, Waiter, next_wake

__all__ = ["Receiver"]

T_co = TypeVar("T_co", covariant=True)


@final
class Receiver(Pinned, AsyncIterator[T_co]):
    """The receiving end of a `Channel`: ``async for item in channel.receiver:``.

    Leaving the loop closes nothing: another ``async for`` takes the stream up where it was. To close it, call `aclose` or use
    ``async with channel.receiver``. A receiver that nothing refers to any more is closed too.
    """

    __slots__ = ("__weakref__", "_core", "_home", "_pace", "_spare")

    _core: Core[T_co]
    _home: Home
    _pace: Pace | None
    _spare: Waiter[T_co] | None

    def __init__(self, core: Core[T_co], home: Home, /) -> None:
        self._core = core
        self._home = home
        self._pace = None
        self._spare = None  # the ticket of the last wait, kept for the next one

    @override
    def __repr__(self) -> str:
        return f"<Receiver of {self._core!r}>"

    @override
    def __aiter__(self) -> Self:
        return self

    @override
    async def __anext__(self) -> T_co:
        """Take the next item.

        **Waits** while no item is there. If one is, and nobody else waits for it, returns at once and gives no other task a turn.

        **The wait ends** with an item, with the end of the sender block, or when this side is closed.

        **Cancelled**, it has taken nothing: the item it was woken for goes to the next in line.

        **Raises** StopAsyncIteration after the last item of a sender block that ended normally, and when the receiver is closed;
        `SenderFailed` after the last item of one that ended by an error, its cancellation included, or that was abandoned. Both
        stay so. Raises RuntimeError in an event loop or thread that is not the channel's.

        **Order of service**: several tasks may iterate one receiver; first come, first served, and each item goes to one of them.
        """
        core, home = self._core, self._home
        # Home.check without the call: every item comes by here.
        if home.loop is not None and _get_running_loop() is not home.loop:
            raise errors.foreign_loop(repr(core))
        ask: Waiter[T_co] | None = None
        item = core.take(ask)
        if item is WAIT and home.loop is None:
            home.settle_in(core)
            item = core.take(ask)
        if item is WAIT:
            ask = self._spare
            if ask is None:
                if self._pace is None:
                    self._pace = Pace("waiting for an item of", core)
                ask = Waiter(self._pace)
            else:
                self._spare = None
            core.ask(ask)
            try:
                while item is WAIT:
                    await next_wake(ask)
                    item = core.take(ask)
            except BaseException:
                # Cancelled. Nothing was taken, since an item leaves the channel only in `take`. If this ask had been woken, the
                # item it was woken for is still there, and the next in line is woken for it.
                core.leave(ask)
                raise
            self._spare = ask
        if item is END:
            raise core.end(ask)
        return item

    async def aclose(self) -> None:
        """Close the receiving side. Closing twice is fine.

        Drops the items that were accepted and not taken. Every waiting and later `__anext__` raises StopAsyncIteration, every
        waiting and later itemizer `ReceiverClosed`. An error of the sender block that nobody has met is forgotten.

        Does not wait, neither for the sender nor for a turn of the event loop, so it can't be cancelled half-way.

        Raises RuntimeError in an event loop or thread that is not the channel's, and closes nothing then.
        """
        self._home.check(self._core)
        self._core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        if exc is not None and self._home.is_elsewhere():
            # As for the sender: what closes a coroutine where its loop doesn't run has to leave the block unchanged.
            self._core.stop_receiving()
            self._home.tell(self._core.settle)
            return
        await self.aclose()

    def __del__(self) -> None:
        # In any thread, in the middle of anything.
        core, home = self._core, self._home
        complaint = errors.stranded(repr(core)) if core.origin is not None and core.strands() else None
        core.drop_receiver()
        if home.loop is not None:  # otherwise nobody has ever waited
            home.tell(core.settle)
        if complaint is not None:
            # Last, for a warning may be turned into an error.
            warn(complaint, ResourceWarning, stacklevel=1, source=self)

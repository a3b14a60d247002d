"""The receiving end: an async iterator that can be closed."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import AsyncIterator
from threading import get_ident
from types import TracebackType
from typing import Self, TypeVar, final
from warnings import warn

from . import errors
from ._core import END, WAIT
from ._override import override
from ._pinned import Pinned
from ._waiting import LOOP_IS_CHEAP, NOWHERE, Home, Pace, Waiter, park, turn

__all__ = ["Receiver"]

T_co = TypeVar("T_co", covariant=True)


@final
class Receiver(Pinned, AsyncIterator[T_co]):
    """The receiving end of a `Channel`: ``async for item in channel.receiver:``.

    Leaving the loop closes nothing: another ``async for`` takes the stream up where it was. To close it, call `aclose` or use
    ``async with channel.receiver``. A receiver that nothing refers to any more is closed too.
    """

    __slots__ = ("__weakref__", "_home", "_pace", "_spare")

    _home: Home[T_co]
    _pace: Pace[T_co] | None
    _spare: Waiter[T_co] | None

    def __init__(self, home: Home[T_co], /) -> None:
        self._home = home
        self._pace = None
        self._spare = None  # the ticket of the last wait, kept for the next one

    @override
    def __repr__(self) -> str:
        return f"<Receiver of {self._home!r}>"

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
        home = self._home
        if (home.loop is not _get_running_loop()) if LOOP_IS_CHEAP else (home.thread != get_ident() or not home.loop_runs()):
            home.check()
        items = home.items
        if items and len(items) < home.buffer and home.first_ask is None:
            return items.popleft()  # midstream, see _core
        ask = self._spare
        if ask is None:
            item = home.take(None)
            if item is WAIT:
                if self._pace is None:
                    self._pace = Pace("waiting for an item of", home)
                ask = Waiter(self._pace)
                item = home.ask(ask)
        else:
            self._spare = None
            item = home.ask(ask)
        waits = item is WAIT
        if item is WAIT:
            assert ask is not None
            try:
                await turn(ask.pace)
                while (item := home.take(ask)) is WAIT:
                    await park(ask)
            except BaseException:
                # Cancelled. Nothing was taken, since an item leaves the channel only in `take`. If this ask had been woken, the
                # item it was woken for is still there, and the next in line is woken for it.
                home.leave(ask)
                raise
        if item is END:
            raise home.end(ask if waits else None)
        self._spare = ask
        return item

    async def aclose(self) -> None:
        """Close the receiving side. Closing twice is fine.

        Drops the items that were accepted and not taken. Every waiting and later `__anext__` raises StopAsyncIteration, every
        waiting and later itemizer `ReceiverClosed`. A sender that waits for something else learns of it when it next calls its
        itemizer; `Channel.fed_by` cancels it. An error of the sender block that nobody has met is forgotten.

        Does not wait, neither for the sender nor for a turn of the event loop, so it can't be cancelled half-way.

        Raises RuntimeError in an event loop or thread that is not the channel's, and closes nothing then.
        """
        home = self._home
        if home.loop is not NOWHERE:  # otherwise nobody has ever waited
            home.check()
        home.close()

    async def __aenter__(self) -> Self:
        """Open a block that closes the receiver when it is left. Does not wait.

        Raises RuntimeError in an event loop or thread that is not the channel's.
        """
        self._home.check()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Close the receiver, as `aclose` does, and let the error go on that left the block."""
        if exc is not None and self._home.is_elsewhere():
            # As for the sender: what closes a coroutine where its loop doesn't run has to leave the block unchanged. Any other
            # error leaves a block of a loop that is not the channel's: it goes on in place of a refusal, and closes nothing.
            if isinstance(exc, GeneratorExit):
                self._home.stop_receiving()
                if not self._home.tell(self._home.settle):
                    self._home.drop_receiver()  # nothing runs in a loop that is closed
            return
        await self.aclose()

    def __del__(self) -> None:
        # In any thread, in the middle of anything.
        home = self._home
        complaint = errors.stranded(repr(home)) if home.origin is not None and home.strands() else None
        home.drop_receiver()
        if home.loop is not NOWHERE:  # otherwise nobody has ever waited
            home.tell(home.settle)
        if complaint is not None:
            # Last, for a warning may be turned into an error.
            warn(complaint, ResourceWarning, stacklevel=1, source=self)

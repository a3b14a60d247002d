"""The receiving end: an async iterator that can be closed."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import AsyncIterator
from threading import get_ident
from types import TracebackType
from typing import Self, TypeVar, final
from warnings import warn

from . import errors
from ._arguments import check_count
from ._call_graph import Edges
from ._finish import finish
from ._override import override
from ._pinned import Pinned
from ._state import END, WAIT
from ._statistics import ChannelStatistics
from ._waiting import ASKS_FOR_LOOP, FOR_ITEM, BoundState, SpinPolicy, Waiter, park, spin, turn

__all__ = ["Receiver"]

T_co = TypeVar("T_co", covariant=True)


@final
class Receiver(Pinned, AsyncIterator[T_co]):
    """The receiving end of a `Channel`: ``async for item in channel.receiver:``.

    Leaving the loop closes nothing: another ``async for`` resumes the stream. To close it, call `aclose` or use ``async with
    channel.receiver``. A receiver that nothing refers to any more is closed too.
    """

    __slots__ = ("__weakref__", "_policy", "_spare", "_state")

    def __init__(self, state: BoundState[T_co], /) -> None:
        self._state = state
        self._policy: SpinPolicy[T_co] | None = None
        self._spare: Waiter[T_co] | None = None  # the ticket of the last wait, kept for the next one

    @override
    def __repr__(self) -> str:
        return f"<Receiver of {self._state!r}>"

    def statistics(self) -> ChannelStatistics:
        """Return the counts and phases of the channel at this moment. Doesn't wait, and may be called in any thread."""
        return self._state.statistics()

    @override
    def __aiter__(self) -> Self:
        """Begin a loop. Doesn't wait.

        **Raises** RuntimeError if the receiver was closed before the stream had ended: a new loop would take a part for the whole.
        Loops that are under way then end quietly. A complete stream that is read again just ends.
        """
        if self._state.was_cut_short:
            raise errors.cut_short(repr(self._state))
        return self

    @override
    async def __anext__(self) -> T_co:
        """Take the next item.

        **Waits** while no item is there. If one is, and no other ask waits for it, returns at once; but gives other tasks a turn
        first when the buffer has grown or shrunk by 512 items without one.

        **The wait ends** with an item, with the end of the sender block, or when this side is closed.

        **Cancelled**, it has taken nothing: the item it was woken for goes to the next in the queue.

        **Raises** StopAsyncIteration after the last item of a sender block that ended normally, and when the receiver is closed;
        `SenderFailed` after the last item of one that ended by an error, its cancellation included, or that was abandoned. Both
        stay so. Raises RuntimeError in an event loop or thread that is not the channel's.

        **Order of service**: several tasks may iterate one receiver; first come, first served, and each item goes to one of them.
        """
        state = self._state
        if (state.loop is not _get_running_loop()) if ASKS_FOR_LOOP else (state.thread != get_ident() or not state.loop_runs()):
            state.check_loop()
        items = state.items
        if items is not None and state.low < len(items) < state.high and state.receivers.first is None:
            return items.popleft()  # midstream, see _state
        waiter = self._spare or self._new_waiter()
        self._spare = None
        try:
            item = state.ask(waiter)
            if item is not WAIT:
                waits = False
            else:
                waits = True
                if items and state.receivers.first is waiter:  # it could be served, but a turn is due first
                    await turn()
                    state.took_turn()
                else:
                    await spin(waiter)
                while (item := state.take(waiter)) is WAIT:
                    await park(waiter)
        except BaseException:
            # It was cancelled, or an exception struck in this library's own code. Nothing was taken, since an item leaves the
            # channel only in `take`. If this ask had been woken, the item it was woken for is still there, and the next in the
            # queue is woken for it.
            finish(state.leave, waiter)
            raise
        if item is END:
            raise state.end(waiter if waits else None)
        self._spare = waiter
        return item

    def _new_waiter(self) -> Waiter[T_co]:
        return Waiter(self._get_policy())

    def _get_policy(self) -> SpinPolicy[T_co]:
        if self._policy is None:
            self._policy = SpinPolicy(FOR_ITEM, self._state)
        return self._policy

    def _show(self, edges: Edges) -> None:
        """Have asyncio's call graph show `edges` while their task is parked here."""
        self._get_policy().edges = edges

    def take_ready(self, limit: int | None = None) -> list[T_co]:
        """Take at once, and in order, at most `limit` of the items that asks could have had now; None is for all of them.

        **Doesn't wait**: returns an empty list if there is none, if other asks wait in the queue, or if the receiver is closed. The
        end of the stream and its failure are left for the loop to raise.

        In lock-step, taking an item lets the itemizer of the one before it return.

        **Raises** TypeError if `limit` is not an int, ValueError if it is negative; RuntimeError in an event loop or thread that is
        not the channel's.
        """
        if limit is not None and (type(limit) is not int or limit < 0):
            check_count("take_ready(limit)", "the number of items to take at most or None for all of them", limit)
        self._state.check_loop()
        return self._state.take_ready(limit)

    async def aclose(self) -> None:
        """Close the receiving side. Closing twice is fine.

        Drops the items that were accepted and not taken. Every waiting and later `__anext__` raises StopAsyncIteration, every
        waiting and later itemizer `ReceiverClosed`. A sender that waits for something else learns of it when it next calls its
        itemizer; `Channel.fed_by` and `Channel.feed` cancel it. An error of the sender block that no ask has raised is forgotten.

        Does not wait, neither for the sender nor for a turn of the event loop, so it can't be cancelled half-way.

        Raises RuntimeError in an event loop or thread that is not the channel's, and closes nothing then.
        """
        state = self._state
        if state.loop is not None:  # otherwise nothing has ever waited
            state.check_loop()
        finish(state.end_receiving)

    async def __aenter__(self) -> Self:
        """Open a block that closes the receiver when it is left. Does not wait.

        Raises RuntimeError in an event loop or thread that is not the channel's.
        """
        self._state.check_loop()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Close the receiver, as `aclose` does. An error that leaves the block propagates."""
        state = self._state
        if exc is None or not state.in_other_loop:
            await self.aclose()
        elif isinstance(exc, GeneratorExit):
            # A coroutine that is closed where its loop doesn't run, by the garbage collector for example. What it is closed by must
            # leave the block unchanged, so this does no more than dropping the receiver would. Any other error that is raised in a
            # foreign loop propagates, no RuntimeError takes its place, and the receiver stays open.
            state.drop_receiver()
            state.notify_end_in_loop()

    def __del__(self) -> None:
        # Runs in any thread, between any two steps of other code.
        state = self._state
        complaint = None
        if state.origin is not None and not state.closed and state.strands_senders:
            complaint = errors.stranded(repr(state))
        if state.drop_receiver() and state.loop is not None:  # otherwise nothing has ever waited
            state.notify_end_in_loop()
        if complaint is not None:
            # Last, since a warning may be turned into an error.
            warn(complaint, ResourceWarning, stacklevel=1, source=self)

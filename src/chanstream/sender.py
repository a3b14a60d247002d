"""The sending end: it opens once, and what it binds is the itemizer."""

from __future__ import annotations

from asyncio import _get_running_loop
from threading import get_ident
from types import TracebackType
from typing import Final, Generic, TypeVar, final

from ._cancellation import cancel_again, cancelling, current_task
from ._ends import OPEN
from ._finish import finish
from ._override import override
from ._pinned import Pinned
from ._waiting import ASKS_FOR_LOOP, IN_ITEMIZE, BoundState, SpinPolicy, Waiter, park, spin, turn, turns_to_be_cancelled
from .errors import ReceiverClosed
from .protocols import Itemizer

__all__ = ["Sender", "caller", "offering"]

T_contra = TypeVar("T_contra", contravariant=True)


# The calls of `offer` under way that run an itemizer which may wrap one of a channel: by their caller, whether the wrapped one has
# accepted the item. None while none was called.
offering: Final[dict[object, bool | None]] = {}


def caller() -> object:
    """Return the running task, or the thread if none runs. An eager task that a wrapper makes is no part of the call."""
    return current_task() or get_ident()


@final
class Sender(Pinned, Generic[T_contra]):
    """The sending end of a `Channel`, a `SenderContext`: ``async with channel.sender as itemize:``.

    The protocol says what entering, leaving and the itemizer promise. In addition, entering raises `SenderClosed` when the sender
    has been opened before, and RuntimeError in an event loop that is not the channel's. There, leaving it normally raises
    RuntimeError too; an error that leaves it ends the stream as failed, and goes on.

    A sender that nothing refers to any more ends the stream as failed, if it was never opened or its block was not left. An
    itemizer refers to its sender.
    """

    __slots__ = ("__weakref__", "_cancelling", "_policy", "_spare", "_state")

    def __init__(self, state: BoundState[T_contra], /) -> None:
        self._state = state
        self._cancelling = 0  # the `cancelling()` count of its task when that entered the block
        self._policy: SpinPolicy[T_contra] | None = None
        self._spare: Waiter[T_contra] | None = None  # the ticket of the last wait, kept for the next one

    @override
    def __repr__(self) -> str:
        return f"<Sender of {self._state!r}>"

    async def __aenter__(self) -> Itemizer[T_contra]:
        return self._open()

    def _open(self) -> Itemizer[T_contra]:
        self._cancelling = cancelling()
        self._state.check_loop()
        self._state.open()
        return self._itemize

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool:
        quiet = self._state.end_block(exc)
        if quiet:
            # A cancellation in whose place ReceiverClosed was raised, in the cleanup of the block for example.
            cancel_again(self._cancelling, exc)
        return quiet

    async def _itemize(self, item: T_contra, /) -> None:
        state = self._state
        if (state.loop is not _get_running_loop()) if ASKS_FOR_LOOP else (state.thread != get_ident() or not state.loop_runs()):
            state.check_loop()
        items = state.items
        if items and len(items) < state.high and state.sending is OPEN and state.senders.first is None and not offering:
            items.append(item)  # midstream, see _state
            return
        if offering and (through := caller()) in offering:
            # Called through `offer`, by an itemizer that wraps this one.
            offering[through] = False  # also if the refusal is an error, which the wrapper may catch
            if state.try_offer(item):
                offering[through] = True
            else:
                await turn()
            return
        if items is not None and state.try_put(item):
            return
        waiter = self._spare or self._new_waiter()
        self._spare = None
        waiter.done = False
        waiter.item = item
        del item  # the consumer decides how long it lives
        try:
            state.queue_sender(waiter)
            if items is not None and state.has_room and state.senders.first is waiter:  # it could go on, but a turn is due first
                await turn()
                state.took_turn()
            else:
                await spin(waiter)
            # What `may_return` says of most items in lock-step, without the call: measured, 2 % of their cost.
            while not ((waiter.done and not state.closed) or state.may_return(waiter)):
                await park(waiter)
        except BaseException as error:
            # It was cancelled, or the receiver was closed, or an exception struck in this library's own code. In any case this task
            # no longer waits: its item is withdrawn if it is still in the channel, and the next in the queue is woken instead.
            finish(state.withdraw, waiter)
            if state.on_receiver_gone is not None and isinstance(error, ReceiverClosed):
                # A producer may still have to be cancelled for this, by the event loop after a drop, or because it has closed the
                # receiver itself. Later, that would interrupt its cleanup. So would a task group of the producer that ends by both
                # this error and the cancellation: it raises the error, and has the next await raise the cancellation.
                await turns_to_be_cancelled()
            raise
        self._spare = waiter

    def _offer(self, item: T_contra, /) -> bool:
        """What `offer` does with an itemizer of this sender."""
        state = self._state
        if (state.loop is not _get_running_loop()) if ASKS_FOR_LOOP else (state.thread != get_ident() or not state.loop_runs()):
            state.check_loop()
        items = state.items
        if items and len(items) < state.buffer and state.sending is OPEN and state.senders.first is None:
            items.append(item)  # midstream, see _state
            return True
        return state.try_offer(item)

    def _new_waiter(self) -> Waiter[T_contra]:
        if self._policy is None:
            self._policy = SpinPolicy(IN_ITEMIZE, self._state)
        return Waiter(self._policy)

    def __del__(self) -> None:
        # Runs in any thread, between any two steps of other code.
        state = self._state
        if state.drop_sender() and state.loop is not None:  # otherwise nothing has ever waited
            state.notify_end_in_loop()

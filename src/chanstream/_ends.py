"""What a channel consists of, the phases of its two sides, and the four ways to end a side. Synchronous, as `_state`.

A finalizer may end a side in any thread, between any two steps of this code. It only sets the phase, and has the event loop call
`notify_end`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Generic, TypeVar

from . import errors
from ._override import override
from ._queue import EMPTY, Ticket, WaitQueue
from ._statistics import ChannelStatistics, SenderPhase

__all__ = [
    "ABANDONED",
    "DROPPED_UNOPENED",
    "EARLY",
    "FAILED",
    "FINISHED",
    "MOST_WITHOUT_TURN",
    "OPEN",
    "UNHEARD",
    "UNOPENED",
    "ChannelEnds",
    "Sending",
    "is_closing",
]

T = TypeVar("T")

MOST_WITHOUT_TURN: Final = 512
"""By how many items the buffer grows or shrinks, from its level at the last turn, before an end that need not wait gives other
tasks one. From one limit to the other it is twice as many: the 1,024 of rule 3."""


class Sending(Enum):
    """How far the sending side has come."""

    UNOPENED = "unopened"
    """The sender block has not been entered."""
    OPEN = "open"
    """The sender block runs and the itemizer works."""
    UNHEARD = "open", "but the receiver has gone"
    """The block runs and the itemizer raises `ReceiverClosed`."""
    FINISHED = "finished"
    """The block ended normally, or after the receiver had gone."""
    FAILED = "failed"
    """The block ended by an error."""
    DROPPED_UNOPENED = "dropped unopened"
    """Nothing refers to the sender any more, and it was never opened."""
    ABANDONED = "abandoned"
    """Nothing refers to the sender any more, and its block was never left."""

    word: SenderPhase

    def __init__(self, word: SenderPhase, _: str = "") -> None:
        self.word = word


class Closed(Enum):
    """How the receiving side was closed, or dropped."""

    COMPLETE = auto()
    """The sender block had ended normally, and all items had been taken."""
    CUT_SHORT = auto()
    """The block had ended, but not normally, or not all items had been taken."""
    EARLY = auto()
    """The block had not ended. So the stream was cut short, and its itemizer goes on raising `ReceiverClosed` after the block."""


# Names of the module, since looking a member up in its class costs more than the comparison.
UNOPENED: Final = Sending.UNOPENED
OPEN: Final = Sending.OPEN
UNHEARD: Final = Sending.UNHEARD
FINISHED: Final = Sending.FINISHED
FAILED: Final = Sending.FAILED
DROPPED_UNOPENED: Final = Sending.DROPPED_UNOPENED
ABANDONED: Final = Sending.ABANDONED
EARLY: Final = Closed.EARLY


class ChannelEnds(Generic[T]):
    """What a channel consists of."""

    __slots__ = (
        "awaiting_ack",
        "buffer",
        "closed",
        "dropped",
        "error",
        "high",
        "items",
        "low",
        "offered",
        "on_receiver_gone",
        "origin",
        "parked",
        "receivers",
        "senders",
        "sending",
        "surfaced",
    )

    buffer: int
    origin: str | None
    """Where the channel was made, in development mode."""

    items: deque[T] | None
    """Accepted items whose itemizers have returned, at most `buffer` of them. None in lock-step."""
    low: int
    high: int
    """While the buffer holds more than `low` and less than `high` items, no end owes other tasks a turn."""
    senders: WaitQueue[T]
    """Itemizers that wait, each with its item, which comes after `items`. Those that are `done` are offered items without one."""
    offered: int
    """How many of `senders` are such."""
    receivers: WaitQueue[T]
    """Asks that wait."""
    awaiting_ack: Ticket[T] | None
    """In lock-step, the sender whose item was taken last. None while an ask waits, since that is for a further item."""
    parked: int
    """How many waiters sleep until they are woken."""
    dropped: int
    """How many items were lost although their itemizers had returned."""

    sending: Sending
    closed: Closed | None
    """How the receiving side was closed. None while it is open."""
    error: BaseException | None
    """What ended the sender block, until the channel is closed and every ask that waited for it has raised it."""
    surfaced: bool
    """Whether an ask has raised it."""
    on_receiver_gone: Callable[[], None] | None
    """Cancels the producer that runs in the sender block, if `_feed` runs one. May be called twice."""

    def __init__(self, buffer: int, origin: str | None = None) -> None:
        self.buffer = buffer
        self.origin = origin
        if buffer:
            self.items = deque()
            self.low = 0
            self.high = min(buffer, MOST_WITHOUT_TURN)
        else:
            self.items = None  # an empty deque is larger than the rest of an idle channel
        self.senders = EMPTY
        self.offered = 0
        self.receivers = EMPTY
        self.awaiting_ack = None
        self.parked = 0
        self.dropped = 0
        self.sending = UNOPENED
        self.closed = None
        self.error = None
        self.surfaced = False
        self.on_receiver_gone = None

    def statistics(self) -> ChannelStatistics:
        # Walks along nothing, so it may be called in any thread.
        buffered, offered, senders = len(self.items or ()), self.offered, len(self.senders)
        return ChannelStatistics(
            buffer=self.buffer,
            buffered=buffered + offered,
            pending=buffered + senders,
            itemizing=senders - offered + (self.awaiting_ack is not None),
            asking=len(self.receivers),
            dropped=self.dropped,
            sender=self.sending.word,
            receiver="closed" if self.closed else "open",
        )

    @override
    def __repr__(self) -> str:
        now = self.statistics()
        mode = f"buffer={now.buffer}" if now.buffer else "lock-step"
        dropped = f", {now.dropped} dropped" if now.dropped else ""
        made = f", made at {self.origin}" if self.origin else ""
        return (
            f"<Channel {mode}: sender {now.sender}, receiver {now.receiver}, {now.pending} to be taken, "
            f"{now.itemizing} waiting in itemize, {now.asking} waiting for an item{dropped}{made}>"
        )

    # Four ways to end a side. Each only sets the phase; `notify_end` does the rest, at once or when the event loop calls it.

    def stop_sending(self, error: BaseException | None) -> None:
        """Record that the sender block was left, by `error` or normally. To a closed receiver it makes no difference how."""
        if self.sending is UNHEARD or (self.sending is OPEN and error is None):
            self.sending = FINISHED
        elif self.sending is OPEN:
            self.error = error
            self.sending = FAILED

    def drop_sender(self) -> bool:
        """Record that nothing refers to the sender any more, so no itemizer waits. Return whether that ends the stream."""
        if self.closed:
            return False
        if self.sending is UNOPENED:
            self.sending = DROPPED_UNOPENED
        elif self.sending is OPEN:
            self.sending = ABANDONED
        else:
            return False
        return True

    @property
    def was_cut_short(self) -> bool:
        """Return whether the receiver was closed before the block had ended normally and all accepted items had been taken."""
        return self.closed is Closed.CUT_SHORT or self.closed is EARLY

    def stop_receiving(self) -> None:
        """Record that the receiver was closed."""
        if not self.closed:
            if self.sending is UNOPENED:
                self.closed = EARLY
            elif self.sending is OPEN:
                self.closed = EARLY
                self.sending = UNHEARD
            elif self.sending is FINISHED and not self.items and self.senders.first is None:
                self.closed = Closed.COMPLETE
            else:
                self.closed = Closed.CUT_SHORT

    def drop_receiver(self) -> bool:
        """Record that nothing refers to the receiver any more, so no ask waits. Return whether `notify_end` may have work."""
        if self.closed:
            return False
        if self.sending is UNOPENED:
            self.closed = EARLY
            return False
        self.stop_receiving()
        self.error = None
        self._drop_buffer()  # in one step, since it may come in the middle of `try_put`
        return self.sending is UNHEARD or self.strands_senders

    def end_sending(self, error: BaseException | None) -> None:
        self.stop_sending(error)
        self.notify_end()

    def end_receiving(self) -> None:
        self.stop_receiving()
        self.notify_end()

    def notify_end(self) -> None:
        """Wake every waiter, and drop what will never be taken. Idempotent."""
        if self.receivers.first is not None:
            for receiver in self.receivers:
                receiver.wake()
        if self.closed:
            if self.awaiting_ack is not None:
                self.awaiting_ack.wake()
            for sender in self.senders if self.senders.first is not None else ():
                sender.wake()
            if self.on_receiver_gone is not None:
                self.on_receiver_gone()
            self.drop_all()

    def drop_all(self) -> None:
        """Drop what will never be taken."""
        self.dropped += self.offered
        self.offered = 0
        self.awaiting_ack = None
        senders = self.senders.clear() if self.senders.first is not None else ()
        # First out of reach, then dropped, since that may run code of the user's.
        self._drop_buffer()
        for sender in senders:
            del sender.item
        if self.receivers.first is None:
            self.error = None

    def _drop_buffer(self) -> None:
        if self.items:
            self.dropped += len(self.items)
            self.items.clear()

    # What follows from the phases.

    @property
    def has_room(self) -> bool:
        """Return whether the buffer takes one more item."""
        return self.items is not None and len(self.items) < self.buffer

    @property
    def is_over(self) -> bool:
        """Return whether no item will be accepted any more."""
        return self.closed is not None or (self.sending is not OPEN and self.sending is not UNOPENED)

    @property
    def strands_senders(self) -> bool:
        """Return whether an itemizer waits that only an ask could release."""
        return self.awaiting_ack is not None or self.senders.first is not None

    def advance(self) -> None:
        """Wake the first of each queue if it can act now. Idempotent."""
        sender, receiver, acknowledged = self.senders.first, self.receivers.first, self.awaiting_ack
        if acknowledged is not None and acknowledged.done:  # an exception struck before it was woken
            acknowledged.wake()
            self.awaiting_ack = None
        if sender is not None and self.has_room:
            sender.wake()
        if receiver is not None and (sender is not None or self.items or self.is_over):
            receiver.wake()

    def took_turn(self) -> None:
        """Record that other tasks have had a turn, so the buffer may grow and shrink again."""
        level = len(self.items or ())
        self.low = max(0, level - MOST_WITHOUT_TURN)
        self.high = min(self.buffer, level + MOST_WITHOUT_TURN)


def is_closing(error: BaseException, state: object) -> bool:
    """Return whether `error` is the `ReceiverClosed` of `state`, bare or in an exception group of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_closing(each, state) for each in error.exceptions)
    return isinstance(error, errors.ReceiverClosed) and error._source is state

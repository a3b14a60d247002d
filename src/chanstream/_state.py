"""The state of a channel, and every decision about how items pass. Synchronous: it knows neither tasks nor event loops.

    itemize ─> senders ─> items ─> receivers ─> __anext__    an item stays here until the step in which its consumer returns it;
               (queue)   (buffer)   (queue)                  in lock-step there is no buffer, it goes from ticket to consumer
    advance()     after each change, wakes the first of each queue if it can act now
    notify_end()  after the last one, drops what will never be taken and wakes every waiter

How a side ends is one module below, in `_ends` (rules 6 to 13), and the queues are in `_queue`. Above, `sender` and `receiver` have
their tickets wait (`_waiting`), and `_feed` and `_fed_block` run producers. Nothing here calls up there.

**Only the first of a queue acts, and it acts when it runs.** A task that was woken may be cancelled before it runs, so a wake-up
hands over nothing: the item that it was woken for is still there, and leaving the queue, by acting or by cancellation, advances
the next one. A wake-up may therefore come twice, or in vain. What a call that an exception strikes leaves undone, the next
`advance` does.

In lock-step the sender whose item was taken last is `awaiting_ack`: it may return when a further item is asked for.

While no waiter is `parked` no wake-up is needed, since a waiter that only gives the loop a turn looks again by itself; `advance` is
then skipped. **Midstream**, while the buffer is neither empty nor full, no parked waiter could act; the two ends then append and
pop by themselves, without a call: an item then costs 0.7 of what it would with one.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, Literal, TypeVar

from . import errors
from ._ends import (
    ABANDONED,
    DROPPED_UNOPENED,
    EARLY,
    FAILED,
    MOST_WITHOUT_TURN,
    OPEN,
    UNHEARD,
    UNOPENED,
    ChannelEnds,
    Sending,
)
from ._queue import EMPTY, Ticket, WaitQueue

__all__ = ["END", "WAIT", "ChannelState"]

T = TypeVar("T")


class Verdict(Enum):
    """The result of an ask that returns no item."""

    WAIT = auto()
    END = auto()


# Names of the module, since looking a member up in its class costs more than the comparison.
WAIT: Final = Verdict.WAIT
END: Final = Verdict.END


class ChannelState(ChannelEnds[T]):
    """The steps of the two ends: how items pass."""

    __slots__ = ()

    # Declared once more, because pyright takes the type of what a subclass assigns for ambiguous.
    senders: WaitQueue[T]
    offered: int
    receivers: WaitQueue[T]
    awaiting_ack: Ticket[T] | None
    sending: Sending
    error: BaseException | None
    high: int

    # The sending side.

    def open(self) -> None:
        if self.sending is not UNOPENED:
            raise errors.opened_twice(repr(self))
        self.senders = WaitQueue()
        self.sending = OPEN
        if self.closed:  # checked last, since a finalizer may close it at any moment before
            self.sending = UNHEARD

    def try_put(self, item: T) -> bool:
        """Accept `item` into the buffer, if that can be done at once. Return whether it was; if not, it has to be queued."""
        items = self.items
        if items is None or len(items) >= self.high or self.senders.first is not None or self.sending is not OPEN:
            return False
        self.put(item)
        return True

    def put(self, item: T) -> None:
        """Accept `item` into the buffer, where there is room for it."""
        assert self.items is not None
        self.items.append(item)
        if self.parked:
            self.advance()

    def try_offer(self, item: T) -> bool:
        """Accept `item` at once, with no itemizer that waits; in lock-step, only for an ask that waits. Return whether it was."""
        if self.sending is not OPEN:
            if self.refused_for_receiver:
                return False
            raise self.refusal()
        if self.senders.first is None and self.has_room:
            self.put(item)
            return True
        if not self.has_room_behind:
            return False
        self.queue_offer(item)
        return True

    def queue_offer(self, item: T) -> None:
        """Accept `item` behind the senders that wait."""
        ticket = Ticket[T]()
        ticket.item = item
        ticket.done = True
        self.senders.append(ticket)
        self.offered += 1
        if self.parked:
            self.advance()

    @property
    def has_room_behind(self) -> bool:
        """Return whether an offered item may be queued: behind senders for which there is room too, or for an ask that waits."""
        waiting = len(self.senders)
        return waiting < len(self.receivers) if self.items is None else waiting < self.buffer - len(self.items)

    def admit_offered(self) -> None:
        """Move what was offered into the buffer, where no sender is before it any more."""
        senders = self.senders
        while self.items is not None and senders.first is not None and senders.first.done:
            item = senders.popleft().item
            self.offered -= 1
            self.put(item)

    def queue_sender(self, sender: Ticket[T]) -> None:
        """Accept the item of `sender`, which waits until it `may_return`."""
        if self.sending is not OPEN:
            raise self.refusal()
        self.senders.append(sender)
        if self.parked:
            self.advance()

    def may_return(self, sender: Ticket[T]) -> bool:
        """Return whether the itemizer of `sender` need not wait any more. The first in the queue moves its item into the buffer."""
        if self.closed:
            raise errors.receiver_closed(repr(self), self)
        if not sender.done and self.senders.first is sender and self.has_room:
            item = self.senders.popleft().item
            del sender.item
            sender.done = True
            self.put(item)
            self.admit_offered()
        return sender.done

    def withdraw(self, sender: Ticket[T]) -> None:
        """End the wait of `sender` before it may return. Its item is withdrawn, unless it was taken, and so delivered."""
        if self.awaiting_ack is sender:
            self.awaiting_ack = None
        if self.senders.remove(sender):
            del sender.item
        self.admit_offered()
        self.advance()

    def refusal(self) -> errors.ChannelError:
        """Return why no item is accepted."""
        return errors.receiver_closed(repr(self), self) if self.refused_for_receiver else errors.used_after_block(repr(self))

    @property
    def refused_for_receiver(self) -> bool:
        """Return whether no item is accepted because the receiver has gone, rather than because the block ended before."""
        return self.closed is EARLY

    # The receiving side.

    def ask(self, receiver: Ticket[T]) -> T | Literal[Verdict.WAIT, Verdict.END]:
        """Return the next item, or END. If there is neither, or a turn is due first, queue `receiver` and return WAIT."""
        if self.items or self.senders.first is not None or self.sending is not OPEN:
            turn_is_due = self.items and not self.low < len(self.items) <= self.high
            if not turn_is_due and (item := self.take(None)) is not WAIT:
                return item
        if self.receivers is EMPTY:
            self.receivers = WaitQueue()
        self.receivers.append(receiver)
        sender = self.awaiting_ack
        if sender is not None:  # `_acknowledge` without the call: every item in lock-step comes by here
            sender.done = True
            if self.parked:
                sender.wake()
            self.awaiting_ack = None
        return WAIT

    def take(self, receiver: Ticket[T] | None) -> T | Literal[Verdict.WAIT, Verdict.END]:
        """Return the next item, END, or WAIT if it is not this ask's turn.

        That of `receiver` comes when it is the first in the queue, which it then leaves. None is an ask that was not queued: its
        turn is while the queue is empty.
        """
        senders, receivers, items = self.senders, self.receivers, self.items
        sender = senders.first
        if sender is None and not items:
            return END if self.is_over else WAIT
        if receivers.first is not receiver:
            return WAIT
        if items:
            item = items.popleft()
        else:
            assert sender is not None
            item = sender.item
            if self.awaiting_ack is not None:
                self._acknowledge()
            if sender.done:
                senders.popleft()
                self.offered -= 1
            # In one statement each, so that no exception strikes while the sender is in neither place or in both.
            elif senders.behind:
                self.awaiting_ack = senders.popleft()
            else:
                senders.first, self.awaiting_ack = None, sender
            del sender.item
            if items is not None:
                self._acknowledge()  # with a buffer, to be taken is enough
                self.admit_offered()
        if receiver is not None:
            if receivers.behind:
                receivers.popleft()
                self._acknowledge()  # the next one asks for a further item
            else:
                receivers.first = None
        if self.parked and (senders.first is not None or receivers.first is not None):
            self.advance()
        return item

    def take_ready(self, limit: int | None) -> list[T]:
        """Return at most `limit` of the items that asks could take now. There is none while asks are queued."""
        taken: list[T] = []
        if self.receivers.first is not None or self.closed:
            return taken
        items = self.items
        if items:
            if limit is None or limit >= len(items):
                taken.extend(items)
                items.clear()
            else:
                taken.extend([items.popleft() for _ in range(limit)])
        while limit is None or len(taken) < limit:
            item = self.take(None)
            if item is WAIT or item is END:
                break
            taken.append(item)
        if items is not None:
            self.high = min(self.high, len(items) + MOST_WITHOUT_TURN)  # it has shrunk, and may grow by no more for that
        if self.parked:
            self.advance()
        return taken

    def leave(self, receiver: Ticket[T]) -> None:
        """End the ask of `receiver` without an item."""
        self.receivers.remove(receiver)
        self.advance()
        if self.closed and self.receivers.first is None:
            self.error = None

    def end(self, receiver: Ticket[T] | None) -> Exception:
        """Return what ends an ask when the stream is over. A new object each time: one raised twice collects tracebacks.

        An ask that was queued when the stream failed gets that failure, even if another task has closed the receiver since.
        """
        failed = self.sending is FAILED or self.sending is DROPPED_UNOPENED or self.sending is ABANDONED
        error = self.error
        self._acknowledge()
        if receiver is not None:
            self.leave(receiver)
        elif self.closed:
            failed = False
        if not failed:
            return StopAsyncIteration()
        if error is not None:
            self.surfaced = True
            return errors.sender_failed(repr(self), error)
        if self.sending is DROPPED_UNOPENED:
            return errors.sender_never_opened(repr(self))
        return errors.sender_abandoned(repr(self))

    def _acknowledge(self) -> None:
        """Let the sender whose item was taken last return."""
        sender = self.awaiting_ack
        if sender is not None:
            sender.done = True
            if self.parked:
                sender.wake()
            self.awaiting_ack = None

"""The state of a channel and every decision about it. Synchronous: it knows neither tasks nor event loops.

Accepted items stand in one order, `items` first, then `offers`:

- `items`: their itemizer has returned. Only a buffered channel has any, and at most `buffer` of them.
- `offers`: somebody waits behind each, with the item in the ticket.
- `held`, in lock-step: the last offer taken. Its itemizer waits until a further item is asked for.

Consumers that wait stand in `asks`. One rule serves both lines: **only the first may act, it acts when it runs, and whoever makes
that possible wakes it.** To leave a line, by acting or by cancellation, is to make it possible for the next. So

- the first ask is awake while there is an item or the stream is over; what it was woken for stays in the channel until it runs,
  since a woken task may be cancelled before that;
- the first offer is awake while the buffer has room; running, it moves its item into `items`. In lock-step it never is: its item
  goes from the ticket to the consumer;
- `held` is empty while anybody asks.

Only who is `asleep` needs to be woken: others look again by themselves. Where a wake-up is left out, because who would get it is
awake already, a comment says so.

**Midstream**, while the buffer is neither empty nor full, nobody has to be woken: the first ask is awake, and so is the first
offer. The two ends then append and pop by themselves, without a call to `put` or `take`: measured, 0.7 of the cost of an item.

Each side has a phase, one of `_phases`. A finalizer may set one in any thread and between any two steps of this code. That of the
receiver also empties the buffer and forgets the error. All else that follows is drawn by `settle`, which the finalizer has the
event loop call, if anybody has ever waited in one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, Generic, Literal, TypeVar

from . import errors
from ._line import Behind, Ticket, joined, length, walk, without
from ._override import override
from ._phases import ABANDONED, CLOSED, FAILED, FINISHED, NEVER_OPENED, OPEN, RECEIVING, UNOPENED, Receiving, Sending

__all__ = ["END", "WAIT", "Core"]

T = TypeVar("T")


class Verdict(Enum):
    """What an ask gets that gets no item."""

    WAIT = auto()
    END = auto()


# Names of the module, as those of the phases are.
WAIT: Final = Verdict.WAIT
END: Final = Verdict.END


class Core(Generic[T]):
    __slots__ = (
        "buffer",
        "error",
        "first_ask",
        "first_offer",
        "flows",
        "held",
        "items",
        "later_asks",
        "later_offers",
        "origin",
        "receiving",
        "sending",
    )

    origin: str | None
    buffer: int
    sending: Sending
    receiving: Receiving
    flows: bool
    """Whether both phases are open. It follows from them, and saves three comparisons for every item."""
    error: BaseException | None
    items: deque[T] | None
    first_offer: Ticket[T] | None
    later_offers: Behind[T] | None
    first_ask: Ticket[T] | None
    later_asks: Behind[T] | None
    held: Ticket[T] | None

    def __init__(self, buffer: int, origin: str | None = None) -> None:
        self.origin = origin
        self.buffer = buffer
        self.sending = UNOPENED
        self.receiving = RECEIVING
        self.flows = False
        self.error = None
        self.items = deque() if buffer else None  # an empty deque is larger than the rest of an idle channel
        self.first_offer = None
        self.later_offers = None
        self.first_ask = None
        self.later_asks = None
        self.held = None

    @override
    def __repr__(self) -> str:
        mode = f"buffer={self.buffer}" if self.buffer else "lock-step"
        made = f", made at {self.origin}" if self.origin else ""
        offers = length(self.first_offer, self.later_offers)
        asks = length(self.first_ask, self.later_asks)
        accepted = len(self.items or ()) + offers
        itemizing = offers + (self.held is not None)
        return (
            f"<Channel {mode}: sender {self.sending.value}, receiver {self.receiving.value}, {accepted} to be taken, "
            f"{itemizing} waiting in itemize, {asks} waiting for an item{made}>"
        )

    @property
    def offers(self) -> Iterator[Ticket[T]]:
        return walk(self.first_offer, self.later_offers)

    @property
    def asks(self) -> Iterator[Ticket[T]]:
        return walk(self.first_ask, self.later_asks)

    # The sending side.

    def open(self) -> None:
        if self.sending is not UNOPENED:
            raise errors.opened_twice(repr(self))
        self.sending = OPEN
        self.flows = True
        if self.receiving is not RECEIVING:  # asked last, since a finalizer may come in between
            self.flows = False

    def leave_block(self, error: BaseException | None) -> bool:
        """End the stream, if it has not ended. Whether the block ends quietly: it was left because the receiver is gone."""
        if self.sending is OPEN:
            self.stop_sending(error)
            self.settle()
        return error is not None and errors.is_closing(error, self)

    def put(self, item: T) -> bool:
        """Accept `item` if its itemizer need not wait. If not, it has to be offered."""
        items = self.items
        if items is None or len(items) >= self.buffer or self.first_offer is not None:
            return False
        if not self.flows:
            raise self.refusal()
        items.append(item)
        if len(items) == 1:  # otherwise the first ask is awake
            ask = self.first_ask
            if ask is not None:
                ask.wake()
        return True

    def offer(self, offer: Ticket[T]) -> None:
        """Accept the item of `offer`, whose itemizer waits until it is `released`."""
        if not self.flows:
            raise self.refusal()
        if self.first_offer is None:
            self.first_offer = offer
        else:
            self.later_offers = joined(self.later_offers, offer)
        ask = self.first_ask
        if ask is not None and ask.asleep:  # who is not needs no call
            ask.wake()

    def released(self, offer: Ticket[T]) -> bool:
        """Whether the itemizer of `offer` may return."""
        if self.receiving is not RECEIVING:
            raise errors.receiver_closed(repr(self), self)
        if offer.done:
            return True
        items = self.items
        if items is None or self.first_offer is not offer or len(items) >= self.buffer:
            return False
        items.append(offer.item)
        del offer.item
        self.first_offer = without(offer, self.first_offer, self.later_offers)
        self._wake_offer()
        return True

    def withdraw(self, offer: Ticket[T]) -> None:
        """The itemizer of `offer` leaves before it was released. An item that has been taken has been delivered."""
        if self.held is offer:
            self.held = None
        elif not offer.done and self.first_offer is not None:  # else `settle` has taken the line apart
            self.first_offer = without(offer, self.first_offer, self.later_offers)
            del offer.item
            self._wake_offer()

    def refusal(self) -> errors.ChannelError:
        if self.sending is not OPEN:
            return errors.used_after_block(repr(self))
        return errors.receiver_closed(repr(self), self)

    # The receiving side.

    def ask(self, ask: Ticket[T]) -> T | Literal[Verdict.WAIT, Verdict.END]:
        """The next item, or the end. With neither, `ask` stands in line, and the itemizer of the last item may return."""
        if self.items or self.first_offer is not None or not self.flows:
            item = self.take(None)
            if item is not WAIT:
                return item
        if self.first_ask is None:
            self.first_ask = ask
        else:
            self.later_asks = joined(self.later_asks, ask)
        held = self.held
        if held is not None:  # `_release` without the calls: every item in lock-step comes by here
            self.held = None
            held.done = True
            if held.asleep:
                held.wake()
        return WAIT

    def take(self, ask: Ticket[T] | None) -> T | Literal[Verdict.WAIT, Verdict.END]:
        """The next item, for `ask` or, with None, for somebody who stands in no line. With an item, `ask` has left the line."""
        offer = self.first_offer
        if offer is None and not self.items:
            return WAIT if self.flows or not self.over else END
        if self.first_ask is not ask:
            return WAIT
        if self.items is not None:
            item = self._take_buffered(self.items)
        else:
            assert offer is not None
            item = offer.item
            del offer.item
            others = self.later_offers
            self.first_offer = without(offer, offer, others) if others else None
            if self.held is not None:
                self._release()
            self.held = offer
        if ask is not None:
            others = self.later_asks
            if not others:
                self.first_ask = None
            else:
                self.first_ask = without(ask, ask, others)
                self._release()
                self._wake_ask()
        return item

    def _take_buffered(self, items: deque[T]) -> T:
        offer = self.first_offer
        if items:
            if offer is not None and len(items) == self.buffer:  # otherwise the first offer is awake
                offer.wake()
            return items.popleft()
        # The first offer was woken and has not run yet, or a finalizer has emptied the buffer.
        assert offer is not None
        item = offer.item
        del offer.item
        self.first_offer = without(offer, self.first_offer, self.later_offers)
        offer.done = True
        offer.wake()
        self._wake_offer()
        return item

    def leave(self, ask: Ticket[T]) -> None:
        """Leave the line without an item."""
        self.first_ask = without(ask, self.first_ask, self.later_asks)
        self._wake_ask()
        if self.first_ask is None and self.receiving is not RECEIVING:
            self.error = None  # everybody has been told who had to be

    def end(self, ask: Ticket[T] | None) -> Exception:
        """How the stream ended for `ask`, which leaves the line. A new object for each: one raised twice collects tracebacks."""
        # Also for an ask that was waiting when the stream failed, and is told only after somebody else closed the receiver.
        broken = self.broken and (self.receiving is RECEIVING or ask is not None)
        error = self.error
        self._release()
        if ask is not None:
            self.leave(ask)
        if not broken:
            return StopAsyncIteration()
        if error is not None:
            return errors.sender_failed(repr(self), error)
        if self.sending is NEVER_OPENED:
            return errors.sender_never_opened(repr(self))
        return errors.sender_abandoned(repr(self))

    def close(self) -> None:
        self.receiving = CLOSED
        self.flows = False
        self.settle()

    # Both sides. The phases, each set in one step, and what follows from them.

    @property
    def over(self) -> bool:
        """Whether no item will be accepted any more."""
        sending = self.sending
        return (sending is not OPEN and sending is not UNOPENED) or self.receiving is not RECEIVING

    @property
    def broken(self) -> bool:
        """Whether the stream ended otherwise than by the end of its block, before anybody closed the receiver."""
        return self.sending is FAILED or self.sending is NEVER_OPENED or self.sending is ABANDONED

    def break_off(self, error: BaseException) -> None:
        """The block was left by `error` where nothing may be drawn from it yet."""
        if self.sending is OPEN:
            self.stop_sending(error)

    def stop_sending(self, error: BaseException | None) -> None:
        """The block was left. How does not matter to a receiver that is closed."""
        if error is None or self.receiving is not RECEIVING:
            self.sending = FINISHED
        else:
            self.error = error
            self.sending = FAILED
        self.flows = False

    def drop_sender(self) -> None:
        """Nothing refers to the sender any more, so nothing of the sending side runs."""
        if self.receiving is not RECEIVING:
            return
        if self.sending is UNOPENED:
            self.sending = NEVER_OPENED
        elif self.sending is OPEN:
            self.sending = ABANDONED
            self.flows = False

    def stop_receiving(self) -> None:
        self.receiving = CLOSED
        self.flows = False

    def drop_receiver(self) -> None:
        """Nothing refers to the receiver any more, so nothing of the receiving side runs."""
        self.receiving = CLOSED
        self.flows = False
        self.error = None
        if self.items:
            self.items.clear()  # in one step, so it may come in the middle of `put`

    def strands(self) -> bool:
        """Whether somebody waits in itemize whom nobody has told that there is nothing to wait for."""
        return self.receiving is RECEIVING and (self.held is not None or self.first_offer is not None)

    def settle(self) -> None:
        """Draw the consequences of a phase that ends the stream. May be called again."""
        if self.receiving is not RECEIVING:
            if self.first_ask is None:
                self.error = None
            if self.items:
                self.items.clear()
            # First out of reach, then dropped: dropping an item may run code of the user's.
            held, self.held = self.held, None
            if self.first_offer is not None:
                offers = self.offers
                self.first_offer = self.later_offers = None
                for offer in offers:
                    del offer.item
                    offer.wake()
            if held is not None:
                held.wake()
        if self.first_ask is not None:
            for ask in self.asks:
                ask.wake()

    def _release(self) -> None:
        """Let the itemizer of the last item return."""
        held = self.held
        if held is not None:
            self.held = None
            held.done = True
            held.wake()

    def _wake_offer(self) -> None:
        first = self.first_offer
        if first is not None and self.items is not None and len(self.items) < self.buffer:
            first.wake()

    def _wake_ask(self) -> None:
        first = self.first_ask
        if first is not None and (self.items or self.first_offer is not None or self.over):
            first.wake()

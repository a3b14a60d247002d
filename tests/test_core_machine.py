"""The synchronous core beside a model of it: a list of accepted items, a list of asks, and a few flags.

Hypothesis draws the steps that the two ends take, in any order: a task that was woken runs, or runs in vain, or is cancelled first.
After each step the core must hold what the model holds, and must have woken whoever may act.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from chanstream import ReceiverClosed, SenderClosed, SenderFailed
from chanstream._core import END, WAIT, Core
from chanstream._line import Ticket
from tests.schedules import BoomError, examples


class Bell(Ticket[int]):
    """A ticket that remembers whether it was woken since its owner last ran."""

    __slots__ = ("awake", "name")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.asleep = True
        self.awake = False

    @override
    def wake(self) -> None:
        self.awake = True

    @override
    def __repr__(self) -> str:
        return f"<{self.name}, {'awake' if self.awake else 'asleep'}>"


@dataclass(eq=False)
class Accepted:
    """An item that waits to be taken. `offer` is its ticket, while its itemizer waits."""

    item: int
    offer: Bell | None


class Step(Enum):
    """What happens next."""

    ASK = auto()
    """Take, and if nothing is there, stand in line: the first step of an ask."""
    ITEMIZE = auto()
    """Put, and if that is not possible now, offer: the first step of an itemizer."""
    RUN = auto()
    """The task of an ask or an itemizer runs, whether it was woken or not."""
    CANCEL = auto()
    """Such a task is cancelled, whether it was woken or not."""
    OPEN = auto()
    LEAVE = auto()
    """The block ends normally."""
    FAIL = auto()
    """The block ends by an error."""
    FAIL_ELSEWHERE = auto()
    """The block is closed where its loop does not run."""
    REFUSED = auto()
    """The block is left by what its itemizer raised, because the receiver is closed."""
    REFUSED_IN_A_GROUP = auto()
    REFUSED_AMONG_OTHERS = auto()
    DROP_SENDER = auto()
    """Nothing refers to the sender any more, so no itemizer waits either."""
    CLOSE = auto()
    CLOSE_ELSEWHERE = auto()
    """The receiver is closed where its loop does not run."""
    DROP_RECEIVER = auto()
    """Nothing refers to the receiver any more, so no ask waits either."""
    SETTLE = auto()
    """The event loop calls what a finalizer left to it. At any other time nothing comes of it."""


CALLS = (Step.ASK, Step.ITEMIZE, Step.RUN, Step.CANCEL)
ENDS = tuple(step for step in Step if step not in CALLS)


class CoreMachine(RuleBasedStateMachine):
    """What the tasks of both ends do to a core: one step of one task, or of a finalizer, after another."""

    core: Core[int]

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.opened = False
        self.finished = False
        self.broken = False
        """The stream ended otherwise than by the end of its block, and nobody had closed it."""
        self.error: BaseException | None = None
        """Why the stream is broken, if there was an error."""
        self.refusal: ReceiverClosed | None = None
        """What an itemizer raised."""
        self.dropped = False
        self.closed = False
        self.unsettled = False
        """A finalizer has set a phase, and the event loop has not called `settle` yet."""
        self.standing: list[Accepted] = []
        """What is to be taken: first what stands in the buffer, then what is offered."""
        self.asks: list[Bell] = []
        self.held: Bell | None = None
        self.released: list[Bell] = []
        """Offers whose itemizers need not wait any more, and have not run yet."""

    @initialize(buffer=st.sampled_from((0, 0, 1, 2, 3)), opened=st.sampled_from((True, True, True, False)))
    def make(self, buffer: int, *, opened: bool) -> None:
        self.buffer = buffer
        self.core = Core(buffer)
        if opened:
            self.open()

    # One rule, because Hypothesis leaves out some of several rules in most programs, and here each makes sense beside the others.
    # Ends are rare, because little happens after them.

    @rule(what=st.sampled_from(CALLS * 12 + ENDS), who=st.integers(0, 4))
    def step(self, what: Step, who: int) -> None:
        """`who` is the place in the line of those who wait, counted around; the asks stand before the itemizers."""
        waiting = self.asks + self.itemizing
        match what:
            case Step.ASK:
                self.ask()
            case Step.ITEMIZE:
                self.itemize()
            case Step.RUN | Step.CANCEL:
                if waiting:
                    self.run_or_cancel(what, waiting[who % len(waiting)])
            case Step.CLOSE | Step.CLOSE_ELSEWHERE | Step.DROP_RECEIVER:
                self.end_receiving(what)
            case Step.SETTLE:
                self.core.settle()
                self.note_the_settling()
            case _:
                if not self.dropped:
                    self.open_or_end_sending(what)

    def run_or_cancel(self, what: Step, ticket: Bell) -> None:
        match what, ticket in self.asks:
            case Step.RUN, True:
                self.run_ask(ticket)
            case Step.RUN, False:
                self.run_itemizer(ticket)
            case _, True:
                self.core.leave(ticket)
                self.asks.remove(ticket)
            case _, False:
                self.withdraw(ticket)

    # What the model knows.

    @property
    def over(self) -> bool:
        return self.finished or self.dropped or self.closed

    @property
    def works(self) -> bool:
        """Whether the itemizer works, as far as the sending side goes."""
        return self.opened and not self.finished and not self.dropped

    @property
    def offers(self) -> list[Bell]:
        return [each.offer for each in self.standing if each.offer is not None]

    @property
    def buffered(self) -> int:
        return len(self.standing) - len(self.offers)

    @property
    def itemizing(self) -> list[Bell]:
        held = [] if self.held is None else [self.held]
        return held + self.offers + self.released

    def name(self, kind: str) -> str:
        self.calls += 1
        return f"{kind} {self.calls}"

    # The sending side.

    def open(self) -> None:
        if self.opened:
            with pytest.raises(SenderClosed):
                self.core.open()
        else:
            self.core.open()
            self.opened = True

    def itemize(self) -> None:
        if not self.opened or self.dropped:
            return
        offer = Bell(self.name("offer"))
        offer.item = self.calls
        if not self.works:
            with pytest.raises(SenderClosed):
                self.put_or_offer(offer)
        elif self.closed:
            with pytest.raises(ReceiverClosed) as refusal:
                self.put_or_offer(offer)
            self.refusal = refusal.value
        else:
            fits = self.buffered < self.buffer and not self.offers
            assert self.put_or_offer(offer) is fits
            self.standing.append(Accepted(offer.item, None if fits else offer))

    def put_or_offer(self, offer: Bell) -> bool:
        """Whether the itemizer may return at once."""
        if self.core.put(offer.item):
            return True
        self.core.offer(offer)
        return False

    def run_itemizer(self, offer: Bell) -> None:
        was_awake, offer.awake = offer.awake, False
        if self.closed:
            assert was_awake or self.unsettled
            with pytest.raises(ReceiverClosed) as refusal:
                self.core.released(offer)
            self.refusal = refusal.value
            self.withdraw(offer)
        elif offer in self.released:
            assert was_awake
            assert self.core.released(offer)
            self.released.remove(offer)
        elif self.buffered < self.buffer and self.offers[0] is offer:
            assert was_awake
            assert self.core.released(offer)
            self.standing[self.buffered].offer = None
        else:
            assert not self.core.released(offer)

    def withdraw(self, offer: Bell) -> None:
        self.core.withdraw(offer)
        self.standing = [each for each in self.standing if each.offer is not offer]
        self.released = [each for each in self.released if each is not offer]
        if self.held is offer:
            self.held = None

    def open_or_end_sending(self, what: Step) -> None:
        refused = self.refusal
        match what:
            case Step.OPEN:
                self.open()
            case Step.DROP_SENDER if not self.itemizing:
                self.core.drop_sender()
                self.dropped = True
                self.broken = self.broken or not (self.finished or self.closed)
                self.unsettled = True
            case Step.LEAVE if self.opened:
                self.leave(None)
            case Step.FAIL if self.opened:
                self.leave(BoomError())
            case Step.FAIL_ELSEWHERE if self.works:
                error = BoomError()
                self.core.stop_sending(error)
                self.note_the_end(error)
                self.unsettled = True
            case Step.REFUSED if refused is not None:
                self.leave(refused, quiet=True)
            case Step.REFUSED_IN_A_GROUP if refused is not None:
                self.leave(ExceptionGroup("", [refused, refused]), quiet=True)
            case Step.REFUSED_AMONG_OTHERS if refused is not None:
                self.leave(ExceptionGroup("", [refused, BoomError()]))
            case _:
                pass

    def leave(self, error: Exception | None, *, quiet: bool = False) -> None:
        assert self.core.leave_block(error) is quiet
        if self.works:  # otherwise the first end stays
            self.note_the_end(error)
            self.note_the_settling()

    def note_the_end(self, error: Exception | None) -> None:
        self.finished = True
        if error is not None and not self.closed:
            self.broken = True
            self.error = error

    # The receiving side.

    def ask(self) -> None:
        took = self.core.take(None)
        if self.standing and not self.asks:
            self.note_what_was_taken(took)
        elif self.over and not self.standing:
            assert took is END
            self.meet_the_end(None)
            self.note_that_more_is_asked_for()
        else:
            assert took is WAIT
            ask = Bell(self.name("ask"))
            self.core.ask(ask)
            self.asks.append(ask)
            self.note_that_more_is_asked_for()

    def run_ask(self, ask: Bell) -> None:
        was_awake, ask.awake = ask.awake, False
        first = self.asks[0] is ask
        took = self.core.take(ask)
        if self.standing and first:
            assert was_awake
            self.asks.remove(ask)
            self.note_what_was_taken(took)
        elif self.over and not self.standing:
            assert was_awake or self.unsettled or not first
            assert took is END
            self.asks.remove(ask)
            self.meet_the_end(ask)
        else:
            assert took is WAIT

    def note_what_was_taken(self, item: object) -> None:
        """The first item, and no other, has left the channel with the ask that took it."""
        taken = self.standing.pop(0)
        assert item == taken.item
        self.note_that_more_is_asked_for()
        if taken.offer is not None:
            assert not hasattr(taken.offer, "item")
            if self.buffer or self.asks:
                self.released.append(taken.offer)
            else:
                self.held = taken.offer

    def note_that_more_is_asked_for(self) -> None:
        if self.held is not None:
            self.released.append(self.held)
            self.held = None

    def meet_the_end(self, ask: Bell | None) -> None:
        """Who waited when the stream broke learns of it, even if it was closed before he ran."""
        end = self.core.end(ask)
        if self.broken and (ask is not None or not self.closed):
            assert isinstance(end, SenderFailed)
            assert end.__cause__ is self.error
        else:
            assert isinstance(end, StopAsyncIteration)
        assert self.core.end(None) is not end

    def end_receiving(self, what: Step) -> None:
        match what:
            case Step.CLOSE:
                self.core.close()
                self.closed = True
                self.note_the_settling()
            case Step.CLOSE_ELSEWHERE:
                self.core.stop_receiving()
                self.closed = self.unsettled = True
            case Step.DROP_RECEIVER if not self.asks:
                self.core.drop_receiver()
                self.closed = self.unsettled = True
                # What is offered stays with its itemizer until `settle`.
                self.standing = [each for each in self.standing if each.offer is not None]
            case _:
                pass

    # Both sides.

    def note_the_settling(self) -> None:
        """A closed receiver drops what stands, and releases every itemizer."""
        self.unsettled = False
        if self.closed:
            assert not any(hasattr(offer, "item") for offer in self.offers)
            self.released += self.offers
            self.standing.clear()
            if self.held is not None:
                self.released.append(self.held)
                self.held = None

    # After each step. One invariant, so that a failure prints as a short program.

    @invariant()
    def agree(self) -> None:
        self.the_core_holds_what_the_model_holds()
        self.the_buffer_holds_no_more_than_it_should()
        self.the_first_ask_is_awake_while_there_is_an_item_or_the_stream_is_over()
        self.the_first_offer_is_awake_while_the_buffer_has_room()
        self.who_is_released_is_awake()
        self.nothing_is_held_while_anybody_asks()
        self.a_closed_channel_keeps_nothing()
        self.the_repr_counts_what_waits()

    def the_core_holds_what_the_model_holds(self) -> None:
        items = list(self.core.items or ())
        offers = list(self.core.offers)
        assert items + [offer.item for offer in offers] == [each.item for each in self.standing]
        assert offers == self.offers
        assert list(self.core.asks) == self.asks
        assert self.core.held is self.held
        assert self.core.over == self.over

    def the_buffer_holds_no_more_than_it_should(self) -> None:
        assert len(self.core.items or ()) <= self.buffer

    def the_first_ask_is_awake_while_there_is_an_item_or_the_stream_is_over(self) -> None:
        if self.asks and (self.standing or (self.over and not self.unsettled)):
            assert self.asks[0].awake

    def the_first_offer_is_awake_while_the_buffer_has_room(self) -> None:
        if self.offers and self.buffered < self.buffer and not self.closed:
            assert bell(self.core.first_offer).awake

    def who_is_released_is_awake(self) -> None:
        assert all(offer.awake for offer in self.released)

    def nothing_is_held_while_anybody_asks(self) -> None:
        assert self.core.held is None or not self.asks

    def a_closed_channel_keeps_nothing(self) -> None:
        if self.closed and not self.unsettled:
            assert self.asks or self.core.error is None
            assert not self.core.items
            assert self.core.first_offer is None
            assert self.core.held is None

    def the_repr_counts_what_waits(self) -> None:
        waiting = len(self.offers) + (self.held is not None)
        counts = f"{len(self.standing)} to be taken, {waiting} waiting in itemize, {len(self.asks)} waiting for an item>"
        assert repr(self.core).endswith(counts)


def bell(ticket: Ticket[int] | None) -> Bell:
    assert isinstance(ticket, Bell)
    return ticket


TestCoreMachine = CoreMachine.TestCase
TestCoreMachine.settings = examples(300)

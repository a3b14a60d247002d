"""The state of a channel: its queues, its one rule of waking, and what the steps of both ends do to it.

`StateMachine` runs it beside a model of it: a list of accepted items, a list of asks, and a few flags. Hypothesis draws the steps
that the two ends take, in any order: a task that was woken runs, or runs in vain, or is cancelled first. After each step the state
must hold what the model holds, and must have woken every waiter that may act.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from itertools import permutations, takewhile
from unittest.mock import patch

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from chanstream import ReceiverClosed, SenderClosed, SenderFailed
from chanstream import _dropping as dropping_module
from chanstream import _ends as ends_module
from chanstream import _state as state_module
from chanstream._dropping import DropOldestState, DroppingState
from chanstream._ends import OPEN, is_closing
from chanstream._queue import EMPTY, Ticket, WaitQueue
from chanstream._state import END, WAIT, ChannelState
from tests.drawn import examples
from tests.outcomes import Broken

MOST = 2
"""What 1,024 is to the machine: by how many items the buffer may grow or shrink without a turn."""


class HereLoop(asyncio.AbstractEventLoop):
    """The loop of a channel with `on_drop`. It is not closed, and that is all the state asks."""

    def __init__(self) -> None:
        self.reports: list[object] = []

    @override
    def is_closed(self) -> bool:
        return False

    @override
    def call_exception_handler(self, context: dict[str, object]) -> None:
        self.reports.append(context["exception"])


HERE = HereLoop()  # type: ignore[abstract]  # the rest of a loop is not needed


class Bell(Ticket[int]):
    """A ticket whose owner takes a turn of the loop, or is parked and remembers whether it was woken."""

    __slots__ = ("name", "parked", "turning", "woken")

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.name = name
        self.turning = False
        """Whether it could go on, but gives the other tasks a turn first."""
        self.parked = False
        self.woken = 0

    @property
    def awake(self) -> bool:
        """Whether its owner will run."""
        return not self.parked or self.woken > 0

    @override
    def wake(self) -> None:
        self.woken += 1

    @override
    def __repr__(self) -> str:
        return f"<{self.name}, {'awake' if self.awake else 'asleep'}>"


@dataclass(eq=False)
class Accepted:
    """An item that waits to be taken. `sender` is its ticket while its itemizer waits."""

    item: int
    sender: Bell | None


class Kind(Enum):
    """Of which class the state is."""

    PLAIN = auto()
    ON_DROP = auto()
    DROP_OLDEST = auto()
    DROP_OLDEST_ON_DROP = auto()


class Step(Enum):
    """What happens next."""

    ASK = auto()
    """The first step of an ask: it takes an item, or is queued."""
    ITEMIZE = auto()
    """The first step of an itemizer: its item goes into the buffer, or it is queued."""
    RUN = auto()
    """The task of an ask or an itemizer runs, whether it was woken or not."""
    CANCEL = auto()
    """Such a task is cancelled, whether it was woken or not."""
    OFFER = auto()
    TAKE_READY = auto()
    OPEN = auto()
    LEAVE = auto()
    """The block ends normally."""
    FAIL = auto()
    """The block ends by an error."""
    FAIL_ELSEWHERE = auto()
    """The block is closed where its loop does not run."""
    REFUSED = auto()
    """The block is left by what its itemizer raised, because the receiver is closed."""
    DROP_SENDER = auto()
    """Nothing refers to the sender any more, so no itemizer waits either."""
    CLOSE = auto()
    CLOSE_ELSEWHERE = auto()
    """The receiver is closed where its loop does not run."""
    DROP_RECEIVER = auto()
    """Nothing refers to the receiver any more, so no ask waits either."""
    NOTIFY = auto()
    """The event loop calls what a finalizer left to it. At any other time nothing comes of it."""


CALLS = (Step.ASK, Step.ITEMIZE, Step.RUN, Step.CANCEL)
AT_ONCE = (Step.OFFER, Step.TAKE_READY)
ENDS = tuple(step for step in Step if step not in CALLS + AT_ONCE)


class StateMachine(RuleBasedStateMachine):
    """What the tasks of both ends do to a state: one step of one task, or of a finalizer, after another."""

    state: ChannelState[int]

    def __init__(self) -> None:
        super().__init__()
        self.patches = [patch.object(module, "MOST_WITHOUT_TURN", MOST) for module in (ends_module, state_module, dropping_module)]
        for each in self.patches:
            each.start()
        self.calls = 0
        self.opened = False
        self.finished = False
        self.broken = False
        """The stream ended otherwise than by the end of its block, and was not closed before."""
        self.error: BaseException | None = None
        """Why the stream is broken, if there was an error."""
        self.surfaced = False
        self.refusal: ReceiverClosed | None = None
        """What an itemizer raised."""
        self.dropped = False
        self.closed = False
        self.closed_early = False
        """It was closed before the block had ended."""
        self.cut_short = False
        self.unnoticed = False
        """A finalizer has set a phase, and the event loop has not called `notify_end` yet."""
        self.gone: list[None] = []
        """Notices that the receiver is gone."""
        self.standing: list[Accepted] = []
        """What is to be taken: what is buffered, then what waits with its itemizer. Offered items are among these, in lock-step and
        where there is room for the itemizers before them too."""
        self.asks: list[Bell] = []
        self.awaiting_ack: Bell | None = None
        self.released: list[Bell] = []
        """Tickets of itemizers that need not wait any more, and have not run yet."""
        self.lost: list[int] = []
        self.told: list[int] = []
        """What `on_drop` was called with."""
        self.level = 0
        """How many items were buffered at the last turn."""
        self.most = 0
        """How many items the buffer may hold before the next turn."""
        self.since_turn = 0

    @initialize(
        buffer=st.sampled_from((0, 0, 0, 1, 1, 2, 3, 6)),
        kind=st.sampled_from((Kind.PLAIN, *Kind)),
        opened=st.sampled_from((True, True, True, False)),
        favourite=st.sampled_from(CALLS + AT_ONCE),
    )
    def make(self, buffer: int, kind: Kind, favourite: Step, *, opened: bool) -> None:
        self.favourite = favourite
        self.drops_oldest = buffer > 0 and kind in {Kind.DROP_OLDEST, Kind.DROP_OLDEST_ON_DROP}
        self.tells = kind in {Kind.ON_DROP, Kind.DROP_OLDEST_ON_DROP}
        self.buffer = buffer
        self.most = min(buffer, MOST)
        if kind is Kind.PLAIN:
            self.state = ChannelState(buffer)
        else:
            cls = DropOldestState[int] if self.drops_oldest else DroppingState[int]
            state = cls(buffer, None, self.told.append if self.tells else None)
            state.loop = HERE
            self.state = state
        self.state.on_receiver_gone = lambda: self.gone.append(None)
        if opened:
            self.open()

    @override
    def teardown(self) -> None:
        for each in self.patches:
            each.stop()

    # One rule, because Hypothesis leaves out some of several rules in most programs, and here each makes sense beside the others.
    # Ends are rare, because little happens after them. None is what this program does most.

    @rule(
        what=st.sampled_from((None,) * 20 + CALLS * 10 + AT_ONCE * 5 + ENDS),
        number=st.integers(0, 4),
        times=st.sampled_from((1, 1, 1, 2, 4)),
    )
    def steps(self, what: Step | None, number: int, times: int) -> None:
        for _ in range(times):
            self.step(what or self.favourite, number)
            self.agree()

    def step(self, what: Step, number: int) -> None:
        """`number` chooses among the tasks that wait, counted around, the asks before the itemizers; and is a limit."""
        waiting = self.asks + self.itemizing
        match what:
            case Step.ASK:
                self.ask()
            case Step.ITEMIZE:
                self.itemize()
            case Step.OFFER:
                self.offer()
            case Step.TAKE_READY:
                self.take_ready(number or None)
            case Step.RUN | Step.CANCEL:
                if waiting:
                    self.run_or_cancel(what, waiting[number % len(waiting)])
            case Step.CLOSE | Step.CLOSE_ELSEWHERE | Step.DROP_RECEIVER:
                self.end_receiving(what)
            case Step.NOTIFY:
                self.state.notify_end()
                self.note_the_end_was_noticed()
            case _:
                if not self.dropped:
                    self.open_or_end_sending(what)

    def run_or_cancel(self, what: Step, ticket: Bell) -> None:
        was_awake = ticket.awake
        if ticket.parked:
            self.state.parked -= 1
            ticket.parked = False
        match what, ticket in self.asks:
            case Step.RUN, True:
                self.run_ask(ticket, was_awake=was_awake)
            case Step.RUN, False:
                self.run_itemizer(ticket, was_awake=was_awake)
            case _, True:
                self.state.leave(ticket)
                self.asks.remove(ticket)
            case _, False:
                self.withdraw(ticket)

    def park(self, ticket: Bell) -> None:
        self.state.parked += 1
        ticket.parked, ticket.woken = True, 0

    def take_turn(self, ticket: Bell) -> None:
        """Run a ticket that has given other tasks a turn."""
        if ticket.turning:
            ticket.turning = False
            self.state.took_turn()
            self.level, self.since_turn = self.buffered, 0
            self.most = min(self.buffer, self.level + MOST)

    # What the model knows.

    @property
    def over(self) -> bool:
        return self.finished or self.dropped or self.closed

    @property
    def works(self) -> bool:
        """Whether the itemizer works, as far as the sending side goes."""
        return self.opened and not self.finished and not self.dropped

    @property
    def senders(self) -> list[Bell]:
        return [each.sender for each in self.standing if each.sender is not None]

    @property
    def accepted_for_good(self) -> int:
        """How many items are buffered or offered."""
        return len(self.standing) - len(self.senders)

    @property
    def buffered(self) -> int:
        return sum(1 for _ in takewhile(lambda each: each.sender is None, self.standing)) if self.buffer else 0

    @property
    def has_room(self) -> bool:
        return self.buffered < self.buffer or self.drops_oldest

    @property
    def may_grow(self) -> bool:
        """Whether a further item owes no turn. Those that push the oldest out count of their own, but not midstream."""
        grows = self.buffered < self.most
        if self.drops_oldest:
            return (grows and self.buffered > 0) or ((grows or self.buffered == self.buffer) and self.since_turn < MOST)
        return grows

    @property
    def itemizing(self) -> list[Bell]:
        awaiting = [] if self.awaiting_ack is None else [self.awaiting_ack]
        return awaiting + self.senders + self.released

    def name(self, kind: str) -> str:
        self.calls += 1
        return f"{kind} {self.calls}"

    # The sending side.

    def open(self) -> None:
        if self.opened:
            with pytest.raises(SenderClosed):
                self.state.open()
        else:
            self.state.open()
            self.opened = True

    def itemize(self) -> None:
        if not self.opened or self.dropped:
            return
        sender = Bell(self.name("itemize"))
        sender.item = self.calls
        if self.closed_early:
            with pytest.raises(ReceiverClosed) as refusal:
                self.put_or_queue(sender)
            self.refusal = refusal.value
        elif not self.works:
            with pytest.raises(SenderClosed):
                self.put_or_queue(sender)
        else:
            fits = self.may_grow and not self.senders
            assert self.put_or_queue(sender) is fits
            if fits:
                self.standing.append(Accepted(sender.item, None))
                self.note_what_is_pushed_out()
            else:
                self.standing.append(Accepted(sender.item, sender))
                sender.turning = self.has_room and self.buffer > 0 and self.senders == [sender]

    def put_or_queue(self, sender: Bell) -> bool:
        """Do what an itemizer does first. Return whether it may return at once."""
        state = self.state
        if state.items and len(state.items) < state.high and state.sending is OPEN and state.senders.first is None:
            state.items.append(sender.item)  # midstream
            return True
        if state.items is not None and state.try_put(sender.item):
            return True
        state.queue_sender(sender)
        return False

    def note_what_is_pushed_out(self) -> None:
        """Items have come into the buffer, and offered ones follow where no itemizer is before them any more."""
        while self.buffered > self.buffer > 0:
            self.lost.append(self.standing.pop(0).item)
            self.since_turn += 1

    def offer(self) -> None:
        if not self.opened or self.dropped:
            return
        item = self.calls = self.calls + 1
        if self.closed_early:
            assert not self.state.try_offer(item)
        elif not self.works:
            with pytest.raises(SenderClosed):
                self.state.try_offer(item)
        else:
            fits = len(self.standing) < (self.buffer or len(self.asks)) or self.drops_oldest
            assert self.state.try_offer(item) is fits
            if fits:
                self.standing.append(Accepted(item, None))
                self.note_what_is_pushed_out()
                if self.drops_oldest and self.accepted_for_good > self.buffer:
                    oldest = next(each for each in self.standing if each.sender is None)
                    self.standing.remove(oldest)
                    self.lost.append(oldest.item)

    def note_the_move(self, sender: Bell) -> None:
        """The item of the first itemizer in the queue moves into the buffer."""
        self.standing[self.buffered] = Accepted(sender.item, None)
        self.note_what_is_pushed_out()
        self.released.append(sender)

    def run_itemizer(self, sender: Bell, *, was_awake: bool) -> None:
        self.take_turn(sender)
        if self.closed:
            assert was_awake or self.unnoticed
            with pytest.raises(ReceiverClosed) as refusal:
                self.state.may_return(sender)
            self.refusal = refusal.value
            self.withdraw(sender)
            return
        if self.has_room and self.senders[:1] == [sender]:
            self.note_the_move(sender)
        if sender in self.released:
            assert was_awake
            assert self.state.may_return(sender)
            self.released.remove(sender)
        else:
            assert not self.state.may_return(sender)
            self.park(sender)

    def withdraw(self, sender: Bell) -> None:
        self.state.withdraw(sender)
        self.standing = [each for each in self.standing if each.sender is not sender]
        self.note_what_is_pushed_out()
        self.released = [each for each in self.released if each is not sender]
        if self.awaiting_ack is sender:
            self.awaiting_ack = None

    def open_or_end_sending(self, what: Step) -> None:
        refused = self.refusal
        match what:
            case Step.OPEN:
                self.open()
            case Step.DROP_SENDER if not self.itemizing:
                assert self.state.drop_sender() is not (self.finished or self.closed)
                self.dropped = True
                self.broken = self.broken or not (self.finished or self.closed)
                self.unnoticed = True
            case Step.LEAVE if self.opened:
                self.leave(None)
            case Step.FAIL if self.opened:
                self.leave(Broken())
            case Step.FAIL_ELSEWHERE if self.works:
                error = Broken()
                self.state.stop_sending(error)
                self.note_the_end(error)
                self.unnoticed = True
            case Step.REFUSED if refused is not None:
                for closing in (refused, BaseExceptionGroup("", [refused, BaseExceptionGroup("", [refused])])):
                    assert is_closing(closing, self.state)
                    assert not is_closing(closing, ChannelState[int](0))
                assert not is_closing(BaseExceptionGroup("", [refused, Broken()]), self.state)
                self.leave(refused)
            case _:
                pass

    def leave(self, error: BaseException | None) -> None:
        self.state.end_sending(error)
        if self.works:  # otherwise the first end stays
            self.note_the_end(error)
        self.note_the_end_was_noticed()

    def note_the_end(self, error: BaseException | None) -> None:
        self.finished = True
        if error is not None and not self.closed:
            self.broken = True
            self.error = error

    # The receiving side.

    def ask(self) -> None:
        ask = Bell(self.name("ask"))
        turn_is_due = self.buffered > 0 and not self.level - MOST < self.buffered <= self.most
        took = self.take_or_queue(ask)
        if self.standing and not self.asks and not turn_is_due:
            self.note_what_was_taken(took)
        elif self.over and not self.standing:
            assert took is END
            self.raise_the_end(None)
            self.note_that_more_is_asked_for()
        else:
            assert took is WAIT
            ask.turning = self.buffered > 0 and not self.asks
            self.asks.append(ask)
            self.note_that_more_is_asked_for()

    def take_or_queue(self, ask: Bell) -> object:
        """Do what an ask does first. Return what it returns."""
        state = self.state
        if state.items is not None and state.low < len(state.items) < state.high and state.receivers.first is None:
            return state.items.popleft()  # midstream
        return state.ask(ask)

    def run_ask(self, ask: Bell, *, was_awake: bool) -> None:
        self.take_turn(ask)
        first = self.asks[0] is ask
        took = self.state.take(ask)
        if self.standing and first:
            assert was_awake
            self.asks.remove(ask)
            self.note_what_was_taken(took)
        elif self.over and not self.standing:
            assert was_awake or self.unnoticed or not first
            assert took is END
            self.asks.remove(ask)
            self.raise_the_end(ask)
        else:
            assert took is WAIT
            self.park(ask)

    def take_ready(self, limit: int | None) -> None:
        expected = [] if self.asks or self.closed else [each.item for each in self.standing[:limit]]
        assert self.state.take_ready(limit) == expected
        for item in expected:
            self.note_what_was_taken(item)
        if not self.asks and not self.closed:
            self.most = min(self.most, self.buffered + MOST)

    def note_what_was_taken(self, item: object) -> None:
        """The first item, and no other, has left the channel with the ask that took it."""
        taken = self.standing.pop(0)
        assert item == taken.item
        self.note_that_more_is_asked_for()
        if taken.sender is not None:
            assert not hasattr(taken.sender, "item")
            if self.buffer or self.asks:
                self.released.append(taken.sender)
            else:
                self.awaiting_ack = taken.sender
            self.note_what_is_pushed_out()

    def note_that_more_is_asked_for(self) -> None:
        if self.awaiting_ack is not None:
            self.released.append(self.awaiting_ack)
            self.awaiting_ack = None

    def raise_the_end(self, ask: Bell | None) -> None:
        """An ask that waited when the stream broke raises it, even if the receiver was closed before it ran."""
        end = self.state.end(ask)
        if self.broken and (ask is not None or not self.closed):
            assert isinstance(end, SenderFailed)
            assert end.__cause__ is self.error
            self.surfaced = self.surfaced or self.error is not None
        else:
            assert isinstance(end, StopAsyncIteration)
        assert self.state.end(None) is not end

    def end_receiving(self, what: Step) -> None:
        standing = list(self.standing)
        works = self.works
        match what:
            case Step.CLOSE:
                self.note_the_close()
                self.state.end_receiving()
                self.note_the_end_was_noticed()
            case Step.CLOSE_ELSEWHERE:
                self.note_the_close()
                self.state.stop_receiving()
                self.unnoticed = True
            case Step.DROP_RECEIVER if not self.asks:
                was_closed = self.closed
                self.note_the_close()
                matters = self.state.drop_receiver()
                self.unnoticed = True
                if was_closed:
                    assert not matters
                elif self.tells:
                    assert matters
                else:
                    assert matters is (works or self.awaiting_ack is not None or any(self.senders) or self.has_offered(standing))
                    # What itemizers wait with, and what was offered behind them, stays until `notify_end`.
                    self.lost += [each.item for each in self.standing[: self.buffered]]
                    del self.standing[: self.buffered]
            case _:
                pass

    def has_offered(self, standing: list[Accepted]) -> bool:
        return not self.buffer and bool(standing)

    def note_the_close(self) -> None:
        if not self.closed:
            self.closed = True
            self.closed_early = not self.finished and not self.dropped
            self.cut_short = not self.finished or self.broken or bool(self.standing)

    # Both sides.

    def note_what_is_lost(self) -> None:
        self.lost += [each.item for each in self.standing if each.sender is None]
        self.standing = [each for each in self.standing if each.sender is not None]

    def note_the_end_was_noticed(self) -> None:
        """A closed receiver drops what is left, and releases every itemizer."""
        self.unnoticed = False
        if self.closed:
            assert not any(hasattr(sender, "item") for sender in self.senders)
            assert self.gone
            self.note_what_is_lost()
            self.released += self.senders
            self.standing.clear()
            self.note_that_more_is_asked_for()

    # After each step. One invariant, so that a failure prints as a short program.

    @invariant()
    def agree(self) -> None:
        self.the_state_holds_what_the_model_holds()
        self.the_buffer_holds_no_more_than_it_should()
        self.the_first_ask_is_awake_while_there_is_an_item_or_the_stream_is_over()
        self.the_first_itemizer_is_awake_while_the_buffer_has_room()
        self.an_itemizer_that_may_return_is_awake()
        self.nothing_awaits_an_acknowledgement_while_an_ask_waits()
        self.a_closed_channel_keeps_nothing()
        self.what_is_lost_is_counted_and_told()
        self.the_statistics_count_what_waits()

    def the_state_holds_what_the_model_holds(self) -> None:
        items, senders = list(self.state.items or ()), list(self.state.senders)
        assert items + [sender.item for sender in senders] == [each.item for each in self.standing]
        assert [sender for sender in senders if not sender.done] == self.senders
        assert list(self.state.receivers) == self.asks
        assert self.state.awaiting_ack is self.awaiting_ack
        assert self.state.is_over == self.over
        assert self.state.was_cut_short == self.cut_short
        assert self.state.surfaced == self.surfaced
        assert bool(self.gone) <= self.closed

    def the_buffer_holds_no_more_than_it_should(self) -> None:
        assert len(self.state.items or ()) <= self.buffer

    def the_first_ask_is_awake_while_there_is_an_item_or_the_stream_is_over(self) -> None:
        if self.asks and (self.standing or (self.over and not self.unnoticed)):
            assert self.asks[0].awake

    def the_first_itemizer_is_awake_while_the_buffer_has_room(self) -> None:
        if self.senders and self.has_room and not self.closed:
            assert self.senders[0].awake

    def an_itemizer_that_may_return_is_awake(self) -> None:
        assert all(sender.awake for sender in self.released)

    def nothing_awaits_an_acknowledgement_while_an_ask_waits(self) -> None:
        assert self.state.awaiting_ack is None or not self.asks

    def a_closed_channel_keeps_nothing(self) -> None:
        if self.closed and not self.unnoticed:
            assert self.asks or self.state.error is None
            assert not self.state.items
            assert self.state.senders.first is None
            assert self.state.awaiting_ack is None

    def what_is_lost_is_counted_and_told(self) -> None:
        assert self.state.dropped == len(self.lost)
        assert self.told == (self.lost if self.tells else [])

    def the_statistics_count_what_waits(self) -> None:
        now = self.state.statistics()
        assert now.buffer == self.buffer
        assert now.buffered == self.accepted_for_good
        assert now.pending == len(self.standing)
        assert now.itemizing == len(self.senders) + (self.awaiting_ack is not None)
        assert now.asking == len(self.asks)
        assert now.dropped == len(self.lost)
        assert now.receiver == ("closed" if self.closed else "open")


TestStateMachine = StateMachine.TestCase
TestStateMachine.settings = examples(300)


# Waking. A wake-up in vain breaks no promise, but each costs a task a turn of the loop.


def opened(buffer: int) -> ChannelState[int]:
    """Return an open state in which some waiters are parked, so that wake-ups are given."""
    state = ChannelState[int](buffer)
    state.open()
    state.parked = 9
    return state


def bell(item: int = 0) -> Bell:
    ticket = Bell()
    ticket.item = item
    return ticket


def full_with_two_that_wait() -> tuple[ChannelState[int], Bell, Bell]:
    state, first, second = opened(1), bell(2), bell(3)
    assert state.try_put(1)
    state.queue_sender(first)
    state.queue_sender(second)
    return state, first, second


def test_an_item_that_takes_the_last_room_wakes_no_other_itemizer() -> None:
    """Rule 3: the buffer is full again, so the next in the queue waits on."""
    state, first, second = full_with_two_that_wait()
    assert state.take(None) == 1
    assert first.woken
    assert state.may_return(first)
    assert not second.woken


def test_a_withdrawal_before_a_full_buffer_wakes_no_itemizer() -> None:
    """Rules 3 and 15."""
    state, first, second = full_with_two_that_wait()
    state.withdraw(first)
    assert not second.woken


def test_an_itemizer_that_runs_before_its_turn_waits_on() -> None:
    """Rule 3: first come, first served, also if one further back runs first."""
    state, first, second = full_with_two_that_wait()
    assert state.take(None) == 1
    assert not state.may_return(second)
    assert state.may_return(first)
    assert not state.may_return(second)


@pytest.mark.parametrize("buffer", [0, 1])
def test_an_ask_that_leaves_an_empty_channel_wakes_no_other(buffer: int) -> None:
    """Rule 14: there is nothing that the next in the queue could take."""
    state, first, second = opened(buffer), Bell(), Bell()
    state.ask(first)
    state.ask(second)
    state.leave(first)
    assert not second.woken
    assert state.take(second) is WAIT


@pytest.mark.parametrize("buffer", [0, 1])
def test_an_ask_that_takes_the_only_item_wakes_no_other(buffer: int) -> None:
    """Rule 4."""
    state, first, second = opened(buffer), Bell(), Bell()
    state.ask(first)
    state.ask(second)
    if not state.try_put(1):
        state.queue_sender(bell(1))
    assert first.woken
    assert state.take(first) == 1
    assert not second.woken


@pytest.mark.parametrize("buffer", [1, 500])
def test_an_itemizer_that_runs_in_vain_adds_nothing_to_a_full_buffer(buffer: int) -> None:
    """Rule 3: also where the interpreter has several objects for one number."""
    state, sender = opened(buffer), bell(buffer)
    assert all(state.try_put(number) for number in range(buffer))
    assert not state.try_put(buffer)
    state.queue_sender(sender)
    assert not state.may_return(sender)
    assert state.take(None) == 0
    assert state.may_return(sender)


def test_an_itemizer_is_woken_when_its_item_is_taken_after_a_finalizer_has_emptied_the_buffer() -> None:
    """Rule 3: nothing else has woken it for the room."""
    state, sender = opened(1), bell(2)
    assert state.try_put(1)
    state.queue_sender(sender)
    state.drop_receiver()
    assert state.take(None) == 2
    assert sender.done
    assert sender.woken


def test_none_is_woken_while_none_is_parked() -> None:
    """Rule 16: a task that gives the loop a turn looks again by itself."""
    state, sender, ask, second = opened(0), bell(1), Bell(), Bell()
    state.parked = 0
    assert state.ask(ask) is WAIT
    state.queue_sender(sender)
    assert state.take(ask) == 1
    assert state.ask(second) is WAIT
    assert state.try_offer(2)
    assert state.take(second) == 2
    assert sender.done
    assert [each.woken for each in (sender, ask, second)] == [0, 0, 0]


def test_none_is_woken_for_a_buffered_item_while_none_is_parked() -> None:
    """Rule 16."""
    state, sender, ask = opened(1), bell(2), Bell()
    state.parked = 0
    assert state.ask(ask) is WAIT
    assert state.try_put(1)
    state.queue_sender(sender)
    assert state.take(ask) == 1
    assert state.may_return(sender)
    assert state.take_ready(None) == [2]
    assert [each.woken for each in (sender, ask)] == [0, 0]


def test_an_itemizer_whose_acknowledgement_was_interrupted_is_woken_by_the_next_step() -> None:
    """Rule 31: an exception has struck between the two halves of it."""
    state, sender = opened(0), bell(1)
    state.queue_sender(sender)
    assert state.take(None) == 1
    sender.done = True
    state.advance()
    assert sender.woken
    assert state.statistics().itemizing == 0


def test_an_itemizer_is_stranded_until_the_receiver_is_closed() -> None:
    """Rule 13: whether it waits with its item or for its acknowledgement."""
    state = opened(0)
    stranded = [state.strands_senders]
    state.queue_sender(bell(1))
    stranded.append(state.strands_senders)
    assert state.take(None) == 1
    stranded.append(state.strands_senders)
    state.end_receiving()
    stranded.append(state.strands_senders)
    assert stranded == [False, True, True, False]


def test_an_ask_that_finds_an_offered_item_acknowledges_the_one_before() -> None:
    """Rules 2 and 24: it asks for a further item, so the itemizer of the last one returns."""
    state, sender, first, second = opened(0), bell(1), Bell(), Bell()
    assert state.ask(first) is WAIT
    assert state.ask(second) is WAIT
    state.queue_sender(sender)
    assert state.try_offer(2)
    state.leave(second)
    assert state.take(first) == 1
    assert state.statistics().itemizing == 1
    assert state.ask(Bell()) == 2
    assert state.statistics().itemizing == 0
    assert sender.done
    assert sender.woken


def test_a_new_item_passes_no_itemizer_that_waits_for_a_turn() -> None:
    """Rule 1: not where the oldest item would make room for it either."""
    state = DropOldestState[int](2, None, None)
    state.open()
    state.queue_sender(bell(1))
    assert not state.try_put(2)


def test_what_is_offered_behind_an_itemizer_moves_up_when_its_item_is_taken() -> None:
    """Rule 3: one that comes then finds the room that there is."""
    state = opened(2)
    state.queue_sender(bell(1))
    assert state.try_offer(2)
    assert state.take(None) == 1
    assert state.try_put(3)
    assert state.take_ready(None) == [2, 3]


@pytest.mark.parametrize("buffered", [[], [1]])
def test_what_is_accepted_for_good_is_never_more_than_the_buffer_holds(buffered: list[int]) -> None:
    """Rules 25 and 26: behind an itemizer that waits for its turn, too, an offer pushes out what was accepted before it."""
    state = DropOldestState[int](1, None, None)
    state.open()
    for item in buffered:
        assert state.try_put(item)
    state.queue_sender(bell(2))
    for item in (3, 4):
        assert state.try_offer(item)
        assert state.statistics().buffered == 1
    assert state.dropped == len(buffered) + 1
    assert state.take_ready(None) == [2, 4]


# Turns that are due.

TURN = 512


def test_a_buffer_grows_by_so_many_items_before_a_turn_is_due() -> None:
    """Rule 3: though there is room; and the turn comes before the item is accepted."""
    state = opened(3 * TURN)
    for level in (TURN, 2 * TURN, 3 * TURN):
        while state.try_put(0):
            pass
        assert state.statistics().buffered == level
        sender = bell(level)
        state.queue_sender(sender)
        assert state.has_room is (level < 3 * TURN)
        state.withdraw(sender)
        assert state.statistics().buffered == level
        state.took_turn()
    assert not state.try_put(0)


def test_a_buffer_shrinks_by_so_many_items_before_a_turn_is_due() -> None:
    """Rule 3: though there are items; and the turn comes before the item is taken."""
    state = opened(3 * TURN)
    for _ in range(3):
        while state.try_put(0):
            pass
        state.took_turn()
    for level in (2 * TURN, TURN):
        ask = Bell()
        while state.ask(ask) is not WAIT:
            pass
        assert state.statistics().buffered == level
        state.took_turn()
        assert state.take(ask) == 0
    while state.ask(Bell()) is not WAIT:
        pass
    assert state.statistics().buffered == 0  # to the last item it is as many


def test_after_a_turn_that_was_due_an_itemizer_goes_first() -> None:
    """Rule 3: first come, first served, among those too that come while it takes its turn."""
    state, first, second = opened(2 * TURN), bell(-1), bell(-2)
    while state.try_put(0):
        pass
    state.queue_sender(first)
    assert not state.try_put(-2)
    state.queue_sender(second)
    state.took_turn()
    assert not state.may_return(second)
    assert state.may_return(first)
    assert second.woken
    assert state.may_return(second)
    assert state.take_ready(None)[-2:] == [-1, -2]


def test_a_full_buffer_that_loses_its_oldest_item_so_many_times_owes_a_turn() -> None:
    """Rules 3 and 25."""
    state = DropOldestState[int](2, None, None)
    state.open()
    for _ in range(2):
        lost = state.dropped
        while state.try_put(0):
            pass
        assert state.dropped == lost + TURN
        state.took_turn()


def test_with_room_for_more_than_a_turn_a_buffer_that_loses_its_oldest_item_owes_the_same_turns() -> None:
    """Rules 3 and 25: while it is not full."""
    state = DropOldestState[int](TURN + 2, None, None)
    state.open()
    puts = 0
    while state.try_put(0):
        puts += 1
    assert puts == TURN
    state.took_turn()
    while state.try_put(0):
        puts += 1
    assert puts == TURN + 2 + TURN


def test_an_itemizer_behind_one_whose_item_pushes_the_oldest_out_is_woken() -> None:
    """Rules 16 and 25: it need not wait for room either."""
    state, first, second = DropOldestState[int](1, None, None), bell(2), bell(3)
    state.open()
    assert state.try_put(1)
    state.since_turn = TURN
    assert not state.try_put(2)
    state.queue_sender(first)
    state.queue_sender(second)
    state.parked = 1
    assert not state.may_return(second)
    assert state.may_return(first)
    assert second.woken
    assert state.may_return(second)
    assert list(state.items or ()) == [3]


# What is lost.


def opened_with(on_drop: Callable[[int], None], buffer: int = 2, *, drop_oldest: bool = True) -> DroppingState[int]:
    state = (DropOldestState[int] if drop_oldest else DroppingState[int])(buffer, None, on_drop)
    state.loop = HERE
    state.open()
    return state


def test_on_drop_finds_the_new_item_in_the_place_of_the_lost_one() -> None:
    """Rule 25: it is the last thing of a step, so it may use the channel again."""
    seen: list[tuple[int, list[int]]] = []

    def look(item: int) -> None:
        seen.append((item, list(state.items or ())))
        if item == 1:
            state.try_put(4)

    state = opened_with(look)
    assert all(map(state.try_put, (1, 2, 3)))
    assert seen == [(1, [2, 3]), (2, [3, 4])]
    assert state.dropped == 2


def test_on_drop_finds_a_closed_channel_empty() -> None:
    """Rule 25."""
    seen: list[tuple[int, int]] = []
    state = opened_with(lambda item: seen.append((item, state.statistics().pending)))
    assert all(map(state.try_put, (1, 2)))
    state.end_receiving()
    assert seen == [(1, 0), (2, 0)]


def test_what_itemizers_wait_with_is_not_lost() -> None:
    """Rule 25: their itemizers have not returned; they learn of the close themselves."""
    lost: list[int] = []
    state = opened_with(lost.append, 0, drop_oldest=False)
    ask = Bell()
    assert state.ask(ask) is WAIT
    assert state.try_offer(1)
    state.queue_sender(bell(2))
    state.end_receiving()
    assert lost == [1]
    assert state.dropped == 1


def test_a_receiver_that_is_dropped_leaves_its_items_to_the_event_loop() -> None:
    """Rule 25: a finalizer may run in any thread; `on_drop` is called in the loop."""
    lost: list[int] = []
    state = opened_with(lost.append)
    assert state.try_put(1)
    state.stop_sending(Broken())
    assert state.drop_receiver()
    assert not lost
    assert state.error is None
    assert not state.drop_receiver()
    state.notify_end()
    assert lost == [1]


def test_a_receiver_that_is_dropped_without_on_drop_leaves_nothing() -> None:
    """Rule 22."""
    state = DropOldestState[int](1, None, None)
    state.open()
    assert state.try_put(1)
    state.drop_receiver()
    assert not state.items
    assert state.dropped == 1


def test_an_error_of_on_drop_goes_to_the_event_loop_and_the_other_items_are_passed() -> None:
    """Rule 25."""
    error = Broken()
    told: list[int] = []

    def fail(item: int) -> None:
        told.append(item)
        raise error

    state = opened_with(fail)
    assert all(map(state.try_put, (1, 2)))
    HERE.reports.clear()
    state.end_receiving()
    assert told == [1, 2]
    assert HERE.reports == [error, error]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_leaves_on_drop(kind: type[BaseException]) -> None:
    """Rule 25: it goes to the loop as an error does from any callback, but these."""

    def interrupt(_: int) -> None:
        raise kind

    state = opened_with(interrupt)
    assert all(map(state.try_put, (1, 2)))
    with pytest.raises(kind):
        state.try_put(3)


def test_on_drop_is_not_called_in_a_closed_loop() -> None:
    """Rule 25: nor before there is one."""
    lost: list[int] = []
    state = DropOldestState[int](1, None, lost.append)
    closed = asyncio.new_event_loop()
    closed.close()
    for state.loop in (None, closed):
        state.put(1)
        state.put(2)
    assert not lost
    assert state.dropped == 3


# The queue.


def queue_of(size: int) -> tuple[WaitQueue[int], list[Ticket[int]]]:
    queue = WaitQueue[int]()
    tickets = [Ticket[int]() for _ in range(size)]
    for ticket in tickets:
        queue.append(ticket)
    return queue, tickets


def check(queue: WaitQueue[int], tickets: list[Ticket[int]]) -> None:
    """`tickets` are queued, in this order, and no others."""
    assert list(queue) == tickets
    assert len(queue) == len(tickets)
    assert queue.first is (tickets[0] if tickets else None)


def test_a_new_queue_is_empty() -> None:
    """Rule 4: none is first."""
    check(WaitQueue(), [])
    assert list(EMPTY) == []


@pytest.mark.parametrize("size", range(6))
def test_a_ticket_is_queued_behind_the_last(size: int) -> None:
    """Rule 4: first come, first served."""
    queue, tickets = queue_of(0)
    for _ in range(size):
        tickets.append(Ticket())
        queue.append(tickets[-1])
        check(queue, tickets)
    for _ in range(size):
        assert queue.popleft() is tickets.pop(0)
        check(queue, tickets)


@pytest.mark.parametrize(("size", "place"), [(size, place) for size in range(1, 6) for place in range(size)])
def test_a_ticket_leaves_from_anywhere(size: int, place: int) -> None:
    """Rule 15: the first, any in the middle, the last, and the only one; the others keep their order."""
    queue, tickets = queue_of(size)
    gone = tickets.pop(place)
    assert queue.remove(gone)
    check(queue, tickets)
    assert not queue.remove(gone)
    check(queue, tickets)
    for _ in range(2):
        tickets.append(Ticket())
        queue.append(tickets[-1])
        check(queue, tickets)


def test_a_queue_empties_in_any_order() -> None:
    """Rule 15: and can be used again."""
    for order in permutations(range(4)):
        queue, tickets = queue_of(4)
        gone = [tickets[place] for place in order]
        for ticket in gone:
            tickets.remove(ticket)
            assert queue.remove(ticket)
            check(queue, tickets)
        for ticket in gone:  # the same tickets, since an end uses its ticket again
            queue.append(ticket)
        check(queue, gone)


@pytest.mark.parametrize("size", range(4))
def test_all_tickets_leave_at_once(size: int) -> None:
    """Rule 10: when the receiver is closed; and the queue can be used again."""
    queue, tickets = queue_of(size)
    assert queue.clear() == tickets
    check(queue, [])
    ticket = Ticket[int]()
    queue.append(ticket)
    check(queue, [ticket])


def test_a_ticket_is_new_until_it_is_done() -> None:
    """Rule 2: to be woken changes nothing of that."""
    ticket = Ticket[int]()
    ticket.wake()
    assert not ticket.done


class Counted(Ticket[int]):
    """Counts how often a container looks at a ticket."""

    __slots__ = ()

    looks = 0

    @override
    def __eq__(self, other: object) -> bool:
        Counted.looks += 1
        return self is other

    @override
    def __hash__(self) -> int:
        Counted.looks += 1
        return id(self) >> 4


def looks_when_all_leave(size: int, order: str) -> int:
    queue = WaitQueue[int]()
    tickets = [Counted() for _ in range(size)]
    for ticket in tickets:
        queue.append(ticket)
    middle = size // 2
    leaving = {"first": tickets, "middle": tickets[middle:] + tickets[:middle], "last": tickets[::-1]}[order]
    before = Counted.looks
    for ticket in leaving:
        queue.remove(ticket)
    assert queue.first is None
    return Counted.looks - before


@pytest.mark.parametrize("order", ["first", "middle", "last"])
def test_leaving_costs_the_same_however_long_the_queue_is(order: str) -> None:
    """Rule 15: where a ticket has to be searched for, it is compared with all before it; here with hardly any."""
    for size in (10, 100, 2000):
        # Looks at others are rare: tickets whose hashes happen to fall into the same place.
        assert looks_when_all_leave(size, order) <= 6 * size

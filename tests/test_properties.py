"""The laws of a channel, each proven over schedules drawn by Hypothesis: see `tests.schedules`.

A law is judged from the record of a run. That every run comes to rest, and leaves no task and no error behind, is part of each. The
laws of one kind of schedule share their runs.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from chanstream import ReceiverClosed, SenderClosed, SenderFailed
from tests.schedules import (
    NEVER,
    Act,
    Appointment,
    Call,
    Clock,
    Ending,
    Home,
    Item,
    Moment,
    Record,
    Schedule,
    Sink,
    Source,
    examples,
    law,
    perform,
    schedules,
)

CANCELLATIONS = (Act.CANCEL_SOURCE, Act.CANCEL_SINK)

anything = law(schedules(), 300)
lock_step = law(schedules(buffer=st.just(0)), 150)
buffered = law(schedules(buffer=st.integers(1, 4)), 150)
never_closed = law(schedules(acts=CANCELLATIONS), 250)


# Order and delivery.


@anything
def test_items_are_taken_in_the_order_in_which_the_itemizer_was_called(record: Record) -> None:
    """Rules 1 and 16: whoever called it, whoever is cancelled; so no item is taken twice either."""
    called = items_of(record.itemizings)
    places = [called.index(item) for item in items_of(record.asks_by_end)]
    assert places == sorted(set(places))


@never_closed
def test_an_accepted_item_is_taken_unless_it_was_withdrawn(record: Record) -> None:
    """Rules 6, 7, 12, 14 and 16: whatever ends the block, whoever leaves a loop or is cancelled, if nobody closes the receiver."""
    kept = {call.item for call in record.itemizings if call.error is None}
    assert kept <= record.taken.keys()


@anything
def test_a_cancelled_item_was_taken_before_or_never_is(record: Record) -> None:
    """Rule 15."""
    for call in record.itemizings:
        if call.error is not None and call.item in record.taken:
            assert record.taken[call.item] < call.ended


@lock_step
def test_in_lock_step_itemize_returns_only_after_the_next_ask(record: Record) -> None:
    """Rule 2: its item was taken, and after that somebody asked, or waited already."""
    for call in record.itemizings:
        if call.returned:
            assert call.item is not None
            taken = record.taken[call.item]
            assert taken < call.ended
            assert any(ask.began < call.ended and taken < ask.ended for ask in record.asks)


@buffered
def test_itemize_returns_only_when_its_item_fits_into_the_buffer(record: Record) -> None:
    """Rule 3: before it, and with it, at most n items wait to be taken."""
    for call in record.itemizings:
        if call.returned:
            before = [other for other in record.standing(call.ended) if other.began <= call.began]
            assert len(before) <= record.buffer


@buffered
def test_while_there_is_room_itemize_returns_at_once(record: Record) -> None:
    """Rule 3: no other task gets a turn, unless one came first and still waits."""
    for call in record.itemizings:
        before = call.began - 1
        if len(record.standing(before)) < record.buffer and not waiting(record.itemizings, before) and call.began < record.closed:
            assert call.ended == call.began + 1


@anything
def test_an_item_that_is_there_is_taken_at_once(record: Record) -> None:
    """The docstring of `__anext__`: no other task gets a turn, unless one asked first and still waits."""
    for ask in record.asks:
        before = ask.began - 1
        if record.standing(before) and not waiting(record.asks, before):
            assert ask.ended == ask.began + 1


@anything
def test_an_ask_is_served_before_every_later_one(record: Record) -> None:
    """Rule 4: first come, first served."""
    for ask in record.asks:
        if ask.returned:
            assert not [other for other in waiting(record.asks, ask.ended) if other.began < ask.began]


@buffered
def test_a_sender_is_released_before_every_later_one(record: Record) -> None:
    """Rule 3: first come, first served. No item comes into the buffer before an older one."""
    for call in record.itemizings:
        if call.returned:
            older = [other for other in record.standing(call.ended) if other.began < call.began]
            assert not waiting(older, call.ended)


@given(
    schedules(acts=(), endings=(Ending.DONE,)),
    st.integers(1, 5),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
)
@examples(100)
def test_each_worker_of_a_pool_gets_an_item(schedule: Schedule, workers: int, senders: list[int]) -> None:
    """Rule 4: as many items are in flight as there are workers, however few senders there are; a worker here never comes back."""
    pool = (Sink(leaves_after=1),) * workers
    sources = tuple(Source((0,) * items) for items in senders)
    record = perform(replace(schedule, home=Home.GROUP, sources=sources, sinks=pool))
    at_work = [ask for ask in record.asks if ask.returned and ask.ended <= record.rests[0].at]
    assert len(at_work) == min(workers, sum(senders))


# Nobody waits for what has happened, or cannot happen.


@anything
def test_no_ask_waits_while_an_item_is_there_or_after_the_end(record: Record) -> None:
    """Rules 4, 6, 7, 9, 14 and 16."""
    for rest in record.rests:
        if waiting(record.asks, rest.at):
            assert not record.standing(rest.at), rest
            assert rest.at < min(record.ended, record.closed), rest


@anything
def test_no_itemize_waits_when_it_may_return(record: Record) -> None:
    """Rules 2, 3, 4, 10, 15 and 16."""
    assert_no_itemize_waits_in_vain(record)


@given(
    schedules(acts=(), endings=(Ending.DONE,), buffer=st.integers(1, 3)),
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3)), min_size=1, max_size=4),
)
@examples(100)
def test_room_that_a_cancelled_sender_was_woken_for_goes_to_the_next(
    schedule: Schedule, takes: int, cancelled: list[tuple[int, int]]
) -> None:
    """Rules 15 and 16: items are taken from a full buffer, and in the same step some of the senders that wait are cancelled."""
    full = schedule.buffer
    calls = full + 4
    before = 2 * full + 4  # the events until all have called: those that fill the buffer have also returned
    record = perform(
        replace(
            schedule,
            home=Home.GROUP,
            sources=(Source((0,)),) * calls,
            sinks=(Sink(leaves_after=takes, late=3),),
            appointments=tuple(
                Appointment(Moment(Clock.EVENT, before + 2 * take), Act.CANCEL_SOURCE, full + who) for take, who in cancelled
            ),
        )
    )
    assert_no_itemize_waits_in_vain(record)


@anything
def test_the_repr_counts_what_waits(record: Record) -> None:
    """The surface: a useful repr shows state and counts."""
    for rest in record.rests:
        counts = re.search(r"(\d+) to be taken, (\d+) waiting in itemize, (\d+) waiting for an item", rest.channel)
        assert counts is not None
        assert [int(count) for count in counts.groups()] == [
            len(record.standing(rest.at)),
            len(waiting(record.itemizings, rest.at)),
            len(waiting(record.asks, rest.at)),
        ]
        assert ("receiver closed" in rest.channel) == (record.closed <= rest.at)
        failed = record.reason is not None and record.ended < record.closed
        sender = "open" if rest.at < record.ended else "failed" if failed else "finished"
        assert f"sender {sender}" in rest.channel


# Ending.


@never_closed
def test_after_a_normal_end_and_the_last_item_every_ask_stops(record: Record) -> None:
    """Rule 6: not before, and it stays so."""
    if record.reason is None:
        assert_every_ask_meets_the_end(record)
        assert not failures(record)
        assert stops(record)


@never_closed
def test_after_a_failed_end_and_the_last_item_every_ask_fails_from_its_error(record: Record) -> None:
    """Rule 7: cancellation of the block included, and it stays so. The stream never looks complete."""
    if record.reason is not None:
        assert_every_ask_meets_the_end(record)
        assert failures(record)
        assert not stops(record)
        assert all(failure.error is not None and failure.error.__cause__ is record.reason for failure in failures(record))


@never_closed
def test_an_error_leaves_the_block_unchanged(record: Record) -> None:
    """Rule 7."""
    assert record.escaped is record.reason


@anything
def test_after_the_receiver_was_closed_every_ask_stops(record: Record) -> None:
    """Rule 9: those that waited, and later ones. Rule 7: but for one that waited when the stream failed, and was not told yet."""
    for ask in record.asks:
        if ask.ended > record.closed:
            assert ask.item is None
            if isinstance(ask.error, SenderFailed):
                assert ask.began < record.closed
                assert record.ended < record.closed
                assert record.reason is not None


@given(schedules(acts=(), endings=(Ending.ERROR, Ending.CANCELLED)), st.integers(1, 4))
@examples(50)
def test_an_ask_that_waits_when_the_stream_fails_learns_of_it(schedule: Schedule, asks: int) -> None:
    """Rule 7: a truncated stream never looks complete, even if it is closed in the step in which it fails."""
    end = Appointment(Moment(Clock.TURN, 2), Act.END, 0)
    close = Appointment(Moment(Clock.EVENT, asks + 1), Act.CLOSE, 0)
    record = perform(replace(schedule, sources=(), sinks=(Sink(),) * asks, appointments=(end, close)))
    assert record.ended == asks + 1
    for ask in waiting(record.asks, record.ended):
        assert isinstance(ask.error, SenderFailed)
        assert ask.error.__cause__ is record.reason


@anything
def test_after_the_receiver_was_closed_every_itemize_raises(record: Record) -> None:
    """Rule 10: those that have not returned, and later ones, and no earlier one. Rule 8 says what one gets after the block."""
    for call in record.itemizings:
        if call.ended < record.closed or call.began > record.ended:
            assert not isinstance(call.error, ReceiverClosed)
        else:
            assert isinstance(call.error, (ReceiverClosed, asyncio.CancelledError))


@anything
def test_an_itemizer_is_refused_after_its_block_and_only_then(record: Record) -> None:
    """Rule 8."""
    for call in record.itemizings:
        assert isinstance(call.error, SenderClosed) == (call.began > record.ended)
        assert call.began < record.ended or call.ended == call.began + 1


@anything
def test_a_block_ends_quietly_by_nothing_but_its_receiver_closed(record: Record) -> None:
    """Rule 11: bare, or in a group of nothing else."""
    quiet = bool(leaves(record.reason)) and all(isinstance(error, ReceiverClosed) for error in leaves(record.reason))
    assert record.escaped is (None if quiet else record.reason)


@anything
def test_only_who_was_cancelled_is_cancelled(record: Record) -> None:
    """Rule 7: a cancelled sender never cancels its receiver."""
    for ask in record.asks:
        assert not isinstance(ask.error, asyncio.CancelledError) or ask.who in record.cancelled


# What the laws are told in.


def items_of(calls: list[Call]) -> list[Item]:
    return [call.item for call in calls if call.item is not None]


def waiting(calls: list[Call], at: int) -> list[Call]:
    return [call for call in calls if call.began <= at < call.ended]


def leaves(error: BaseException | None) -> list[BaseException]:
    if error is None:
        return []
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in leaves(each)]
    return [error]


def stops(record: Record) -> list[Call]:
    return [ask for ask in record.asks if isinstance(ask.error, StopAsyncIteration)]


def failures(record: Record) -> list[Call]:
    return [ask for ask in record.asks if isinstance(ask.error, SenderFailed)]


def assert_no_itemize_waits_in_vain(record: Record) -> None:
    """At rest, each waits for somebody: for its item to be taken, or in lock-step for a further ask."""
    for rest in record.rests:
        standing = record.standing(rest.at)
        for call in waiting(record.itemizings, rest.at):
            assert rest.at < record.closed, rest
            if call in standing:
                assert standing.index(call) >= record.buffer, rest
            else:
                assert not record.buffer, rest
                assert call.item is not None
                taken = record.taken[call.item]
                assert not [ask for ask in record.asks if ask.began < rest.at and taken < ask.ended], rest


def assert_every_ask_meets_the_end(record: Record) -> None:
    """Before the block has ended and its last item has gone none does, and after the first that does every one."""
    ends = [ask for ask in record.asks_by_end if isinstance(ask.error, (StopAsyncIteration, SenderFailed))]
    assert ends
    for ask in ends:
        assert record.ended < ask.ended < NEVER
        assert not record.standing(ask.ended)
    for ask in record.asks:
        if ask.ended > ends[0].ended:
            assert ask.item is None

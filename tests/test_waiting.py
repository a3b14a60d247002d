"""How a task waits: the ticket that it awaits, the turn before it sleeps, and the event loop that the first wait binds."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextvars import Context, ContextVar

import pytest

from chanstream import Channel, ReceiverClosed
from chanstream._call_graph import Edges
from chanstream._waiting import SKIPS, BoundState, SpinPolicy, Waiter, park, spin, turn
from tests.loops import turns
from tests.outcomes import Broken, begun


def new_waiter(*, bound: bool = True) -> Waiter[int]:
    """Return the ticket of a wait in a channel, which is bound to the running loop."""
    state = BoundState[int](0)
    if bound:
        state.bind_loop()
    return Waiter(SpinPolicy("waiting in a test of", state))


@pytest.fixture
async def waiter() -> AsyncIterator[Waiter[int]]:
    waiter = new_waiter()
    yield waiter
    assert waiter.policy.state.parked == 0


async def parked(waiter: Waiter[int]) -> asyncio.Task[None]:
    """Return a task that is parked."""

    async def sleep() -> None:
        await park(waiter)

    task = await begun(sleep())
    assert not task.done()
    assert waiter.policy.state.parked == 1
    return task


async def asking() -> tuple[BoundState[int], asyncio.Task[None]]:
    """Return the state of an open channel, and a task that is parked for an item of it."""
    waiter = new_waiter()
    state = waiter.policy.state
    state.open()
    state.ask(waiter)
    return state, await parked(waiter)


# The ticket.


async def test_a_ticket_is_a_future_for_asyncio(waiter: Waiter[int]) -> None:
    """Rule 20: a task awaits it as it is."""
    task = await parked(waiter)
    awaited: object = waiter  # to a type checker it is none
    assert asyncio.isfuture(awaited)
    waiter.wake()
    await task


async def test_a_parked_task_goes_on_when_its_ticket_is_woken(waiter: Waiter[int]) -> None:
    """Rule 16: in the next turn of the loop, and not before."""
    task = await parked(waiter)
    waiter.wake()
    assert not task.done()
    await turns(2)
    assert task.done()
    await task


class Disturbed:
    """A loop in the middle of whose first `call_soon` something happens."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self.happens = happens
        self.wake_ups = 0

    def call_soon(self, callback: Callable[..., object], *args: object, context: Context | None = None) -> asyncio.Handle:
        self.wake_ups += 1
        if self.wake_ups == 1:
            self.happens()
        return asyncio.get_running_loop().call_soon(callback, *args, context=context)


def run_out() -> None:
    """As where the stack has."""
    raise RecursionError


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_signal_handler_that_cancels_in_the_middle_of_a_wake_up_wakes_no_second_time(
    waiter: Waiter[int],
    monkeypatch: pytest.MonkeyPatch,
    *,
    cancelled: bool,
) -> None:
    """Rule 16: a second wake-up would be a step of whatever the task waits for then."""
    task = await parked(waiter)
    loop = Disturbed(task.cancel)  # as the handler of a signal does, that of Ctrl-C for one
    monkeypatch.setattr(waiter, "_loop", loop)
    if cancelled:
        task.cancel()
    else:
        waiter.wake()
    await asyncio.wait([task])
    assert task.cancelled()
    assert loop.wake_ups == 1


async def test_a_wake_up_that_fails_is_repeated_by_the_next(waiter: Waiter[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 16: what failed has changed nothing."""
    task = await parked(waiter)
    loop = Disturbed(run_out)
    monkeypatch.setattr(waiter, "_loop", loop)
    with pytest.raises(RecursionError):
        waiter.wake()
    assert waiter.sleeps
    waiter.wake()
    await asyncio.wait([task])
    await task
    assert loop.wake_ups == 2


async def test_the_end_of_a_block_whose_wake_up_fails_comes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 16: the failure leaves the block, and its reader does not wait for ever."""
    channel = Channel[int]()
    reading = asyncio.ensure_future(anext(channel.receiver, None))
    await turns()
    waiter = channel.receiver._state.receivers.first
    assert isinstance(waiter, Waiter)
    loop = Disturbed(run_out)
    monkeypatch.setattr(waiter, "_loop", loop)
    with pytest.raises(RecursionError):
        async with channel.sender:
            pass
    assert await reading is None
    assert loop.wake_ups == 2


async def test_a_ticket_that_is_woken_again_wakes_once(waiter: Waiter[int]) -> None:
    """Rule 16: a second wake-up would be a step of whatever the task waits for then."""
    gate = asyncio.Event()

    async def sleep_and_go_on() -> None:
        await park(waiter)
        await gate.wait()

    task = await begun(sleep_and_go_on())
    for _ in range(3):
        waiter.wake()
    await turns()
    assert not task.done()
    gate.set()
    await task


async def test_a_ticket_that_no_task_awaits_is_woken_in_vain(waiter: Waiter[int]) -> None:
    """Rule 16: what it is woken for is there when its task looks; and the next wait sleeps."""
    waiter.wake()
    task = await parked(waiter)
    waiter.wake()
    await task
    waiter.wake()
    task = await parked(waiter)
    waiter.wake()
    await task


@pytest.mark.parametrize("args", [(), ("enough",)])
async def test_a_cancelled_task_raises_its_cancellation_where_it_is_parked(waiter: Waiter[int], args: tuple[str, ...]) -> None:
    """Rules 14 and 23: with its message, by which anyio knows its own."""
    task = await parked(waiter)
    assert task.cancel(*args)
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await task
    assert cancelled.value.args == args


async def test_a_task_that_is_cancelled_twice_at_once_raises_one_cancellation(waiter: Waiter[int]) -> None:
    """Rule 16: the first, as of any future; and the next wait is none of it."""
    seen: list[str] = []

    async def sleep() -> None:
        try:
            await park(waiter)
        except asyncio.CancelledError as cancelled:
            seen.append(str(cancelled))
        await park(waiter)

    task = await begun(sleep())
    task.cancel("first")
    task.cancel("second")
    await turns()
    assert seen == ["first"]
    assert not task.done()
    waiter.wake()
    await task


async def test_a_task_that_was_woken_and_is_then_cancelled_raises_the_cancellation(waiter: Waiter[int]) -> None:
    """Rule 14: what it was woken for is still there for the next one."""
    task = await parked(waiter)
    waiter.wake()
    assert not waiter.cancel()  # the task itself keeps it in mind
    assert task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task


async def test_a_task_that_is_cancelled_and_then_woken_raises_the_cancellation(waiter: Waiter[int]) -> None:
    """Rule 14: and is woken once."""
    task = await parked(waiter)
    task.cancel()
    waiter.wake()
    await turns()
    assert task.cancelled()


async def test_a_ticket_that_no_task_awaits_can_not_be_cancelled(waiter: Waiter[int]) -> None:
    """Rule 14: and the next wait is not."""
    assert not waiter.cancel()
    task = await parked(waiter)
    waiter.wake()
    await task


async def test_a_ticket_of_a_cancelled_wait_serves_the_next_one(waiter: Waiter[int]) -> None:
    """Rules 14 and 22: nothing of the cancellation stays in it."""
    task = await parked(waiter)
    task.cancel()
    await turns()
    task = await parked(waiter)
    waiter.wake()
    await task


@pytest.mark.cpython
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_kept_ticket_keeps_nothing_alive(waiter: Waiter[int], cancelled: bool) -> None:
    """Rule 22: neither its task nor what is bound there, nor the cancellation."""

    class Bound: ...

    variable = ContextVar[Bound]("variable")

    async def sleep() -> None:
        variable.set(bound := Bound())
        kept.append(weakref.ref(bound))
        await park(waiter)

    kept: list[weakref.ref[object]] = []
    task = asyncio.create_task(sleep())
    kept.append(weakref.ref(task))
    await turns()
    if cancelled:
        task.cancel("for a reason")
    else:
        waiter.wake()
    await turns()
    assert task.done()
    del task
    await turns()
    assert [each() for each in kept] == [None, None]
    held = gc.get_referents(waiter)
    assert not any(isinstance(each, BaseException | asyncio.Handle) for each in held)


async def test_the_repr_of_a_task_says_what_it_waits_for(waiter: Waiter[int]) -> None:
    """Rule 20: with its channel; and whether it was woken."""
    task = await parked(waiter)
    assert f"wait_for=<waiting in a test of {waiter.policy.state!r}>" in repr(task)
    waiter.wake()
    assert f"wait_for=<waiting in a test of {waiter.policy.state!r}, woken>" in repr(task)
    await task
    assert repr(waiter) == f"<waiting in a test of {waiter.policy.state!r}>"


@pytest.mark.parametrize(("end", "purpose"), [("sender", "waiting in itemize of"), ("receiver", "waiting for an item of")])
async def test_the_repr_of_a_task_names_the_end_at_which_it_waits(end: str, purpose: str) -> None:
    """Rule 20."""
    channel = Channel[int]()
    itemize = await channel.sender.__aenter__()
    waiting: Coroutine[object, object, object] = itemize(1) if end == "sender" else anext(channel.receiver)
    task = await begun(waiting)
    assert f"wait_for=<{purpose} {channel!r}>" in repr(task)
    task.cancel()
    await turns()
    await channel.receiver.aclose()


async def test_a_task_that_is_interrupted_otherwise_is_not_parked_any_more(waiter: Waiter[int]) -> None:
    """Rule 31: whatever is raised where it sleeps."""
    sleeping = park(waiter)
    next(sleeping)
    assert waiter.policy.state.parked == 1
    with pytest.raises(Broken):
        sleeping.throw(Broken())
    assert waiter.policy.state.parked == 0


@pytest.mark.parametrize("end", ["sender", "receiver"])
async def test_an_end_that_is_woken_in_vain_waits_on(end: str) -> None:
    """Rules 2, 14 and 16: another task was quicker, or an exception has struck and everything is woken."""
    channel = Channel[int]()
    taken: list[int] = []

    async def write() -> None:
        async with channel.sender as itemize:
            await itemize(1)

    async def read() -> None:
        taken.extend([item async for item in channel.receiver])

    task = await begun(write() if end == "sender" else read())
    state = channel._state
    ticket = state.senders.first or state.receivers.first
    assert isinstance(ticket, Waiter)
    for _ in range(3):
        ticket.wake()
        await turns()
        assert not task.done()
        assert state.parked == 1
        assert ticket.wake_up is None  # and does not look again at every turn
    await asyncio.gather(task, read() if end == "sender" else write())
    assert taken == [1]


# The turn before a wait.


def count_turns(wait: Generator[object, None, None]) -> int:
    """Return how often `wait` gives the loop a turn."""
    return sum(signal is None for signal in wait)


def wait_in_vain(waiter: Waiter[int]) -> int:
    """Wait for what is not there after a turn. Return how many turns that took."""
    given = count_turns(spin(waiter))
    sleeping = park(waiter)
    if next(sleeping, None) is not None:
        sleeping.close()
    return given


async def test_a_wait_begins_with_a_turn_of_the_loop(waiter: Waiter[int]) -> None:
    """Rule 16: and with one again, as long as that is what brings what it waits for."""
    assert [count_turns(spin(waiter)) for _ in range(9)] == [1] * 9


async def test_after_a_turn_that_brought_nothing_so_many_waits_go_without(waiter: Waiter[int]) -> None:
    """Rule 16: then one is tried again, in every sixty-fourth wait."""
    assert SKIPS == 64
    given = [wait_in_vain(waiter) for _ in range(3 * SKIPS)]
    assert given == ([1] + [0] * (SKIPS - 1)) * 3


async def test_a_turn_that_is_tried_and_pays_is_taken_from_then_on(waiter: Waiter[int]) -> None:
    """Rule 16."""
    for _ in range(SKIPS):
        wait_in_vain(waiter)
    assert [count_turns(spin(waiter)) for _ in range(9)] == [1] * 9


async def test_a_wait_that_is_woken_in_vain_counts_once(waiter: Waiter[int]) -> None:
    """Rule 16: it sleeps again, and takes no part in how often a turn is tried."""
    assert count_turns(spin(waiter)) == 1
    for _ in range(9):
        sleeping = park(waiter)
        next(sleeping)
        sleeping.close()
    assert waiter.policy.skips == SKIPS


async def test_the_tickets_of_one_end_share_what_it_knows() -> None:
    """Rule 4: several tasks may wait at one end."""
    first = new_waiter()
    second = Waiter(first.policy)
    assert wait_in_vain(first) == 1
    assert wait_in_vain(second) == 0


async def test_a_turn_is_one(waiter: Waiter[int]) -> None:
    """Rule 3: that which an end owes to other tasks; it says nothing about whether turns pay."""
    assert count_turns(turn()) == 1
    assert waiter.policy.skips == -1


# The event loop.


async def test_the_first_wait_binds_the_loop() -> None:
    """Rule 19."""
    waiter = new_waiter(bound=False)
    next(spin(waiter))
    assert waiter.policy.state.loop is asyncio.get_running_loop()


async def test_after_a_turn_that_binds_nothing_a_wait_binds_and_looks_again() -> None:
    """Rule 19: a finalizer that found no loop in between has set its phase before."""
    waiter = new_waiter(bound=False)
    assert list(park(waiter)) == []
    state = waiter.policy.state
    assert state.loop is asyncio.get_running_loop()
    assert state.parked == 0
    sleeping = park(waiter)
    assert next(sleeping) is waiter
    sleeping.close()


def test_no_wait_without_a_loop() -> None:
    """Rule 19."""
    waiter = new_waiter(bound=False)
    with pytest.raises(RuntimeError, match="no asyncio event loop runs in this thread"):
        next(spin(waiter))


def test_a_state_knows_its_loop_from_others() -> None:
    """Rule 19: before it is bound, any will do."""
    state = BoundState[int](0)
    state.check_loop()

    async def bind() -> None:
        assert not state.in_other_loop
        state.bind_loop()
        state.bind_loop()
        state.check_loop()
        assert state.thread == threading.get_ident()

    async def come_from_elsewhere() -> None:
        assert state.in_other_loop
        with pytest.raises(RuntimeError, match="belongs to the event loop in which it first had to wait"):
            state.check_loop()
        loop = state.loop
        state.bind_loop()
        assert state.loop is loop

    asyncio.run(bind())
    asyncio.run(come_from_elsewhere())
    with pytest.raises(RuntimeError, match="belongs to the event loop"):
        state.check_loop()


def test_what_a_finalizer_leaves_to_a_closed_loop_is_dropped_at_once() -> None:
    """Rules 13 and 22: nothing waits there."""
    state = BoundState[int](1)

    async def bind() -> None:
        state.open()
        state.bind_loop()
        assert state.try_put(1)

    asyncio.run(bind())
    state.stop_receiving()
    state.notify_end_in_loop()
    assert state.statistics().pending == 0
    assert state.dropped == 1


async def test_what_a_finalizer_leaves_to_the_loop_is_done_there() -> None:
    """Rule 13: from any thread."""
    state, task = await asking()

    def drop() -> None:
        state.drop_sender()
        state.notify_end_in_loop()

    await asyncio.to_thread(drop)
    await asyncio.wait_for(task, 10)


async def test_the_end_of_a_block_notifies_at_once_in_its_loop() -> None:
    """Rules 6, 7 and 11."""
    state, task = await asking()
    assert not state.end_block(Broken())
    await task
    state.end_receiving()
    other = BoundState[int](0)
    other.open()
    other.end_receiving()
    with pytest.raises(ReceiverClosed) as closed:
        other.queue_sender(new_waiter())
    assert other.end_block(closed.value)
    assert not state.end_block(closed.value)
    assert not state.end_block(None)


async def test_a_block_that_is_closed_in_another_loop_leaves_the_rest_to_its_own() -> None:
    """Rules 7 and 19: whatever closes it must leave the error unchanged; a normal end is a mistake there."""
    state, task = await asking()

    async def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="belongs to the event loop"):
            state.end_block(None)
        assert not state.end_block(Broken())
        assert state.statistics().sender == "failed"

    await asyncio.to_thread(asyncio.run, elsewhere())
    await asyncio.wait_for(task, 10)


async def test_the_edges_of_a_task_that_is_gone_are_none() -> None:
    """Rule 17: a task that is lost with its loop is closed where it waits."""

    async def nothing() -> None:
        pass

    producer, consumer = asyncio.create_task(nothing()), asyncio.create_task(nothing())
    edges = Edges(producer, consumer)
    await turns()
    assert not edges.add()  # another task runs
    del consumer
    gc.collect()
    gc.collect()
    assert not edges.add()
    edges.discard()

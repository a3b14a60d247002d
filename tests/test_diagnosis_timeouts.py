"""Tasks that only a timeout could free: suspected, with the timeout named. A timer that may do more makes a program that runs."""

from __future__ import annotations

import asyncio
import re

import anyio
import pytest

from chanstream import Channel, Itemizer
from chanstream.diagnosis import Verdict, deadline
from tests.loops import LOOPS, turns
from tests.test_diagnosis import Program, diamond, look_at, read, unopened

pytestmark = pytest.mark.cpython


async def around_an_ask() -> None:
    channel = Channel[int]()
    async with asyncio.timeout(30):
        await anext(channel.receiver)


async def around_an_itemizer() -> None:
    channel = Channel[int]()
    async with channel.sender as itemize:
        await asyncio.wait_for(itemize(1), 30)


async def around_a_group() -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(diamond())


async def around_a_gather() -> None:
    async with asyncio.timeout(30):
        await asyncio.gather(diamond(), turns())


async def of_a_wait() -> None:
    await asyncio.wait([asyncio.create_task(unopened())], timeout=30)


async def of_a_wait_for_the_first() -> None:
    await asyncio.wait([asyncio.create_task(unopened())], timeout=30, return_when=asyncio.FIRST_COMPLETED)


async def of_anyio() -> None:
    with anyio.move_on_after(30):
        await unopened()


async def of_anyio_around_a_group() -> None:
    with anyio.fail_after(30), anyio.CancelScope():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(unopened)


async def of_a_test() -> None:
    async with deadline(30):
        await diamond()


async def a_cancellation() -> None:
    task = asyncio.create_task(unopened())
    asyncio.get_running_loop().call_later(30, task.cancel)
    await task


async def around_the_wait_for_a_lock() -> None:
    lock, rows = asyncio.Lock(), Channel[int]()

    async def save() -> None:
        async with rows.sender as itemize, lock:
            await itemize(1)

    async def write() -> None:
        async for _ in rows.receiver:
            async with asyncio.timeout(30), lock:
                pass

    await asyncio.gather(save(), write())


async def of_two_locks() -> None:
    one, two = asyncio.Lock(), asyncio.Lock()

    async def take(first: asyncio.Lock, second: asyncio.Lock) -> None:
        async with first:
            await turns()
            async with asyncio.timeout(30), second:
                pass

    await asyncio.gather(take(one, two), take(two, one))


STUCK: dict[Program, list[str]] = {
    around_an_ask: ["around_an_ask"],
    around_an_itemizer: ["around_an_itemizer"],
    around_a_group: ["around_a_group"],
    around_a_gather: ["around_a_gather"],
    of_a_wait: ["of_a_wait"],
    of_a_wait_for_the_first: ["of_a_wait_for_the_first"],
    of_anyio: ["of_anyio"],
    of_anyio_around_a_group: ["of_anyio_around_a_group", "unopened"],
    of_a_test: ["of_a_test"],
    a_cancellation: ["unopened"],
    around_the_wait_for_a_lock: ["around_the_wait_for_a_lock.write"],
    of_two_locks: ["of_two_locks.take", "of_two_locks.take"],
}
"""The functions around whose waits the timeouts are."""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("program", STUCK, ids=lambda program: program.__name__)
def test_what_only_a_timeout_ends_is_suspected(program: Program, loop: str) -> None:
    """Rule 30: a timeout around the wait makes a deadlock one that is suspected; the report says when it ends."""
    found = look_at(program, loop)
    assert found.verdict is Verdict.SUSPECTED, str(found)
    told = [each.removeprefix("the timeout around the wait of ") for each in found.unseen]
    assert sorted(each.partition("()")[0] for each in told) == STUCK[program], str(found)
    assert all(re.search(r", in (?:29|30)\.\d s$", each) for each in told), told


async def a_group_of_anyio() -> None:
    numbers, done = Channel[int](), anyio.Event()

    async def write() -> None:
        async with numbers.sender as itemize:
            await itemize(1)
            await done.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        await read(numbers.receiver)
        done.set()


@pytest.mark.parametrize("loop", LOOPS)
def test_scopes_that_nothing_ends_are_no_timeouts(loop: str) -> None:
    """Rule 30: what it calls a deadlock is one; that anyio has a scope around each group doesn't hide it."""
    found = look_at(a_group_of_anyio, loop)
    assert found.verdict is Verdict.DEADLOCK, str(found)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_scope_of_anyio_that_another_task_may_move_is_a_timeout(loop: str) -> None:
    """Rule 30: what could still end the wait, of all tasks in the scope."""

    async def program() -> None:
        scope = anyio.CancelScope()

        async def move() -> None:
            await anyio.sleep(1800)
            scope.deadline = 0

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(move())
            tasks.create_task(wait_in(scope))

    async def wait_in(scope: anyio.CancelScope) -> None:
        with scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(unopened)

    found = look_at(program, loop)
    assert found.verdict is Verdict.SUSPECTED, str(found)
    assert any("what may move the timeout around the wait of unopened()" in each for each in found.unseen)


# Timers that may do more.


async def a_task_that_sleeps_in_a_timeout() -> None:
    channel = Channel[int]()

    async def produce(itemize: Itemizer[int]) -> None:
        async with asyncio.timeout(60):
            await asyncio.sleep(30)
            await itemize(1)

    async with asyncio.timeout(60), channel.fed_by(produce) as items:
        await read(items)


async def a_task_that_sleeps_by_a_timeout() -> None:
    channel, stop = Channel[int](), asyncio.Event()

    async def work_every_half_minute(itemize: Itemizer[int]) -> None:
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), 30)
            except TimeoutError:
                await itemize(1)

    async with channel.fed_by(work_every_half_minute) as items:
        await read(items)


async def a_task_that_polls() -> None:
    channel = Channel[int]()
    stop = asyncio.ensure_future(asyncio.Event().wait())

    async def poll(itemize: Itemizer[int]) -> None:
        while not (await asyncio.wait([stop], timeout=30))[0]:
            await itemize(1)

    async with channel.fed_by(poll) as items:
        await read(items)


async def a_timer_that_does_more() -> None:
    task = asyncio.create_task(unopened())
    asyncio.get_running_loop().call_later(30, lambda: task.cancel())  # noqa: PLW0108 - a function of the program's
    await task


async def a_timer_of_another_method() -> None:
    task = asyncio.create_task(unopened())
    asyncio.get_running_loop().call_later(30, task.add_done_callback, print)
    asyncio.get_running_loop().call_later(30, task.get_name)
    await task


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "program",
    [
        a_task_that_sleeps_in_a_timeout,
        a_task_that_sleeps_by_a_timeout,
        a_task_that_polls,
        a_timer_that_does_more,
        a_timer_of_another_method,
    ],
    ids=lambda program: program.__name__,
)
def test_what_a_timer_may_have_go_on_runs(program: Program, loop: str) -> None:
    """Rule 30: a task that sleeps is one that goes on, also if it sleeps by a timeout around the wait for an event."""
    assert look_at(program, loop).verdict is Verdict.RUNNING


def test_of_many_timeouts_the_next_are_named() -> None:
    """Rule 30: a report of many tasks stays readable."""

    async def program() -> None:
        async with asyncio.TaskGroup() as tasks:
            for minutes in range(1, 9):
                tasks.create_task(ask(60.0 * minutes))

    async def ask(seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await unopened()

    found = look_at(program)
    assert found.verdict is Verdict.SUSPECTED
    *first, rest = found.unseen
    assert [round(float(each.rpartition(", in ")[2].removesuffix(" s"))) for each in first] == [60, 120, 180, 240, 300]
    assert rest == "3 more timeouts"


@pytest.mark.parametrize("when", [None, 3600.0])
def test_a_timeout_that_another_task_may_move_is_named(when: float | None) -> None:
    """Rule 30: what could still end the wait."""

    async def program() -> None:
        scope = asyncio.timeout(when)

        async def move() -> None:
            await asyncio.sleep(1800)
            scope.reschedule(0)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(move())
            async with scope:
                await unopened()

    found = look_at(program)
    assert found.verdict is Verdict.SUSPECTED, str(found)
    assert len(found.unseen) == 1
    assert ("what may move the timeout" if when is None else ", in 3") in found.unseen[0]

"""Rule 17: `fed_by` blocks that are thrown away, and blocks that are left where they can't be.

That nothing is reported to the event loop and no task is left, conftest.py checks after each test.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from textwrap import dedent
from threading import Thread

import anyio
import pytest

from chanstream import Channel, Itemizer, Receiver, SenderClosed, SenderFailed
from tests.garbage import COUNTED, let_go
from tests.loops import turns
from tests.outcomes import begun, collect, done, rest, wait_for
from tests.producers import count, in_a_generator, logged

pytestmark = pytest.mark.usefixtures("no_collector")

CLEANED = ["CancelledError", "cleaned"]
"""The log of a producer that was cancelled once: a second cancellation would have interrupted its cleanup."""


class Kept:
    """An object that keeps others, in a cycle, until the garbage collector finds it."""

    def __init__(self, *kept: object) -> None:
        self.kept: tuple[object, ...] = (self, *kept)


def collect_all() -> None:
    """Collect garbage until what was kept by finalizers is gone too, where references are not counted."""
    for _ in range(1 if COUNTED else 6):
        gc.collect()


def collect_elsewhere() -> None:
    thread = Thread(target=gc.collect)
    thread.start()
    thread.join()


def numbers(log: list[str]) -> AsyncGenerator[int, None]:
    return in_a_generator(Channel[int]().fed_by(logged, log))


# Blocks that are thrown away. Each function loses one whose producer writes to the log.


async def drop_a_generator(log: list[str]) -> None:
    generator = numbers(log)
    assert await anext(generator) == 0
    del generator
    let_go()


async def drop_a_generator_in_a_cycle(log: list[str]) -> None:
    generator = numbers(log)
    assert await anext(generator) == 0
    await turns()
    Kept(generator)
    del generator
    gc.collect()


async def collect_a_generator_in_another_thread(log: list[str]) -> None:
    generator = numbers(log)
    assert await anext(generator) == 0
    Kept(generator)
    del generator
    collect_elsewhere()


async def collect_a_generator_in_the_task_of_its_producer(log: list[str]) -> None:
    async def collect_and_count(itemize: Itemizer[int]) -> None:
        await itemize(0)
        await lost.wait()
        gc.collect()
        await logged(itemize, log)

    lost = asyncio.Event()
    generator = in_a_generator(Channel[int](buffer=1).fed_by(collect_and_count))
    assert await anext(generator) == 0
    Kept(generator)
    lost.set()


async def drop_a_block_entered_by_hand(log: list[str]) -> None:
    block = Channel[int]().fed_by(logged, log)
    rows = await block.__aenter__()
    assert await anext(rows) == 0
    del block, rows
    let_go()


async def drop_an_object_that_owns_a_block(log: list[str]) -> None:
    class Table:
        def __init__(self) -> None:
            self.stack = AsyncExitStack()
            self.cycle = self

        async def open(self) -> None:
            self.rows = await self.stack.enter_async_context(Channel[int]().fed_by(logged, log))

    table = Table()
    await table.open()
    assert await anext(table.rows) == 0
    del table
    gc.collect()


async def lose_a_client(log: list[str]) -> None:
    """A server waits in `send`, and is cancelled there with its response."""

    async def respond(send: Callable[[int], Awaitable[None]]) -> None:
        async for number in numbers(log):
            await send(number)

    async def send(number: int) -> None:
        if number == 1:
            await asyncio.Event().wait()

    response = await begun(respond(send))
    response.cancel()
    await asyncio.wait([response])
    del response
    let_go()


async def lose_a_task(log: list[str], collect: Callable[[], object] = collect_all) -> None:
    """Nothing refers to what it waits for."""

    async def read() -> None:
        async with Channel[int]().fed_by(logged, log) as rows:
            await anext(rows)
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(read())
    setattr(task, "_log_destroy_pending", False)  # what asyncio would report is not the point
    await turns()
    del task
    collect()


async def lose_a_task_between_tasks(log: list[str]) -> None:
    """The collector runs in a callback of the event loop, where no task does."""
    await lose_a_task(log, lambda: asyncio.get_running_loop().call_soon(collect_all))


async def lose_a_task_in_a_context_manager(log: list[str]) -> None:
    """The block is in a generator, but it is a coroutine that is thrown away, so that generator can't wait either."""

    @asynccontextmanager
    async def open_rows() -> AsyncGenerator[Receiver[int], None]:
        async with Channel[int]().fed_by(logged, log) as rows:
            yield rows

    async def read() -> None:
        async with open_rows() as rows:
            await anext(rows)
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(read())
    setattr(task, "_log_destroy_pending", False)  # its own loss is reported by asyncio
    await turns()
    del task
    collect_all()


LOSSES = [
    drop_a_generator,
    drop_a_generator_in_a_cycle,
    collect_a_generator_in_another_thread,
    collect_a_generator_in_the_task_of_its_producer,
    drop_a_block_entered_by_hand,
    drop_an_object_that_owns_a_block,
    lose_a_client,
    lose_a_task,
    lose_a_task_between_tasks,
    lose_a_task_in_a_context_manager,
]


@pytest.mark.parametrize("lose", LOSSES)
async def test_the_producer_of_a_lost_block_is_cancelled_once_and_cleans_up(lose: Callable[[list[str]], Awaitable[None]]) -> None:
    """Rule 17: and nothing is reported."""
    log: list[str] = []
    await lose(log)
    await turns(20)
    assert log == CLEANED


async def count_in_a_group(itemize: Itemizer[int]) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(itemize(number))


async def count_in_nested_groups(itemize: Itemizer[int]) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(count_in_a_group(itemize))


async def count_in_a_timeout(itemize: Itemizer[int]) -> None:
    async with asyncio.timeout(100):
        await count(itemize, 1_000)


async def count_in_a_block(itemize: Itemizer[int]) -> None:
    async with Channel[int]().fed_by(count, 1_000) as rows:
        async for row in rows:
            await itemize(row)


@pytest.mark.parametrize("leave", [False, True], ids=["lost", "left"])
@pytest.mark.parametrize("func", [count_in_a_group, count_in_nested_groups, count_in_a_timeout, count_in_a_block])
async def test_a_producer_is_cancelled_once_in_whatever_turn_its_receiver_goes(
    func: Callable[[Itemizer[int]], Awaitable[None]],
    leave: bool,
) -> None:
    """Rules 10 and 17: it may learn of it first by its itemizer, and so may child tasks. Its cleanup is not interrupted."""

    async def produce(itemize: Itemizer[int], log: list[str]) -> None:
        try:
            await func(itemize)
        finally:
            await turns(3)
            log.append("cleaned")

    for turn in range(12):
        log: list[str] = []
        block = Channel[int]().fed_by(produce, log)
        rows = await block.__aenter__()
        assert await anext(rows) == 0
        await turns(turn)
        if leave:
            await block.__aexit__(None, None, None)
        del block, rows
        let_go()
        await turns(20)
        assert log == ["cleaned"], turn


async def test_a_generator_closed_by_another_task_waits_for_the_producer_of_its_block() -> None:
    """Rule 17: so it does where the event loop closes one that was lost."""
    log: list[str] = []
    generator = numbers(log)
    assert await anext(generator) == 0
    await asyncio.create_task(wait_for(generator.aclose()))
    assert log == CLEANED


async def test_an_error_that_has_surfaced_is_not_reported_whichever_of_block_and_task_the_collector_ends_first() -> None:
    """Rule 17: it surfaces exactly once. The traceback of this one holds block and task in one cycle."""
    stack = AsyncExitStack()

    async def leave_my_own_block(itemize: Itemizer[int]) -> None:
        await itemize(0)
        with anyio.CancelScope(shield=True):
            await stack.aclose()

    async def read() -> None:
        kept: list[SenderFailed] = []
        try:
            async with stack:
                await collect(await stack.enter_async_context(Channel[int]().fed_by(leave_my_own_block)))
        except SenderFailed as failed:
            kept.append(failed)
        assert isinstance(kept[0].__cause__, RuntimeError)

    await read()
    gc.collect()


@pytest.mark.parametrize("taken", [0, 1])
async def test_a_lost_block_fails_the_stream_for_tasks_that_still_read(taken: int) -> None:
    """Rules 7 and 17: the receiver was passed on, the block was lost. A truncated stream never looks complete."""
    log: list[str] = []
    block = Channel[int]().fed_by(logged, log)
    rows = await block.__aenter__()
    for number in range(taken):
        assert await anext(rows) == number
    del block
    let_go()
    with pytest.raises(SenderFailed):
        await rest(rows)
    await turns()
    assert log == CLEANED


async def test_a_lost_producer_that_is_being_cancelled_is_not_cancelled_again() -> None:
    """Rule 17: its cleanup runs to the end."""
    log: list[str] = []
    released = asyncio.Event()

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await itemize(1)
            await asyncio.Event().wait()
        finally:
            await released.wait()
            log.append("cleaned")

    before = asyncio.all_tasks()
    block = Channel[int]().fed_by(produce)
    rows = await block.__aenter__()
    (producer,) = asyncio.all_tasks() - before
    assert await anext(rows) == 1
    await turns()
    producer.cancel()
    await turns()
    del block, rows
    let_go()
    await turns()
    released.set()
    await turns()
    assert log == ["cleaned"]
    assert producer.cancelling() == 1


async def test_a_lost_producer_is_cancelled_when_it_has_handled_a_timeout_of_its_own() -> None:
    """Rule 17: there is no event that says so, so it is looked at again."""
    log: list[str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)
        try:
            async with asyncio.timeout(0):
                try:
                    await asyncio.Event().wait()
                finally:
                    lost.set()
                    await turns()
        except TimeoutError:
            log.append("timeout")
        await logged(itemize, log)

    lost = asyncio.Event()
    block = Channel[int](buffer=1).fed_by(produce)
    rows = await block.__aenter__()
    assert await anext(rows) == 1
    await lost.wait()
    del block
    let_go()
    assert await anext(rows) == 0
    for _ in range(200):
        await asyncio.sleep(0.01)
        if log[-1] == "cleaned":
            break
    assert log == ["timeout", *CLEANED]


@pytest.mark.parametrize("waited", [0, 10], ids=["at once", "after its end"])
@pytest.mark.parametrize("raised", [True, False], ids=["raised by an ask", "never raised"])
async def test_an_error_of_a_lost_producer_is_reported_if_no_ask_has_raised_it(raised: bool, waited: int) -> None:
    """Rule 17: once, by asyncio."""
    reports: list[object] = []
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: reports.append(context.get("exception")))

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)
        raise error

    error = OSError()
    block = Channel[int](buffer=1).fed_by(produce)
    rows = await block.__aenter__()
    assert await anext(rows) == 1
    await turns(waited)
    if raised:
        with pytest.raises(SenderFailed):
            await anext(rows)
    await turns()
    error.__traceback__ = None  # whose frames refer to the block, where tasks are eager
    del block, rows
    let_go()
    gc.collect()
    loop.set_exception_handler(handler)
    assert reports == ([] if raised else [error])


@pytest.mark.cpython  # PyPy closes it some time later
def test_a_block_that_is_lost_after_its_loop_was_closed_reports_nothing() -> None:
    """Rule 17: its producer can't be cancelled any more, and Python closes it."""
    log: list[str] = []
    reports: list[object] = []

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await count(itemize, 9)
        finally:
            log.append("closed")

    async def begin() -> None:
        block = Channel[int]().fed_by(produce)
        kept.extend([block, await block.__aenter__()])
        await turns()

    kept: list[object] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: reports.append(context))
    loop.run_until_complete(begin())
    loop.close()
    kept.clear()
    collect_all()
    assert log == ["closed"]
    assert reports == []


@pytest.mark.slow
@pytest.mark.parametrize("end", ["asyncio.run(main())", "asyncio.new_event_loop().run_until_complete(main())"])
def test_a_program_that_ends_with_a_block_that_was_not_left_reports_no_lost_task(end: str) -> None:
    """Rule 17: neither when its loop is shut down, nor when the interpreter is."""
    program = f"""
        import asyncio
        from chanstream import Channel

        async def produce(itemize):
            try:
                while True:
                    await itemize(1)
            finally:
                print("cleaned")

        kept = []

        async def main():
            block = Channel().fed_by(produce)
            kept.extend([block, await block.__aenter__()])
            await anext(kept[1])

        {end}
    """
    run = subprocess.run([sys.executable, "-c", dedent(program)], capture_output=True, text=True, timeout=60, check=True)
    assert run.stderr == ""
    assert run.stdout == "cleaned\n"


# Blocks that are left where they can't be. What is said of it, test_misuse.py shows.


async def directly(leave: Callable[[], Awaitable[object]]) -> None:
    await leave()


async def in_a_child(leave: Callable[[], Awaitable[object]]) -> None:
    await asyncio.create_task(wrapped(leave))


async def in_a_group(leave: Callable[[], Awaitable[object]]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(wrapped(leave))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def in_a_producer_of_its_own(leave: Callable[[], Awaitable[object]]) -> None:
    async def inner(_: Itemizer[int]) -> None:
        await leave()

    async with Channel[int]().fed_by(inner) as rows:
        await collect(rows)


async def in_a_feed_of_its_own(leave: Callable[[], Awaitable[object]]) -> None:
    async def inner(_: Itemizer[int]) -> None:
        await leave()

    channel = Channel[int]()  # a feed whose receiver is gone is not started
    await channel.feed(inner)


async def in_a_thread(leave: Callable[[], Awaitable[object]]) -> None:
    loop = asyncio.get_running_loop()

    def run() -> None:
        asyncio.run_coroutine_threadsafe(wrapped(leave), loop).result()

    await asyncio.to_thread(run)


async def wrapped(leave: Callable[[], Awaitable[object]]) -> None:
    await leave()


@pytest.mark.parametrize("leave", [directly, in_a_child, in_a_group, in_a_producer_of_its_own, in_a_feed_of_its_own, in_a_thread])
async def test_a_producer_that_leaves_its_own_block_gets_an_error_there(
    leave: Callable[[Callable[[], Awaitable[object]]], Awaitable[None]],
) -> None:
    """Rule 17: and waits for no end but its own. Where nothing handles it, it is an error of the producer as any other."""

    async def produce(itemize: Itemizer[int], handle: bool) -> None:
        await itemize(1)
        try:
            await leave(stack.aclose)
        except RuntimeError:
            if not handle:
                raise
        await itemize(2)

    stack = AsyncExitStack()
    block = Channel[int]().fed_by(produce, handle=True)
    rows = await stack.enter_async_context(block)
    assert await collect(rows) == [1, 2]
    await block.__aexit__(None, None, None)

    block = Channel[int]().fed_by(produce, handle=False)
    rows = await stack.enter_async_context(block)
    with pytest.raises(SenderFailed) as failed:
        await collect(rows)
    with pytest.raises(RuntimeError, match="was left by its own producer"):
        await done(asyncio.create_task(block.__aexit__(SenderFailed, failed.value, None)))


async def test_a_producer_that_closes_the_generator_around_its_block_gets_an_error_there() -> None:
    """Rule 17: a generator passes it on."""
    log: list[str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)
        await turns()
        with pytest.raises(RuntimeError, match="was left by its own producer"):
            await generators[0].aclose()
        log.append("went on")

    generators = [in_a_generator(Channel[int](buffer=1).fed_by(produce))]
    assert await anext(generators[0]) == 1
    await turns(20)
    assert log == ["went on"]
    generators.clear()


async def test_a_child_of_a_producer_that_closes_the_generator_around_its_block_cancels_the_producer() -> None:
    """Rule 17: the library can't tell this from the event loop closing a collected generator, so it doesn't wait."""
    log: list[str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)
        await turns()
        closing = asyncio.create_task(wrapped(generators[0].aclose))
        await logged(itemize, log)
        await closing

    generators = [in_a_generator(Channel[int](buffer=1).fed_by(produce))]
    assert await anext(generators[0]) == 1
    await turns(20)
    assert log == CLEANED
    generators.clear()


async def test_a_block_may_be_left_by_the_producer_of_another() -> None:
    """Rule 17: a producer that was not made in it is none of its own."""
    log: list[str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        rows = await block.__aenter__()
        await itemize(await anext(rows))
        await block.__aexit__(None, None, None)

    block = Channel[int]().fed_by(logged, log)
    async with Channel[int]().fed_by(produce) as rows:
        assert await rest(rows) == [0]
    assert log == CLEANED


@pytest.mark.parametrize("times", [0, 1])
async def test_a_block_is_left_once_after_it_was_entered(times: int) -> None:
    """Rule 17."""
    block = Channel[int]().fed_by(count, 1)
    for _ in range(times):
        async with block as rows:
            assert await rest(rows) == [0]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="was left before it was entered, or for a second time"):
            await done(asyncio.create_task(block.__aexit__(None, None, None)))
    if not times:
        async with block as rows:
            assert await rest(rows) == [0]


async def test_a_block_whose_entry_was_refused_is_not_left() -> None:
    """Rules 8 and 17: and the block that has the sender is not disturbed."""
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        block = channel.fed_by(count, 3)
        with pytest.raises(SenderClosed):
            await block.__aenter__()
        with pytest.raises(RuntimeError, match="was left before it was entered"):
            await block.__aexit__(None, None, None)
        await itemize(7)
    assert await rest(channel.receiver) == [7]


async def test_leaving_a_block_a_second_time_while_it_is_being_left_is_refused() -> None:
    """Rule 17: the first is not disturbed."""
    log: list[str] = []
    block = Channel[int]().fed_by(logged, log)
    rows: Receiver[int] = await block.__aenter__()
    assert await anext(rows) == 0
    leaving = asyncio.create_task(block.__aexit__(None, None, None))
    await turns(1)
    with pytest.raises(RuntimeError, match="for a second time"):
        await block.__aexit__(None, None, None)
    await done(leaving)
    assert log == CLEANED

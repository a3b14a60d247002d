"""A channel beside other tools: operators on streams, progress bars, task groups, scopes and fixtures.

Most of it says what the other tool does to the stream: whether it closes the receiver, and when, whether it takes more items than
it gives, and whether an error gets through.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
import asyncstdlib
import pytest
import pytest_asyncio
from aiostream import pipe
from aiostream import stream as streams
from tqdm import tqdm
from tqdm.asyncio import tqdm as async_tqdm

from chanstream import Channel, Itemizer, Receiver, ReceiverClosed, SenderContext, SenderFailed, stream
from tests.loops import turns
from tests.outcomes import begun, collect, wait_for
from tests.producers import count, failing, write

T = TypeVar("T")
Log: TypeAlias = list[str]

scoped = asyncstdlib.scoped_iter


async def count_and_log(itemize: Itemizer[int], log: Log) -> None:
    """Logs each item when its itemizer has returned, and the cleanup when that has waited."""
    try:
        for number in range(5):
            await itemize(number)
            log.append(f"sent {number}")
    finally:
        await turns(3)
        log.append("cleaned up")


async def ask(items: AsyncIterator[T]) -> T:
    """What `anext` does. That of PyPy fails where an object has its `__anext__` in a slot, as some of asyncstdlib have."""
    return await items.__anext__()


async def until_it_fails(items: AsyncIterator[T]) -> list[T]:
    taken: list[T] = []
    try:
        while True:
            taken.append(await ask(items))
    except SenderFailed as failed:
        assert repr(failed.__cause__) == "OSError(5)"
        return taken


def large(number: int) -> bool:
    return number > 2


def small(number: int) -> bool:
    return number < 2


def to_string(number: int, /, *_: int) -> str:
    return str(number)


def is_closed(channel: Channel[int]) -> bool:
    return "receiver closed" in repr(channel)


# Operators of asyncstdlib and aiostream, each in the block that its library closes it with.


@dataclass(frozen=True)
class Operator:
    over: Callable[[Receiver[int]], AbstractAsyncContextManager[AsyncIterator[object]]]
    gives: list[object]  # for the items 0 to 4
    needs_end: bool = False  # it gives the last of these only when the items end, and not when they fail


LAZY = {
    "asyncstdlib.map": Operator(lambda n: scoped(asyncstdlib.map(str, n)), ["0", "1", "2", "3", "4"]),
    "asyncstdlib.filter": Operator(lambda n: scoped(asyncstdlib.filter(large, n)), [3, 4]),
    "asyncstdlib.enumerate": Operator(lambda n: scoped(asyncstdlib.enumerate(n, 1)), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]),
    "asyncstdlib.zip": Operator(lambda n: scoped(asyncstdlib.zip(n, "abcdefg")), [*zip(range(5), "abcde", strict=True)]),
    "asyncstdlib.zip with itself": Operator(lambda n: scoped(asyncstdlib.zip(n, n)), [(0, 1), (2, 3)]),
    "asyncstdlib.accumulate": Operator(lambda n: scoped(asyncstdlib.accumulate(n)), [0, 1, 3, 6, 10]),
    "asyncstdlib.batched": Operator(lambda n: scoped(asyncstdlib.batched(n, 2)), [(0, 1), (2, 3), (4,)], needs_end=True),
    "asyncstdlib.merge": Operator(lambda n: scoped(asyncstdlib.merge(n, [2])), [0, 1, 2, 2, 3, 4]),
    "asyncstdlib.pairwise": Operator(lambda n: scoped(asyncstdlib.pairwise(n)), [(0, 1), (1, 2), (2, 3), (3, 4)]),
    "aiostream.map": Operator(lambda n: streams.map(n, to_string).stream(), ["0", "1", "2", "3", "4"]),
    "aiostream.filter": Operator(lambda n: streams.filter(n, large).stream(), [3, 4]),
    "aiostream.enumerate": Operator(lambda n: pipe.enumerate(1)(n).stream(), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]),
    "aiostream.zip": Operator(lambda n: streams.zip(n, streams.range(9)).stream(), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]),
    "aiostream.accumulate": Operator(lambda n: streams.accumulate(n).stream(), [0, 1, 3, 6, 10]),
    "aiostream.chunks": Operator(lambda n: pipe.chunks(2)(n).stream(), [[0, 1], [2, 3], [4]], needs_end=True),
    "aiostream.chain": Operator(lambda n: streams.chain(n, streams.just(5)).stream(), [0, 1, 2, 3, 4, 5], needs_end=True),
    "aiostream.merge": Operator(lambda n: streams.merge(n, streams.range(0)).stream(), [0, 1, 2, 3, 4]),
}
EAGER = {"asyncstdlib.chain": Operator(lambda n: scoped(asyncstdlib.chain(n, [5])), [0, 1, 2, 3, 4, 5], needs_end=True)}
SHORT = {
    "asyncstdlib.islice": Operator(lambda n: scoped(asyncstdlib.islice(n, 2)), [0, 1]),
    "asyncstdlib.takewhile": Operator(lambda n: scoped(asyncstdlib.takewhile(small, n)), [0, 1]),
    "asyncstdlib.zip with less": Operator(lambda n: scoped(asyncstdlib.zip(n, "ab")), [(0, "a"), (1, "b")]),
    "aiostream.take": Operator(lambda n: pipe.take(2)(n).stream(), [0, 1]),
    "aiostream.takewhile": Operator(lambda n: streams.takewhile(n, small).stream(), [0, 1]),
    "aiostream.zip with less": Operator(lambda n: streams.zip(n, streams.range(2)).stream(), [(0, 0), (1, 1)]),
}


def each_of(operators: dict[str, Operator]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operator", operators.values(), ids=operators)


@each_of(LAZY | EAGER | SHORT)
async def test_an_operator_closes_the_receiver_at_its_own_end(operator: Operator) -> None:
    """Rules 1 and 9. What is short ends before the stream does, and the rest is dropped."""
    channel = Channel[int]()
    async with channel.fed_by(count, 5) as numbers, operator.over(numbers) as items:
        for item in operator.gives:
            assert not is_closed(channel)
            assert await ask(items) == item
        assert await collect(items) == []
        assert is_closed(channel)


@each_of(LAZY | EAGER | SHORT)
async def test_an_operator_that_is_left_early_closes_the_receiver(operator: Operator) -> None:
    """Rules 9 and 11: the producer ends quietly."""
    channel = Channel[int]()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write(channel.sender, range(1_000_000)))
        async with operator.over(channel.receiver) as items:
            assert await ask(items) == operator.gives[0]
            assert not is_closed(channel)
        assert is_closed(channel)


@each_of(LAZY | SHORT)
async def test_an_operator_that_is_left_before_its_first_item_leaves_the_receiver_open(operator: Operator) -> None:
    """Rule 12. It has not begun to iterate, so it knows nothing of the receiver yet."""
    channel = Channel[int]()
    async with channel.fed_by(count, 5) as numbers:
        async with operator.over(numbers):
            pass
        assert not is_closed(channel)
        assert await collect(numbers) == [0, 1, 2, 3, 4]


@each_of(EAGER)
async def test_a_chain_of_asyncstdlib_owns_the_receiver_from_the_start(operator: Operator) -> None:
    """Rule 9."""
    channel = Channel[int]()
    async with channel.fed_by(count, 5) as numbers:
        async with operator.over(numbers):
            pass
        assert is_closed(channel)


async def test_a_chain_of_aiostream_that_did_not_come_so_far_leaves_the_receiver_open() -> None:
    """Rule 12."""
    channel = Channel[int]()
    async with channel.fed_by(count, 5) as numbers:
        async with streams.chain(streams.just(-1), numbers).stream() as items:
            assert await ask(items) == -1
        assert not is_closed(channel)


@each_of(LAZY | EAGER)
async def test_a_truncated_stream_does_not_look_complete_behind_an_operator(operator: Operator) -> None:
    """Rule 7. What was sent passes the operator, and then the error does. Only a last, incomplete batch is missing."""
    async with Channel[int]().fed_by(failing, OSError(5), 5) as numbers, operator.over(numbers) as items:
        assert await until_it_fails(items) == operator.gives[: len(operator.gives) - operator.needs_end]


async def test_an_operator_of_asyncstdlib_that_is_left_by_break_closes_the_receiver_when_it_is_dropped() -> None:
    """Rules 9 and 12: it is an async generator, and owns the receiver. The event loop closes what was dropped."""
    channel = Channel[int]()
    async with channel.fed_by(count, 5) as numbers:
        strings = asyncstdlib.map(str, numbers)
        async for string in strings:
            assert string == "0"
            break
        await turns()
        assert not is_closed(channel)
        del strings
        gc.collect()
        await turns()
        assert is_closed(channel)


BORROWED = {
    "asyncstdlib": Operator(lambda n: scoped(asyncstdlib.islice(asyncstdlib.borrow(n), 2)), [0, 1]),
    "aiostream": Operator(lambda n: pipe.take(2)(streams.preserve(n)).stream(), [0, 1]),
}


@each_of(BORROWED)
async def test_a_borrowed_receiver_stays_open(operator: Operator) -> None:
    """Rule 12: the stream can be taken up again."""
    async with Channel[int]().fed_by(count, 5) as numbers:
        async with operator.over(numbers) as items:
            assert await collect(items) == operator.gives
        assert await collect(numbers) == [2, 3, 4]


@pytest.mark.parametrize("buffer", [0, 2])
async def test_a_tee_shows_the_stream_to_several_tasks_and_its_last_peer_closes_it(buffer: int) -> None:
    """Rules 1, 4 and 9."""

    async def read(numbers: AsyncIterator[int], pause: int) -> list[int]:
        taken: list[int] = []
        async for number in numbers:
            taken.append(number)
            await turns(pause)
        return taken

    channel = Channel[int](buffer=buffer)
    async with channel.fed_by(count, 9) as numbers:
        tee = asyncstdlib.tee(numbers, 4, lock=asyncio.Lock())
        async with asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(read(tee[peer], pause)) for peer, pause in enumerate([0, 1, 7])]
        assert [reader.result() for reader in readers] == [[*range(9)]] * 3
        assert not is_closed(channel)
        async with tee:
            assert await collect(tee[3]) == [*range(9)]
        assert is_closed(channel)


async def test_the_peers_of_a_tee_that_has_a_lock_get_everything_before_the_error() -> None:
    """Rule 7. Without a lock each peer asks for itself, and raises the error before it gives what the others have taken."""
    for lock in (asyncio.Lock(), None):
        async with Channel[int]().fed_by(failing, OSError(5), 5) as numbers:
            taken = await asyncio.gather(*map(until_it_fails, asyncstdlib.tee(numbers, 3, lock=lock)))
        if lock:
            assert taken == [[0, 1, 2, 3, 4]] * 3
        else:
            assert [0, 1, 2, 3, 4] in taken
            assert min(taken) < [0, 1, 2, 3, 4]


async def test_groups_are_made_of_the_stream_which_is_closed_only_with_them() -> None:
    """Rules 6 and 12."""

    def thirds(number: int) -> int:
        return number // 3

    for left_early in (False, True):
        channel = Channel[int]()
        async with channel.fed_by(count, 5) as numbers:
            async with scoped(asyncstdlib.groupby(numbers, thirds)) as groups:
                if left_early:
                    await ask(groups)
                else:
                    assert [(key, await collect(group)) async for key, group in groups] == [(0, [0, 1, 2]), (1, [3, 4])]
                assert not is_closed(channel)
            assert is_closed(channel)


async def test_two_receivers_are_merged_and_both_closed() -> None:
    """Rules 1, 6 and 9: each in its order, and the end when both have ended."""
    one, two = Channel[int](), Channel[int]()
    async with (
        one.fed_by(count, 3) as digits,
        two.fed_by(count, 4) as numbers,
        streams.merge(digits, asyncstdlib.map(lambda number: 10 + number, numbers)).stream() as both,
    ):
        merged = await collect(both)
        assert [number for number in merged if number < 10] == [0, 1, 2]
        assert [number for number in merged if number >= 10] == [10, 11, 12, 13]
        assert is_closed(one)
        assert is_closed(two)


async def test_a_concurrent_map_runs_ahead_and_drops_what_it_took_when_it_is_left() -> None:
    """Rule 2: it asks for further items before it gives the first. Borrowed, the stream goes on behind what it took."""

    async def convert(number: int, /, *_: int) -> str:
        return str(number)

    for task_limit, sent, left in [(None, ["sent 0"], [2, 3, 4]), (1, [], [1, 2, 3, 4])]:
        log: Log = []
        async with Channel[int]().fed_by(count_and_log, log) as numbers:
            async with streams.amap(streams.preserve(numbers), convert, task_limit=task_limit).stream() as strings:
                assert await ask(strings) == "0"
                await turns()
                assert log == sent
            assert await collect(numbers) == left


# tqdm.


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # no thread for a second look at the bars
    return io.StringIO()


async def test_a_bar_around_a_receiver_counts_what_was_taken_and_closes_nothing(display: io.StringIO) -> None:
    """Rule 12: another loop takes the stream up, with the bar or without."""
    channel = Channel[int]()
    async with channel.fed_by(count, 5) as numbers:
        bar = async_tqdm(numbers, file=display, unit=" numbers")
        async for number in bar:
            if number == 1:
                break
        assert bar.n == 2
        assert await anext(numbers) == 2
        assert await collect(bar) == [3, 4]
        assert bar.n == 4
        assert "4 numbers" in display.getvalue()
        assert not is_closed(channel)


async def test_a_timeout_behind_a_bar_loses_nothing_but_the_bar(display: io.StringIO) -> None:
    """Rule 14. tqdm closes its bar by any error, and then passes items on without counting them."""
    start = asyncio.Event()

    async def count_later(itemize: Itemizer[int]) -> None:
        await start.wait()
        await count(itemize, 5)

    async with Channel[int]().fed_by(count_later) as numbers:
        bar = async_tqdm(numbers, file=display, unit=" numbers")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(bar)
        start.set()
        assert await collect(bar) == [0, 1, 2, 3, 4]
        assert bar.n == 0


async def test_an_error_passes_a_bar(display: io.StringIO) -> None:
    """Rule 7."""
    async with Channel[int]().fed_by(failing, OSError(5), 5) as numbers:
        bar = async_tqdm(numbers, file=display)
        assert await until_it_fails(bar) == [0, 1, 2, 3, 4]
        assert bar.n == 5


async def test_a_plain_bar_is_updated_by_the_loop(display: io.StringIO) -> None:
    async with Channel[int]().fed_by(count, 5) as numbers:
        with tqdm(total=10, file=display) as bar:
            async for number in numbers:
                bar.update(number)
    assert "10/10" in display.getvalue()


# Task groups.


async def read(receiver: Receiver[int], log: Log) -> None:
    log.extend([str(number) async for number in receiver])


async def test_readers_and_writers_run_in_a_task_group() -> None:
    """Rule 6, in the groups of asyncio and anyio."""
    log: Log = []
    first, second = Channel[int](), Channel[int]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read(first.receiver, log))
        tasks.create_task(write(first.sender, range(5)))
    async with anyio.create_task_group() as group:
        group.start_soon(read, second.receiver, log)
        group.start_soon(write, second.sender, range(5))
    assert log == ["0", "1", "2", "3", "4"] * 2


async def write_and_read_in_a_task_group(channel: Channel[int]) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write(channel.sender, range(5), OSError(5)))
        await collect(channel.receiver)


async def write_and_read_in_a_group_of_anyio(channel: Channel[int]) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(write, channel.sender, range(5), OSError(5))
        await collect(channel.receiver)


@pytest.mark.parametrize("run", [write_and_read_in_a_task_group, write_and_read_in_a_group_of_anyio])
async def test_a_group_has_the_error_of_the_writer_and_what_it_was_to_the_reader(
    run: Callable[[Channel[int]], Coroutine[object, object, None]],
) -> None:
    """Rule 7: a reader in the same group gets the error before the group can cancel it."""
    with pytest.raises(ExceptionGroup) as caught:
        await run(Channel())
    errors = {type(error): error for error in caught.value.exceptions}
    assert set(errors) == {OSError, SenderFailed}
    assert errors[SenderFailed].__cause__ is errors[OSError]


async def test_a_group_that_is_cancelled_fails_the_streams_of_its_writers() -> None:
    """Rule 7: a cancelled sender never cancels its receiver."""
    channel = Channel[int]()
    async with anyio.create_task_group() as group:
        group.start_soon(write, channel.sender, range(5))
        assert await anext(channel.receiver) == 0
        group.cancel_scope.cancel()
    with pytest.raises(SenderFailed) as caught:
        await anext(channel.receiver)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


# Scopes of anyio.


async def test_a_scope_around_an_ask_ends_it_and_it_has_taken_nothing() -> None:
    """Rule 14. An item that is there is taken even when the time is up, for then the ask doesn't wait."""
    channel = Channel[int]()
    with anyio.move_on_after(0) as scope:
        await anext(channel.receiver)
    assert scope.cancelled_caught
    with pytest.raises(TimeoutError), anyio.fail_after(0):
        await anext(channel.receiver)
    async with anyio.create_task_group() as group:
        group.start_soon(write, channel.sender, range(5))
        await turns()
        with anyio.fail_after(0):
            assert await anext(channel.receiver) == 0
        assert await collect(channel.receiver) == [1, 2, 3, 4]


@pytest.mark.parametrize("first", ["item", "cancellation"])
async def test_a_scope_that_is_cancelled_in_the_step_in_which_an_item_comes_loses_nothing(first: str) -> None:
    """Rule 16."""
    channel = Channel[int](buffer=1)
    taken: list[int] = []
    scope = anyio.CancelScope()

    async def take() -> None:
        with scope:
            taken.append(await anext(channel.receiver))
        taken.extend(await collect(channel.receiver))

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        await turns()
        async with channel.sender as itemize:
            if first == "cancellation":
                scope.cancel()
            await itemize(0)
            if first == "item":
                scope.cancel()
            await count(itemize, 3)
    assert taken == [0, 0, 1, 2]


async def test_a_scope_around_an_itemizer_withdraws_its_item() -> None:
    """Rule 15."""
    channel = Channel[int]()
    async with channel.sender as itemize:
        with anyio.move_on_after(0) as scope:
            await itemize(1)
        assert scope.cancelled_caught
        assert "0 to be taken" in repr(channel)
    assert await collect(channel.receiver) == []


async def test_a_scope_inside_a_block_leaves_the_producer_alone() -> None:
    """Rule 17: the producer cleans up in peace, and is waited for."""
    log: Log = []
    async with Channel[int]().fed_by(count_and_log, log) as numbers:
        with anyio.CancelScope() as scope:
            async for number in numbers:
                if number == 1:
                    scope.cancel()
        assert scope.cancelled_caught
        assert await anext(numbers) == 2
    assert log == ["sent 0", "sent 1", "cleaned up"]


async def test_a_cancelled_scope_around_a_block_cancels_the_producer_once() -> None:
    """Rule 17: such a scope cancels the task that waits in leaving at every turn; the cleanup of the producer can still wait."""
    log: Log = []

    async def clean_up(itemize: Itemizer[int]) -> None:
        try:
            await count(itemize, 5)
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
                log.append("waited")

    with anyio.CancelScope() as scope:
        async with Channel[int]().fed_by(clean_up) as numbers:
            await anext(numbers)
            scope.cancel()
            await asyncio.Event().wait()
    assert scope.cancelled_caught
    assert log == ["waited", "waited", "waited"]


async def test_a_producer_may_hold_scopes_and_groups_of_anyio_across_its_itemizer() -> None:
    """Rule 17: it has a task of its own, so a scope that ends there cancels nothing of the consumer's."""

    async def produce(itemize: Itemizer[int]) -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(itemize, 1)
                await itemize(2)
                scope.cancel()
            pytest.fail("the scope was cancelled")
        await itemize(3)

    async with Channel[int]().fed_by(produce) as numbers:
        assert sorted([await anext(numbers), await anext(numbers)]) == [1, 2]
        await turns()
        assert await collect(numbers) == [3]


async def test_a_function_in_a_thread_of_anyio_writes_through_the_itemizer() -> None:
    """Rule 2: the thread is held up as a task would be."""

    def count_in_thread(itemize: Itemizer[int]) -> None:
        for number in range(3):
            anyio.from_thread.run(itemize, number)

    async def produce(itemize: Itemizer[int]) -> None:
        await anyio.to_thread.run_sync(count_in_thread, itemize)

    async with Channel[int]().fed_by(produce) as numbers:
        assert await collect(numbers) == [0, 1, 2]


# contextlib.


async def test_a_stack_closes_stages_from_the_last_to_the_first() -> None:
    """Rule 17: as nested blocks do."""
    log: Log = []

    async def pass_on(itemize: Itemizer[int], numbers: AsyncIterator[int], name: str) -> None:
        try:
            async for number in numbers:
                await itemize(number + 1)
        finally:
            await turns(3)
            log.append(name)

    async with AsyncExitStack() as stack:
        numbers = await stack.enter_async_context(Channel[int]().fed_by(count_and_log, log))
        for name in ("second", "third"):
            numbers = await stack.enter_async_context(Channel[int]().fed_by(pass_on, numbers, name))
        assert await anext(numbers) == 2
    assert log == ["third", "second", "cleaned up"]


@asynccontextmanager
async def doubled(sink: SenderContext[int], log: Log) -> AsyncIterator[Itemizer[int]]:
    """A sender context made of a function, around another."""
    async with sink as itemize:

        async def itemize_double(number: int, /) -> None:
            await itemize(2 * number)

        try:
            yield itemize_double
        except BaseException as error:
            log.append(type(error).__name__)
            raise


async def test_a_function_is_a_sender_context() -> None:
    """Rule 6."""
    log: Log = []
    channel = Channel[int]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write(doubled(channel.sender, log), range(5)))
        assert await collect(channel.receiver) == [0, 2, 4, 6, 8]
    assert log == []


async def test_the_block_of_a_function_that_is_a_sender_context_ends_quietly() -> None:
    """Rule 11."""
    log: Log = []
    channel = Channel[int]()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(write(doubled(channel.sender, log), range(5)))
        async with channel.receiver as numbers:
            assert await anext(numbers) == 0
    assert log == [ReceiverClosed.__name__]
    assert task.exception() is None


async def test_the_block_of_a_function_that_is_a_sender_context_fails() -> None:
    """Rule 7: the error leaves the block unchanged."""
    log: Log = []
    channel = Channel[int]()
    task = asyncio.create_task(write(doubled(channel.sender, log), range(5), OSError(5)))
    with pytest.raises(SenderFailed) as caught:
        await collect(channel.receiver)
    with pytest.raises(OSError, match="5") as raised:
        await task
    assert caught.value.__cause__ is raised.value
    assert log == ["OSError"]


# Fixtures. What follows a fixture's `yield` runs in another task than what comes before it.


@dataclass
class Fixture:
    """What a fixture has written down of itself."""

    log: Log
    task: asyncio.Task[object] | None = None


@pytest.fixture
def fixture() -> Iterator[Fixture]:
    fixture = Fixture([])
    yield fixture
    assert fixture.log[-2:] == ["cleaned up", "in another task"]


@pytest_asyncio.fixture
async def numbers(fixture: Fixture) -> AsyncIterator[Receiver[int]]:
    fixture.task = asyncio.current_task()

    async def produce(itemize: Itemizer[int]) -> None:
        with anyio.CancelScope():  # needs one task for its beginning and end, and has it
            await count_and_log(itemize, fixture.log)

    async with Channel[int]().fed_by(produce) as receiver:
        yield receiver
    if asyncio.current_task() is not fixture.task:
        fixture.log.append("in another task")


async def test_a_block_may_be_a_fixture(fixture: Fixture, numbers: Receiver[int]) -> None:
    """Rule 17: it needs no task of its own to be left in. Here the producer has ended before the test does."""
    assert fixture.task is not asyncio.current_task()
    assert await collect(numbers) == [0, 1, 2, 3, 4]
    await turns()
    assert fixture.log == ["sent 0", "sent 1", "sent 2", "sent 3", "sent 4", "cleaned up"]


async def test_a_fixture_ends_a_producer_that_the_test_has_left(fixture: Fixture, numbers: Receiver[int]) -> None:
    """Rule 17: leaving the block cancels what is left of the task and waits for it."""
    assert await anext(numbers) == 0
    assert fixture.log == []


@pytest_asyncio.fixture
async def streamed(fixture: Fixture) -> AsyncIterator[AsyncIterator[int]]:
    fixture.task = asyncio.current_task()
    async with aclosing(stream(count_and_log, fixture.log)) as numbers:
        yield numbers
    if asyncio.current_task() is not fixture.task:
        fixture.log.append("in another task")


async def test_a_stream_may_be_a_fixture(fixture: Fixture, streamed: AsyncIterator[int]) -> None:
    """Rule 18: it runs in the task that iterates or closes it."""
    assert await anext(streamed) == 0
    assert await anext(streamed) == 1
    assert fixture.log == ["sent 0"]


async def test_a_scope_of_anyio_in_a_stream_can_not_be_left_in_another_task() -> None:
    """Rule 18: that is a generator's hazard, and so of a fixture that closes a stream, which `fed_by` has not."""

    async def produce(itemize: Itemizer[int]) -> None:
        with anyio.CancelScope():
            await itemize(1)

    numbers = stream(produce)
    assert await asyncio.create_task(wait_for(anext(numbers))) == 1
    with pytest.raises(RuntimeError, match="exit cancel scope in a different task"):
        await numbers.aclose()


# Ways to wait that asyncio has.


async def by_timeout(numbers: Receiver[int]) -> int:
    async with asyncio.timeout(0):
        return await anext(numbers)


async def by_wait_for(numbers: Receiver[int]) -> int:
    return await asyncio.wait_for(anext(numbers), 0)


async def by_wait(numbers: Receiver[int]) -> int:
    ask = asyncio.create_task(anext(numbers))
    done, _ = await asyncio.wait([ask], timeout=0)
    if done or not ask.cancel():
        return ask.result()
    raise TimeoutError


@pytest.mark.parametrize("way", [by_timeout, by_wait_for, by_wait])
async def test_a_timeout_loses_nothing_whichever_way_it_is_made(
    way: Callable[[Receiver[int]], Coroutine[object, object, int]],
) -> None:
    """Rules 14 and 16. A task in between may run out of time before it asks, although an item is there."""
    channel = Channel[int](buffer=2)
    with pytest.raises(TimeoutError):
        await way(channel.receiver)
    taken: list[int] = []
    async with channel.fed_by(count, 5) as numbers:
        for _ in range(3):
            await turns()
            try:
                taken.append(await way(numbers))
            except TimeoutError:
                assert way is not by_timeout
        assert taken + await collect(numbers) == [0, 1, 2, 3, 4]


async def test_an_itemizer_that_ran_out_of_time_has_withdrawn_its_item() -> None:
    """Rule 15."""
    channel = Channel[int]()
    async with channel.sender as itemize:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await itemize(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(itemize(2), 0)
        offer = asyncio.create_task(itemize(3))
        await asyncio.wait([offer], timeout=0)
        assert offer.cancel()
        await asyncio.wait([offer])
        assert "0 to be taken" in repr(channel)
    assert await collect(channel.receiver) == []


async def test_asks_and_items_may_be_gathered() -> None:
    """Rules 1 and 4: both are served in the order of their calls."""
    channel = Channel[int](buffer=3)
    async with channel.sender as itemize:
        asks = asyncio.gather(*(anext(channel.receiver) for _ in range(3)))
        await asyncio.gather(*map(itemize, range(3)))
        assert await asks == [0, 1, 2]
        ready = asyncio.as_completed([anext(channel.receiver) for _ in range(3)])  # calls in no order
        await asyncio.gather(*map(itemize, range(3)))
        assert sorted([await ask for ask in ready]) == [0, 1, 2]


async def test_asks_that_were_gathered_and_cancelled_have_taken_nothing() -> None:
    """Rules 14 and 16: here they are cancelled in the step in which the items come."""
    channel = Channel[int](buffer=3)
    async with channel.sender as itemize:
        asks = asyncio.gather(*(anext(channel.receiver) for _ in range(3)))
        await turns()
        await count(itemize, 3)
        assert asks.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asks
    assert await collect(channel.receiver) == [0, 1, 2]


async def test_a_shielded_ask_goes_on_and_takes_an_item() -> None:
    """Rule 14: it was not cancelled. Who shields an ask has to keep it, for the item is in there."""
    channel = Channel[int]()
    kept = await begun(anext(channel.receiver))
    for ask in (kept, anext(channel.receiver)):
        with suppress(TimeoutError):
            async with asyncio.timeout(0) as timeout:
                await asyncio.shield(ask)
        assert timeout.expired()
    async with channel.fed_by(count, 5) as numbers:
        assert await kept == 0
        assert await collect(numbers) == [2, 3, 4]


async def test_one_task_waits_for_two_receivers() -> None:
    """Rules 14 and 16: what is pending is kept for the next round, and cancelled at the end."""
    silent, busy = Channel[int](), Channel[int]()
    taken: list[int] = []
    async with silent.sender as itemize, busy.fed_by(count, 5) as numbers:
        asks = {asyncio.create_task(anext(each)): each for each in (silent.receiver, numbers)}
        while numbers in asks.values():
            done, _ = await asyncio.wait(asks, return_when=asyncio.FIRST_COMPLETED)
            for ask in done:
                receiver = asks.pop(ask)
                if not isinstance(ask.exception(), StopAsyncIteration):
                    taken.append(ask.result())
                    asks[asyncio.create_task(anext(receiver))] = receiver
        assert taken == [0, 1, 2, 3, 4]
        (pending,) = asks
        assert pending.cancel()
        sending = asyncio.create_task(itemize(5))
        assert await anext(silent.receiver) == 5
        sending.cancel()


# Context variables, and functions of other makes.


async def test_a_block_copies_the_context_and_a_stream_shares_it() -> None:
    """Rules 17 and 18."""
    language = contextvars.ContextVar("language", default="none")

    async def tell(itemize: Itemizer[str]) -> None:
        await itemize(language.get())
        await itemize(language.get())
        language.set("of the producer")
        await itemize(language.get())

    async def listen(words: AsyncIterator[str]) -> list[str]:
        told = [await anext(words)]
        language.set("of the consumer")
        return [*told, await anext(words), await anext(words), language.get()]

    language.set("before")
    async with Channel[str]().fed_by(tell) as words:
        language.set("later")
        assert await listen(words) == ["before", "before", "of the producer", "of the consumer"]
    async with aclosing(stream(tell)) as streamed:
        language.set("later")
        assert await listen(streamed) == ["later", "of the consumer", "of the producer", "of the producer"]


class Table:
    def __init__(self, *rows: int) -> None:
        self.rows = rows

    async def read(self, itemize: Itemizer[int], times: int = 1) -> None:
        for row in self.rows * times:
            await itemize(row)

    __call__ = read

    @classmethod
    async def read_two(cls, itemize: Itemizer[int]) -> None:
        await cls(0, 1).read(itemize)


PRODUCERS: list[Callable[[Itemizer[int]], Coroutine[object, object, None]]] = [
    partial(count, up_to=2),
    Table(0, 1).read,
    Table(0, 1),
    Table.read_two,
    partial(Table(0, 1).read, times=1),
    lambda itemize: count(itemize, 2),
]


@pytest.mark.parametrize("producer", PRODUCERS, ids=["partial", "method", "object", "class method", "partial method", "lambda"])
async def test_a_producer_is_anything_that_returns_a_coroutine(
    producer: Callable[[Itemizer[int]], Coroutine[object, object, None]],
) -> None:
    """Rules 17 and 18."""
    async with Channel[int]().fed_by(producer) as numbers:
        assert await collect(numbers) == [0, 1]
    assert await collect(stream(producer)) == [0, 1]


async def test_func_gets_its_arguments_of_whatever_name() -> None:
    """Rules 17 and 18: positional, keyword-only, and names that the library uses itself."""

    async def echo(itemize: Itemizer[object], first: int, /, second: int, *, func: int, self: int = 4) -> None:
        await itemize((first, second, func, self))

    async with Channel[object]().fed_by(echo, 1, second=2, func=3, self=6) as rows:
        assert await collect(rows) == [(1, 2, 3, 6)]
    assert await collect(stream(echo, 1, second=2, func=3, self=6)) == [(1, 2, 3, 6)]
    assert await collect(stream(echo, 1, 2, func=3)) == [(1, 2, 3, 4)]

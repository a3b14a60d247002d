"""Rule 28: makers of producers that run calls, timers and sources side by side.

Each test that says nothing of a way to run a producer runs it in all of them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

import chanstream
from chanstream import Channel, Itemizer, SenderFailed, stages, stream
from chanstream.stages import batched, in_pool, kept_alive, mapped, merged
from tests.drawn import examples
from tests.garbage import is_gone
from tests.loops import LOOPS, turns
from tests.outcomes import Broken, collect
from tests.producers import Stage, Way, fed, fed_ahead, feeding, streamed

T = TypeVar("T")


LONG = 1_000_000.0
SHORT = 0.01


# The ways to run a producer.


def in_each(ways: dict[str, Way[object]]) -> pytest.MarkDecorator:
    """The first and the last, which differ most, in the default run."""
    slow = [*ways][1:-1]
    return pytest.mark.parametrize(
        "way", [pytest.param(way, id=name, marks=[pytest.mark.slow] * (name in slow)) for name, way in ways.items()]
    )


WAYS: dict[str, Way[object]] = {"fed_by": fed, "fed_by, buffered": fed_ahead, "feed": feeding, "stream": streamed}
each_way = in_each(WAYS)
in_lock_step = in_each({name: way for name, way in WAYS.items() if way is not fed_ahead})
either_order = pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as ready"])


async def outcome(way: Way[T], stage: Stage[T]) -> tuple[list[T], BaseException | None]:
    """All that comes, and the error that comes after it, as its producer raised it."""
    got: list[T] = []
    error: BaseException | None = None
    try:
        async with way(stage) as items:
            async for item in items:
                got.append(item)
    except BaseException as caught:
        error = caught
    while isinstance(error, SenderFailed):  # from a source that was cancelled from elsewhere
        error = error.__cause__
    return got, error


# Sources and functions.


async def count(up_to: int, log: list[object] | None = None) -> AsyncGenerator[int, None]:
    """Log each number when it is read, and the end."""
    log = [] if log is None else log
    try:
        for number in range(up_to):
            log.append(number)
            yield number
    finally:
        try:
            await turns(2)
        finally:
            log.append("closed")


async def then(source: AsyncGenerator[T, None], error: BaseException | None) -> AsyncGenerator[T, None]:
    """Without an error, it never ends."""
    async with aclosing(source):
        async for item in source:
            yield item
    if error is not None:
        raise error
    await asyncio.Event().wait()


async def slowly(source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    async with aclosing(source):
        async for item in source:
            yield item
            await turns(1)


async def forever(*items: T) -> AsyncGenerator[T, None]:
    for item in items:
        yield item
    await asyncio.Event().wait()


class Calls:
    """A function that logs its calls, and ends each when it is released."""

    def __init__(self, cleanup: int = 2) -> None:
        self.cleanup = cleanup
        self.log: list[str] = []
        self.waiting: dict[int, asyncio.Future[str]] = {}

    async def __call__(self, number: int) -> str:
        self.log.append(f"{number} starts")
        self.waiting[number] = asyncio.get_running_loop().create_future()
        try:
            return await self.waiting[number]
        except asyncio.CancelledError:
            self.log.append(f"{number} cancelled")
            await turns(self.cleanup)
            self.log.append(f"{number} cleaned")
            raise

    def end(self, *numbers: int) -> None:
        for number in numbers:
            self.waiting[number].set_result(str(number))


async def double(number: int) -> int:
    await turns(number % 3)
    return 2 * number


# mapped.


@each_way
@either_order
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_each_item_is_mapped(way: Way[int], limit: int, *, ordered: bool) -> None:
    """Rule 28: in the order of the source, or as ready; nothing is lost."""
    got, error = await outcome(way, mapped(count(20), double, limit=limit, ordered=ordered))
    assert error is None
    assert (got if ordered else sorted(got)) == [2 * number for number in range(20)]


@each_way
@either_order
async def test_no_more_calls_are_under_way_than_the_limit_and_no_more_items_are_read(way: Way[int], *, ordered: bool) -> None:
    """Rule 28: from the start of a call until its result was taken, also while the consumer is busy."""
    read: list[object] = []
    started: list[int] = []
    taken = 0

    async def func(number: int) -> int:
        started.append(number)
        await turns(number % 2)
        return number

    async def stage(itemize: Itemizer[int]) -> None:
        async def counted(item: int) -> None:
            nonlocal taken
            await itemize(item)
            taken += 1

        await mapped(count(12, read), func, limit=3, ordered=ordered)(counted)

    async with way(stage) as numbers:
        async for _ in numbers:
            await turns(12)
            assert len(started) == len([each for each in read if each != "closed"]) == min(taken + 3, 12)


@either_order
async def test_a_result_is_passed_on_while_the_source_is_silent(*, ordered: bool) -> None:
    """Rule 28: a live source is not held back."""
    async with streamed(mapped(forever(1, 2), double, limit=5, ordered=ordered)) as numbers:
        assert {await anext(numbers), await anext(numbers)} == {2, 4}


async def test_results_come_as_they_are_ready() -> None:
    """Rule 28: with ordered=False."""
    calls = Calls()
    async with fed(mapped(count(3), calls, limit=3, ordered=False)) as results:
        await turns()
        calls.end(2)
        assert await anext(results) == "2"
        calls.end(0)
        assert await anext(results) == "0"
        calls.end(1)
        assert await collect(results) == ["1"]


async def test_an_ordered_failure_comes_after_the_results_before_it() -> None:
    """Rule 28: the calls before it go on, those behind it are cancelled, each once, and no further one starts."""
    calls = Calls()
    error = Broken()
    read: list[object] = []
    waiting = asyncio.create_task(outcome(fed, mapped(count(9, read), calls, limit=4)))
    await turns(20)
    calls.waiting[2].set_exception(error)
    await turns(1)
    calls.end(0)
    await turns(20)
    assert calls.log[4:] == ["3 cancelled", "3 cleaned"]
    calls.end(1)
    assert await waiting == (["0", "1"], error)
    assert calls.log[4:] == ["3 cancelled", "3 cleaned"]
    assert read == [0, 1, 2, 3, "closed"]


@each_way
@either_order
@pytest.mark.parametrize("later", range(6))
async def test_a_call_may_fail_while_the_result_before_it_is_taken(way: Way[int], later: int, *, ordered: bool) -> None:
    """Rule 28: however many turns later, it is raised in its turn."""
    error = Broken()

    async def func(number: int) -> int:
        if number:
            await turns(later)
            raise error
        return number

    assert await outcome(way, mapped(count(2), func, limit=2, ordered=ordered)) == ([0], error)


@either_order
async def test_an_item_that_comes_after_a_failure_is_not_called_for(*, ordered: bool) -> None:
    """Rule 28: it was asked for before, and the consumer has not got the failure yet."""
    calls = Calls()
    goes_on = asyncio.Event()

    async def source() -> AsyncGenerator[int, None]:
        yield 0
        yield 1
        await goes_on.wait()
        yield 2

    async with fed(mapped(source(), calls, limit=4, ordered=ordered)):
        await turns(20)
        calls.end(*([] if ordered else [0]))
        await turns(20)
        calls.waiting[1].set_exception(Broken())
        await turns(20)
        goes_on.set()
        await turns(20)
        assert calls.log == ["0 starts", "1 starts"]


async def test_an_ordered_failure_that_is_overtaken_by_an_earlier_one_is_not_raised() -> None:
    """Rule 28: the failures come in order too, and each call is cancelled once."""
    calls = Calls()
    waiting = asyncio.create_task(outcome(fed, mapped(count(9), calls, limit=4)))
    await turns(20)
    calls.waiting[2].set_exception(Broken(2))
    await turns(1)
    calls.waiting[0].set_exception(Broken(0))
    got, error = await waiting
    assert not got
    assert repr(error) == "Broken(0)"
    assert sorted(calls.log[4:]) == ["1 cancelled", "1 cleaned", "3 cancelled", "3 cleaned"]


@in_lock_step
async def test_an_unordered_failure_comes_after_the_results_before_it(way: Way[str]) -> None:
    """Rule 28: and cancels the calls under way at once, each once, though the consumer is busy."""
    calls = Calls()
    got: list[str] = []

    async def consume() -> None:
        async with way(mapped(count(9), calls, limit=4, ordered=False)) as results:
            async for result in results:
                got.append(result)
                if len(got) == 1:
                    calls.end(3)
                    await turns(3)
                    calls.waiting[1].set_exception(Broken(1))
                    await turns(20)
                    assert calls.log[4:] == ["2 cancelled", "2 cleaned"]

    task = asyncio.create_task(consume())
    await turns(20)
    calls.end(0)
    with pytest.raises(Broken, match="1"):
        await task
    assert got == ["0", "3"]
    assert calls.log[4:] == ["2 cancelled", "2 cleaned"]


@each_way
@either_order
async def test_a_call_that_was_cancelled_from_elsewhere_fails(way: Way[int], *, ordered: bool) -> None:
    """Rule 28: and its item is not left out without a word."""

    async def func(number: int) -> int:
        if number == 1:
            raise asyncio.CancelledError
        return number

    got, error = await outcome(way, mapped(count(3), func, limit=1, ordered=ordered))
    assert got == [0]
    assert isinstance(error, asyncio.CancelledError)


@each_way
@pytest.mark.parametrize("error", [StopAsyncIteration(), StopIteration()], ids=repr)
async def test_a_call_that_raises_the_end_of_an_iteration_ends_none(way: Way[int], error: Exception) -> None:
    """Rule 28: it is a failure, and a RuntimeError as in a generator."""

    async def func(_: int) -> int:
        raise error

    got, failure = await outcome(way, mapped(count(3), func, limit=2))
    assert not got
    assert isinstance(failure, RuntimeError)


@each_way
@either_order
@pytest.mark.parametrize("error", [Broken(), asyncio.CancelledError()], ids=repr)
async def test_a_failing_source_lets_the_calls_under_way_end(way: Way[int], error: BaseException, *, ordered: bool) -> None:
    """Rule 28: its failure comes after the results of all that was read before."""
    got, failure = await outcome(way, mapped(then(count(5), error), double, limit=4, ordered=ordered))
    assert sorted(got) == [0, 2, 4, 6, 8]
    assert failure is error or isinstance(failure, asyncio.CancelledError)


async def test_a_call_that_fails_after_the_source_leaves_alone() -> None:
    """Rule 28: in the order of the items, as it would if they were called one after the other."""
    calls = Calls()
    waiting = asyncio.create_task(outcome(fed, mapped(then(count(2), Broken("source")), calls, limit=4)))
    await turns(20)
    calls.end(0)
    calls.waiting[1].set_exception(Broken("call"))
    got, error = await waiting
    assert got == ["0"]
    assert repr(error) == "Broken('call')"


@each_way
@either_order
async def test_a_consumer_that_leaves_has_the_calls_cancelled_once_and_waits_for_them(way: Way[str], *, ordered: bool) -> None:
    """Rule 28: then the source is closed. No task is left."""
    calls = Calls()
    log = calls.log
    source: list[object] = []

    async def consume() -> None:
        async with way(mapped(count(9, source), calls, limit=3, ordered=ordered)) as results:
            log.append(await anext(results))

    task = asyncio.create_task(consume())
    await turns(20)
    calls.end(0)
    await task
    under_way = [each[0] for each in log if each.endswith("starts")][1:]
    assert under_way[:2] == ["1", "2"]
    assert sorted(log[-2 * len(under_way) :]) == sorted(f"{n} {what}" for n in under_way for what in ("cancelled", "cleaned"))
    assert source[-1] == "closed"


@pytest.mark.parametrize("make", [mapped, lambda source, func, limit: mapped(source, func, limit=limit, ordered=False)])
async def test_a_stage_whose_tasks_are_cancelled_over_and_over_waits_for_its_calls(
    make: Callable[..., Stage[str]],
) -> None:
    """Rule 28: each of which is cancelled once, so its cleanup is not interrupted."""
    calls = Calls(cleanup=9)
    running = asyncio.create_task(outcome(fed, make(count(9), calls, limit=3)))
    await turns(20)
    tasks = [task for task in asyncio.all_tasks() - {asyncio.current_task()} if task.get_name() != repr(calls)]
    assert len(tasks) == 3
    for _ in range(3):
        for task in tasks:
            task.cancel()
        await turns(1)
    await asyncio.wait([running])
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert sorted(calls.log[3:]) == sorted(f"{number} {what}" for number in range(3) for what in ("cancelled", "cleaned"))


async def test_what_is_no_async_function_is_named() -> None:
    """Rule 21: it shows when it is called, and a TypeError of the function's own stays as it is."""
    wrong = partial(str)
    _, error = await outcome(streamed, mapped(count(1), wrong, limit=1))  # type: ignore[arg-type]
    assert isinstance(error, TypeError)
    assert "mapped(func) takes an async function, and functools.partial(<class 'str'>) returned str" in str(error)
    own = TypeError("own")

    async def func(_: int) -> None:
        raise own

    assert await outcome(streamed, mapped(count(1), func, limit=1)) == ([], own)


async def test_the_tasks_of_the_calls_are_named_after_the_function() -> None:
    """Rule 28: as a debugger shows them."""

    async def name(_: int) -> str:
        await turns(1)  # before Python 3.14 an eager task has its name after its first step
        task = asyncio.current_task()
        assert task is not None
        return task.get_name()

    assert await collect(stream(mapped(count(1), name, limit=1))) == [name.__qualname__]
    assert await collect(stream(mapped(count(1), partial(name), limit=1))) == [repr(partial(name))]


# batched.


each_time = pytest.mark.parametrize("seconds", [None, LONG], ids=["by size", "with time"])


@each_way
@each_time
@pytest.mark.parametrize(
    ("items", "batches"),
    [(0, []), (1, [[0]]), (3, [[0, 1, 2]]), (7, [[0, 1, 2], [3, 4, 5], [6]])],
)
async def test_a_batch_is_full_but_for_the_last(
    way: Way[list[int]], seconds: float | None, items: int, batches: list[list[int]]
) -> None:
    """Rule 28: an incomplete batch comes before the end."""
    assert await outcome(way, batched(count(items), size=3, seconds=seconds)) == (batches, None)


@each_way
@each_time
@pytest.mark.parametrize("error", [Broken(), asyncio.CancelledError()], ids=repr)
async def test_an_incomplete_batch_comes_before_a_failure(way: Way[list[int]], seconds: float | None, error: BaseException) -> None:
    """Rule 28: a failure of the source comes after all that was read before it."""
    for items, batches in ((0, []), (3, [[0, 1, 2]]), (4, [[0, 1, 2], [3]])):
        got, failure = await outcome(way, batched(then(count(items), error), size=3, seconds=seconds))
        assert got == batches
        assert failure is error or isinstance(failure, asyncio.CancelledError)


@in_lock_step
@each_time
async def test_the_failure_of_the_source_surfaces_though_the_last_batch_is_not_waited_for(
    way: Way[list[int]], seconds: float | None
) -> None:
    """Rule 28: a consumer that leaves with the last batch has not hidden it."""
    error = Broken()
    with pytest.raises(Broken) as caught:
        async with way(batched(then(count(4), error), size=3, seconds=seconds)) as batches:
            assert await anext(batches) == [0, 1, 2]
            assert await anext(batches) == [3]
            await turns()
    assert caught.value is error


@each_way
async def test_a_batch_is_passed_on_when_its_time_is_over(way: Way[list[int]]) -> None:
    """Rule 28: and the source, a generator, goes on with what it waits for: nothing is lost to a timer."""
    arrived = [asyncio.Event() for _ in range(3)]

    async def source() -> AsyncGenerator[int, None]:
        for number in range(3):
            yield 2 * number
            yield 2 * number + 1
            await arrived[number].wait()

    async with way(batched(source(), size=3, seconds=SHORT)) as batches:
        for number, event in enumerate(arrived):
            assert await anext(batches) == [2 * number, 2 * number + 1]
            event.set()
        assert await collect(batches) == []


@each_time
async def test_a_cancelled_ask_takes_no_incomplete_batch(seconds: float | None) -> None:
    """Rules 14 and 28: a cancellation is no failure of the source, before which it would come."""
    async with streamed(batched(forever(1), size=2, seconds=seconds)) as batches:
        ask = asyncio.ensure_future(anext(batches))
        await turns()
        ask.cancel()
        await turns()
        assert ask.cancelled()


class Clock(asyncio.SelectorEventLoop):
    """Its time is what a test says, which gives turns and never lets it sleep."""

    now = 0.0

    @override
    def time(self) -> float:
        return self.now


def test_the_time_of_a_batch_runs_from_its_first_item() -> None:
    """Rule 28: each has a time of its own, that of one which was full before is over."""
    got: list[list[int]] = []
    loop = Clock()

    async def take(batches: AsyncIterator[list[int]]) -> None:
        async for batch in batches:
            got.append(batch)

    async def main() -> None:
        source = Channel[int](buffer=3)
        async with source.sender as itemize, fed(batched(source.receiver, size=3, seconds=10)) as batches:
            task = asyncio.create_task(take(batches))

            async def at(time: float, *items: int) -> list[list[int]]:
                loop.now = time
                for item in items:
                    await itemize(item)
                await turns(20)
                return got

            assert await at(0, 1, 2, 3) == [[1, 2, 3]]
            assert await at(6, 4) == [[1, 2, 3]]
            assert await at(11, 5) == [[1, 2, 3]]
            assert await at(15.9) == [[1, 2, 3]]
            assert await at(16.1) == [[1, 2, 3], [4, 5]]
            assert await at(20, 6) == [[1, 2, 3], [4, 5]]
            assert await at(30.1) == [[1, 2, 3], [4, 5], [6]]
        await task

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


@in_lock_step
@pytest.mark.parametrize("seconds", [None, SHORT, LONG], ids=repr)
async def test_a_busy_consumer_of_batches_has_at_most_one_item_read_ahead(way: Way[list[int]], seconds: float | None) -> None:
    """Rule 28: the one that a timer has overtaken, which begins the next batch."""
    read: list[object] = []
    silent = asyncio.Event()

    async def source() -> AsyncGenerator[int, None]:
        for number in range(9):
            if number == 2 and seconds == SHORT:
                await silent.wait()
            read.append(number)
            yield number

    async with way(batched(source(), size=2 if seconds != SHORT else 3, seconds=seconds)) as batches:
        assert await anext(batches) == [0, 1]
        silent.set()
        await turns(30)
        assert read == ([0, 1, 2] if seconds == SHORT else [0, 1])
        assert (await anext(batches))[:2] == [2, 3]


# merged.


@each_way
@pytest.mark.parametrize("sources", range(4))
async def test_the_items_of_all_sources_come_in_the_order_of_each(way: Way[int], sources: int) -> None:
    """Rule 28: nothing is lost, and without a source there is nothing."""
    got, error = await outcome(way, merged(*(count(number + 2) for number in range(sources))))
    assert error is None
    assert sorted(got) == sorted(item for number in range(sources) for item in range(number + 2))


@in_lock_step
async def test_each_item_comes_as_soon_as_it_is_there(way: Way[str]) -> None:
    """Rule 28: however long the other sources are silent; at most one of each is read ahead."""
    read: list[object] = []
    async with way(merged(forever(), forever("live"), named(count(9, read)))) as items:
        assert {await anext(items), await anext(items)} == {"live", "0"}
        await turns(30)
        assert len(read) <= 2
        assert await anext(items) == "1"


async def named(source: AsyncGenerator[int, None]) -> AsyncGenerator[str, None]:
    async with aclosing(source):
        async for item in source:
            yield str(item)


@each_way
@pytest.mark.parametrize("error", [Broken(), asyncio.CancelledError()], ids=repr)
async def test_the_failure_of_a_source_comes_after_all_that_had_been_read(way: Way[int], error: BaseException) -> None:
    """Rule 28: of any source. Then the others are closed, and it is the only error."""
    log: list[object] = []
    failing = [then(count(3), error), then(count(2, log), None)]
    got, failure = await outcome(way, merged(*failing))
    assert sorted(got) == [0, 0, 1, 1, 2]
    assert failure is error or isinstance(failure, asyncio.CancelledError)
    assert log == [0, 1, "closed"]


async def test_the_failure_of_a_source_surfaces_though_the_consumer_leaves_while_the_others_are_closed() -> None:
    """Rules 17 and 28: the cancellation of the stage does not take its place."""
    error = Broken()

    async def lingering() -> AsyncGenerator[int, None]:
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            await turns(20)

    with pytest.raises(Broken) as caught:
        async with fed_ahead(merged(then(count(1), error), lingering())):
            await turns(20)
    assert caught.value is error


async def test_a_source_is_closed_though_another_one_is_refused() -> None:
    """Rule 28: a generator that has begun, and that the stage has not read yet."""
    log: list[object] = []
    begun = count(9, log)
    await anext(begun)
    channel = Channel[int]()
    await channel.receiver.aclose()
    _, error = await outcome(streamed, merged(begun, channel.receiver))
    assert isinstance(error, RuntimeError)
    assert log == [0, "closed"]


async def test_of_two_sources_that_fail_together_the_first_fails_the_stage() -> None:
    """Rule 28: with one error, and the other is not reported as lost."""
    errors = [Broken(1), Broken(2)]
    assert await outcome(streamed, merged(*(then(count(1), error) for error in errors))) == ([0, 0], errors[0])


async def test_an_item_in_hand_is_not_withdrawn_when_another_source_fails() -> None:
    """Rule 28: with a plain task group it is."""
    fails = asyncio.Event()

    async def failing() -> AsyncGenerator[int, None]:
        await fails.wait()
        if fails.is_set():
            raise Broken
        yield 0

    async with streamed(merged(count(2), count(2), failing())) as numbers:
        got = [await anext(numbers)]
        await turns()
        fails.set()
        await turns()
        with pytest.raises(Broken):
            while True:
                got.append(await anext(numbers))
    assert got == [0, 0]


# kept_alive.


@each_way
async def test_a_beat_comes_whenever_the_source_is_silent_and_cancels_nothing(way: Way[int | str]) -> None:
    """Rule 28: the source, a generator, goes on with what it waits for."""
    goes_on = asyncio.Event()

    async def source() -> AsyncGenerator[int, None]:
        yield 1
        await goes_on.wait()
        yield 2

    beats = iter("abc")
    got: list[int | str] = []
    async with way(kept_alive(source(), seconds=SHORT, beat=lambda: next(beats))) as items:
        async for item in items:
            got.append(item)
            if item == "c":
                goes_on.set()
                beats = iter("xyz" * 1_000_000)
    assert [item for item in got if item not in {"x", "y", "z"}] == [1, "a", "b", "c", 2]


@each_way
async def test_a_source_that_is_never_silent_has_no_beat(way: Way[int]) -> None:
    """Rule 28: its items, its end and its failure are passed on as they are."""
    error = Broken()
    assert await outcome(way, kept_alive(count(9), seconds=LONG, beat=lambda: -1)) == ([*range(9)], None)
    assert await outcome(way, kept_alive(then(count(2), error), seconds=LONG, beat=lambda: -1)) == ([0, 1], error)


async def test_a_beat_that_fails_ends_the_stage() -> None:
    """Rule 28: with its error."""
    assert (await outcome(streamed, kept_alive(forever(1), seconds=SHORT, beat=lambda: 1 // 0)))[0] == [1]


@in_lock_step
async def test_a_busy_consumer_has_one_item_at_most_read_behind_a_beat(way: Way[int]) -> None:
    """Rule 28: and none without."""
    read: list[object] = []
    async with way(kept_alive(count(9, read), seconds=LONG, beat=lambda: -1)) as items:
        assert await anext(items) == 0
        await turns(20)
        assert read == [0]
        assert await collect(items) == [*range(1, 9)]


# in_pool.


def crunch(number: int) -> int:
    return number * number


def die(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def stop(number: int) -> int:
    raise StopIteration(number)


POOLS: dict[str, Callable[[], Executor]] = {
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": lambda: ProcessPoolExecutor(2),
}
if sys.version_info >= (3, 14):
    from concurrent.futures import InterpreterPoolExecutor

    POOLS["interpreters"] = lambda: InterpreterPoolExecutor(2)

each_pool = pytest.mark.parametrize(
    "make", [pytest.param(make, id=name, marks=[pytest.mark.slow] * (name != "threads")) for name, make in POOLS.items()]
)


@each_pool
async def test_a_blocking_function_is_mapped_in_a_pool(make: Callable[[], Executor]) -> None:
    """Rule 28: of threads, processes or interpreters; an error of the function is that of its call."""
    with make() as pool:
        assert await outcome(streamed, mapped(count(9), in_pool(pool, crunch), limit=4)) == ([crunch(n) for n in range(9)], None)
        got, error = await outcome(streamed, mapped(count(9), in_pool(pool, stop), limit=4))
        assert not got
        assert isinstance(error, RuntimeError)


@pytest.mark.slow
async def test_a_killed_worker_process_gives_one_error() -> None:
    """Rule 28: however many calls it has broken."""
    with ProcessPoolExecutor(2) as pool:
        _, error = await outcome(fed, mapped(count(9), in_pool(pool, die), limit=9))
        assert isinstance(error, BrokenProcessPool)


class Slow(Executor):
    """A pool that never begins a call."""

    def __init__(self) -> None:
        self.calls: list[Future[object]] = []

    @override
    def submit(self, *_: object, **__: object) -> Future[object]:  # type: ignore[override]
        self.calls.append(Future())
        return self.calls[-1]


async def test_a_call_that_has_not_begun_in_the_pool_is_cancelled_there() -> None:
    """Rule 28: when the consumer leaves."""
    pool = Slow()
    async with fed(mapped(count(9), in_pool(pool, crunch), limit=3)):
        await turns(20)
    assert [call.cancelled() for call in pool.calls] == [True] * 3


# Sources.


class Unreadable:
    """Fails where a loop begins."""

    def __aiter__(self) -> AsyncIterator[int]:
        raise Broken


class Rows:
    """Makes a generator for each loop over it."""

    def __init__(self, log: list[object]) -> None:
        self.log = log

    def __aiter__(self) -> AsyncIterator[int]:
        return count(9, self.log)


STAGES: dict[str, Callable[[AsyncIterable[int]], Stage[object]]] = {
    "mapped": lambda source: mapped(source, double, limit=3),
    "mapped, as ready": lambda source: mapped(source, double, limit=3, ordered=False),
    "batched": lambda source: batched(source, size=2),
    "batched with time": lambda source: batched(source, size=2, seconds=LONG),
    "merged": lambda source: merged(source, count(5)),
    "kept_alive": lambda source: kept_alive(source, seconds=LONG, beat=lambda: None),
}
each_stage = pytest.mark.parametrize("make", STAGES.values(), ids=STAGES)


@each_way
@each_stage
@pytest.mark.parametrize("source", [lambda log: count(9, log), Rows], ids=["generator", "maker of generators"])
async def test_a_generator_is_closed_when_the_stage_ends(
    way: Way[object], make: Callable[[AsyncIterable[int]], Stage[object]], source: Callable[[list[object]], AsyncIterable[int]]
) -> None:
    """Rule 28: when the consumer leaves, too."""
    log: list[object] = []
    async with way(make(source(log))) as items:
        await anext(items)
    assert log[-1] == "closed"


@each_stage
async def test_a_generator_is_read_and_closed_in_one_task(make: Callable[[AsyncIterable[int]], Stage[object]]) -> None:
    """Rule 28: to which its timeouts and task groups belong."""
    tasks: list[asyncio.Task[object] | None] = []

    async def source() -> AsyncGenerator[int, None]:
        try:
            while True:
                tasks.append(asyncio.current_task())
                yield 0
        finally:
            tasks.append(asyncio.current_task())

    async with fed(make(source())) as items:
        await anext(items)
    assert len(tasks) > 1
    assert len({*tasks}) == 1


@each_way
@each_stage
async def test_a_receiver_is_left_open(way: Way[object], make: Callable[[AsyncIterable[int]], Stage[object]]) -> None:
    """Rule 28: for that has its block. What the stage has not read is there for the next loop."""

    async def produce(itemize: Itemizer[int]) -> None:
        for number in range(30):
            await itemize(number)

    async with Channel[int]().fed_by(produce) as numbers:
        async with way(make(numbers)) as items:
            await anext(items)
        assert (await collect(numbers))[-1] == 29


@each_stage
async def test_a_source_that_is_cut_short_is_refused(make: Callable[[AsyncIterable[int]], Stage[object]]) -> None:
    """Rules 9 and 28: and does not read as an empty stream."""
    channel = Channel[int]()
    await channel.receiver.aclose()
    _, error = await outcome(streamed, make(channel.receiver))
    assert isinstance(error, RuntimeError)
    assert "closed before the stream had ended" in str(error)


@each_stage
async def test_the_error_of_a_truncated_source_is_the_one_that_leaves(
    make: Callable[[AsyncIterable[int]], Stage[object]],
) -> None:
    """Rules 17 and 28: through the blocks of a pipeline it is one error."""

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)
        raise Broken

    with pytest.raises(Broken):
        async with Channel[int]().fed_by(produce) as numbers, Channel[object]().fed_by(make(numbers)) as items:
            await collect(items)


@each_stage
async def test_a_stage_can_be_run_again_if_its_source_can(make: Callable[[AsyncIterable[int]], Stage[object]]) -> None:
    """Rule 28: what is made is a producer, a function."""
    stage = make(source := Rows([]))
    assert len(await collect(stream(stage))) > 3
    source.log.clear()
    assert len(await collect(stream(stage))) > 3


async def ready() -> AsyncGenerator[int, None]:
    """It never ends, and never waits."""
    for number in cycle(range(10)):
        yield number


@each_way
async def test_a_source_that_never_waits_starves_no_timer(way: Way[list[int]]) -> None:
    """Rules 3 and 28: a batch whose time is over comes, however large it could be."""
    async with way(batched(ready(), size=10**9, seconds=SHORT)) as batches:
        assert len(await anext(batches)) > 0


async def test_a_source_that_never_waits_starves_no_other_task() -> None:
    """Rules 3 and 28: however large a batch is."""
    read: list[object] = []
    reading = asyncio.create_task(collect(stream(batched(count(10_000, read), size=10**9))))
    await turns(2)
    assert 0 < len(read) < 10_000
    assert [len(batch) for batch in await reading] == [10_000]


async def test_a_source_that_never_waits_starves_no_call() -> None:
    """Rules 3 and 28: however many calls may be under way."""
    async with streamed(mapped(ready(), double, limit=10**9)) as numbers:
        assert await anext(numbers) == 0


# Cancellation.


@each_way
@each_stage
async def test_a_cancellation_leaves_nothing_behind_wherever_it_lands(
    way: Way[object], make: Callable[[AsyncIterable[int]], Stage[object]]
) -> None:
    """Rules 16 and 28: no task is left, the source is closed, and the cancellation arrives."""

    async def consume(source: AsyncIterable[int]) -> None:
        async with way(make(source)) as items:
            async for _ in items:
                await turns(1)

    log: list[object] = []
    landed = 0
    while True:
        log.clear()
        task = asyncio.create_task(consume(slowly(count(4, log))))
        await turns(landed)
        if task.done():
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not log or log[-1] == "closed"
        landed += 1
    assert landed > 1
    await task


async def test_merged_closes_every_generator_though_one_fails_in_its_cleanup() -> None:
    """Rule 28: when its task was cancelled before it could read any of them."""
    log: list[object] = []

    async def failing() -> AsyncGenerator[int, None]:
        try:
            yield 0
        finally:
            raise OSError

    sources = [count(3, log), failing(), count(3, log)]
    for source in sources:
        await anext(source)
    with pytest.raises(OSError, match=r"^$"):
        await collect(stream(merged(*sources, Unreadable())))
    assert log == [0, 0, "closed", "closed"]


@each_stage
async def test_a_generator_that_has_begun_is_closed_though_the_stage_has_not(
    make: Callable[[AsyncIterable[int]], Stage[object]],
) -> None:
    """Rule 28: whose task was cancelled before its first step."""
    log: list[object] = []
    source = count(9, log)
    await anext(source)
    async with asyncio.timeout(LONG) as scope:
        with suppress(asyncio.CancelledError):
            async with streamed(make(source)) as items:
                task = asyncio.ensure_future(anext(items))
                await turns(1)
                task.cancel()
                await task
    assert not scope.expired()
    assert log[-1] == "closed"


class Item:
    pass


async def some_items() -> AsyncGenerator[Item, None]:
    for _ in range(4):
        yield Item()


async def same(item: Item) -> Item:
    return item


@pytest.mark.parametrize(
    "stage",
    [
        lambda: mapped(some_items(), same, limit=1),
        lambda: mapped(some_items(), same, limit=1, ordered=False),
        lambda: batched(some_items(), size=1),
        lambda: batched(some_items(), size=1, seconds=LONG),
        lambda: merged(some_items()),
        lambda: kept_alive(some_items(), seconds=LONG, beat=lambda: None),
    ],
    ids=STAGES,
)
async def test_an_item_is_free_as_soon_as_the_consumer_lets_go_of_it(stage: Callable[[], Stage[Item | list[Item]]]) -> None:
    """Rules 22 and 28: no stage keeps what it has passed on."""
    async with fed(stage()) as received:
        item = await anext(received)
        watched = weakref.ref(item[0] if isinstance(item, list) else item)
        await turns(20)
        del item
        assert is_gone(watched)


async def test_the_timer_of_a_batch_that_nothing_waits_for_keeps_no_item() -> None:
    """Rules 22 and 28: it ends with the stage."""
    watched: list[weakref.ref[Item]] = []

    async def source() -> AsyncGenerator[Item, None]:
        item = Item()
        watched.append(weakref.ref(item))
        yield item
        del item
        await asyncio.Event().wait()

    async with fed(batched(source(), size=2, seconds=LONG)):
        await turns()
    assert [is_gone(each) for each in watched] == [True]


async def broken() -> AsyncGenerator[int, None]:
    yield 0
    raise Broken


async def fail(_: object) -> None:
    raise Broken


def fail_to_beat() -> str:
    raise Broken


FAILING: dict[str, Callable[[], Stage[object]]] = {
    "a call": lambda: mapped(count(2), fail, limit=2),
    "a call, as ready": lambda: mapped(count(2), fail, limit=2, ordered=False),
    "a beat": lambda: kept_alive(then(count(2), None), seconds=SHORT, beat=fail_to_beat),
    **{f"the source of {name}": partial(lambda make: make(broken()), make) for name, make in STAGES.items()},
}


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("way", [fed, streamed], ids=["fed_by", "stream"])
@pytest.mark.parametrize("make", FAILING.values(), ids=FAILING)
async def test_an_error_is_free_when_it_was_handled(way: Way[object], make: Callable[[], Stage[object]]) -> None:
    """Rules 22 and 28: no stage keeps it, in a cycle neither, that the garbage collector would have to find."""
    watched: list[weakref.ref[Broken]] = []
    try:
        async with way(make()) as items:
            async for _ in items:
                pass
    except Broken as error:
        watched.append(weakref.ref(error))
    await turns()
    if asyncio.get_running_loop().get_task_factory() is not None:
        gc.collect()  # asyncio itself makes a cycle of an eager task and its error
    assert [is_gone(each) for each in watched] == [True]


# Arguments.


def calling(function: Callable[..., object], *args: object, **kwargs: object) -> Callable[[], object]:
    """A call that a type checker would reject."""
    return lambda: function(*args, **kwargs)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (calling(mapped, [1], double, limit=1), TypeError, "a source is an async iterable.*not list"),
        (calling(mapped, count, double, limit=1), TypeError, "a source is an async iterable.*not function.*what it returns"),
        (calling(mapped, count(1), 3, limit=1), TypeError, r"mapped\(func\) takes a function, not int"),
        (calling(mapped, count(1), double, limit="1"), TypeError, r"mapped\(limit=...\) takes an int, not str"),
        (calling(mapped, count(1), double, limit=True), TypeError, r"mapped\(limit=...\) takes an int, not bool"),
        (calling(mapped, count(1), double, limit=0), ValueError, r"mapped\(limit=...\) takes a number from 1 on, not 0"),
        (calling(mapped, count(1), double, limit=1, ordered=1), TypeError, r"mapped\(ordered=...\) takes True or False, not int"),
        (calling(batched, [1], size=1), TypeError, "a source is"),
        (calling(batched, count(1), size=0), ValueError, r"batched\(size=...\) takes a number from 1 on, not 0"),
        (calling(batched, count(1), size=1, seconds="1"), TypeError, r"batched\(seconds=...\) takes a number of seconds, not str"),
        (calling(batched, count(1), size=1, seconds=0), ValueError, r"batched\(seconds=...\) takes .* more than 0 .*, not 0"),
        (calling(batched, count(1), size=1, seconds=float("nan")), ValueError, "finite, not nan"),
        (calling(batched, count(1), size=1, seconds=float("inf")), ValueError, "finite, not inf"),
        (calling(merged, count(1), [1]), TypeError, "a source is"),
        (calling(mapped, count(1), double, 1), TypeError, "positional"),
        (calling(batched, count(1), 1), TypeError, "positional"),
        (calling(kept_alive, count(1), 1, str), TypeError, "positional"),
        (calling(kept_alive, [1], seconds=1, beat=str), TypeError, "a source is"),
        (calling(kept_alive, count(1), seconds=True, beat=str), TypeError, r"kept_alive\(seconds=...\) .*, not bool"),
        (calling(kept_alive, count(1), seconds=1, beat=0), TypeError, r"kept_alive\(beat=...\) takes a plain function, not 0"),
        (calling(in_pool, None, crunch), TypeError, r"in_pool\(pool\) takes an executor .*, not NoneType"),
        (calling(in_pool, ThreadPoolExecutor(1), 1), TypeError, r"in_pool\(func\) takes a plain function, not 1"),
        (calling(in_pool, ThreadPoolExecutor(1), double), TypeError, r"in_pool\(func\) takes a plain function, not .*double"),
        (calling(kept_alive, count(1), seconds=1, beat=double), TypeError, r"kept_alive\(beat=...\) takes a plain .*double"),
    ],
)
def test_a_bad_argument_is_named(make: Callable[[], object], error: type[Exception], message: str) -> None:
    """Rule 21: with what is accepted, and at once."""
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("name", stages.__all__)
def test_each_stage_says_what_it_does(name: str) -> None:
    """Surface: `chanstream.stages` has these names, and a docstring says what each does."""
    function: object = getattr(stages, name)
    assert "**Waits**" in (function.__doc__ or "")
    assert not hasattr(chanstream, name)


# Laws.


def paused(most: int) -> st.SearchStrategy[list[int]]:
    """How many turns go by before each item, or between two asks of a consumer."""
    return st.lists(st.integers(0, 3), max_size=most)


ways = st.sampled_from([*WAYS.values()])
endings = st.sampled_from([None, Broken("source")])


async def numbers(pauses: list[int], error: Exception | None = None) -> AsyncGenerator[int, None]:
    for number, pause in enumerate(pauses):
        await turns(pause)
        yield number
    if error is not None:
        raise error


def slowed(stage: Stage[T], pauses: list[int]) -> Stage[T]:
    """Give the stage a consumer that waits before each ask."""

    async def slow(itemize: Itemizer[T]) -> None:
        waits = cycle(pauses or [0])

        async def wait(item: T) -> None:
            await itemize(item)
            await turns(next(waits))

        await stage(wait)

    return slow


def run(running: Coroutine[object, object, T]) -> T:
    async def alone() -> T:
        async with asyncio.timeout(60):
            result = await running
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    with asyncio.Runner(loop_factory=next(iter(LOOPS.values()))) as runner:
        return runner.run(alone())


@dataclass(frozen=True)
class Mapping:
    """A source and what is made of it. A call of four turns fails."""

    pauses: list[int]
    turns: list[int]
    error: Exception | None
    limit: int
    ordered: bool

    @property
    def failing(self) -> list[int]:
        return [number for number, count in enumerate(self.turns[: len(self.pauses)]) if count == 4]


mappings = st.builds(
    Mapping, paused(6), st.lists(st.integers(0, 4), min_size=6, max_size=6), endings, st.integers(1, 4), st.booleans()
)


@examples(200)
@given(way=ways, case=mappings, pauses=paused(3))
def test_mapped_keeps_its_laws(way: Way[int], case: Mapping, pauses: list[int]) -> None:
    """Rule 28: order, limit, nothing lost, the failure last."""
    under_way = most = 0

    async def func(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            await turns(case.turns[number])
        finally:
            under_way -= 1
        if case.turns[number] == 4:
            raise Broken(number)
        return number

    stage = mapped(numbers(case.pauses, case.error), func, limit=case.limit, ordered=case.ordered)
    got, failure = run(outcome(way, slowed(stage, pauses)))
    everything = [*range(len(case.pauses))]
    assert most <= case.limit
    assert under_way == 0
    if not case.failing:
        assert (got if case.ordered else sorted(got)) == everything
        assert failure is case.error
    elif case.ordered:
        assert got == everything[: case.failing[0]]
        assert repr(failure) == f"Broken({case.failing[0]})"
    else:
        assert len({*got}) == len(got)
        assert {*got} <= {*everything} - {*case.failing}
        assert repr(failure) in {f"Broken({number})" for number in case.failing}


@examples(200)
@given(way=ways, items=paused(6), pauses=paused(3), error=endings, size=st.integers(1, 4))
@pytest.mark.parametrize("seconds", [None, 1e-9, LONG])
def test_batched_keeps_its_laws(
    *, way: Way[list[int]], items: list[int], pauses: list[int], error: Exception | None, size: int, seconds: float | None
) -> None:
    """Rule 28: order, size, nothing lost, the failure last."""
    stage = batched(numbers(items, error), size=size, seconds=seconds)
    got, failure = run(outcome(way, slowed(stage, pauses)))
    assert [item for batch in got for item in batch] == [*range(len(items))]
    assert all(1 <= len(batch) <= size for batch in got)
    assert seconds == 1e-9 or all(len(batch) == size for batch in got[:-1])
    assert failure is error


@examples(200)
@given(way=ways, sources=st.lists(paused(4), max_size=3), pauses=paused(3), error=endings)
def test_merged_keeps_its_laws(
    way: Way[tuple[int, int]], sources: list[list[int]], pauses: list[int], error: Exception | None
) -> None:
    """Rule 28: the order of each source, nothing lost, and what was read before the failure of the second comes before it."""
    read: list[tuple[int, int]] = []

    async def source(which: int) -> AsyncGenerator[tuple[int, int], None]:
        async for number in numbers(sources[which], error if which == 1 else None):
            read.append((which, number))
            yield which, number

    got, failure = run(outcome(way, slowed(merged(*map(source, range(len(sources)))), pauses)))
    fails = error is not None and len(sources) > 1
    assert got == read
    assert failure is (error if fails else None)
    assert fails or sorted(got) == [(which, number) for which, items in enumerate(sources) for number in range(len(items))]

"""A blocking function as a producer: `in_thread`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
import weakref
from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from random import Random

import pytest
from typing_extensions import override

from chanstream import (
    BlockingItemizer,
    Channel,
    Itemizer,
    Producer,
    ReceiverClosed,
    SenderClosed,
    SenderFailed,
    in_thread,
    stream,
)
from tests.garbage import COUNTED, is_gone, let_go
from tests.loops import LOOPS, LoopFactory, turns
from tests.outcomes import collect
from tests.producers import Way, fed, fed_ahead, feeding, streamed
from tests.test_examples import SLOW

LONG = 20.0
"""Seconds after which a thread has waited for ever."""


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("in_thread")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not threads()


async def until(condition: Callable[[], object]) -> None:
    """Wait for what a thread does."""
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.001)


def count(itemize: BlockingItemizer[int], up_to: int, log: list[str] | None = None) -> None:
    log = [] if log is None else log
    try:
        for number in range(up_to):
            itemize(number)
            log.append(f"returned {number}")
        log.append("end")
    except BaseException as error:
        log.append(type(error).__name__)
        raise


class Item:
    pass


every_way = pytest.mark.parametrize("way", [fed, fed_ahead, feeding, streamed])
lock_step = pytest.mark.parametrize("way", [fed, feeding, streamed])


# Items.


@every_way
@pytest.mark.parametrize("ahead", [0, 7])
async def test_a_function_that_blocks_is_a_producer(way: Way[int], ahead: int) -> None:
    """Rule 27: order, end and a thread of its own, which has ended with its block. A producer can be run again."""
    seen: list[str] = []

    def produce(itemize: BlockingItemizer[int]) -> None:
        seen.append(threading.current_thread().name)
        count(itemize, 100)

    producer = in_thread(produce, ahead=ahead)
    for _ in range(2):
        async with way(producer) as items:
            assert await collect(items) == list(range(100))
        assert not threads()
    assert len(seen) == 2
    assert all("produce" in name for name in seen)


@lock_step
async def test_without_ahead_it_is_yield(way: Way[int]) -> None:
    """Rule 27: the blocking itemizer returns when the item was taken and a further one is asked for."""
    log: list[str] = []

    def produce(itemize: BlockingItemizer[int]) -> None:
        count(itemize, 3, log)

    async with way(in_thread(produce)) as items:
        async for number in items:
            log.append(f"took {number}")
            await asyncio.sleep(0.01)  # a thread that was released too early would log something
            log.append(f"back {number}")
    steps = [(f"took {number}", f"back {number}", f"returned {number}") for number in range(3)]
    assert log == [*sum(steps, ()), "end"]


async def test_a_thread_waits_as_long_as_it_takes() -> None:
    """Rule 27: it looks around now and then, and goes on waiting."""
    async with Channel[int]().fed_by(in_thread(count), 2) as items:
        assert await anext(items) == 0
        await asyncio.sleep(0.45)
        assert await collect(items) == [1]


@pytest.mark.parametrize(("ahead", "buffer"), [(0, 0), (0, 2), (1, 0), (4, 0), (3, 5)])
async def test_at_most_ahead_items_are_on_their_way(ahead: int, buffer: int) -> None:
    """Rule 27: and the buffer. Each item that is taken makes room for one more, and memory holds no more than these."""
    alive = weakref.WeakSet[Item]()
    returned = 0

    def produce(itemize: BlockingItemizer[Item]) -> None:
        nonlocal returned
        for _ in range(30):
            item = Item()
            alive.add(item)
            itemize(item)
            returned += 1
            del item

    def has_returned(times: int) -> bool:
        return returned == times

    async with Channel[Item](buffer=buffer).fed_by(in_thread(produce, ahead=ahead)) as items:
        for taken in range(10):
            most = ahead + buffer + max(0, taken - (not buffer))  # in lock-step, the last one is released by the next ask
            await until(partial(has_returned, most))
            await asyncio.sleep(0.003)
            assert returned == most
            assert is_gone(lambda: None if len(alive) <= ahead + buffer + 2 else alive)
            await anext(items)


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS.keys())
def test_items_cross_in_batches(loop: LoopFactory) -> None:
    """Rule 27: the loop is woken for a batch, not for each item: hardly more turns are taken than batches come."""

    async def main() -> int:
        taken = 0
        done = threading.Event()

        def produce(itemize: BlockingItemizer[int]) -> None:
            for number in range(64 * 10):
                itemize(number)
                if number % 64 == 63:
                    done.set()

        async with Channel[int](buffer=64).fed_by(in_thread(produce, ahead=64)) as items:
            loop = asyncio.get_running_loop()
            wakes = 0
            call_soon_threadsafe = loop.call_soon_threadsafe

            def counted(*arguments: object) -> object:
                nonlocal wakes
                wakes += 1
                return call_soon_threadsafe(*arguments)  # type: ignore[arg-type]

            with suppress(AttributeError):  # of uvloop, whose methods are not replaced
                loop.call_soon_threadsafe = counted  # type: ignore[assignment,method-assign]
            async for _ in items:
                if taken % 64 == 0:
                    assert done.wait(LONG)  # all that may be on its way is
                    done.clear()
                taken += 1
        assert taken == 640
        return wakes

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(main()) <= 30


@pytest.mark.parametrize("ahead", [0, 5])
async def test_several_threads_share_one_itemizer(ahead: int) -> None:
    """Rule 27: each one's items stay in order, and every item comes once."""

    def produce(itemize: BlockingItemizer[tuple[int, int]]) -> None:
        def write(writer: int) -> None:
            for number in range(50):
                itemize((writer, number))

        writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

    async with Channel[tuple[int, int]](buffer=2).fed_by(in_thread(produce, ahead=ahead)) as items:
        found = await collect(items)
    for writer in range(4):
        assert [number for of, number in found if of == writer] == list(range(50))


async def test_context_variables_are_copied() -> None:
    """Rule 27: the function sees those of the producer, and changes its own."""
    variable = ContextVar("variable", default="nobody's")
    variable.set("the consumer's")
    seen: list[str] = []

    def produce(itemize: BlockingItemizer[int]) -> None:
        seen.append(variable.get())
        variable.set("the thread's")
        itemize(1)
        seen.append(variable.get())

    async with Channel[int]().fed_by(in_thread(produce)) as items:
        await collect(items)
    assert [*seen, variable.get()] == ["the consumer's", "the thread's", "the consumer's"]


async def test_the_task_is_named_after_the_function() -> None:
    """Rule 27, as rule 17 has it of every producer."""
    names: list[str] = []

    async def name(producer: Producer[int, []]) -> None:
        async with Channel[int]().fed_by(producer) as items:
            await anext(items)
            names.extend(task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task())

    def rows(itemize: BlockingItemizer[int]) -> None:
        itemize(1)

    await name(in_thread(rows))
    assert [each for each in names if "rows" in each]


# Errors.


class Broken(Exception):
    pass


class Stopped(BaseException):
    pass


@pytest.mark.parametrize(("way", "ahead"), [(fed, 0), (fed_ahead, 10), (feeding, 10), (streamed, 0)])
@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (Broken(), Broken),
        (StopIteration(1), RuntimeError),
        (StopAsyncIteration(), RuntimeError),
        (CancelledError(), CancelledError),
    ],
    ids=repr,
)
async def test_an_error_comes_after_the_items(
    way: Way[int], ahead: int, error: BaseException, becomes: type[BaseException]
) -> None:
    """Rule 27: as that of an async producer does (rules 7, 17 and 18)."""

    def produce(itemize: BlockingItemizer[int]) -> None:
        count(itemize, 3)
        raise error

    found: list[int] = []
    caught: list[BaseException | None] = []

    async def consume() -> None:
        async with way(in_thread(produce, ahead=ahead)) as items:
            try:
                while True:
                    found.append(await anext(items))
            except (becomes, SenderFailed) as failed:
                caught.append(failed.__cause__ if isinstance(failed, SenderFailed) else failed)
                raise

    with pytest.raises((becomes, SenderFailed)):
        await consume()
    assert found == [0, 1, 2]
    assert [type(each) for each in caught] == [becomes]
    if becomes is Broken:
        assert caught == [error]
    error.__traceback__ = None


# The producer is cancelled, or fails.


def cause(failed: BaseException) -> BaseException:
    """What is left of groups of one."""
    while isinstance(failed, BaseExceptionGroup) and len(failed.exceptions) == 1:
        [failed] = failed.exceptions
    return failed


@every_way
@pytest.mark.parametrize(("ahead", "busy"), [(0, False), (2, False), (2, True), (1_000, False), (1_000, True)])
async def test_when_the_consumer_leaves_the_next_itemize_raises(way: Way[int], ahead: int, busy: bool) -> None:
    """Rule 27: what the producer got, whether the thread waits in it or calls it later. No `except Exception` catches it."""
    log: list[str] = []
    returned: list[int] = []
    left = threading.Event()

    def produce(itemize: BlockingItemizer[int]) -> None:
        for number in range(2_000):
            try:
                itemize(number)
                returned.append(number)
            except Exception as error:
                log.append(repr(error))
            except BaseException as error:
                log.append(type(error).__name__)
                raise
            if busy:
                left.wait(LONG)

    async with way(in_thread(produce, ahead=ahead, stop=left.set)) as items:
        assert await anext(items) == 0
    assert not threads()
    assert len(log) == 1
    assert returned == [0] or not busy
    assert log[0] in {"CancelledError", "ReceiverClosed", "GeneratorExit"}


async def test_what_is_thrown_into_a_stream_is_raised_in_the_thread() -> None:
    """Rule 27: as at a `yield`, after which the function may go on. What is no Exception ends it, at every further call."""
    caught: list[BaseException] = []

    def produce(itemize: BlockingItemizer[int]) -> None:
        for number in range(4):
            try:
                itemize(number)
            except BaseException as error:
                caught.append(error)
        raise caught[-1]

    items = stream(in_thread(produce))
    assert await anext(items) == 0
    assert await items.athrow(broken := Broken()) == 1
    with pytest.raises(Stopped) as raised:
        await items.athrow(stopped := Stopped())
    assert [*caught, raised.value] == [broken, stopped, stopped, stopped, stopped]
    assert not threads()


@pytest.mark.parametrize("ahead", [0, 1])
async def test_an_exception_of_the_itemizer_comes_back(ahead: int) -> None:
    """Rule 27: without `ahead` to the call that it is about, as to a `yield`. Otherwise it ends the producer."""
    log: list[object] = []

    def produce(itemize: BlockingItemizer[int]) -> None:
        for number in range(10):
            try:
                itemize(number)
            except Exception as error:
                log.append(type(error))
            except BaseException as error:
                log.append(type(error))
                raise

    async def doubtful(number: int, /) -> None:
        await asyncio.sleep(0)
        if number % 2:
            raise Broken
        log.append(number)

    with nullcontext() if not ahead else pytest.raises(Broken):
        await in_thread(produce, ahead=ahead)(doubtful)
    if ahead:
        assert log == [0, Broken, ReceiverClosed]
    else:
        assert log == [0, Broken, 2, Broken, 4, Broken, 6, Broken, 8, Broken]


async def test_calls_that_wait_are_served_one_by_one() -> None:
    """Rule 27: each when its own item has passed, first come, first served."""
    log: list[str] = []
    first_is_there = threading.Event()

    def produce(itemize: BlockingItemizer[int]) -> None:
        def call() -> None:
            first_is_there.wait(LONG)
            itemize(1)
            log.append("second returned")

        second = threading.Thread(target=call)
        second.start()
        try:
            itemize(0)
        except Broken:
            log.append("first failed")
        second.join()

    async def itemize(number: int, /) -> None:
        if number == 0:
            first_is_there.set()
            await asyncio.sleep(0.05)  # so that the second call waits too, if the machine isn't busy
            raise Broken
        await until(lambda: log)

    await in_thread(produce)(itemize)
    assert log == ["first failed", "second returned"]


async def test_a_function_with_an_event_loop_of_its_own_is_cancelled() -> None:
    """Rule 27: the cancellation that leaves that loop, perhaps as another object, is still the producer's."""

    async def inner(itemize: BlockingItemizer[int]) -> None:
        with suppress(CancelledError):
            count(itemize, 10)
        raise CancelledError

    def produce(itemize: BlockingItemizer[int]) -> None:
        asyncio.run(inner(itemize))

    async def held(_: int, /) -> None:
        entered.set()
        await asyncio.Event().wait()

    entered = asyncio.Event()
    task = asyncio.create_task(in_thread(produce)(held))
    await entered.wait()
    task.cancel("the very one")
    with pytest.raises(CancelledError) as raised:
        await task
    assert raised.value.args == ("the very one",)
    assert raised.value.__context__ is None


async def test_a_call_that_waits_when_the_function_returns_is_served() -> None:
    """Rule 27, as rule 8 has it: its item has been accepted."""
    others: list[threading.Thread] = []
    log: list[str] = []

    def produce(itemize: BlockingItemizer[int]) -> None:
        def call() -> None:
            with suppress(SenderClosed):
                count(itemize, 2, log)

        others.append(threading.Thread(target=call))
        others[0].start()
        returns.wait(LONG)

    returns = threading.Event()
    async with Channel[int]().fed_by(in_thread(produce)) as items:
        assert await anext(items) == 0
        returns.set()
        await until(lambda: not threads())
        with suppress(StopAsyncIteration):
            await anext(items)
        await asyncio.to_thread(others[0].join)
    assert log == ["returned 0", "SenderClosed"]


@pytest.mark.parametrize("way", [fed, streamed])
async def test_a_function_that_fails_while_it_is_refused(way: Way[int]) -> None:
    """Rule 27: its error is one of the producer's cleanup."""

    def produce(itemize: BlockingItemizer[int]) -> None:
        try:
            count(itemize, 10)
        finally:
            raise Broken

    with pytest.raises(Broken) as raised:
        async with way(in_thread(produce)) as items:
            await anext(items)
    assert isinstance(raised.value.__context__, CancelledError | GeneratorExit | ReceiverClosed)


async def test_a_cancelled_producer_waits_for_its_thread() -> None:
    """Rule 27: whatever else is asked of it meanwhile. A function that ends normally then doesn't make the stream complete."""
    go_on = threading.Event()

    def produce(itemize: BlockingItemizer[int]) -> None:
        itemize(1)
        go_on.wait(LONG)

    channel = Channel[int]()
    task = asyncio.create_task(channel.feed(in_thread(produce, ahead=1)))
    assert await anext(channel.receiver) == 1
    for _ in range(3):
        task.cancel()
        await turns()
        assert not task.done()
        assert threads()
    go_on.set()
    with pytest.raises(CancelledError):
        await task
    assert not threads()
    with pytest.raises(SenderFailed):
        await anext(channel.receiver)


async def test_a_cancellation_that_comes_while_an_error_waits_for_the_thread() -> None:
    """Rule 27: it takes the place of the error, as in any cleanup that awaits."""
    go_on = threading.Event()

    def produce(itemize: BlockingItemizer[int]) -> None:
        itemize(1)
        go_on.wait(LONG)

    async def fails(_: int, /) -> None:
        raise Broken

    task = asyncio.create_task(in_thread(produce, ahead=1)(fails))
    await turns()
    await until(threads)
    await asyncio.sleep(0.01)
    task.cancel()
    await turns()
    assert not task.done()
    go_on.set()
    with pytest.raises(CancelledError) as raised:
        await task
    if COUNTED:  # PyPy forgets what a coroutine handles while that waits
        assert isinstance(raised.value.__context__, Broken)


async def test_items_on_their_way_are_dropped_when_it_is_cancelled() -> None:
    """Rules 22 and 27: and nothing is kept by an itemizer that outlives its function, nor by the error that it raised."""
    kept: list[weakref.ref[Item]] = []

    def produce(itemize: BlockingItemizer[Item]) -> None:
        while True:
            item = Item()
            kept.append(weakref.ref(item))
            itemize(item)
            del item

    async with Channel[Item]().fed_by(in_thread(produce, ahead=5)) as items:
        await anext(items)
        await until(lambda: len(kept) > 5)
    assert all(is_gone(each) for each in kept)


@pytest.mark.parametrize("fails", ["producer", "function"])
async def test_an_itemizer_keeps_no_error_after_its_function(fails: str) -> None:
    """Rules 22 and 27."""
    kept: list[weakref.ref[Broken]] = []
    given: list[BlockingItemizer[int]] = []

    def broken() -> Broken:
        error = Broken()
        kept.append(weakref.ref(error))
        return error

    def produce(itemize: BlockingItemizer[int]) -> None:
        given.append(itemize)
        itemize(0)
        if fails == "function":
            raise broken()

    async def run() -> None:
        items = stream(in_thread(produce))
        await anext(items)
        if fails == "producer":
            await items.athrow(broken())
        else:
            await anext(items)

    with suppress(Broken):
        await run()
    assert is_gone(kept[0])
    assert given


async def test_an_error_of_the_producer_keeps_no_items() -> None:
    """Rules 22 and 27: those that were fetched with the one that it came with are dropped as well."""
    kept: list[weakref.ref[Item]] = []

    def produce(itemize: BlockingItemizer[Item]) -> None:
        for _ in range(4):
            item = Item()
            kept.append(weakref.ref(item))
            itemize(item)
            del item

    calls: list[int] = []

    async def itemize(item: Item, /) -> None:
        del item
        calls.append(1)
        if len(calls) > 1:
            raise Stopped
        await until(lambda: not threads())  # so that the next batch is all the rest

    with pytest.raises(Stopped) as raised:
        await in_thread(produce, ahead=4)(itemize)
    assert all(is_gone(each) for each in kept)
    del raised


@pytest.mark.cpython
async def test_a_thread_that_waits_keeps_no_item() -> None:
    """Rules 22 and 27: the consumer decides how long it lives."""
    kept: list[weakref.ref[Item]] = []

    def make() -> Item:
        item = Item()
        kept.append(weakref.ref(item))
        return item

    def produce(itemize: BlockingItemizer[Item]) -> None:
        itemize(make())

    async with Channel[Item]().fed_by(in_thread(produce)) as items:
        await anext(items)
        assert is_gone(kept[0])


async def test_a_thread_that_waits_is_released_at_once() -> None:
    """Rule 27: when its consumer has left, and not when it looks by itself, a fifth of a second later."""

    def produce(itemize: BlockingItemizer[int]) -> None:
        count(itemize, 10)

    began = time.monotonic()
    for _ in range(200):
        async with Channel[int]().fed_by(in_thread(produce)) as items:
            await anext(items)
    assert time.monotonic() - began < 30


def test_the_loop_may_go_on_in_another_thread() -> None:
    """Rules 19 and 27: the itemizer raises in the one where the loop runs."""
    given: list[BlockingItemizer[int]] = []
    refused: list[str] = []

    def produce(itemize: BlockingItemizer[int]) -> None:
        given.append(itemize)
        count(itemize, 3)

    async def begin(items: AsyncIterator[int]) -> None:
        assert await anext(items) == 0

    async def use(items: AsyncIterator[int]) -> None:
        assert await anext(items) == 1
        await turns()
        try:
            given[0](7)
        except RuntimeError as error:
            refused.append(str(error))

    loop = asyncio.new_event_loop()
    items = stream(in_thread(produce))
    loop.run_until_complete(begin(items))
    other = threading.Thread(target=lambda: loop.run_until_complete(use(items)), daemon=True)
    other.start()
    other.join(LONG)
    assert refused
    loop.run_until_complete(items.aclose())
    loop.close()


# stop.


@every_way
async def test_stop_gets_a_quiet_thread_out(way: Way[int]) -> None:
    """Rule 27: it is called once, in the thread of the event loop."""
    stopped: list[int] = []
    event = threading.Event()

    def stop() -> None:
        stopped.append(threading.get_ident())
        event.set()

    def produce(itemize: BlockingItemizer[int]) -> None:
        itemize(0)
        event.wait(LONG)

    async with way(in_thread(produce, ahead=1, stop=stop)) as items:
        assert await anext(items) == 0
    assert stopped == [threading.get_ident()]


async def test_stop_may_join_a_thread_that_waits_in_itemize() -> None:
    """Rule 27: it is refused before."""
    sdk: list[threading.Thread] = []
    joined: list[bool] = []

    def produce(itemize: BlockingItemizer[int]) -> None:
        def deliver() -> None:
            with suppress(BaseException):
                count(itemize, 10)

        sdk.append(threading.Thread(target=deliver))
        sdk[0].start()
        sdk[0].join()

    def stop() -> None:
        sdk[0].join(LONG)
        joined.append(not sdk[0].is_alive())

    async with Channel[int]().fed_by(in_thread(produce, stop=stop)) as items:
        await anext(items)
    assert joined == [True]


async def test_stop_is_not_called_when_the_function_has_ended() -> None:
    """Rule 27: also if items of it are still on their way."""
    stopped: list[int] = []
    given: list[BlockingItemizer[int]] = []

    def produce(itemize: BlockingItemizer[int]) -> None:
        given.append(itemize)
        count(itemize, 3)

    async with Channel[int]().fed_by(in_thread(produce, ahead=10, stop=lambda: stopped.append(1))) as items:
        await anext(items)
        await until(lambda: not threads())
    assert not stopped
    with pytest.raises(ReceiverClosed):
        await asyncio.to_thread(given[0], 7)


@pytest.mark.parametrize("end", ["normally", "by an error"])
async def test_stop_is_for_cancellation(end: str) -> None:
    """Rule 27: a function that ends by itself is not stopped."""
    stopped: list[int] = []

    def produce(itemize: BlockingItemizer[int]) -> None:
        itemize(0)
        if end != "normally":
            raise Broken

    with suppress(Broken):
        async with Channel[int]().fed_by(in_thread(produce, stop=lambda: stopped.append(1))) as items:
            with suppress(SenderFailed):
                await collect(items)
    assert not stopped


@every_way
@pytest.mark.parametrize("both", [False, True], ids=["stop", "both"])
async def test_an_error_of_stop_is_one_of_the_producer(way: Way[int], both: bool) -> None:
    """Rule 27: it doesn't hide one of the function, and the thread is waited for."""
    event = threading.Event()

    def stop() -> None:
        event.set()
        raise Broken

    def produce(itemize: BlockingItemizer[int]) -> None:
        itemize(0)
        event.wait(LONG)
        if both:
            raise OSError

    with pytest.raises((Broken, ExceptionGroup)) as raised:
        async with way(in_thread(produce, ahead=1, stop=stop)) as items:
            await anext(items)
    assert not threads()
    found = raised.value
    assert [type(each) for each in (found.exceptions if isinstance(found, ExceptionGroup) else [found])] == [Broken, OSError][
        : 1 + both
    ]


# Mistakes.


async def test_in_the_thread_of_the_loop_the_itemizer_raises_at_once() -> None:
    """Rule 27: RuntimeError, and it does no harm."""
    given: list[BlockingItemizer[int]] = []

    def produce(itemize: BlockingItemizer[int]) -> None:
        given.append(itemize)
        count(itemize, 3)

    async with Channel[int]().fed_by(in_thread(produce, ahead=10)) as items:
        assert await anext(items) == 0
        with pytest.raises(RuntimeError, match="in the thread of its event loop"):
            given[0](7)
        assert await collect(items) == [1, 2]


@pytest.mark.parametrize(("leave", "error"), [(False, SenderClosed), (True, ReceiverClosed)])
async def test_after_its_function_an_itemizer_is_refused(leave: bool, error: type[BaseException]) -> None:
    """Rule 27, as rule 8 has it: by `ReceiverClosed` if the producer had ended first."""
    given: list[BlockingItemizer[int]] = []

    def produce(itemize: BlockingItemizer[int]) -> None:
        given.append(itemize)
        count(itemize, 2)

    async with Channel[int]().fed_by(in_thread(produce)) as items:
        async for _ in items:
            if leave:
                break
    for _ in range(2):
        with pytest.raises(error):
            await asyncio.to_thread(given[0], 7)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: in_thread(None), TypeError, r"in_thread\(func\) takes a function that blocks"),  # type: ignore[arg-type]
        (lambda: in_thread(produces_itself), TypeError, "an async function needs no thread"),  # type: ignore[arg-type]
        (lambda: in_thread(generates), TypeError, "pass the function itself"),  # type: ignore[arg-type]
        (lambda: in_thread(generates_itself), TypeError, "pass the function itself"),  # type: ignore[arg-type]
        (lambda: in_thread(count, ahead="1"), TypeError, "ahead=.*takes an int.*not str"),  # type: ignore[arg-type]
        (lambda: in_thread(count, ahead=True), TypeError, "ahead=.*takes an int.*not bool"),
        (lambda: in_thread(count, ahead=-1), ValueError, "ahead=.*not -1"),
        (lambda: in_thread(count, stop=1), TypeError, "stop=.*takes a plain function.*not 1"),  # type: ignore[arg-type]
        (lambda: in_thread(count, stop=produces_itself), TypeError, "stop=.*takes a plain function"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_argument_is_named(make: Callable[[], object], error: type[Exception], says: str) -> None:
    """Rules 21 and 27: when the producer is made."""
    with pytest.raises(error, match=says):
        make()


async def produces_itself(itemize: Itemizer[int]) -> None:
    await itemize(1)


def generates(_: BlockingItemizer[int]) -> Iterator[int]:
    yield 1


async def generates_itself(_: BlockingItemizer[int]) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("function", [produces_itself, generates, generates_itself])
async def test_what_a_function_returns_is_no_stream(function: Callable[[object], object]) -> None:
    """Rules 21 and 27: a coroutine or a generator that nothing would run fails the producer."""
    with pytest.raises(TypeError, match="which nothing runs"):
        await anext(stream(in_thread(partial(call, function))))  # type: ignore[arg-type]


def call(function: Callable[[object], object], itemize: object) -> object:
    return function(itemize)


def test_an_int_of_another_class_is_an_ahead() -> None:
    """Rules 21 and 27: as it is a buffer."""

    class Number(int):
        pass

    assert callable(in_thread(count, ahead=Number(3)))


async def test_a_plain_function_is_no_producer_and_hears_of_in_thread() -> None:
    """Rules 21 and 27: TypeError."""

    def plain(_: object) -> None: ...

    with pytest.raises(TypeError, match="in_thread"):
        await anext(stream(plain))  # type: ignore[arg-type]


def test_without_an_event_loop_of_asyncio_it_says_so() -> None:
    """Rule 27: RuntimeError, in a coroutine that something else drives."""

    async def itemize(_: int, /) -> None: ...

    with pytest.raises(RuntimeError, match="asyncio event loop"):
        in_thread(count)(itemize, 1).send(None)


async def test_a_thread_that_can_not_start_fails_the_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 27: by the error of `threading`, and nothing waits for it."""

    def start(_: threading.Thread) -> None:
        raise Broken

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(Broken):
        await anext(stream(in_thread(count), 1))


@pytest.mark.cpython
@pytest.mark.parametrize("ahead", [0, 2_000])
async def test_a_stack_that_runs_out_in_the_thread_fails_only_the_call(ahead: int) -> None:
    """Rules 27 and 31: at whatever depth, what was accepted arrives, and nothing waits for ever."""
    failed: set[int] = set()
    depths: set[int] = set()

    def produce(itemize: BlockingItemizer[int]) -> None:
        def dive(depth: int) -> None:
            depths.add(depth)
            try:  # noqa: SIM105  suppress() takes more stack than a call that fails
                dive(depth + 1)
            except RecursionError:
                pass
            try:
                itemize(depth)
            except RecursionError:
                failed.add(depth)

        dive(0)

    async with Channel[int](buffer=64).fed_by(in_thread(produce, ahead=ahead)) as items:
        found = await collect(items)
    assert found == sorted({*found}, reverse=True)
    assert failed | {*found} == depths


@pytest.mark.cpython
async def test_a_stack_that_runs_out_in_the_consumer_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules 27 and 31: also where it strikes in the library, which runs there under `stream`."""
    monkeypatch.setattr(sys, "unraisablehook", id)  # it has no stack for one of Python

    async def dive(items: AsyncIterator[int]) -> None:
        with suppress(RecursionError):
            await dive(items)
        with suppress(RecursionError, StopAsyncIteration):
            await anext(items)

    async with streamed(in_thread(endless)) as items:
        await dive(items)
    assert not threads()


def endless(itemize: BlockingItemizer[int]) -> None:
    count(itemize, 1_000_000)


# The loop goes away under the thread.


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What threads have failed by, as `threading.excepthook` gets it."""
    found: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: found.append(arguments.exc_type.__name__))
    return found


def wait(condition: Callable[[], object]) -> None:
    """Wait for what a thread does, where no event loop runs."""
    waiting = threading.Event()
    for _ in range(int(LONG / 0.005)):
        if condition():
            return
        waiting.wait(0.005)
    pytest.fail("it never came")


@pytest.mark.parametrize("factory", LOOPS.values(), ids=LOOPS.keys())
@pytest.mark.parametrize("state", ["waits", "calls", "fails", "ends"])
def test_the_loop_is_closed_under_a_thread(factory: LoopFactory, state: str, reported: list[str]) -> None:
    """Rule 27: nothing waits for ever, also while something refers to the task, and no error is lost."""
    log: list[str] = []
    go_on = threading.Event()

    def produce(itemize: BlockingItemizer[int]) -> None:
        itemize(0)
        log.append("started")
        if state != "waits":
            go_on.wait(LONG)
        if state == "fails":
            raise Broken
        if state != "ends":
            count(itemize, 10, log)

    async def main(channel: Channel[int]) -> asyncio.Task[None]:
        task = asyncio.create_task(channel.feed(in_thread(produce, ahead=1)))
        assert await anext(channel.receiver) == 0
        await until(lambda: log)
        return task

    channel = Channel[int](buffer=0 if state == "waits" else 5)  # with a buffer, the loop would have to be woken for an item
    loop = factory()
    task = loop.run_until_complete(main(channel))
    loop.close()
    go_on.set()
    wait(lambda: not threads())
    assert log == ["started", *(["ReceiverClosed"] if state in {"waits", "calls"} else [])]
    assert reported == (["Broken"] if state == "fails" else [])
    loop.set_exception_handler(lambda *_: None)
    setattr(task, "_log_destroy_pending", False)  # what asyncio would report is not the point
    del task, channel
    let_go()


async def started(producer: Producer[int, []]) -> Coroutine[object, object, None]:
    """A producer that waits in its itemizer, in a coroutine that nothing runs."""

    async def itemize(_: int, /) -> None:
        await asyncio.sleep(0)

    running = producer(itemize)
    while running.send(None) is not None:
        await asyncio.sleep(0.001)
    return running


QUIET = """
import asyncio, threading
from chanstream import Channel, in_thread

def read(itemize):
    itemize("started")
    threading.Event().wait()

async def main(channel):
    task = asyncio.create_task(channel.feed(in_thread(read, ahead=1)))
    print(await anext(channel.receiver))
    return task

loop = asyncio.new_event_loop()
channel = Channel()
task = loop.run_until_complete(main(channel))
task._log_destroy_pending = False
loop.close()
"""


@pytest.mark.slow
def test_a_quiet_thread_does_not_keep_the_interpreter() -> None:
    """Rule 27: nothing can wait for it once the loop is closed."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", QUIET]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, SLOW.sub("", done.stderr), done.returncode) == ("started\n", "", 0)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("stops", [None, "well", "badly"])
async def test_a_producer_that_is_thrown_away_does_not_wait(fails: bool, stops: str | None, reported: list[str]) -> None:
    """Rule 27: it must not, since its coroutine is being closed. It refuses and stops, and no error is lost."""
    log: list[str] = []
    go_on = threading.Event()

    def produce(itemize: BlockingItemizer[int]) -> None:
        itemize(0)
        go_on.wait(LONG)
        if fails:
            raise Broken
        count(itemize, 10, log)

    def stop() -> None:
        log.append("stop")
        if stops == "badly":
            raise OSError

    running = await started(in_thread(produce, ahead=1, stop=stop if stops else None))
    with nullcontext() if stops != "badly" else pytest.raises(OSError):
        running.close()
    assert threads()
    go_on.set()
    wait(lambda: not threads())
    assert log == [*(["stop"] if stops else []), *([] if fails else ["GeneratorExit"])]
    assert reported == (["Broken"] if fails else [])


async def test_a_producer_that_is_thrown_away_after_its_function_has_failed() -> None:
    """Rule 27: the error leaves where the coroutine is closed."""

    def produce(itemize: BlockingItemizer[int]) -> None:
        itemize(0)
        raise Broken

    running = await started(in_thread(produce, ahead=1))
    wait(lambda: not threads())
    with pytest.raises(Broken):
        running.close()


@pytest.mark.cpython  # PyPy closes no coroutine that it collects
@pytest.mark.parametrize("within", [False, True])
async def test_the_collector_throws_the_producer_away_in_the_thread(within: bool) -> None:
    """Rule 27: also in the middle of a call, which is refused all the same."""
    log: list[str] = []
    garbage: list[object] = []

    class Ahead(int):
        """In place of the collector, which may run wherever a number is made."""

        __slots__ = ()

        @override
        def __rsub__(self, other: int) -> int:
            if other == 2:
                garbage.clear()
            return other - int(self)

    def produce(itemize: BlockingItemizer[int]) -> None:
        itemize(0)
        wait(lambda: garbage)
        if not within:
            garbage.clear()
        count(itemize, 10, log)

    garbage.append(await started(in_thread(produce, ahead=Ahead(1) if within else 1)))
    wait(lambda: not threads())
    assert log == ["GeneratorExit"]


# Chance.


@pytest.mark.parametrize("ahead", [0, 3, 64])
async def test_cancellation_at_any_moment_leaves_no_thread_and_no_gap(ahead: int) -> None:
    """Rules 16 and 27: what arrives is a beginning of what was sent, and the thread has ended with its block."""
    chance = Random(ahead)

    def produce(itemize: BlockingItemizer[int]) -> None:
        number = 0
        while True:
            itemize(number)
            number += 1

    async def read(buffer: int, found: list[int]) -> None:
        async with Channel[int](buffer=buffer).fed_by(in_thread(produce, ahead=ahead)) as items:
            while True:
                found.append(await anext(items))

    for _ in range(20):
        found: list[int] = []
        task = asyncio.create_task(read(chance.choice((0, 1, 64)), found))
        if chance.random() < 0.5:
            await turns(chance.randrange(20))
        else:
            await asyncio.sleep(chance.random() / 200)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        assert found == list(range(len(found)))
        assert not threads()

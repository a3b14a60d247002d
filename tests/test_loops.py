"""Event loops: which one a channel belongs to, and that all are alike: rules 19 and 20."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import sys
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, TypeVar
from weakref import WeakSet

import pytest

from chanstream import Channel, Itemizer, ReceiverClosed, SenderFailed
from tests.garbage import COUNTED
from tests.loops import EVERY_LOOP, LOOPS, LoopFactory, this_task, turns
from tests.outcomes import all_begun, all_done, begun, collect, done, raises, rest, settle
from tests.producers import count as produce_numbers
from tests.producers import write

T = TypeVar("T")

every_buffer = pytest.mark.parametrize("buffer", [0, 1, 3])


def in_thread(call: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def by_hand(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what need not wait, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise AssertionError


def in_new_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    async def run() -> T:
        return await done(asyncio.create_task(coroutine))

    return asyncio.run(run())


def loop_of_lost_tasks() -> asyncio.AbstractEventLoop:
    """A loop that is closed before its tasks have ended. Asyncio says of each that it was destroyed, whenever that is noticed."""
    loop = asyncio.new_event_loop()

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        assert context["message"] == "Task was destroyed but it is pending!"

    loop.set_exception_handler(handle)
    return loop


def in_thread_without_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    return in_thread(lambda: by_hand(coroutine))


def in_thread_with_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    return in_thread(lambda: in_new_loop(coroutine))


def here(call: Callable[[], T]) -> T:
    return call()


elsewhere = pytest.mark.parametrize("run", [in_thread_without_loop, in_thread_with_loop])

Close = Callable[[Callable[[], None]], None]
Run = Callable[[Coroutine[Any, Any, object]], object]


def refused(run: Run, coroutine: Coroutine[Any, Any, object]) -> None:
    """It is refused, with the fact and the remedy."""
    with pytest.raises(
        RuntimeError,
        match=r"<Channel .*> belongs to the event loop .*: .*asyncio\.run_coroutine_threadsafe\(\)",
    ):
        run(coroutine)


async def pass_through(channel: Channel[int], items: Iterable[int]) -> list[int]:
    task = asyncio.create_task(write(channel.sender, items))
    taken = await rest(channel.receiver)
    await done(task)
    return taken


# Rule 19.


@every_buffer
@elsewhere
async def test_both_ends_refuse_another_loop(buffer: int, run: Run) -> None:
    """Rule 19: also with room in the buffer, or with items; nothing is accepted or taken, and its own loop goes on."""
    channel = Channel[int](buffer=buffer)
    await settle(channel)
    children: list[asyncio.Task[None]] = []
    async with channel.sender as itemize:
        for waiting in 0, buffer + 2:
            children = await all_begun(map(itemize, range(waiting)))
            state = repr(channel)
            for _ in range(2):
                refused(run, itemize(0))
                refused(run, anext(channel.receiver))
            assert repr(channel) == state
    assert await rest(channel.receiver) == list(range(buffer + 2))
    await all_done(children)


@elsewhere
async def test_closing_and_a_receivers_block_refuse_another_loop(run: Run) -> None:
    """Rule 19: nothing is closed; a block is refused at its start, and an error in it closes nothing for its own loop."""
    channel = Channel[int](buffer=1)
    await settle(channel)

    async def read() -> None:
        async with channel.receiver as receiver:
            await anext(receiver)

    async with channel.sender as itemize:
        await itemize(1)
        state = repr(channel)
        for _ in range(2):
            refused(run, channel.receiver.aclose())
            refused(run, channel.receiver.__aexit__(None, None, None))
        refused(run, channel.receiver.__aenter__())
        refused(run, read())
        assert repr(channel) == state
    assert await rest(channel.receiver) == [1]


def test_a_receivers_block_in_what_became_another_loop_closes_nothing() -> None:
    """Rule 19: the channel had no loop yet when the block was entered. What is refused in it leaves it, and harms nothing."""
    channel = Channel[int](buffer=1)
    loop = asyncio.new_event_loop()

    async def read() -> None:
        async with channel.receiver as receiver:
            in_thread(lambda: loop.run_until_complete(settle(channel)))
            await anext(receiver)

    refused(in_new_loop, read())
    loop.run_until_complete(write(channel.sender, [1]))
    assert loop.run_until_complete(rest(channel.receiver)) == [1]
    loop.close()


def test_a_receivers_block_that_python_closes_after_its_loop_keeps_no_item() -> None:
    """Rules 9 and 22: nothing else will drop them, since nothing runs in that loop any more."""
    channel = Channel[int](buffer=3)
    loop = asyncio.new_event_loop()

    async def read() -> None:
        async with channel.receiver as receiver:
            assert await anext(receiver) == 1
            await asyncio.sleep(0)

    reading = read()

    async def begin() -> None:
        await settle(channel)
        await write(channel.sender, (1, 2, 3))
        reading.send(None)

    loop.run_until_complete(begin())
    loop.close()
    assert "2 to be taken" in repr(channel)
    reading.close()
    assert "receiver closed, 0 to be taken" in repr(channel)


async def feed_and_note(itemize: Itemizer[int], log: list[str], *, idle: bool = False) -> None:
    try:
        if not idle:
            await itemize(1)
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        log.append("cancelled")
        raise


async def read_fed_by(channel: Channel[int], log: list[str], *, idle: bool) -> None:
    """An idle one waits elsewhere, so that the channel has no loop, and its task has."""
    try:
        async with channel.fed_by(feed_and_note, log, idle=idle) as rows:
            await (asyncio.sleep(0) if idle else collect(rows))
    except GeneratorExit:
        log.append("left by its closing")
        raise


in_either_wait = pytest.mark.parametrize("idle", [False, True])


@in_either_wait
async def test_a_fed_by_block_that_python_closes_elsewhere_is_left_unchanged(*, idle: bool) -> None:
    """Rules 17 and 19: likewise; its task is cancelled by the loop."""
    log: list[str] = []
    channel = Channel[int]()
    reading = read_fed_by(channel, log, idle=idle)
    reading.send(None)
    await turns()
    in_thread(reading.close)
    assert log == ["left by its closing"]
    await turns()
    assert log == ["left by its closing", "cancelled"]
    assert "receiver closed" in repr(channel)


@in_either_wait
@pytest.mark.parametrize("closed", [False, True])
def test_a_fed_by_block_that_python_closes_while_its_loop_does_not_run_is_left_unchanged(*, closed: bool, idle: bool) -> None:
    """Rules 17, 19 and 22: its task is cancelled when the loop goes on, and in a closed loop it is let go of."""
    log: list[str] = []
    channel = Channel[int]()
    reading = read_fed_by(channel, log, idle=idle)
    loop = loop_of_lost_tasks()
    producers = WeakSet[asyncio.Task[object]]()

    async def begin() -> None:
        reading.send(None)
        await turns()
        producers.update(asyncio.all_tasks() - {this_task()})

    loop.run_until_complete(begin())
    if closed:
        loop.close()
    reading.close()
    assert log == ["left by its closing"]
    assert "receiver closed" in repr(channel)
    if not closed:
        loop.run_until_complete(turns())
        assert log == ["left by its closing", "cancelled"]
        loop.close()
    del channel
    gc.collect()
    assert not producers or not COUNTED


def test_a_fed_by_block_left_in_another_loop_than_it_was_entered_in_is_refused() -> None:
    """Rules 16 and 19: nothing can wait there for its task, which goes on until its own loop leaves the block."""
    log: list[str] = []
    channel = Channel[int]()
    block = channel.fed_by(feed_and_note, log)
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        await anext(await block.__aenter__())

    loop.run_until_complete(begin())
    refused(in_new_loop, block.__aexit__(None, None, None))
    loop.run_until_complete(turns())
    assert log == []
    loop.run_until_complete(block.__aexit__(None, None, None))
    assert log == ["cancelled"]
    loop.close()


async def test_a_producer_binds_its_channel_before_it_waits() -> None:
    """Rules 17 and 19: a drop in any thread must reach it, so `fed_by` takes the loop in which its block is entered."""
    channel = Channel[int]()
    async with channel.fed_by(produce_numbers, 2) as numbers:
        refused(in_thread_with_loop, anext(numbers))
        assert await rest(numbers) == [0, 1]


@elsewhere
async def test_a_sender_refuses_another_loop(run: Run) -> None:
    """Rule 19: nothing is opened, and nothing is ended."""
    channel = Channel[int](buffer=1)
    await settle(channel)
    state = repr(channel)
    refused(run, channel.sender.__aenter__())
    assert repr(channel) == state
    async with channel.sender as itemize:
        state = repr(channel)
        for _ in range(2):
            refused(run, channel.sender.__aexit__(None, None, None))
        assert repr(channel) == state
        await itemize(1)
    assert await rest(channel.receiver) == [1]


@every_buffer
@elsewhere
async def test_tasks_that_wait_are_not_disturbed(buffer: int, run: Run) -> None:
    """Rule 19: harms nothing, in the middle of a wait on either side."""
    channel = Channel[int](buffer=buffer)
    ask = await begun(anext(channel.receiver))
    async with channel.sender as itemize:
        refused(run, itemize(0))
        refused(run, anext(channel.receiver))
        children = [asyncio.create_task(itemize(item)) for item in range(buffer + 2)]
        assert await done(ask) == 0
        refused(run, itemize(0))
        refused(run, anext(channel.receiver))
    assert await rest(channel.receiver) == list(range(1, buffer + 2))
    await all_done(children)


async def test_an_itemizer_that_waits_binds_the_channel() -> None:
    """Rule 19: the first wait may be on either side."""
    channel = Channel[int]()
    async with channel.sender as itemize:
        child = await begun(itemize(1))
        refused(in_thread_with_loop, anext(channel.receiver))
    assert await rest(channel.receiver) == [1]
    await done(child)


@every_buffer
def test_a_channel_can_be_made_where_no_loop_runs(buffer: int) -> None:
    """Rule 19: it has no loop until it has to wait."""
    channel = Channel[int](buffer=buffer)
    assert asyncio.run(pass_through(channel, range(5))) == list(range(5))


def test_a_channel_that_never_waited_has_no_loop() -> None:
    """Rule 19: it may be filled in one loop and emptied in another, or without any."""
    channel = Channel[int](buffer=4)
    asyncio.run(write(channel.sender, range(4)))
    runs: list[Run] = [in_new_loop, by_hand, in_thread_with_loop, in_thread_without_loop]
    assert [run(anext(channel.receiver)) for run in runs] == [0, 1, 2, 3]
    with pytest.raises(StopAsyncIteration):
        by_hand(anext(channel.receiver))
    by_hand(channel.receiver.aclose())


@every_buffer
def test_a_channel_keeps_to_its_loop_when_that_is_closed(buffer: int) -> None:
    """Rule 19: another loop in the same thread is another loop."""
    channel = Channel[int](buffer=buffer)
    asyncio.run(settle(channel))
    state = repr(channel)
    refused(in_new_loop, anext(channel.receiver))
    refused(in_new_loop, channel.sender.__aenter__())
    refused(in_new_loop, channel.receiver.aclose())
    refused(by_hand, anext(channel.receiver))
    assert repr(channel) == state


@every_buffer
def test_a_channel_in_use_keeps_to_its_loop_when_that_is_closed(buffer: int) -> None:
    """Rule 19: both ends know their loop by then, and still ask whether it is the one that runs."""
    channel = Channel[int](buffer=buffer)
    itemizers: list[Itemizer[int]] = []

    async def use() -> None:
        itemize = await channel.sender.__aenter__()
        itemizers.append(itemize)
        sent: list[asyncio.Task[None]] = []
        for item in range(3):
            ask = await begun(anext(channel.receiver))
            sent.append(asyncio.create_task(itemize(item)))
            assert await ask == item
        sent[-1].cancel()

    asyncio.run(use())
    state = repr(channel)
    for run in (in_new_loop, by_hand, in_thread_with_loop, in_thread_without_loop):
        refused(run, itemizers[0](9))
        refused(run, anext(channel.receiver))
        refused(run, channel.receiver.aclose())
    assert repr(channel) == state


@every_buffer
def test_where_no_loop_runs_a_wait_is_refused(buffer: int) -> None:
    """Rule 19: there is nothing to wait with; nothing is accepted, none is queued, and the channel has no loop yet."""
    channel = Channel[int](buffer=buffer)
    itemize = by_hand(channel.sender.__aenter__())
    no_loop = pytest.raises(RuntimeError, match=r"<Channel .*> has to wait, and no asyncio event loop runs .* asyncio\.run\(\)")
    with no_loop:
        by_hand(anext(channel.receiver))
    for item in range(buffer):
        by_hand(itemize(item))
    state = repr(channel)
    with no_loop:
        by_hand(itemize(buffer))
    assert repr(channel) == state
    by_hand(channel.sender.__aexit__(None, None, None))

    assert asyncio.run(rest(channel.receiver)) == list(range(buffer))


def test_where_no_loop_runs_a_block_is_refused() -> None:
    """Rules 17 and 19: its sender is not opened."""
    channel = Channel[int]()
    state = repr(channel)
    with pytest.raises(RuntimeError, match="no asyncio event loop runs"):
        by_hand(channel.fed_by(produce_numbers, 3).__aenter__())
    assert repr(channel) == state

    async def use() -> list[int]:
        async with channel.fed_by(produce_numbers, 3) as numbers:
            return await rest(numbers)

    assert asyncio.run(use()) == [0, 1, 2]


async def test_another_thread_can_use_the_channels_own_loop() -> None:
    """Rule 19: the remedy that the error names."""
    channel = Channel[int]()
    loop = asyncio.get_running_loop()
    await settle(channel)

    def write(itemize: Itemizer[int]) -> None:
        for item in range(3):
            asyncio.run_coroutine_threadsafe(itemize(item), loop).result()

    async def send() -> None:
        async with channel.sender as itemize:
            await asyncio.to_thread(write, itemize)

    task = asyncio.create_task(send())
    assert [item async for item in channel.receiver] == [0, 1, 2]
    await task


@pytest.mark.parametrize("close", [in_thread, here])
async def test_a_block_that_python_closes_elsewhere_is_left_unchanged(close: Close) -> None:
    """Rules 7 and 19: a coroutine that is thrown away is closed where it is collected; its block fails the stream, and no more."""
    channel = Channel[int](buffer=1)
    ask = await begun(anext(channel.receiver))
    log: list[str] = []

    async def write() -> None:
        try:
            async with channel.sender as itemize:
                await itemize(1)
                await asyncio.sleep(0)
        except GeneratorExit:
            log.append("left by its closing")
            raise

    writing = write()
    writing.send(None)
    assert await done(ask) == 1
    ask = await begun(anext(channel.receiver))
    close(writing.close)
    assert log == ["left by its closing"]
    for _ in range(2):
        with pytest.raises(SenderFailed) as caught:
            await done(ask)
        assert isinstance(caught.value.__cause__, GeneratorExit)
        ask = asyncio.create_task(anext(channel.receiver))
    await raises(SenderFailed, ask)


def test_a_loop_that_moves_to_another_thread_takes_its_channels_along() -> None:
    """Rule 19: what a channel keeps to is its loop, wherever that runs."""
    channel = Channel[int]()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(settle(channel))
    assert in_thread(lambda: loop.run_until_complete(pass_through(channel, [1]))) == [1]
    loop.close()


async def test_a_block_that_has_ended_is_not_left_again_elsewhere() -> None:
    """Rules 6 and 19: how it ended stays so, also when its exit is called by hand once more."""
    channel = Channel[int]()
    assert await pass_through(channel, [1]) == [1]
    assert in_thread(lambda: by_hand(channel.sender.__aexit__(ValueError, ValueError(), None))) is False
    assert await rest(channel.receiver) == []


@pytest.mark.parametrize("close", [in_thread, here])
async def test_a_receivers_block_that_python_closes_elsewhere_is_left_unchanged(close: Close) -> None:
    """Rules 9 and 19: likewise; its block closes the receiver, and no more."""
    channel = Channel[int]()
    log: list[str] = []

    async def read() -> None:
        try:
            async with channel.receiver as receiver:
                log.append(str(await anext(receiver)))
                await asyncio.sleep(0)
        except GeneratorExit:
            log.append("left by its closing")
            raise

    async with channel.sender as itemize:
        children = await all_begun(map(itemize, (1, 2)))
        reading = read()
        reading.send(None)
        await turns()
        assert not children[0].done()
        close(reading.close)
        assert log == ["1", "left by its closing"]
        assert channel.receiver.take_ready() == []
        await raises(ReceiverClosed, *children)
        with pytest.raises(ReceiverClosed):
            await itemize(2)
    with pytest.raises(StopAsyncIteration):
        await anext(channel.receiver)


# Rule 20.


def has_what_makes_it_special(loop: asyncio.AbstractEventLoop, name: str) -> None:
    assert loop.get_debug() is (name == "debug")
    assert (loop.get_task_factory() is not None) is (name == "eager")
    assert type(loop).__module__.startswith("uvloop") is (name == "uvloop")


def test_the_tests_run_on_every_kind_of_loop() -> None:
    """Rule 20: asyncio's own loops, uvloop, eager task factories and debug mode."""
    expected = {"asyncio", "debug"}
    if sys.version_info >= (3, 12):
        expected.add("eager")
    if importlib.util.find_spec("uvloop") is not None:
        expected.add("uvloop")
    assert EVERY_LOOP.keys() == expected
    for name, make in EVERY_LOOP.items():
        with asyncio.Runner(loop_factory=make) as runner:
            has_what_makes_it_special(runner.get_loop(), name)


async def test_a_test_runs_on_the_loop_that_it_names(request: pytest.FixtureRequest) -> None:
    """Rule 20: what makes the loop run a test must not undo what makes it special."""
    # With a single loop, pytest-asyncio leaves its name out.
    name = next(iter(LOOPS)) if len(LOOPS) == 1 else request.node.name.partition("[")[2].rstrip("]")
    has_what_makes_it_special(asyncio.get_running_loop(), name)


async def story(buffer: int, log: dict[str, list[str]]) -> None:
    """What a producer and a consumer see, step by step: the consumer takes some, breaks, goes on, and closes."""
    channel = Channel[int](buffer=buffer)
    both: list[str] = []
    log.update(producer=[], consumer=[], both=both)

    def tell(who: str, what: str) -> None:
        log[who].append(what)
        both.append(what)

    async def write() -> None:
        async with channel.sender as itemize:
            try:
                for item in count():
                    await itemize(item)
                    tell("producer", f"passed {item}")
            except ReceiverClosed:
                tell("producer", "closed")
                raise
        tell("producer", "after the block")

    async def read() -> None:
        for last in (1, 4):
            async for item in channel.receiver:
                tell("consumer", f"got {item}")
                await turns()
                if item == last:
                    break
        await channel.receiver.aclose()
        tell("consumer", "has closed")

    reading = await begun(read())
    writing = asyncio.create_task(write())
    await turns(60)
    await done(reading)
    await done(writing)


@every_buffer
@pytest.mark.parametrize("make", LOOPS.values(), ids=LOOPS.keys())
def test_every_loop_leaves_the_same_trace(buffer: int, make: LoopFactory) -> None:
    """Rule 20: works unchanged; in lock-step line for line, with a buffer line for line on each side."""
    log: dict[str, list[str]] = {}
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(story(buffer, log))
    assert log["consumer"] == [*(f"got {item}" for item in range(5)), "has closed"]
    passed = 4 + (buffer and buffer + 1)  # in lock-step the last one is not released
    assert log["producer"] == [*(f"passed {item}" for item in range(passed)), "closed", "after the block"]
    if not buffer:
        lines = [line for item in range(4) for line in (f"got {item}", f"passed {item}")]
        assert log["both"] == [*lines, "got 4", "has closed", "closed", "after the block"]

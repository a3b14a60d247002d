"""What a program that hangs can see: the repr of tasks and channels, and one ResourceWarning."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from chanstream import Channel, Itemizer, Producer, Receiver, SenderContext
from tests.garbage import let_go
from tests.loops import turns

HERE = __file__


async def debugging() -> bool:
    return asyncio.get_running_loop().get_debug()


def line_after(function: Callable[..., object], offset: int) -> str:
    """Where the line `offset` lines after the `def` of `function` is, as a channel tells it."""
    return f"{HERE}:{function.__code__.co_firstlineno + offset}"


@contextmanager
def noted() -> Iterator[list[str]]:
    """The ResourceWarnings that were given, whatever their filters."""
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        told: list[str] = []
        yield told
        gc.collect()
        told.extend(str(each.message) for each in caught if each.category is ResourceWarning)


async def write(sink: SenderContext[int]) -> None:
    async with sink as itemize:
        for number in range(3):
            await itemize(number)


# Which task waits for which.


@pytest.mark.parametrize("buffer", [0, 2])
async def test_the_repr_of_a_task_shows_that_it_waits_in_itemize(buffer: int) -> None:
    channel = Channel[int](buffer=buffer)
    task = asyncio.create_task(write(channel.sender))
    await turns()
    assert f"wait_for=<waiting in itemize of {channel!r}>" in repr(task)
    assert "1 waiting in itemize, 0 waiting for an item" in repr(task)
    await channel.receiver.aclose()
    await task


async def test_the_repr_of_a_task_shows_that_it_waits_for_an_item() -> None:
    channel = Channel[int]()
    task = asyncio.create_task(anext(channel.receiver, None))
    await turns()
    assert f"wait_for=<waiting for an item of {channel!r}>" in repr(task)
    assert "0 waiting in itemize, 1 waiting for an item" in repr(task)
    await channel.receiver.aclose()
    await task


async def test_the_repr_of_a_task_shows_that_it_was_woken() -> None:
    """A task that was woken and has not run yet is not stuck."""
    channel = Channel[int]()
    task = asyncio.create_task(anext(channel.receiver, None))
    await turns()
    await channel.receiver.aclose()
    assert f"wait_for=<waiting for an item of {channel!r}, woken>" in repr(task)
    await task


async def test_in_debug_mode_a_channel_shows_where_it_was_made() -> None:
    def make() -> list[Channel[int]]:
        return [
            Channel(),
            Channel[int](),
            Channel[int](buffer=1),
        ]

    for offset, channel in enumerate(make(), start=2):
        place = f", made at {line_after(make, offset)}>" if await debugging() else " waiting for an item>"
        assert repr(channel).endswith(place)
        assert repr(channel.sender).endswith(place + ">")


@pytest.mark.slow
def test_without_a_loop_only_development_mode_shows_where_a_channel_was_made() -> None:
    program = "from chanstream import Channel\n\n\nprint(Channel[int]())"
    for options, place in ([], ""), (["-X", "dev"], ", made at <string>:4"):
        command = [sys.executable, *options, "-c", program]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert run.stdout.endswith(f"0 waiting for an item{place}>\n")


# A receiver that is dropped and not closed.


async def take_one_and_drop(take: int) -> None:
    channel = Channel[int]()
    task = asyncio.create_task(write(channel.sender))
    receiver: list[Receiver[int]] = [channel.receiver]
    del channel
    for _ in range(take):
        await anext(receiver[0])
    await turns()
    receiver.clear()
    let_go()
    await task  # rule 13: the block ends quietly


@pytest.mark.parametrize("take", [0, 1, 3])
async def test_an_itemizer_stranded_by_a_dropped_receiver_gives_one_warning(take: int) -> None:
    with noted() as told:
        await take_one_and_drop(take)
    if not await debugging():
        assert told == []
        return
    assert len(told) == 1
    assert f"1 waiting in itemize, 0 waiting for an item, made at {line_after(take_one_and_drop, 1)}>" in told[0]
    assert told[0].startswith("the receiver of <Channel lock-step: sender open, receiver open,")
    assert told[0].endswith("close it with `async with channel.receiver`")


async def test_a_warning_that_is_an_error_leaves_no_task_waiting() -> None:
    """Rule 13."""
    failures: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda failure: failures.append(failure.exc_type)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await take_one_and_drop(1)
    finally:
        sys.unraisablehook = hook
    assert failures == ([ResourceWarning] if await debugging() else [])


async def test_a_drop_in_another_thread_warns_as_well() -> None:
    channel = Channel[int]()
    task = asyncio.create_task(write(channel.sender))
    ends = [channel.receiver]
    del channel
    await turns()
    with noted() as told:
        thread = threading.Thread(target=ends.clear)
        thread.start()
        thread.join()
        let_go()
        await task
    assert len(told) == (1 if await debugging() else 0)


async def closed() -> None:
    channel = Channel[int]()
    task = asyncio.create_task(write(channel.sender))
    async with channel.receiver:
        await anext(channel.receiver)
    await task


async def read_to_its_end() -> None:
    channel = Channel[int]()
    task = asyncio.create_task(write(channel.sender))
    assert [number async for number in channel.receiver] == [0, 1, 2]
    await task


async def never_used() -> None:
    Channel[int]()


async def left_with_nobody_waiting() -> None:
    channel = Channel[int](buffer=3)
    await write(channel.sender)
    await anext(channel.receiver)


async def sender_dropped() -> None:
    channel = Channel[int]()
    task = asyncio.create_task(anext(channel.receiver))
    del channel
    let_go()
    await asyncio.wait([task])
    assert "dropped before it was opened" in repr(task.exception())  # the message of SenderFailed


async def broken_off_in_fed_by() -> None:
    async def count(itemize: Callable[[int], Awaitable[None]]) -> None:
        for number in range(3):
            await itemize(number)

    async with Channel[int]().fed_by(count) as numbers:
        await anext(numbers)


@pytest.mark.parametrize(
    "use", [closed, read_to_its_end, never_used, left_with_nobody_waiting, sender_dropped, broken_off_in_fed_by]
)
async def test_a_dropped_receiver_that_strands_no_itemizer_gives_no_warning(use: Callable[[], Awaitable[None]]) -> None:
    with noted() as told:
        await use()
    assert told == []


@pytest.mark.cpython
async def test_the_warning_names_the_receiver_as_its_source() -> None:
    """So that tracemalloc, when it is on, tells the whole stack."""
    import tracemalloc  # PyPy has none

    if not await debugging():
        with noted() as told:
            await take_one_and_drop(1)
        assert told == []
        return
    tracemalloc.start(5)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await take_one_and_drop(1)
            gc.collect()
        stranded = [each for each in caught if each.category is ResourceWarning]
        assert len(stranded) == 1
        traceback = tracemalloc.get_object_traceback(stranded[0].source)
        assert traceback is not None
        assert any(frame.filename == HERE for frame in traceback)
    finally:
        tracemalloc.stop()


# The name of a task, and which task awaits it.


async def tell(_: Itemizer[int], names: list[str]) -> None:
    task = asyncio.current_task()
    assert task is not None
    names.append(task.get_name())
    await asyncio.Event().wait()


class Teller:
    async def tell(self, itemize: Itemizer[int], names: list[str]) -> None:
        await tell(itemize, names)

    __call__ = tell


class Mock(Teller):
    """Has every attribute, as those of unittest.mock."""

    def __getattr__(self, name: str) -> Mock:
        if name[:2] == "__":
            raise AttributeError(name)
        return Mock()


NAMED: list[tuple[Producer[int, [list[str]]], str]] = [
    (tell, "tell"),
    (lambda itemize, names: tell(itemize, names), "<lambda>"),  # noqa: PLW0108 - for its name
    (Teller().tell, "Teller.tell"),
    (Teller(), "Teller"),
    (partial(partial(tell)), "tell"),
    (partial(Teller().tell), "Teller.tell"),
    (partial(Teller()), "Teller"),
    (Mock(), "Mock"),
]


@pytest.mark.parametrize("factory", ["none", "forgetful", *(["eager"] if sys.version_info >= (3, 12) else [])])
def test_the_task_of_a_producer_is_named_after_it(factory: str) -> None:
    """Rule 17: from its first step on, which under an eager task factory comes before the task is returned."""

    async def local(itemize: Itemizer[int], names: list[str]) -> None:
        await tell(itemize, names)

    async def main() -> None:
        if factory == "forgetful":
            asyncio.get_running_loop().set_task_factory(lambda loop, coro, **_: asyncio.Task(coro, loop=loop))
        if sys.version_info >= (3, 12) and factory == "eager":
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        before = asyncio.all_tasks()
        for func, name in [*NAMED, (local, "test_the_task_of_a_producer_is_named_after_it.local")]:
            names: list[str] = []
            async with Channel[int]().fed_by(func, names):
                await turns(2)
                names += [task.get_name() for task in asyncio.all_tasks() - before]
            assert names == [name, name]

    asyncio.run(main())


STUCK = """
import asyncio
from chanstream import Channel

async def count(itemize):
    await itemize(1)
    await asyncio.Event().wait()

async def double(itemize, numbers):
    async for number in numbers:
        await itemize(2 * number)

async def halve(itemize):
    async with Channel().fed_by(count) as numbers, Channel().fed_by(double, numbers) as doubled:
        async for number in doubled:
            await itemize(number // 2)

async def main():
    async with Channel().fed_by(halve) as halves, Channel().fed_by(double, halves) as numbers:
        async for number in numbers:
            print(number, flush=True)

asyncio.run(main())
"""

if sys.version_info >= (3, 14):

    @pytest.mark.slow
    def test_pstree_draws_a_stuck_pipeline_as_one_tree() -> None:
        """Rule 17: each producer is shown below the task that entered its block."""
        with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True) as stuck:
            try:
                assert stuck.stdout is not None
                assert stuck.stdout.readline() == "2\n"
                time.sleep(0.5)  # until it waits for the next
                command = [sys.executable, "-m", "asyncio", "pstree", str(stuck.pid)]
                drawn = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            finally:
                stuck.kill()
        if "ermission" in drawn.stderr:
            pytest.skip("this system lets no process look into another")
        assert drawn.returncode == 0, drawn.stderr
        tasks = [(line.index("(T)") // 4, line.partition("(T) ")[2]) for line in drawn.stdout.splitlines() if "(T)" in line]
        depths = sorted({depth for depth, _ in tasks})
        assert [(depths.index(depth), name) for depth, name in tasks if depth == depths[0]] == [(0, "Task-1")]
        assert sorted((depths.index(depth), name) for depth, name in tasks[1:]) == [
            (1, "double"),
            (1, "halve"),
            (2, "count"),
            (2, "double"),
        ]

    async def test_a_producer_is_known_to_be_awaited_by_its_consumer_while_that_waits_for_items() -> None:
        """Rule 17: and by no task that waits for something else, for that may be lost."""

        async def read(rows: list[Receiver[int]], pause: asyncio.Event) -> None:
            async with Channel[int]().fed_by(tell, []) as first, Channel[int]().fed_by(tell, []):
                rows.append(first)
                await pause.wait()
                await anext(first, None)

        def awaiting() -> list[set[object]]:
            graphs = [asyncio.capture_call_graph(task) for task in asyncio.all_tasks() if task.get_name() == "tell"]
            return [{each.future for each in graph.awaited_by} for graph in graphs if graph]

        rows: list[Receiver[int]] = []
        pause = asyncio.Event()
        reader = asyncio.create_task(read(rows, pause))
        await turns()
        assert awaiting() == [set(), set()]
        pause.set()
        await turns()
        assert awaiting() == [{reader}, {reader}]
        await rows[0].aclose()
        await reader

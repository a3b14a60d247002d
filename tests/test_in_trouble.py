"""What a program that is stuck, or that strands somebody, gets told: the repr of tasks and channels, and one ResourceWarning."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import tracemalloc
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from chanstream import Channel, Receiver, SenderContext
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


# Who waits for whom.


@pytest.mark.parametrize("buffer", [0, 2])
async def test_the_repr_of_a_task_tells_that_it_waits_in_itemize(buffer: int) -> None:
    channel = Channel[int](buffer=buffer)
    task = asyncio.create_task(write(channel.sender))
    await turns()
    assert f"wait_for=<waiting in itemize of {channel!r}>" in repr(task)
    assert "1 waiting in itemize, 0 waiting for an item" in repr(task)
    await channel.receiver.aclose()
    await task


async def test_the_repr_of_a_task_tells_that_it_waits_for_an_item() -> None:
    channel = Channel[int]()
    task = asyncio.create_task(anext(channel.receiver, None))
    await turns()
    assert f"wait_for=<waiting for an item of {channel!r}>" in repr(task)
    assert "0 waiting in itemize, 1 waiting for an item" in repr(task)
    await channel.receiver.aclose()
    await task


async def test_the_repr_of_a_task_tells_that_it_was_woken() -> None:
    """Who was woken and has not run yet is not stuck."""
    channel = Channel[int]()
    task = asyncio.create_task(anext(channel.receiver, None))
    await turns()
    await channel.receiver.aclose()
    assert f"wait_for=<waiting for an item of {channel!r}, woken>" in repr(task)
    await task


async def test_in_debug_mode_a_channel_tells_where_it_was_made() -> None:
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


def test_without_a_loop_only_development_mode_tells_where_a_channel_was_made() -> None:
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
    await task  # rule 13: the block ends quietly


@pytest.mark.parametrize("take", [0, 1, 3])
async def test_who_is_stranded_by_a_dropped_receiver_gives_one_warning(take: int) -> None:
    with noted() as told:
        await take_one_and_drop(take)
    if not await debugging():
        assert told == []
        return
    assert len(told) == 1
    assert f"1 waiting in itemize, 0 waiting for an item, made at {line_after(take_one_and_drop, 1)}>" in told[0]
    assert told[0].startswith("the receiver of <Channel lock-step: sender open, receiver open,")
    assert told[0].endswith("close it with `async with channel.receiver`")


async def test_a_warning_that_is_an_error_leaves_nobody_waiting() -> None:
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
    await asyncio.wait([task])
    assert "never opened" in repr(task.exception())  # is told by SenderFailed


async def broken_off_in_fed_by() -> None:
    async def count(itemize: Callable[[int], Awaitable[None]]) -> None:
        for number in range(3):
            await itemize(number)

    async with Channel[int]().fed_by(count) as numbers:
        await anext(numbers)


@pytest.mark.parametrize(
    "use", [closed, read_to_its_end, never_used, left_with_nobody_waiting, sender_dropped, broken_off_in_fed_by]
)
async def test_who_strands_nobody_hears_nothing(use: Callable[[], Awaitable[None]]) -> None:
    with noted() as told:
        await use()
    assert told == []


async def test_the_warning_names_the_receiver_as_its_source() -> None:
    """So that tracemalloc, when it is on, tells the whole stack."""
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

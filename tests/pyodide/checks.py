"""What the contract promises, in Pyodide: one check for each rule that its event loop or its collector might break.

It has no threads, and its event loop is the browser's, which can't be run until something is done. So the checks are programs of
their own, without pytest.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from chanstream import Channel, Itemizer, ReceiverClosed, SenderFailed, stream

Check = Callable[[], Awaitable[None]]
CHECKS: list[Check] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def write(channel: Channel[int], count: int, log: list[str] | None = None) -> None:
    log = [] if log is None else log
    async with channel.sender as itemize:
        for item in range(count):
            await itemize(item)
            log.append(f"passed {item}")


async def count_for_ever(itemize: Itemizer[int], log: list[str]) -> None:
    try:
        item = 0
        while True:
            await itemize(item)
            item += 1
    finally:
        await turns(2)
        log.append("cleaned")


async def fail(itemize: Itemizer[int]) -> None:
    await itemize(0)
    raise LookupError


@check
async def lock_step_is_yield_line_for_line() -> None:
    """Rule 2."""
    channel, log = Channel[int](), list[str]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write(channel, 2, log))
        async for item in channel.receiver:
            await turns()
            log.append(f"done {item}")
    assert log == ["done 0", "passed 0", "done 1", "passed 1"], log


@check
async def a_buffer_lets_the_sender_go_ahead() -> None:
    """Rule 3."""
    channel, log = Channel[int](buffer=2), list[str]()
    writing = asyncio.create_task(write(channel, 4, log))
    await turns()
    assert log == ["passed 0", "passed 1"], log
    assert [item async for item in channel.receiver] == [0, 1, 2, 3]
    await writing


@check
async def each_worker_of_a_pool_has_an_item() -> None:
    """Rule 4."""
    channel, busy, go = Channel[int](), list[int](), asyncio.Event()

    async def work() -> None:
        async for item in channel.receiver:
            busy.append(item)
            await go.wait()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(work())
        tasks.create_task(write(channel, 5))
        await turns(20)
        assert busy == [0, 1, 2], busy
        go.set()
    assert busy == [0, 1, 2, 3, 4], busy


@check
async def a_block_that_fails_truncates_the_stream() -> None:
    """Rules 6 and 7."""
    channel = Channel[int](buffer=1)
    error = LookupError()
    try:
        async with channel.sender as itemize:
            await itemize(0)
            raise error
    except LookupError as left:
        assert left is error
    assert await anext(channel.receiver) == 0
    for _ in range(2):
        try:
            await anext(channel.receiver)
        except SenderFailed as failed:
            assert failed.__cause__ is error
        else:
            raise AssertionError


@check
async def a_closed_receiver_ends_the_block_quietly() -> None:
    """Rules 9 to 11."""
    channel, log = Channel[int](), list[str]()

    async def send() -> None:
        async with channel.sender as itemize:
            try:
                await itemize(0)
            except ReceiverClosed:
                log.append("closed")
                raise
        log.append("went on")

    sending = asyncio.create_task(send())
    await turns()
    await channel.receiver.aclose()
    await sending
    assert log == ["closed", "went on"], log


@check
async def a_break_closes_nothing() -> None:
    """Rule 12."""
    channel = Channel[int](buffer=1)
    writing = asyncio.create_task(write(channel, 3))
    async for item in channel.receiver:
        assert item == 0
        break
    assert [item async for item in channel.receiver] == [1, 2]
    await writing


@check
async def a_dropped_receiver_is_noticed() -> None:
    """Rule 13."""
    channel = Channel[int]()
    sender = channel.sender
    del channel
    async with sender as itemize:
        try:
            await itemize(0)
        except ReceiverClosed:
            return
    raise AssertionError


@check
async def a_cancelled_ask_takes_nothing() -> None:
    """Rule 14."""
    channel = Channel[int]()
    asks = [asyncio.create_task(anext(channel.receiver)) for _ in range(2)]
    await turns()
    writing = asyncio.create_task(write(channel, 1))
    await turns(1)
    asks[0].cancel()
    await turns()
    assert asks[0].cancelled()
    assert await asks[1] == 0
    assert [item async for item in channel.receiver] == []
    await writing


@check
async def a_cancelled_itemize_withdraws_its_item() -> None:
    """Rule 15."""
    channel = Channel[int]()
    async with channel.sender as itemize:
        waiting = [asyncio.create_task(itemize(item)) for item in range(2)]
        await turns()
        waiting[0].cancel()
        await turns()
        assert await anext(channel.receiver) == 1
        last = asyncio.create_task(anext(channel.receiver))
        await waiting[1]
    try:
        await last
    except StopAsyncIteration:
        return
    raise AssertionError


@check
async def a_timeout_ends_an_ask_and_the_stream_goes_on() -> None:
    """Rules 14 and 16."""
    channel = Channel[int]()
    try:
        async with asyncio.timeout(0.01):
            await anext(channel.receiver)
    except TimeoutError:
        writing = asyncio.create_task(write(channel, 2))
        assert [item async for item in channel.receiver] == [0, 1]
        await writing
    else:
        raise AssertionError


@check
async def a_fed_by_block_waits_for_the_cleanup_of_its_producer() -> None:
    """Rule 17."""
    log = list[str]()
    async with Channel[int]().fed_by(count_for_ever, log) as items:
        assert [await anext(items) for _ in range(3)] == [0, 1, 2]
    assert log == ["cleaned"], log


@check
async def an_error_of_a_producer_leaves_its_block_as_itself() -> None:
    """Rule 17."""
    try:
        async with Channel[int]().fed_by(fail) as items:
            async for item in items:
                assert item == 0
    except LookupError:
        return
    raise AssertionError


@check
async def a_stream_does_what_a_generator_does() -> None:
    """Rule 18: its items, its error, and a cleanup that awaits."""
    taken, log = list[int](), list[str]()
    try:
        async for item in stream(fail):
            taken.append(item)
    except LookupError:
        log.append("failed")
    items = stream(count_for_ever, log)
    taken.append(await anext(items))
    await items.aclose()
    assert (taken, log) == ([0, 0], ["failed", "cleaned"]), (taken, log)


@check
async def nothing_but_the_library_is_needed() -> None:
    """There is no typing-extensions here."""
    assert "typing_extensions" not in sys.modules


async def main() -> None:
    unraisable = list[object]()
    sys.unraisablehook = unraisable.append
    for each in CHECKS:
        async with asyncio.timeout(30):
            await each()
        assert not unraisable, each
        print(f"  {each.__name__.replace('_', ' ')}")
    print(f"{len(CHECKS)} checks, all kept")

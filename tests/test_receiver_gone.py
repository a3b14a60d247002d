"""What ends a producer when nothing takes its items any more: rules 10 and 11.

`ReceiverClosed` is no Exception, so no handler that is meant for errors of the producer's own keeps it going. `CARRIERS` are the
ways from an itemizer to a handler.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest

from chanstream import Channel, ChannelError, Itemizer, Receiver, ReceiverClosed, SenderClosed, SenderContext
from tests.loops import this_task, turns
from tests.outcomes import Broken, begun, closed_early, done, wait_for
from tests.producers import write

Carrier = Callable[[Itemizer[int], int], Awaitable[object]]

every_buffer = pytest.mark.parametrize("buffer", [0, 1, 3])

ATTEMPTS = 40

# asyncio raises a cancellation again in whose place something else was raised. Before, a timeout could not have taken it back.
CANCELS_AGAIN = sys.version_info >= (3, 13)


async def plain(itemize: Itemizer[int], item: int) -> None:
    await itemize(item)


async def in_a_task(itemize: Itemizer[int], item: int) -> None:
    await asyncio.create_task(plain(itemize, item))


async def gathered(itemize: Itemizer[int], item: int) -> None:
    await asyncio.gather(itemize(item), itemize(item))


async def in_a_group(itemize: Itemizer[int], item: int) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(plain(itemize, item))
        group.create_task(plain(itemize, item))


async def in_a_group_of_anyio(itemize: Itemizer[int], item: int) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(itemize, item)
        group.start_soon(itemize, item)


async def with_a_timeout(itemize: Itemizer[int], item: int) -> None:
    await asyncio.wait_for(itemize(item), 100)


async def shielded(itemize: Itemizer[int], item: int) -> None:
    await asyncio.shield(plain(itemize, item))


async def as_it_is_completed(itemize: Itemizer[int], item: int) -> None:
    for call in asyncio.as_completed([plain(itemize, item)]):
        await call


async def from_a_thread(itemize: Itemizer[int], item: int) -> None:
    """Through two futures of `concurrent.futures`: that of the coroutine and that of the thread."""
    loop = asyncio.get_running_loop()

    def call() -> None:
        with suppress(Exception):
            asyncio.run_coroutine_threadsafe(plain(itemize, item), loop).result()

    await asyncio.to_thread(call)


CARRIERS: list[Carrier] = [
    plain,
    in_a_task,
    gathered,
    in_a_group,
    in_a_group_of_anyio,
    with_a_timeout,
    shielded,
    as_it_is_completed,
    from_a_thread,
]

by_every_carrier = pytest.mark.parametrize("carrier", CARRIERS)


@every_buffer
@by_every_carrier
async def test_except_exception_does_not_keep_a_producer_going(buffer: int, carrier: Carrier) -> None:
    """Rules 10 and 11: the handler sees nothing, `finally` runs, and the block ends quietly, as GeneratorExit ends a generator."""
    channel = Channel[int](buffer=buffer)
    log: list[str] = []

    async def produce() -> None:
        async with channel.sender as itemize:
            try:
                for item in range(ATTEMPTS):
                    try:
                        await carrier(itemize, item)
                    except Exception as error:
                        log.append(repr(error))
                log.append("sent everything")
            finally:
                log.append("finally")
        log.append("after the block")

    producing = asyncio.create_task(produce())
    assert await anext(channel.receiver) == 0
    await channel.receiver.aclose()
    await producing
    assert log == ["finally", "after the block"]
    await closed_early(channel.receiver)


async def test_a_relay_with_except_exception_does_not_drain_its_source() -> None:
    """Rules 10 and 11: what it could not pass on is no bad item."""
    source, sink = Channel[int](buffer=9), Channel[int]()
    await write(source.sender, range(9))
    bad: list[int] = []

    async def relay() -> None:
        async with sink.sender as itemize:
            async for item in source.receiver:
                try:
                    await itemize(item)
                except Exception:
                    bad.append(item)

    relaying = asyncio.create_task(relay())
    async with sink.receiver as items:
        assert [await anext(items), await anext(items)] == [0, 1]
    await done(relaying)
    assert bad == []
    assert [item async for item in source.receiver] == list(range(2, 9))


# Groups.


async def group_of_asyncio(*calls: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(wait_for(call()))


async def group_of_anyio(*calls: Callable[[], Awaitable[None]]) -> None:
    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(wait_for, call())


@pytest.mark.parametrize("run_group", [group_of_asyncio, group_of_anyio])
async def test_a_group_of_a_closing_and_an_error_is_no_exception_and_passes_through(
    run_group: Callable[..., Awaitable[None]],
) -> None:
    """Rule 11: one child gets the closing, another fails for a reason of its own; `except*` separates the two."""
    channel, error = Channel[int](), Broken()
    log: list[BaseException] = []

    async def send() -> None:
        async with channel.sender as itemize:

            async def pass_on() -> None:
                await itemize(1)

            async def fail() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    raise error

            try:
                await run_group(fail, pass_on)
            except Exception as wrong:
                log.append(wrong)

    async def handle() -> None:
        try:
            await send()
        except* ReceiverClosed as closed:
            log.extend(closed.exceptions)
        except* Broken as failures:
            log.extend(failures.exceptions)

    handling = await begun(handle())
    await channel.receiver.aclose()
    await done(handling, 30)
    assert [type(each) for each in log] == [ReceiverClosed, Broken]
    assert log[1] is error


# Where a ReceiverClosed is looked at.


async def test_gathered_errors_and_those_of_tasks_are_results_as_any_other() -> None:
    """Rule 10: asyncio re-raises none of them in the event loop, as it does KeyboardInterrupt."""
    channel = Channel[int]()
    async with channel.sender as itemize:
        await channel.receiver.aclose()
        results = await asyncio.gather(itemize(1), itemize(2), turns(1), return_exceptions=True)
        task = asyncio.create_task(itemize(3))
        finished, _ = await asyncio.wait([task])
    assert [type(result) for result in results] == [ReceiverClosed, ReceiverClosed, type(None)]
    assert finished == {task}
    assert isinstance(task.exception(), ReceiverClosed)


async def test_a_handler_that_sends_to_channels_of_others_catches_channel_errors() -> None:
    """Surface, rules 8 and 10: whatever became of one of them, the others get their item."""
    gone, ended, fine = Channel[int](buffer=1), Channel[int](buffer=1), Channel[int](buffer=1)
    itemizers = [await channel.sender.__aenter__() for channel in (gone, ended, fine)]
    await gone.receiver.aclose()
    await ended.sender.__aexit__(None, None, None)
    errors: list[ChannelError] = []
    for itemize in itemizers:
        try:
            await itemize(1)
        except ChannelError as error:
            errors.append(error)
    assert [type(error) for error in errors] == [ReceiverClosed, SenderClosed]
    assert await anext(fine.receiver) == 1


async def test_a_block_in_a_closed_channel_counts_as_finished() -> None:
    """Rule 11 and the surface: how it is left makes no difference to a receiver that has gone."""
    for error in (None, Broken()):
        channel = Channel[int]()
        await channel.receiver.aclose()
        itemize = await channel.sender.__aenter__()
        assert channel.statistics().sender == "open"
        await channel.sender.__aexit__(None if error is None else type(error), error, None)
        assert channel.statistics().sender == "finished"
        with pytest.raises(ReceiverClosed):
            await itemize(1)


# A cancellation at the same time.


async def cleans_up_with(sink: SenderContext[int], log: list[str]) -> None:
    """Wait, and in the cleanup pass an item on, so that ReceiverClosed takes the place of a cancellation."""
    async with sink as itemize:
        try:
            await asyncio.Event().wait()
        finally:
            await itemize(1)
    log.append("after the block")
    await turns(1)
    log.append("went on")


async def test_a_quiet_end_hides_no_cancellation() -> None:
    """Rule 11: from Python 3.13 on, the next `await` raises the cancellation in whose place ReceiverClosed was raised."""
    channel = Channel[int]()
    log: list[str] = []
    task = await begun(cleans_up_with(channel.sender, log))
    await channel.receiver.aclose()
    task.cancel()
    await asyncio.wait([task])
    assert log == (["after the block"] if CANCELS_AGAIN else ["after the block", "went on"])
    assert task.cancelled() is CANCELS_AGAIN
    assert task.cancelling() == 1


if CANCELS_AGAIN:  # elsewhere a timeout can't take back a cancellation that is raised again

    async def test_a_quiet_end_hides_no_timeout() -> None:
        """Rule 11: and the timeout takes back what it has asked for."""
        channel = Channel[int]()
        log: list[str] = []
        await channel.receiver.aclose()

        async def run() -> int:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await cleans_up_with(channel.sender, log)
            await turns(1)
            task = this_task()
            return task.cancelling()

        assert await asyncio.create_task(run()) == 0
        assert log == ["after the block"]


async def test_a_quiet_end_brings_no_cancellation_back_that_was_swallowed_before_the_block() -> None:
    """Rule 11: what was asked of the task before it entered the block is the affair of the code before it."""
    channel = Channel[int]()
    log: list[str] = []

    async def run(receiver: Receiver[int]) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        async with channel.sender as itemize:
            await receiver.aclose()
            await itemize(1)
        await turns(1)
        log.append("went on")

    task = await begun(run(channel.receiver))
    task.cancel()
    await done(task)
    assert log == ["went on"]


async def test_a_block_that_is_left_by_a_cancellation_is_cancelled_although_the_receiver_has_gone() -> None:
    """Rules 7 and 11: only ReceiverClosed makes an end quiet."""
    channel = Channel[int]()

    log: list[str] = []

    async def run() -> None:
        async with channel.sender:
            await asyncio.Event().wait()
        log.append("after the block")

    task = await begun(run())
    await channel.receiver.aclose()
    task.cancel()
    await turns()
    assert task.cancelled()
    assert log == []

"""A receiver that was closed before its stream had ended does not look like one that gave everything: rule 9.

`CUTS` are the ways in which a stream is cut short, `COMPLETE` those in which it ends and is closed all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, suppress

import pytest

from chanstream import Channel, Itemizer, Receiver, ReceiverClosed
from tests.loops import turns
from tests.outcomes import Broken, all_begun, all_done, begun, closed_early, collect, cut_short, done, failed, over
from tests.producers import count, write

Way = Callable[[Channel[int]], Awaitable[object]]

every_buffer = pytest.mark.parametrize("buffer", [0, 1, 3])


async def refused(calls: list[asyncio.Task[None]]) -> None:
    """Those itemizers that still waited have got ReceiverClosed."""
    await turns()
    assert all(call.exception() is None or isinstance(call.exception(), ReceiverClosed) for call in calls)


# The ways to cut a stream short.


async def before_the_sender_was_opened(channel: Channel[int]) -> None:
    await channel.receiver.aclose()


async def before_the_first_item(channel: Channel[int]) -> None:
    async with channel.sender:
        await channel.receiver.aclose()


async def while_itemizers_wait(channel: Channel[int]) -> None:
    async with channel.sender as itemize:
        calls = await all_begun(map(itemize, range(channel.statistics().buffer + 2)))
        await channel.receiver.aclose()
        await refused(calls)


async def between_two_items(channel: Channel[int]) -> None:
    sending = asyncio.create_task(write(channel.sender, range(9)))
    assert await anext(channel.receiver) == 0
    await channel.receiver.aclose()
    await done(sending)


async def in_the_last_moment_of_the_block(channel: Channel[int]) -> None:
    """All that was sent has been taken, but the block might have sent more."""
    async with channel.sender as itemize:
        call = asyncio.create_task(itemize(0))
        assert await anext(channel.receiver) == 0
        await channel.receiver.aclose()
    await refused([call])


async def after_the_block_with_items_left(channel: Channel[int]) -> None:
    async with channel.sender as itemize:
        calls = await all_begun(map(itemize, range(channel.statistics().buffer + 2)))
    assert await anext(channel.receiver) == 0
    await channel.receiver.aclose()
    await refused(calls)


async def after_the_block_with_the_buffer_full(channel: Channel[int]) -> None:
    async with channel.sender as itemize:
        calls = await all_begun(map(itemize, range(max(1, channel.statistics().buffer))))
    await channel.receiver.aclose()
    await refused(calls)


async def after_a_failure(channel: Channel[int]) -> None:
    with suppress(Broken):
        await write(channel.sender, [], Broken())
    await channel.receiver.aclose()


async def after_a_failure_that_a_loop_has_raised(channel: Channel[int]) -> None:
    with suppress(Broken):
        await write(channel.sender, [], error := Broken())
    await failed(channel.receiver, error)
    await channel.receiver.aclose()


async def after_a_cancellation_of_the_block(channel: Channel[int]) -> None:
    with suppress(asyncio.CancelledError):
        await write(channel.sender, [], asyncio.CancelledError())
    await channel.receiver.aclose()


async def by_leaving_its_block_at_once(channel: Channel[int]) -> None:
    async with channel.receiver:
        pass


async def by_leaving_its_block_after_a_break(channel: Channel[int]) -> None:
    sending = asyncio.create_task(write(channel.sender, range(9)))
    async with channel.receiver as items:
        async for _ in items:
            break
    await done(sending)


async def by_an_error_in_its_block(channel: Channel[int]) -> None:
    sending = asyncio.create_task(write(channel.sender, range(9)))
    with suppress(Broken):
        async with channel.receiver as items:
            async for _ in items:
                raise Broken
    await done(sending)


async def by_a_cancellation_in_its_block(channel: Channel[int]) -> None:
    async def read() -> None:
        async with channel.receiver as items:
            await collect(items)

    reading = await begun(read())
    reading.cancel()
    await turns()
    assert reading.cancelled()


async def by_aclosing(channel: Channel[int]) -> None:
    async with aclosing(channel.receiver):
        pass


async def by_leaving_a_fed_by_block_at_once(channel: Channel[int]) -> None:
    async with channel.fed_by(count, 9):
        pass


async def by_leaving_a_fed_by_block_after_a_break(channel: Channel[int]) -> None:
    async with channel.fed_by(count, 9) as items:
        async for _ in items:
            break


async def by_leaving_a_stack(channel: Channel[int]) -> None:
    async with AsyncExitStack() as stack:
        assert await anext(await stack.enter_async_context(channel.fed_by(count, 9))) == 0


async def by_leaving_what_reads_beside_feed(channel: Channel[int]) -> None:
    feeding = asyncio.create_task(channel.feed(count, 9))
    async with channel.receiver as items:
        assert await anext(items) == 0
    await done(feeding)


CUTS: list[Way] = [
    before_the_sender_was_opened,
    before_the_first_item,
    while_itemizers_wait,
    between_two_items,
    in_the_last_moment_of_the_block,
    after_the_block_with_items_left,
    after_the_block_with_the_buffer_full,
    after_a_failure,
    after_a_failure_that_a_loop_has_raised,
    after_a_cancellation_of_the_block,
    by_leaving_its_block_at_once,
    by_leaving_its_block_after_a_break,
    by_an_error_in_its_block,
    by_a_cancellation_in_its_block,
    by_aclosing,
    by_leaving_a_fed_by_block_at_once,
    by_leaving_a_fed_by_block_after_a_break,
    by_leaving_a_stack,
    by_leaving_what_reads_beside_feed,
]


@every_buffer
@pytest.mark.parametrize("cut", CUTS)
async def test_a_new_loop_over_a_stream_that_was_cut_short_is_refused(buffer: int, cut: Way) -> None:
    """Rule 9: `aiter` raises, nothing is ready, loops that were under way have ended; and closing again changes nothing."""
    channel = Channel[int](buffer=buffer)
    await cut(channel)
    await closed_early(channel.receiver)
    with pytest.raises(RuntimeError, match=r"receiver of <Channel .* closed before the stream had ended"):
        await collect(channel.receiver)
    await channel.receiver.aclose()
    async with channel.receiver as items:
        cut_short(items)
    await closed_early(channel.receiver)


@pytest.mark.parametrize("error", [None, Broken()])
async def test_it_stays_cut_short_whatever_becomes_of_the_sender(error: Exception | None) -> None:
    """Rule 9: what matters is what had been taken when the receiver closed, not how the block ends after that."""
    channel = Channel[int](buffer=1)
    await channel.receiver.aclose()
    with suppress(Broken):
        await write(channel.sender, [], error)
    await closed_early(channel.receiver)


@every_buffer
async def test_the_block_of_a_receiver_gives_the_receiver_and_leaves_an_error_unchanged(buffer: int) -> None:
    """Rules 7 and 9: the error leaves as the object that it is, and the receiver is closed."""
    channel, error = Channel[int](buffer=buffer), Broken()
    with pytest.raises(Broken) as caught:
        async with channel.receiver as receiver:
            assert receiver is channel.receiver
            raise error
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    await closed_early(channel.receiver)


# The ways to have everything.


async def read_to_the_end(channel: Channel[int]) -> None:
    sending = asyncio.create_task(write(channel.sender, range(9)))
    assert await collect(channel.receiver) == list(range(9))
    await done(sending)


async def read_to_the_end_inside_its_block(channel: Channel[int]) -> None:
    sending = asyncio.create_task(write(channel.sender, range(9)))
    async with channel.receiver as items:
        assert await collect(items) == list(range(9))
    await done(sending)


async def taken_but_for_the_end(channel: Channel[int]) -> None:
    """In lock-step the last itemizer waits for the ask that gets the end."""
    async with channel.sender as itemize:
        call = asyncio.create_task(itemize(0))
        assert await anext(channel.receiver) == 0
    await channel.receiver.aclose()
    await refused([call])


async def taken_at_once(channel: Channel[int]) -> None:
    async with channel.sender as itemize:
        calls = await all_begun(map(itemize, range(5)))
    assert channel.receiver.take_ready() == list(range(5))
    await channel.receiver.aclose()
    await refused(calls)


async def without_an_item(channel: Channel[int]) -> None:
    async with channel.sender:
        pass
    await channel.receiver.aclose()


async def read_inside_a_fed_by_block(channel: Channel[int]) -> None:
    async with channel.fed_by(count, 9) as items:
        assert await collect(items) == list(range(9))


@every_buffer
@pytest.mark.parametrize(
    "end",
    [
        read_to_the_end,
        read_to_the_end_inside_its_block,
        taken_but_for_the_end,
        taken_at_once,
        without_an_item,
        read_inside_a_fed_by_block,
    ],
)
async def test_a_complete_stream_that_is_read_again_just_ends(buffer: int, end: Way) -> None:
    """Rules 6 and 9: nothing is missing, so a new loop has nothing to be warned of, whether or not the receiver was closed."""
    channel = Channel[int](buffer=buffer)
    await end(channel)
    await over(channel.receiver)
    await channel.receiver.aclose()
    await over(channel.receiver)
    assert channel.receiver.take_ready() == []


# Loops that are under way.


@every_buffer
async def test_loops_under_way_end_quietly_and_a_worker_that_had_not_begun_is_refused(buffer: int) -> None:
    """Rule 9: a pool that is stopped with `aclose`: one worker is busy, one waits, one has not begun its loop."""
    channel = Channel[int](buffer=buffer)
    log: list[str] = []
    at_once, later = asyncio.Event(), asyncio.Event()
    at_once.set()

    async def work(name: str, begin: asyncio.Event) -> None:
        await begin.wait()
        async for item in channel.receiver:
            log.append(f"{name} got {item}")
            await later.wait()
        log.append(f"{name} has ended")

    workers = [asyncio.create_task(work(name, at_once)) for name in ("busy", "waiting")]
    late = asyncio.create_task(work("late", later))
    async with channel.sender as itemize:
        await turns()
        call = await begun(itemize(1))
        await channel.receiver.aclose()
        later.set()
        await all_done(workers)
        assert sorted(log) == ["busy got 1", "busy has ended", "waiting has ended"]
        with pytest.raises(RuntimeError, match="closed before the stream had ended"):
            await done(late)
        await refused([call])


@every_buffer
@pytest.mark.parametrize("steps", ["close", "close, end", "close, fail", "fail, close"])
async def test_a_loop_that_closes_its_own_receiver_ends_quietly(buffer: int, steps: str) -> None:
    """Rule 9: when it comes back for more, it asks for nothing that is still to come, however the block ends meanwhile."""
    channel = Channel[int](buffer=buffer)
    does: dict[str, Callable[[], Awaitable[object]]] = {
        "close": channel.receiver.aclose,
        "end": lambda: channel.sender.__aexit__(None, None, None),
        "fail": lambda: channel.sender.__aexit__(Broken, Broken(), None),
    }
    call = asyncio.create_task((await channel.sender.__aenter__())(1))
    taken: list[int] = []
    async for item in channel.receiver:
        taken.append(item)
        for step in steps.split(", "):
            await does[step]()
    assert taken == [1]
    await refused([call])
    await closed_early(channel.receiver)
    await channel.sender.__aexit__(None, None, None)


# Programs.


async def test_a_receiver_that_is_handed_out_of_its_block_does_not_read_as_an_empty_stream() -> None:
    """Rule 9: a web framework iterates over what a handler returns, when the handler has ended."""

    async def handler() -> AsyncIterator[int]:
        async with Channel[int]().fed_by(count, 3) as chunks:
            return chunks

    with pytest.raises(RuntimeError, match="iterate inside the block that closes it"):
        await collect(await handler())


async def test_a_receiver_that_a_stage_was_given_too_late_is_refused_there() -> None:
    """Rules 7 and 9: so the stage fails, and what is behind it does not look complete either."""

    async def double(itemize: Itemizer[int], numbers: Receiver[int]) -> None:
        async for number in numbers:
            await itemize(2 * number)

    async with Channel[int]().fed_by(count, 3) as numbers:
        pass
    with pytest.raises(RuntimeError, match="closed before the stream had ended"):
        async with Channel[int]().fed_by(double, numbers) as doubled:
            await collect(doubled)

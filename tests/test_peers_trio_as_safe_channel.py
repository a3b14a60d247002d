"""What the tests of trio's `as_safe_channel` learned, said again for a channel.

They are in the second half of src/trio/_tests/test_channel.py. `as_safe_channel` runs an async generator in a task of its own:
here, a sender block in a task beside the consumer, and at the end `fed_by`. More cases of `fed_by` are in test_fed_by.py.

What differs throughout: trio raises ClosedResourceError where a closed end is used, EndOfChannel where the other one is. Here
the end is StopAsyncIteration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from chanstream import Channel, Itemizer, ReceiverClosed, SenderFailed
from tests.loops import turns
from tests.outcomes import closed_early, collect, done, rest, until

either_wait = pytest.mark.parametrize("pause", [0, 5], ids=["turning", "parked"])
either_mode = pytest.mark.parametrize("buffer", [0, 2], ids=["lock-step", "buffered"])


async def test_a_producer_goes_no_further_than_its_consumer() -> None:
    """Rule 2: in lock-step nothing after the first itemize runs while the consumer is busy with the first item.

    trio, test_as_safe_channel_buffer_size_too_small and test_as_safe_channel_no_interleave.
    If this failed, a producer would spend time or money on an item that is never asked for.
    """
    channel = Channel[int]()
    went_on: list[str] = []
    left: list[str] = []

    async def produce() -> None:
        async with channel.sender as itemize:
            await itemize(1)
            went_on.append("in the block")
        left.append("the block")

    producer = asyncio.create_task(produce())
    async with channel.receiver:
        assert await done(asyncio.create_task(anext(channel.receiver))) == 1
        assert not producer.done()
    await done(producer)
    assert not went_on
    assert left == ["the block"]


@either_mode
async def test_an_error_after_an_item_is_never_a_clean_end(buffer: int) -> None:
    """Rule 7: the item arrives, then the loop itself raises, each time; the producer's task keeps its own error.

    trio, test_as_safe_channel_no_race. There the loop ends cleanly and the error comes when the context is left.
    If this failed, the code after the loop would run on a truncated stream.
    """
    channel = Channel[int](buffer=buffer)
    error = ValueError("after the first item")

    async def produce() -> None:
        async with channel.sender as itemize:
            await itemize(1)
            raise error

    taken: list[int] = []

    async def consume() -> None:
        async for item in channel.receiver:
            taken.append(item)
            await turns(25)  # the producer fails meanwhile, if it is not in lock-step

    producer = asyncio.create_task(produce())
    consumer = asyncio.create_task(consume())
    await turns(50)
    for _ in range(2):
        with pytest.raises(SenderFailed) as failed:
            await done(consumer)
        assert failed.value.__cause__ is error
        assert taken == [1]
        consumer = asyncio.create_task(consume())
    with pytest.raises(SenderFailed):
        await done(consumer)
    with pytest.raises(ValueError, match="after the first item") as raised:
        await done(producer)
    assert raised.value is error


@either_mode
async def test_a_producer_may_run_dry_inside_a_receiver_context(buffer: int) -> None:
    """Rules 6 and 9: the loop ends, the context is left, and neither is an error.

    trio, test_as_safe_channel_exhaust.
    If this failed, closing a stream that has ended would break its normal end.
    """
    channel = Channel[int](buffer=buffer)

    async def produce() -> None:
        async with channel.sender as itemize:
            await itemize(1)

    async def consume() -> list[int]:
        async with channel.receiver as receiver:
            return [item async for item in receiver]

    producer = asyncio.create_task(produce())
    assert await done(asyncio.create_task(consume())) == [1]
    await done(producer)
    assert await rest(channel.receiver) == []


@either_mode
async def test_an_ask_after_closing_finds_the_end_and_the_context_is_left_quietly(buffer: int) -> None:
    """Rules 9 and 11: the item with which the producer waits is dropped, and its block ends without an error.

    trio, test_as_safe_channel_broken_resource.
    If this failed, a consumer that has enough would get one item more, or its producer a failure that is none.
    """
    channel = Channel[int](buffer=buffer)
    left: list[str] = []

    async def produce() -> None:
        async with channel.sender as itemize:
            for item in range(10):
                await itemize(item)
            left.append("the end of the items")
        left.append("the block")

    producer = asyncio.create_task(produce())
    async with channel.receiver as receiver:
        assert await done(asyncio.create_task(anext(channel.receiver))) == 0
        await receiver.aclose()
        with pytest.raises(StopAsyncIteration):
            await done(asyncio.create_task(anext(channel.receiver)))
    await done(producer)
    assert left == ["the block"]


@either_mode
async def test_a_receiver_closed_before_the_producer_began_stops_it_at_its_first_item(buffer: int) -> None:
    """Rules 10 and 11: the block can be opened, its first itemize ends it quietly.

    trio, test_as_safe_channel_close_before_iteration and test_as_safe_channel_cancelled, where the body never starts. Here nothing
    but an itemizer tells a producer, so it runs up to the first one.
    If this failed, a producer started too late would work in vain, in lock-step for ever.
    """
    channel = Channel[int](buffer=buffer)
    await channel.receiver.aclose()
    trace: list[str] = []

    async def produce() -> None:
        async with channel.sender as itemize:
            trace.append("opened")
            await itemize(1)
            trace.append("sent")
        trace.append("left")

    await done(asyncio.create_task(produce()))
    assert trace == ["opened", "left"]


@either_mode
async def test_another_task_may_close_the_receiver_between_two_items(buffer: int) -> None:
    """Rules 9 and 11: the loop and the block both end, quietly, wherever they wait.

    trio, test_as_safe_channel_close_between_iteration, where the loop raises ClosedResourceError.
    If this failed, shutting down from outside would leave one of the two running.
    """
    channel = Channel[int](buffer=buffer)
    taken: list[int] = []

    async def produce() -> None:
        async with channel.sender as itemize:
            for item in range(100):
                await itemize(item)
                await turns(1)
            pytest.fail("nobody told it")

    async def consume() -> None:
        async for item in channel.receiver:
            taken.append(item)
            await turns(1)

    producer = asyncio.create_task(produce())
    consumer = asyncio.create_task(consume())
    await turns(20)
    assert len(taken) > 2
    await channel.receiver.aclose()
    await done(consumer)
    await done(producer)


@either_mode
async def test_a_producer_may_close_the_receiver_that_waits_for_it(buffer: int) -> None:
    """Rules 9 and 10: the waiting ask ends, and the producer learns of it at its next item.

    trio, test_as_safe_channel_close_during_iteration, where the loop raises ClosedResourceError.
    If this failed, the consumer would wait for an item that the producer can't send any more.
    """
    channel = Channel[int](buffer=buffer)

    async def produce() -> None:
        async with channel.sender as itemize:
            await itemize(1)
            await until(channel, "0 to be taken, 0 waiting in itemize, 1 waiting for an item")
            await channel.receiver.aclose()
            for _ in range(100):
                await itemize(2)
            pytest.fail("nobody told it")

    consumer = asyncio.create_task(collect(channel.receiver))
    producer = asyncio.create_task(produce())
    assert await done(consumer) == [1]
    await done(producer)


async def test_a_producer_that_fails_while_it_is_closed_keeps_its_error() -> None:
    """Rules 10 and 11: its `finally` runs with ReceiverClosed on the way, and an error raised there is the one that leaves.

    trio, test_as_safe_channel_genexit_finally, where both errors come out in one group, since one context holds both tasks. Here
    each task has its own.
    If this failed, an error of the cleanup would look like the quiet end.
    """
    channel = Channel[int]()
    cleaning_up, consuming = ValueError("cleaning up"), TypeError("consuming")
    trace: list[str] = []

    async def produce() -> None:
        async with channel.sender as itemize:
            try:
                await itemize(1)
            except BaseException as error:
                trace.append(type(error).__name__)
                raise
            finally:
                trace.append("finally")
                raise cleaning_up

    async def consume() -> None:
        async with channel.receiver as receiver:
            async for _ in receiver:
                raise consuming

    producer = asyncio.create_task(produce())
    consumer = asyncio.create_task(consume())
    with pytest.raises(TypeError, match="consuming"):
        await done(consumer)
    with pytest.raises(ValueError, match="cleaning up"):
        await done(producer)
    assert trace == ["ReceiverClosed", "finally"]


async def test_streams_may_be_nested() -> None:
    """Rules 2 and 6: channels have nothing to do with each other.

    trio, test_as_safe_channel_nested_loop.
    If this failed, a stage could not read one stream for each item of another.
    """

    async def produce(channel: Channel[int]) -> None:
        async with channel.sender as itemize:
            for item in range(3):
                await itemize(item)

    async def consume() -> list[tuple[int, int]]:
        pairs: list[tuple[int, int]] = []
        outer = Channel[int]()
        producing = [asyncio.create_task(produce(outer))]
        async for i in outer.receiver:
            inner = Channel[int]()
            producing.append(asyncio.create_task(produce(inner)))
            pairs.extend([(i, j) async for j in inner.receiver])
        await asyncio.gather(*producing)
        return pairs

    consumer = asyncio.create_task(consume())
    await turns(100)
    assert await done(consumer) == [(i, j) for i in range(3) for j in range(3)]


@either_wait
async def test_a_cancelled_producer_does_not_cancel_its_consumer(pause: int) -> None:
    """Rule 7: the consumer gets an error that it can catch, with the cancellation as its cause, and runs on.

    trio, test_as_safe_channel_doesnt_leak_cancellation.
    If this failed, a timeout in the producer would look like a cancellation of the consumer, or like the end of the stream.
    """
    channel = Channel[int]()

    async def produce() -> None:
        async with channel.sender as itemize:
            await itemize(1)

    async def consume() -> list[str]:
        trace: list[str] = []
        try:
            async for item in channel.receiver:
                trace.append(str(item))
                producer.cancel()
                await turns(pause)
        except SenderFailed as failed:
            trace.append(type(failed.__cause__).__name__)
        await turns(1)
        trace.append("runs on")
        return trace

    producer = asyncio.create_task(produce())
    consumer = asyncio.create_task(consume())
    assert await done(consumer) == ["1", "CancelledError", "runs on"]
    assert consumer.cancelling() == 0
    with pytest.raises(asyncio.CancelledError):
        await done(producer)
    with pytest.raises(SenderFailed):
        await done(asyncio.create_task(anext(channel.receiver)))


async def test_a_producer_may_still_wait_while_its_cancelled_consumer_leaves() -> None:
    """Rules 9, 10 and 11: closing tells the producer with an error, not with a cancellation, so its cleaning up may take turns.

    trio, test_as_safe_channel_multi_cancel, where both are cancelled.
    If this failed, a producer could not say goodbye to a server when the consumer was cancelled.
    """
    channel = Channel[int]()
    trace: list[str] = []

    async def produce() -> None:
        async with channel.sender as itemize:
            try:
                await itemize(1)
            finally:
                await turns(1)
                trace.append("producer cleaned up")

    async def consume() -> None:
        async with channel.receiver as receiver:
            await anext(receiver)
            try:
                await turns(1000)
            finally:
                trace.append("consumer cancelled")

    producer = asyncio.create_task(produce())
    consumer = asyncio.create_task(consume())
    await turns(10)
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await done(consumer)
    await done(producer)
    assert trace == ["consumer cancelled", "producer cleaned up"]


@either_mode
async def test_two_asks_of_two_tasks_get_the_items_in_their_order(buffer: int) -> None:
    """Rule 4: the ask that came first gets the item that comes first.

    trio, test_as_safe_channel_multiple_receiver.
    If this failed, replies would be mixed up between tasks that share a receiver.
    """
    channel = Channel[int](buffer=buffer)
    go = asyncio.Event()

    async def produce() -> None:
        async with channel.sender as itemize:
            await go.wait()
            await itemize(0)
            await itemize(1)

    producer = asyncio.create_task(produce())
    first, second = asyncio.create_task(anext(channel.receiver)), asyncio.create_task(anext(channel.receiver))
    await until(channel, "2 waiting for an item")
    go.set()
    assert await done(second) == 1
    assert await done(first) == 0
    assert await rest(channel.receiver) == []
    await done(producer)


async def test_a_block_that_ends_in_a_group_of_its_own_closing_ends_quietly() -> None:
    """Rule 11: a task group inside the block wraps the error, also twice, and that changes nothing.

    trio, test_as_safe_channel_genexit_exception_group.
    If this failed, every producer with a task group would fail whenever its consumer has enough.
    """
    channel = Channel[int]()
    left: list[str] = []

    async def produce() -> None:
        async with channel.sender as itemize, asyncio.TaskGroup() as outer:
            outer.create_task(itemize(0))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(itemize(1))
                inner.create_task(itemize(2))
        left.append("the block")

    producer = asyncio.create_task(produce())
    await until(channel, "3 to be taken")
    assert await anext(channel.receiver) == 0
    await channel.receiver.aclose()
    await done(producer)
    assert left == ["the block"]


async def test_another_error_in_the_group_passes_through() -> None:
    """Rule 11: a group that holds more than its own ReceiverClosed leaves the block unchanged.

    trio, test_as_safe_channel_genexit_filter and test_as_safe_channel_swallowing_extra_exceptions, where the rest is filtered out
    of the group and raised alone.
    If this failed, an error raised while the stream was closed would be swallowed.
    """
    channel = Channel[int]()
    error = ValueError("not while cleaning up")

    async def fail_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise error from None

    async def produce() -> None:
        async with channel.sender as itemize, asyncio.TaskGroup() as group:
            group.create_task(fail_when_cancelled())
            await turns(1)
            await itemize(1)

    producer = asyncio.create_task(produce())
    assert await done(asyncio.create_task(anext(channel.receiver))) == 1
    await channel.receiver.aclose()
    with pytest.raises(BaseExceptionGroup) as raised:
        await done(producer)
    assert sorted(type(each).__name__ for each in raised.value.exceptions) == ["ReceiverClosed", "ValueError"]


@pytest.mark.parametrize("grouped", [False, True], ids=["bare", "grouped"])
async def test_the_closing_of_another_channel_passes_through(*, grouped: bool) -> None:
    """Rules 7 and 11: a block ends quietly by its own channel's closing only; this one has failed, and its consumer gets the error.

    trio, test_as_safe_channel_does_not_suppress_nested_genexit.
    If this failed, a stage whose output was closed would report to its own consumers that everything was sent.
    """
    channel, closed = Channel[int](), Channel[int]()
    await closed.receiver.aclose()

    trace: list[str] = []

    async def a_turn_later(itemizing: Coroutine[object, None, None]) -> None:
        # In Python 3.12 a group whose eager child fails at once leaves a cancellation of its own task behind.
        await turns(1)
        await itemizing

    async def produce() -> None:
        async with closed.sender as to_nobody:
            async with channel.sender as itemize:
                await itemize(1)
                if not grouped:
                    await to_nobody(2)
                async with asyncio.TaskGroup() as group:
                    group.create_task(a_turn_later(to_nobody(2)))
            trace.append("the block of the open one swallowed it")
        trace.append("the block of the closed one ended quietly")

    producer = asyncio.create_task(produce())
    assert await done(asyncio.create_task(anext(channel.receiver))) == 1
    for _ in range(2):
        with pytest.raises(SenderFailed) as failed:
            await done(asyncio.create_task(anext(channel.receiver)))
        assert isinstance(failed.value.__cause__, BaseExceptionGroup if grouped else ReceiverClosed)
    await done(producer)
    assert trace == ["the block of the closed one ended quietly"]


async def test_a_group_of_the_users_own_errors_keeps_its_form() -> None:
    """Rules 7 and 11: the block changes no error that is not its own, and the consumer gets it as the cause.

    trio, test_as_safe_channel_dont_unwrap_user_exceptiongroup.
    If this failed, an `except*` around the block would miss what it was written for.
    """
    channel = Channel[int]()
    error = ExceptionGroup("of the user", [ValueError("one of them")])

    async def produce() -> None:
        async with channel.sender:
            raise error

    producer = asyncio.create_task(produce())
    with pytest.raises(SenderFailed) as failed:
        await done(asyncio.create_task(anext(channel.receiver)))
    assert failed.value.__cause__ is error
    with pytest.raises(BaseExceptionGroup) as raised:
        await done(producer)
    assert raised.value is error


# The same with `fed_by`, which is what as_safe_channel is to trio: one block holds the producer's task.


@either_mode
async def test_fed_by_raises_the_error_of_its_producer_as_itself(buffer: int) -> None:
    """Rules 7 and 17: the loop raises SenderFailed behind the last item, and what leaves the block is the error it came from.

    trio, test_as_safe_channel_no_race (python-trio/trio#1559), where the loop ends cleanly and only the block raises.
    If this failed, the caller would have to look for the error of its producer in a cause or a group.
    """
    channel = Channel[int](buffer=buffer)
    error = ValueError("after the first item")
    trace: list[int | str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)
        raise error

    async def consume() -> None:
        async with channel.fed_by(produce) as receiver:
            trace.append(await anext(receiver))
            trace.extend([item async for item in receiver])
            trace.append("a clean end")

    with pytest.raises(ValueError, match="after the first item") as raised:
        await done(asyncio.create_task(consume()))
    assert raised.value is error
    assert trace == [1]


async def test_fed_by_raises_both_errors_if_both_sides_failed() -> None:
    """Rule 17: the body failed for a reason of its own, the producer while it was ended: a group of the two.

    trio, test_as_safe_channel_genexit_finally. There the generator gets GeneratorExit, here ReceiverClosed or its cancellation.
    If this failed, one of the two errors would be lost.
    """
    channel = Channel[int]()
    cleaning_up, consuming = ValueError("cleaning up"), TypeError("consuming")

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await itemize(1)
        finally:
            raise cleaning_up

    async def consume() -> None:
        async with channel.fed_by(produce) as receiver:
            await anext(receiver)
            raise consuming

    with pytest.raises(BaseExceptionGroup) as raised:
        await done(asyncio.create_task(consume()))
    assert set(raised.value.exceptions) == {cleaning_up, consuming}


async def test_fed_by_lets_a_group_of_the_body_pass_as_it_is() -> None:
    """Rule 17: an error of the body leaves the block unchanged, and a group is one.

    trio, test_as_safe_channel_dont_unwrap_user_exceptiongroup.
    If this failed, an `except*` around the block would miss what it was written for.
    """
    channel = Channel[int]()
    error = ExceptionGroup("of the user", [ValueError("one of them")])

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)

    async def consume() -> None:
        async with channel.fed_by(produce):
            raise error

    with pytest.raises(BaseExceptionGroup) as raised:
        await done(asyncio.create_task(consume()))
    assert raised.value is error


async def test_fed_by_may_be_nested_and_left_early() -> None:
    """Rule 17: leaving an inner block ends its own producer and nothing else.

    trio, test_as_safe_channel_nested_loop, with a `break`.
    If this failed, the outer stream would end with the first inner one, or the inner producers would pile up.
    """
    ended: list[str] = []

    async def produce(itemize: Itemizer[int], name: str) -> None:
        try:
            for item in range(3):
                await itemize(item)
        finally:
            ended.append(name)

    async def consume() -> list[tuple[int, int]]:
        pairs: list[tuple[int, int]] = []
        async with Channel[int]().fed_by(produce, "outer") as outer:
            async for i in outer:
                async with Channel[int]().fed_by(produce, f"inner {i}") as inner:
                    async for j in inner:
                        pairs.append((i, j))
                        if j == i:
                            break
        return pairs

    consumer = asyncio.create_task(consume())
    await turns(100)
    assert await done(consumer) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    assert ended == ["inner 0", "inner 1", "inner 2", "outer"]


async def test_fed_by_that_is_left_before_its_producer_began_starts_nothing() -> None:
    """Rule 17: no task outlives its block, and one that has not begun never does.

    trio, test_as_safe_channel_cancelled, where the block is cancelled before the first item is asked for.
    If this failed, work would begin for a consumer that has left. An eager task begins inside the block, up to its first wait.
    """
    channel = Channel[int]()
    went_on: list[str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)
        went_on.append("after the first item")

    async def consume() -> None:
        async with channel.fed_by(produce):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await turns(1)

    with pytest.raises(asyncio.CancelledError):
        await done(asyncio.create_task(consume()))
    assert not went_on
    await closed_early(channel.receiver)

"""How a stream ends, from either side: rules 6 to 12."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TypeVar

import pytest

from chanstream import Channel, Itemizer, Receiver, ReceiverClosed, SenderClosed, SenderContext, SenderFailed
from tests.loops import turns
from tests.outcomes import Broken, all_begun, all_done, begun, closed_early, done, failed, over, raises, rest

T = TypeVar("T")

every_buffer = pytest.mark.parametrize("buffer", [0, 1, 3])


async def write(sink: SenderContext[int], count: int, error: BaseException | None = None) -> None:
    """Send the numbers below `count`, and fail."""
    async with sink as itemize:
        for item in range(count):
            await itemize(item)
        if error is not None:
            raise error


async def read(receiver: Receiver[T], into: list[T]) -> None:
    async for item in receiver:
        into.append(item)


# Rule 6.


@every_buffer
@pytest.mark.parametrize("count", [0, 1, 2, 5])
async def test_a_block_that_ends_normally_ends_the_stream(buffer: int, count: int) -> None:
    """Rule 6: what was accepted is delivered, then every ask raises StopAsyncIteration."""
    channel = Channel[int](buffer=buffer)
    task = asyncio.create_task(write(channel.sender, count))
    assert await rest(channel.receiver) == list(range(count))
    await done(task)
    await over(channel.receiver)


@every_buffer
async def test_what_still_waits_is_delivered_after_the_block(buffer: int) -> None:
    """Rule 6: an itemize of a child task waits on when its block has ended, and returns as ever."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        children = await all_begun(map(itemize, range(buffer + 3)))
    await turns()
    assert [child.done() for child in children] == [True] * buffer + [False] * 3
    assert await anext(channel.receiver) == 0
    assert await anext(channel.receiver) == 1
    assert await rest(channel.receiver) == list(range(2, buffer + 3))
    await over(channel.receiver)
    await all_done(children)


async def test_in_lock_step_the_ask_that_gets_the_end_releases_the_last_itemizer() -> None:
    """Rule 6, with rule 2: the end is a further ask, too."""
    channel = Channel[str]()
    async with channel.sender as itemize:
        child = asyncio.create_task(itemize("last"))
        assert await anext(channel.receiver) == "last"
    await turns()
    assert not child.done()
    with pytest.raises(StopAsyncIteration):
        await anext(channel.receiver)
    await done(child)


@every_buffer
async def test_all_that_wait_learn_of_the_end(buffer: int) -> None:
    """Rule 6: every ask, the waiting ones too."""
    channel = Channel[int](buffer=buffer)
    asks = await all_begun(anext(channel.receiver) for _ in range(4))
    await write(channel.sender, 1)
    assert await done(asks[0]) == 0
    await raises(StopAsyncIteration, *asks[1:])
    await over(channel.receiver)


# Rule 7.


@every_buffer
@pytest.mark.parametrize("count", [0, 1, 2, 5])
async def test_a_block_that_fails_fails_the_stream(buffer: int, count: int) -> None:
    """Rule 7: what was accepted is delivered, then every ask raises SenderFailed from E."""
    channel = Channel[int](buffer=buffer)
    error = Broken()
    task = asyncio.create_task(write(channel.sender, count, error))
    taken: list[int] = []
    with pytest.raises(SenderFailed) as caught:
        await read(channel.receiver, taken)
    assert taken == list(range(count))
    assert caught.value.__cause__ is error
    await raises(Broken, task)
    await failed(channel.receiver, error)


@pytest.mark.parametrize(
    "error",
    [
        Broken(),
        StopAsyncIteration(),
        SenderFailed(),
        SenderClosed(),
        ReceiverClosed(),
        GeneratorExit(),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
        SystemExit(),
        ExceptionGroup("group", [Broken()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_leaves_its_block_unchanged(error: BaseException) -> None:
    """Rule 7: whatever E is, the block raises it as it is, and the stream does not look complete."""
    channel = Channel[int](buffer=1)
    with pytest.raises(type(error)) as caught:
        await write(channel.sender, 1, error)
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert await anext(channel.receiver) == 0
    await failed(channel.receiver, error)
    assert (error.__cause__, error.__context__) == (None, None)


async def test_every_ask_gets_an_error_of_its_own() -> None:
    """Rule 7: an exception that is raised twice would collect tracebacks."""
    channel = Channel[int]()
    with pytest.raises(Broken):
        await write(channel.sender, 0, Broken())
    errors: list[BaseException] = []
    for _ in range(3):
        with pytest.raises(SenderFailed) as caught:
            await anext(channel.receiver)
        assert caught.value not in errors
        errors.append(caught.value)


@every_buffer
async def test_what_still_waits_is_delivered_after_a_failure(buffer: int) -> None:
    """Rule 7: what child tasks have passed is accepted, too."""
    channel = Channel[int](buffer=buffer)
    children: list[asyncio.Task[None]] = []
    error = Broken()

    async def fail() -> None:
        async with channel.sender as itemize:
            children.extend(asyncio.create_task(itemize(item)) for item in range(buffer + 2))
            await turns()
            raise error

    with pytest.raises(Broken):
        await fail()
    assert [await anext(channel.receiver) for _ in range(buffer + 2)] == list(range(buffer + 2))
    await failed(channel.receiver, error)
    await all_done(children)


@every_buffer
async def test_all_that_wait_learn_of_the_failure(buffer: int) -> None:
    """Rule 7: every ask, the waiting ones too."""
    channel = Channel[int](buffer=buffer)
    error = Broken()
    asks = await all_begun(anext(channel.receiver) for _ in range(3))
    with pytest.raises(Broken):
        await write(channel.sender, 0, error)
    for ask in asks:
        with pytest.raises(SenderFailed) as caught:
            await done(ask)
        assert caught.value.__cause__ is error
    await failed(channel.receiver, error)


@every_buffer
@pytest.mark.parametrize("waits", [True, False])
async def test_a_cancelled_sender_fails_the_stream_and_cancels_no_other_task(buffer: int, *, waits: bool) -> None:
    """Rule 7: cancellation included; a cancelled sender never cancels its receiver."""
    channel = Channel[int](buffer=buffer)
    taken: list[int] = []

    async def send() -> None:
        async with channel.sender as itemize:
            for item in range(2):
                await itemize(item)
            await asyncio.Event().wait()

    reading = asyncio.create_task(read(channel.receiver, taken))
    if waits:
        await turns()
    sending = await begun(send())
    sending.cancel()
    await turns()
    assert sending.cancelled()
    assert taken == [0, 1]
    with pytest.raises(SenderFailed) as caught:
        await done(reading)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert not reading.cancelled()
    await failed(channel.receiver, caught.value.__cause__)


async def test_a_failure_goes_down_a_pipeline() -> None:
    """Rule 7: a stage whose source raises SenderFailed fails in turn, and each names its cause."""
    first, second = Channel[int](buffer=2), Channel[int](buffer=2)
    error = Broken()

    async def double() -> None:
        async with second.sender as itemize:
            async for item in first.receiver:
                await itemize(2 * item)

    with pytest.raises(Broken):
        await write(first.sender, 2, error)
    with pytest.raises(SenderFailed) as stage:
        await double()
    taken: list[int] = []
    with pytest.raises(SenderFailed) as end:
        await read(second.receiver, taken)
    assert taken == [0, 2]
    assert end.value.__cause__ is stage.value
    assert stage.value.__cause__ is error


async def test_a_failed_stream_stays_failed_when_its_block_is_left_again() -> None:
    """Rule 7: a truncated stream never looks complete."""
    channel = Channel[int]()
    error = Broken()
    with pytest.raises(Broken):
        await write(channel.sender, 0, error)
    assert not await channel.sender.__aexit__(None, None, None)
    await failed(channel.receiver, error)


async def test_a_complete_stream_stays_complete_when_its_block_is_left_again() -> None:
    """Rule 6: and it stays so."""
    channel = Channel[int]()
    await write(channel.sender, 0)
    assert not await channel.sender.__aexit__(Broken, Broken(), None)
    await over(channel.receiver)


async def test_leaving_a_block_that_was_not_entered_changes_nothing() -> None:
    """Rule 6: only a block can end."""
    channel = Channel[int](buffer=1)
    assert not await channel.sender.__aexit__(None, None, None)
    assert not await channel.sender.__aexit__(Broken, Broken(), None)
    await write(channel.sender, 1)
    assert await anext(channel.receiver) == 0
    await over(channel.receiver)


async def test_an_exit_stack_holds_a_sender_block() -> None:
    """Rules 6 and 7: with an exit stack as with the statement."""
    channel = Channel[int](buffer=1)
    async with AsyncExitStack() as stack:
        itemize = await stack.enter_async_context(channel.sender)
        await itemize(1)
    assert await anext(channel.receiver) == 1
    await over(channel.receiver)

    channel, error = Channel[int](buffer=1), Broken()

    async def fail() -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(channel.sender)
            raise error

    with pytest.raises(Broken) as caught:
        await fail()
    assert caught.value is error
    await failed(channel.receiver, error)


# Rule 8.


@every_buffer
async def test_an_itemizer_is_refused_after_its_block(buffer: int) -> None:
    """Rule 8: it raises SenderClosed and changes nothing."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        child = await begun(itemize(1))
    state = repr(channel)
    for _ in range(3):
        with pytest.raises(SenderClosed):
            await done(asyncio.create_task(itemize(2)))
    assert repr(channel) == state
    assert await rest(channel.receiver) == [1]
    await done(child)
    with pytest.raises(SenderClosed):
        await itemize(2)
    await over(channel.receiver)


@every_buffer
async def test_an_itemizer_is_refused_after_a_block_that_failed(buffer: int) -> None:
    """Rule 8: with and without an ask that waits."""
    channel = Channel[int](buffer=buffer)
    error = Broken()
    itemizers: list[Itemizer[int]] = []

    async def fail() -> None:
        async with channel.sender as itemize:
            itemizers.append(itemize)
            raise error

    with pytest.raises(Broken):
        await fail()
    ask = asyncio.create_task(anext(channel.receiver))
    with pytest.raises(SenderClosed):
        await itemizers[0](1)
    await raises(SenderFailed, ask)
    await failed(channel.receiver, error)


@every_buffer
async def test_a_sender_is_not_opened_twice(buffer: int) -> None:
    """Rule 8: not while it is open; the block goes on."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        child = await begun(itemize(1))
        state = repr(channel)
        for _ in range(3):
            with pytest.raises(SenderClosed):
                await channel.sender.__aenter__()
        assert repr(channel) == state
        assert await anext(channel.receiver) == 1
        ask = asyncio.create_task(anext(channel.receiver))
        await done(child)
        child = asyncio.create_task(itemize(1))
        assert await done(ask) == 1
    await over(channel.receiver)
    await done(child)


async def test_a_sender_is_not_opened_again() -> None:
    """Rule 8: nor when its block has ended, normally or not; the stream has ended as it has."""
    channel = Channel[int](buffer=1)
    await write(channel.sender, 1)
    with pytest.raises(SenderClosed):
        await write(channel.sender, 1)
    assert await rest(channel.receiver) == [0]
    with pytest.raises(SenderClosed):
        await write(channel.sender, 1)
    await over(channel.receiver)

    channel, error = Channel[int](buffer=1), Broken()
    with pytest.raises(Broken):
        await write(channel.sender, 1, error)
    with pytest.raises(SenderClosed):
        await write(channel.sender, 1)
    assert await anext(channel.receiver) == 0
    await failed(channel.receiver, error)


@every_buffer
async def test_after_the_block_the_itemizer_says_which_side_ended_first(buffer: int) -> None:
    """Rule 8: SenderClosed, or ReceiverClosed if the receiver had gone before the block ended; opening is a mistake in both."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        pass
    await channel.receiver.aclose()
    with pytest.raises(SenderClosed):
        await itemize(1)
    await over(channel.receiver)

    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        await channel.receiver.aclose()
    for _ in range(3):
        with pytest.raises(ReceiverClosed):
            await itemize(1)
    with pytest.raises(SenderClosed):
        await channel.sender.__aenter__()
    await closed_early(channel.receiver)


# Rule 9.


@every_buffer
async def test_closing_drops_the_items_that_were_not_taken(buffer: int) -> None:
    """Rule 9: items not taken are dropped, and later asks raise StopAsyncIteration."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        children = await all_begun(map(itemize, range(buffer + 2)))
        assert await anext(channel.receiver) == 0
        await channel.receiver.aclose()
        assert " 0 to be taken, 0 waiting in itemize" in repr(channel)
        await closed_early(channel.receiver)
    await turns()
    assert [child.exception() is None for child in children] == [True] * buffer + [False] * 2
    await closed_early(channel.receiver)


@every_buffer
async def test_an_ask_that_was_woken_for_an_item_gets_the_end_when_the_receiver_closes(buffer: int) -> None:
    """Rule 9: an item that was not taken is dropped, even when an ask was about to take it."""
    channel = Channel[int](buffer=buffer)
    ask = await begun(anext(channel.receiver))

    def close() -> None:
        with pytest.raises(StopIteration):
            channel.receiver.aclose().send(None)

    async def send(itemize: Itemizer[int]) -> None:
        asyncio.get_running_loop().call_soon(close)  # comes after this step, and before the turn of the task that it wakes
        await itemize(1)

    async with channel.sender as itemize:
        task = await begun(send(itemize))
        await raises(StopAsyncIteration, ask)
        assert (task.exception() is None) is (buffer > 0)
    await closed_early(channel.receiver)


@every_buffer
async def test_closing_twice_is_fine(buffer: int) -> None:
    """Rule 9: whether the sender has been opened, is open or has ended."""
    channel = Channel[int](buffer=buffer)
    for _ in range(2):
        await channel.receiver.aclose()
    async with channel.sender:
        await channel.receiver.aclose()
    state = repr(channel)
    await channel.receiver.aclose()
    assert repr(channel) == state
    await closed_early(channel.receiver)


@every_buffer
async def test_closing_does_not_wait(buffer: int) -> None:
    """Rule 9: not for the sender, and not for a turn of the event loop."""
    channel = Channel[int](buffer=buffer)

    async def send() -> None:
        async with channel.sender as itemize:
            try:
                while True:
                    await itemize(1)
            finally:
                await turns(5)

    task = await begun(send())
    given: list[None] = []
    asyncio.get_running_loop().call_soon(given.append, None)
    await channel.receiver.aclose()
    assert not given
    assert not task.done()
    await done(task)


@every_buffer
async def test_asks_that_waited_when_the_stream_failed_learn_of_it_also_after_a_closing(buffer: int) -> None:
    """Rules 7 and 9: the failure came first, and a truncated stream never looks complete; later asks find the receiver closed."""
    channel = Channel[int](buffer=buffer)
    error = Broken()
    asks = await all_begun(anext(channel.receiver) for _ in range(3))
    with pytest.raises(Broken):
        await write(channel.sender, 0, error)
    await channel.receiver.aclose()
    later = asyncio.create_task(anext(channel.receiver))
    for ask in asks:
        with pytest.raises(SenderFailed) as caught:
            await done(ask)
        assert caught.value.__cause__ is error
    await raises(StopAsyncIteration, later)
    await closed_early(channel.receiver)


@every_buffer
async def test_asks_that_waited_when_the_stream_failed_learn_of_it_also_when_both_sides_are_gone(buffer: int) -> None:
    """Rules 7, 9 and 13: nor when the receiver is closed and the sender dropped before they have their turn."""
    channel = Channel[int](buffer=buffer)
    receiver = channel.receiver
    error = Broken()
    asks = await all_begun(anext(receiver) for _ in range(2))
    with pytest.raises(Broken):
        await write(channel.sender, 0, error)
    error.__traceback__ = None  # refers to the sender
    await receiver.aclose()
    del channel
    for ask in asks:
        with pytest.raises(SenderFailed) as caught:
            await done(ask)
        assert caught.value.__cause__ is error
    await closed_early(receiver)


@every_buffer
async def test_asks_that_waited_when_the_receiver_was_closed_learn_of_that_also_after_a_failure(buffer: int) -> None:
    """Rule 9: the closing came first, so no ask misses anything."""
    channel = Channel[int](buffer=buffer)
    asks = await all_begun(anext(channel.receiver) for _ in range(3))
    await channel.receiver.aclose()
    with pytest.raises(Broken):
        await write(channel.sender, 0, Broken())
    await raises(StopAsyncIteration, *asks)
    await closed_early(channel.receiver)


# Rule 10.


@every_buffer
async def test_closing_reaches_every_itemizer_that_waits(buffer: int) -> None:
    """Rule 10: every waiting itemize raises ReceiverClosed."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        children = await all_begun(map(itemize, range(buffer + 3)))
        await channel.receiver.aclose()
        await raises(ReceiverClosed, *children[buffer:])
    await all_done(children[:buffer])


async def test_closing_reaches_the_itemizer_whose_item_was_taken_last() -> None:
    """Rule 10: in lock-step it waits as well."""
    channel = Channel[int]()
    async with channel.sender as itemize:
        child = asyncio.create_task(itemize(1))
        assert await anext(channel.receiver) == 1
        await turns()
        assert not child.done()
        await channel.receiver.aclose()
        await raises(ReceiverClosed, child)


@every_buffer
async def test_closing_reaches_an_itemizer_that_has_been_woken(buffer: int) -> None:
    """Rule 10: an itemizer that may return, but has not had its turn, still waits."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        children = await all_begun(map(itemize, range(buffer + 1)))
        for _ in children:
            await anext(channel.receiver)
        await channel.receiver.aclose()
        await raises(ReceiverClosed, children[-1])
    await all_done(children[:-1])


@every_buffer
async def test_after_closing_every_later_itemizer_raises(buffer: int) -> None:
    """Rule 10: also with room in the buffer, and it stays so."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        await channel.receiver.aclose()
        for _ in range(3):
            with pytest.raises(ReceiverClosed):
                await itemize(1)
        assert " 0 to be taken, 0 waiting in itemize" in repr(channel)
    await closed_early(channel.receiver)


@every_buffer
async def test_closing_reaches_children_that_outlive_their_block(buffer: int) -> None:
    """Rule 10: a waiting itemize of a child task, when its block has ended already, raises ReceiverClosed, too."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        children = await all_begun(map(itemize, range(buffer + 2)))
    await channel.receiver.aclose()
    await raises(ReceiverClosed, *children[buffer:])
    await closed_early(channel.receiver)


# Rule 11.


@every_buffer
async def test_a_block_left_by_its_own_closing_ends_quietly(buffer: int) -> None:
    """Rule 11: its `finally` clauses run, and the task goes on after the block."""
    channel = Channel[int](buffer=buffer)
    log: list[str] = []

    async def send() -> None:
        async with channel.sender as itemize:
            try:
                while True:
                    await itemize(1)
            finally:
                log.append("finally")
                await turns(3)
                log.append("cleaned up")
        log.append("after the block")

    task = asyncio.create_task(send())
    assert await anext(channel.receiver) == 1
    await turns()
    assert log == []
    await channel.receiver.aclose()
    await done(task)
    assert log == ["finally", "cleaned up", "after the block"]
    await closed_early(channel.receiver)


@every_buffer
async def test_a_sender_opened_after_the_closing_ends_quietly(buffer: int) -> None:
    """Rule 11: opening is fine, the first itemize ends the block."""
    channel = Channel[int](buffer=buffer)
    await channel.receiver.aclose()
    log: list[str] = []
    async with channel.sender as itemize:
        log.append("open")
        await itemize(1)
        log.append("itemized")
    assert log == ["open"]
    await closed_early(channel.receiver)


async def leave(channel: Channel[int], make: Callable[[ReceiverClosed], BaseException]) -> None:
    """Leave the block of a closed `channel` by what `make` makes of the error of its itemizer."""
    async with channel.sender as itemize:
        await channel.receiver.aclose()
        with pytest.raises(ReceiverClosed) as caught:
            await itemize(1)
        raise make(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda own: own,
        lambda own: BaseExceptionGroup("", [own]),
        lambda own: BaseExceptionGroup("", [own, own]),
        lambda own: BaseExceptionGroup("", [own, BaseExceptionGroup("", [own, BaseExceptionGroup("", [own])])]),
    ],
    ids=["bare", "a group of one", "a group of two", "nested groups"],
)
async def test_own_closings_and_groups_of_them_end_the_block(make: Callable[[ReceiverClosed], BaseException]) -> None:
    """Rule 11: bare or in an exception group of nothing else, however deep."""
    channel = Channel[int]()
    await leave(channel, make)
    await closed_early(channel.receiver)


@pytest.mark.parametrize(
    "make",
    [
        lambda _: Broken(),
        lambda _: ReceiverClosed("made elsewhere"),
        lambda own: BaseExceptionGroup("", [own, Broken()]),
        lambda own: BaseExceptionGroup("", [Broken(), own]),
        lambda own: BaseExceptionGroup("", [own, ReceiverClosed("made elsewhere")]),
        lambda own: BaseExceptionGroup("", [own, BaseExceptionGroup("", [own, Broken()])]),
        lambda own: BaseExceptionGroup("", [own, asyncio.CancelledError()]),
        lambda own: BaseExceptionGroup("", [own, KeyboardInterrupt()]),
    ],
)
async def test_any_other_error_passes_through(make: Callable[[ReceiverClosed], BaseException]) -> None:
    """Rule 11: a group that holds any other error passes through, as the object that it is."""
    channel = Channel[int]()
    made: list[BaseException] = []

    def keep(own: ReceiverClosed) -> BaseException:
        made.append(make(own))
        return made[0]

    with pytest.raises(BaseException) as caught:
        await leave(channel, keep)
    assert caught.value is made[0]
    await closed_early(channel.receiver)


async def test_an_error_raised_from_the_closing_passes_through() -> None:
    """Rule 11: what counts is the error that leaves the block."""
    channel = Channel[int]()

    async def send() -> None:
        async with channel.sender as itemize:
            await channel.receiver.aclose()
            try:
                await itemize(1)
            except ReceiverClosed as closed:
                raise Broken from closed

    with pytest.raises(Broken):
        await send()


async def test_the_closing_of_another_channel_passes_through() -> None:
    """Rule 11: it fails the inner block and ends the outer one, whose own it is."""
    outer, inner = Channel[int](), Channel[int]()
    log: list[str] = []

    async def send() -> None:
        async with outer.sender as itemize:
            async with inner.sender:
                await itemize(1)
            log.append("after the inner block")
        log.append("after the outer block")

    task = asyncio.create_task(send())
    ask = await begun(anext(inner.receiver))
    await outer.receiver.aclose()
    await done(task)
    assert log == ["after the outer block"]
    with pytest.raises(SenderFailed) as caught:
        await done(ask)
    assert isinstance(caught.value.__cause__, ReceiverClosed)
    await failed(inner.receiver, caught.value.__cause__)
    await closed_early(outer.receiver)


async def test_the_closing_of_an_inner_block_leaves_the_outer_one_open() -> None:
    """Rule 11: a block ends by its own channel's closing only."""
    outer, inner = Channel[int](buffer=1), Channel[int](buffer=1)
    await inner.receiver.aclose()
    async with outer.sender as pass_on:
        async with inner.sender as itemize:
            await itemize(1)
        await pass_on(2)
    assert await rest(outer.receiver) == [2]
    await over(outer.receiver)


async def test_a_pipeline_is_closed_from_its_end() -> None:
    """Rule 11: every stage ends quietly, as a chain of generators does."""
    first, second = Channel[int](), Channel[int]()
    log: list[str] = []

    async def produce() -> None:
        async with first.sender as itemize:
            while True:
                await itemize(0)
        log.append("produced")

    async def increase() -> None:
        async with second.sender as itemize, first.receiver as items:
            async for item in items:
                await itemize(item + 1)
        log.append("increased")

    tasks = [asyncio.create_task(produce()), asyncio.create_task(increase())]
    async with second.receiver as items:
        assert await anext(items) == 1
    await all_done(tasks)
    assert log == ["increased", "produced"]
    await closed_early(first.receiver)
    await closed_early(second.receiver)


async def test_an_exit_stack_ends_quietly() -> None:
    """Rule 11: with an exit stack as with the statement."""
    channel = Channel[int]()
    log: list[str] = []
    async with AsyncExitStack() as stack:
        itemize = await stack.enter_async_context(channel.sender)
        stack.callback(log.append, "cleaned up")
        await channel.receiver.aclose()
        await itemize(1)
        log.append("itemized")
    assert log == ["cleaned up"]
    await closed_early(channel.receiver)


async def test_a_block_may_go_on_after_the_closing() -> None:
    """Rule 11: only what leaves the block ends it; a block that catches the error ends as it likes."""
    channel = Channel[int]()
    log: list[str] = []
    async with channel.sender as itemize:
        await channel.receiver.aclose()
        with pytest.raises(ReceiverClosed):
            await itemize(1)
        log.append("goes on")
    assert log == ["goes on"]
    await closed_early(channel.receiver)


# Rule 12.


@every_buffer
async def test_break_closes_nothing(buffer: int) -> None:
    """Rule 12: the stream can be taken up again with another `async for`."""
    channel = Channel[int](buffer=buffer)
    task = asyncio.create_task(write(channel.sender, 9))
    taken: list[int] = []
    for _ in range(3):
        async for item in channel.receiver:
            taken.append(item)
            if item % 2:
                break
        await turns()
        assert not channel_is_closed(channel)
    assert taken == [0, 1, 2, 3, 4, 5]
    await read(channel.receiver, taken)
    assert taken == list(range(9))
    await done(task)
    await over(channel.receiver)


def channel_is_closed(channel: Channel[int]) -> bool:
    return "receiver closed" in repr(channel)


async def test_an_error_in_the_loop_closes_nothing() -> None:
    """Rule 12: nor does any other way out of the loop."""
    channel = Channel[int]()
    task = asyncio.create_task(write(channel.sender, 3))

    async def fail() -> None:
        async for _ in channel.receiver:
            raise Broken

    with pytest.raises(Broken):
        await fail()
    assert not channel_is_closed(channel)
    assert await rest(channel.receiver) == [1, 2]
    await done(task)


async def test_after_a_break_the_producer_waits_where_a_generator_would() -> None:
    """Rules 2 and 12: in lock-step it goes on when the next item is asked for."""
    channel = Channel[int]()
    log: list[int] = []

    async def send() -> None:
        async with channel.sender as itemize:
            for item in range(3):
                await itemize(item)
                log.append(item)

    task = asyncio.create_task(send())
    async for _ in channel.receiver:
        break
    await turns()
    assert log == []
    async for item in channel.receiver:
        assert log == list(range(item))
    await done(task)
    assert log == [0, 1, 2]

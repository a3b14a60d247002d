"""How a stream ends, from either side: rules 6 to 12."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import TypeVar

import pytest

from chanstream import Channel, Itemizer, Receiver, ReceiverClosed, SenderClosed, SenderFailed
from tests.garbage import let_go
from tests.loops import turns, turns_given
from tests.outcomes import Broken, all_begun, all_done, begun, closed_early, done, ended, failed, left_by, over, raises, rest
from tests.producers import write

T = TypeVar("T")

every_buffer = pytest.mark.parametrize("buffer", [0, 1, 3])
either_end = pytest.mark.parametrize("error", [None, Broken()], ids=["normally", "by an error"])


def end_by(error: Broken | None) -> type[Exception]:
    """What an ask raises when the block has ended so."""
    return StopAsyncIteration if error is None else SenderFailed


async def read(receiver: Receiver[T], into: list[T]) -> None:
    async for item in receiver:
        into.append(item)


# Rules 6 and 7.


@every_buffer
@either_end
@pytest.mark.parametrize("count", [0, 1, 2, 5])
async def test_a_stream_ends_as_its_block_does(buffer: int, count: int, error: Broken | None) -> None:
    """Rules 6 and 7: what was accepted is delivered, then every ask raises StopAsyncIteration, or SenderFailed from E."""
    channel = Channel[int](buffer=buffer)
    task = asyncio.create_task(write(channel.sender, range(count), error))
    taken: list[int] = []
    with suppress(SenderFailed):
        await read(channel.receiver, taken)
        assert error is None
    assert taken == list(range(count))
    await ended(channel.receiver, error)
    with left_by(error):
        await done(task)


@every_buffer
@either_end
async def test_what_still_waits_is_delivered_after_the_block(buffer: int, error: Broken | None) -> None:
    """Rules 6 and 7: an itemize of a child task waits on when its block has ended, and returns as ever."""
    channel = Channel[int](buffer=buffer)
    with left_by(error):
        async with channel.sender as itemize:
            children = await all_begun(map(itemize, range(buffer + 3)))
            if error is not None:
                raise error
    await turns()
    assert [child.done() for child in children] == [True] * buffer + [False] * 3
    assert [await anext(channel.receiver) for _ in children] == list(range(buffer + 3))
    await ended(channel.receiver, error)
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
@either_end
@pytest.mark.parametrize("count", [0, 1])
async def test_all_that_wait_learn_of_the_end(buffer: int, count: int, error: Broken | None) -> None:
    """Rules 6 and 7: every ask, the waiting ones too."""
    channel = Channel[int](buffer=buffer)
    asks = await all_begun(anext(channel.receiver) for _ in range(4))
    with left_by(error):
        await write(channel.sender, range(count), error)
    assert await all_done(asks[:count]) == list(range(count))
    assert {each.__cause__ for each in await raises(end_by(error), *asks[count:])} == {error}
    await ended(channel.receiver, error)


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
        await write(channel.sender, [0], error)
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert await anext(channel.receiver) == 0
    await failed(channel.receiver, error)
    assert (error.__cause__, error.__context__) == (None, None)


async def test_every_ask_gets_an_error_of_its_own() -> None:
    """Rule 7: an exception that is raised twice would collect tracebacks."""
    channel = Channel[int]()
    with pytest.raises(Broken):
        await write(channel.sender, [], Broken())
    errors: list[BaseException] = []
    for _ in range(3):
        with pytest.raises(SenderFailed) as caught:
            await anext(channel.receiver)
        assert caught.value not in errors
        errors.append(caught.value)


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

    with left_by(error):
        await write(first.sender, range(2), error)
    with pytest.raises(SenderFailed) as stage:
        await double()
    taken: list[int] = []
    with pytest.raises(SenderFailed) as end:
        await read(second.receiver, taken)
    assert taken == [0, 2]
    assert end.value.__cause__ is stage.value
    assert stage.value.__cause__ is error


@either_end
async def test_a_stream_stays_as_it_ended_when_its_block_is_left_again(error: Broken | None) -> None:
    """Rules 6 and 7: a truncated stream never looks complete, nor a complete one truncated."""
    channel = Channel[int]()
    with left_by(error):
        await write(channel.sender, [], error)
    assert not await channel.sender.__aexit__(None, None, None)
    assert not await channel.sender.__aexit__(Broken, Broken(), None)
    await ended(channel.receiver, error)


async def test_leaving_a_block_that_was_not_entered_changes_nothing() -> None:
    """Rule 6: only a block can end."""
    channel = Channel[int](buffer=1)
    assert not await channel.sender.__aexit__(None, None, None)
    assert not await channel.sender.__aexit__(Broken, Broken(), None)
    await write(channel.sender, [0])
    assert await anext(channel.receiver) == 0
    await over(channel.receiver)


@either_end
async def test_an_exit_stack_holds_a_sender_block(error: Broken | None) -> None:
    """Rules 6 and 7: with an exit stack as with the statement."""
    channel = Channel[int](buffer=1)
    with left_by(error):
        async with AsyncExitStack() as stack:
            itemize = await stack.enter_async_context(channel.sender)
            await itemize(1)
            if error is not None:
                raise error
    assert await anext(channel.receiver) == 1
    await ended(channel.receiver, error)


# Rule 8.


@every_buffer
@either_end
async def test_an_itemizer_is_refused_after_its_block(buffer: int, error: Broken | None) -> None:
    """Rule 8: it raises SenderClosed and changes nothing, while an item waits and while an ask does."""
    channel = Channel[int](buffer=buffer)
    with left_by(error):
        async with channel.sender as itemize:
            child = await begun(itemize(1))
            if error is not None:
                raise error
    state = repr(channel)
    await raises(SenderClosed, *[asyncio.create_task(itemize(2)) for _ in range(3)])
    assert repr(channel) == state
    assert await anext(channel.receiver) == 1
    ask = asyncio.create_task(anext(channel.receiver))
    with pytest.raises(SenderClosed):
        await itemize(2)
    await raises(end_by(error), ask)
    await done(child)
    await ended(channel.receiver, error)


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


@either_end
async def test_a_sender_is_not_opened_again(error: Broken | None) -> None:
    """Rule 8: nor when its block has ended, normally or not; the stream has ended as it has."""
    channel = Channel[int](buffer=1)
    with left_by(error):
        await write(channel.sender, [0], error)
    with pytest.raises(SenderClosed):
        await write(channel.sender, [1])
    assert await anext(channel.receiver) == 0
    with pytest.raises(SenderClosed):
        await write(channel.sender, [1])
    await ended(channel.receiver, error)


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
@pytest.mark.parametrize("dropped", [False, True])
async def test_asks_that_waited_when_the_stream_failed_learn_of_it_also_after_a_closing(buffer: int, *, dropped: bool) -> None:
    """Rules 7, 9 and 13: the failure came first, and a truncated stream never looks complete; later asks find the receiver closed.

    Also when the sender is dropped before the asks have their turn.
    """
    held, error = [Channel[int](buffer=buffer)], Broken()
    receiver = held[0].receiver
    asks = await all_begun(anext(receiver) for _ in range(3))
    with left_by(error):
        await write(held[0].sender, [], error)
    await receiver.aclose()
    if dropped:
        error.__traceback__ = None  # refers to the sender
        held.clear()
        let_go()
    later = asyncio.create_task(anext(receiver))
    assert {each.__cause__ for each in await raises(SenderFailed, *asks)} == {error}
    await raises(StopAsyncIteration, later)
    await closed_early(receiver)


@every_buffer
async def test_asks_that_waited_when_the_receiver_was_closed_learn_of_that_also_after_a_failure(buffer: int) -> None:
    """Rule 9: the closing came first, so no ask misses anything."""
    channel = Channel[int](buffer=buffer)
    asks = await all_begun(anext(channel.receiver) for _ in range(3))
    await channel.receiver.aclose()
    with pytest.raises(Broken):
        await write(channel.sender, [], Broken())
    await raises(StopAsyncIteration, *asks)
    await closed_early(channel.receiver)


# Rule 10.


@every_buffer
@pytest.mark.parametrize("after", [False, True], ids=["in the block", "after it"])
async def test_closing_reaches_every_itemizer_that_waits(buffer: int, *, after: bool) -> None:
    """Rule 10: every waiting itemize raises ReceiverClosed, also that of a child task that outlives its block."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        children = await all_begun(map(itemize, range(buffer + 3)))
        if not after:
            await channel.receiver.aclose()
            await turns()
    if after:
        await channel.receiver.aclose()
    await raises(ReceiverClosed, *children[buffer:])
    await all_done(children[:buffer])
    await closed_early(channel.receiver)


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
    """Rules 10 and 11: also with room in the buffer, and it stays so; a block that catches the error ends as it likes."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        await channel.receiver.aclose()
        for _ in range(3):
            with pytest.raises(ReceiverClosed):
                await itemize(1)
        assert " 0 to be taken, 0 waiting in itemize" in repr(channel)
    await closed_early(channel.receiver)


# Rule 11.


@every_buffer
@pytest.mark.parametrize("taken", [0, 1])
async def test_a_block_left_by_its_own_closing_ends_quietly(buffer: int, taken: int) -> None:
    """Rules 9 and 11: its `finally` clauses run, and the task goes on after the block. The closing does not wait for that."""
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

    task = await begun(send())
    for _ in range(taken):
        assert await anext(channel.receiver) == 1
    await turns()
    given = turns_given()
    await channel.receiver.aclose()
    assert not given()
    assert log == []
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


def raised_from(own: ReceiverClosed) -> Broken:
    error = Broken()
    error.__cause__ = error.__context__ = own
    return error


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
        raised_from,
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


# Rule 12.


@every_buffer
async def test_break_closes_nothing(buffer: int) -> None:
    """Rule 12: the stream can be taken up again with another `async for`."""
    channel = Channel[int](buffer=buffer)
    task = asyncio.create_task(write(channel.sender, range(9)))
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
    task = asyncio.create_task(write(channel.sender, range(3)))

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

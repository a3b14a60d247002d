"""What a channel keeps alive, and for how long: rule 22. The garbage collector is off, so that references alone decide.

Where Python counts none, `is_gone` collects garbage before it looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from weakref import ref

import pytest

from chanstream import Channel, Itemizer, ReceiverClosed, SenderContext, SenderFailed
from tests.garbage import COUNTED, is_gone, let_go
from tests.loops import this_task, turns
from tests.outcomes import Broken, all_begun, all_done, begun, done, raises

pytestmark = pytest.mark.usefixtures("no_collector")

every_buffer = pytest.mark.parametrize("buffer", [0, 1, 3])
buffered = pytest.mark.parametrize("buffer", [1, 3])


class Thing:
    """An item that can be watched."""


class Maker:
    """Sends things, and keeps none."""

    def __init__(self) -> None:
        self.made: list[ref[Thing]] = []

    @property
    def alive(self) -> int:
        let_go()
        return sum(made() is not None for made in self.made)

    def make(self) -> Thing:
        thing = Thing()
        self.made.append(ref(thing))
        return thing

    async def send(self, itemize: Itemizer[Thing]) -> None:
        await itemize(self.make())

    async def write(self, sink: SenderContext[Thing], count: int, error: type[Exception] | None = None) -> None:
        async with sink as itemize:
            for _ in range(count):
                await itemize(self.make())
            if error is not None:
                raise error


# Items.


@every_buffer
async def test_a_consumed_item_is_free_while_its_producer_still_waits(buffer: int) -> None:
    """Rule 22: as soon as the consumer lets go of it, and not only when the producer goes on."""
    maker, channel = Maker(), Channel[Thing](buffer=buffer)
    task = asyncio.create_task(maker.write(channel.sender, buffer + 3))
    for number in range(buffer + 3):
        item = await anext(channel.receiver)
        watched = ref(item)
        assert watched is maker.made[number]
        del item
        assert is_gone(watched)
        await turns(number)
        assert is_gone(watched)
    with pytest.raises(StopAsyncIteration):
        await anext(channel.receiver)
    await done(task)
    assert maker.alive == 0


@every_buffer
async def test_a_consumed_item_is_free_when_the_ask_came_first(buffer: int) -> None:
    """Rule 22: the other way round."""
    maker, channel = Maker(), Channel[Thing](buffer=buffer)

    async def read() -> None:
        async for item in channel.receiver:
            assert ref(item)() is item
            del item
            assert maker.alive == 0

    task = asyncio.create_task(read())
    async with channel.sender as itemize:
        for _ in range(4):
            await turns()
            await maker.send(itemize)
    await done(task)
    assert maker.alive == 0


@buffered
async def test_an_item_that_waited_for_its_place_is_free_when_it_was_consumed(buffer: int) -> None:
    """Rule 22: the sender that waited with it has gone on, and nothing has been sent since."""
    maker, channel = Maker(), Channel[Thing](buffer=buffer)
    async with channel.sender as itemize:
        children = await all_begun(maker.send(itemize) for _ in range(buffer + 2))
        for number in range(buffer + 2):
            await anext(channel.receiver)
            await turns()
            assert maker.alive == buffer + 1 - number
        await all_done(children)


@every_buffer
async def test_a_closed_channel_keeps_no_item(buffer: int) -> None:
    """Rule 22: neither those in the buffer nor those whose senders wait, from the closing on."""
    maker, channel = Maker(), Channel[Thing](buffer=buffer)
    async with channel.sender as itemize:
        children = await all_begun(maker.send(itemize) for _ in range(buffer + 3))
        await anext(channel.receiver)
        assert maker.alive == buffer + 2
        await channel.receiver.aclose()
        assert maker.alive == 0
        await turns()
        for child in children:
            child.exception()


@buffered
@pytest.mark.parametrize("waits", [False, True])
async def test_a_dropped_receiver_keeps_no_item(buffer: int, *, waits: bool) -> None:
    """Rule 22, with rule 13: they can't be taken any more. Before any wait, no event loop has to be notified."""
    maker, channel = Maker(), Channel[Thing](buffer=buffer)
    async with channel.sender as itemize:
        for _ in range(buffer):
            await maker.send(itemize)
        children = await all_begun(maker.send(itemize) for _ in range(waits))
        assert maker.alive == buffer + waits
        del channel
        let_go()
        if waits:
            await turns()
        assert maker.alive == 0
        await raises(ReceiverClosed, *children)


@every_buffer
@pytest.mark.parametrize("error", [None, Broken])
async def test_a_finished_channel_keeps_no_item(buffer: int, error: type[Exception] | None) -> None:
    """Rule 22: however it ended."""
    maker, channel = Maker(), Channel[Thing](buffer=buffer)
    task = asyncio.create_task(maker.write(channel.sender, 5, error))
    for _ in range(5):
        await anext(channel.receiver)
    with pytest.raises(SenderFailed if error else StopAsyncIteration):
        await anext(channel.receiver)
    await turns()
    task.exception()
    assert maker.alive == 0


@every_buffer
async def test_a_withdrawn_item_is_free(buffer: int) -> None:
    """Rule 22: a cancelled itemize keeps nothing, and neither does the channel."""
    maker, channel = Maker(), Channel[Thing](buffer=buffer)
    async with channel.sender as itemize:
        for _ in range(buffer):
            await maker.send(itemize)
        children = await all_begun(maker.send(itemize) for _ in range(3))
        for number, child in enumerate(children):
            child.cancel()
            await turns()
            assert child.cancelled()
            assert maker.alive == buffer + 2 - number


@every_buffer
async def test_a_channel_whose_block_was_cancelled_keeps_no_withdrawn_item(buffer: int) -> None:
    """Rule 22: the error of the block is kept until an ask has raised it, the item in its traceback is not."""
    maker, channel = Maker(), Channel[Thing](buffer=buffer)
    task = await begun(maker.write(channel.sender, buffer + 1))
    assert maker.alive == buffer + 1
    task.cancel()
    await turns()
    assert task.cancelled()
    assert maker.alive == buffer
    for _ in range(buffer):
        await anext(channel.receiver)
    with pytest.raises(SenderFailed):
        await anext(channel.receiver)
    assert maker.alive == 0


# Errors.


async def fail(sink: SenderContext[Thing]) -> ref[Broken]:
    """Let the block of `sink` fail, and watch its error."""
    watched: list[ref[Broken]] = []
    try:
        await Maker().write(sink, 0, Broken)
    except Broken as error:
        watched.append(ref(error))
    return watched[0]


@every_buffer
async def test_a_closed_channel_keeps_no_error(buffer: int) -> None:
    """Rule 22: whether the block failed before the closing or after."""
    channel = Channel[Thing](buffer=buffer)
    error = await fail(channel.sender)
    assert error() is not None  # an ask may still come
    await channel.receiver.aclose()
    assert is_gone(error)

    channel = Channel[Thing](buffer=buffer)
    await channel.receiver.aclose()
    error = await fail(channel.sender)
    assert is_gone(error)


@every_buffer
async def test_a_closed_channel_keeps_an_error_only_for_asks_that_wait(buffer: int) -> None:
    """Rule 22: the asks that waited when the block failed raise it, then it is forgotten, also when one of them is cancelled."""
    channel = Channel[Thing](buffer=buffer)
    asks = await all_begun(anext(channel.receiver) for _ in range(2))
    error = await fail(channel.sender)
    await channel.receiver.aclose()
    assert error() is not None
    asks[0].cancel()
    await turns()
    assert asks[0].cancelled()
    assert isinstance(asks[1].exception(), SenderFailed)
    asks.clear()
    assert is_gone(error)


async def test_a_channel_whose_receiver_was_dropped_keeps_no_error() -> None:
    """Rule 22, with rule 13: no ask can raise it any more."""
    channel = Channel[Thing]()
    sender = channel.sender
    error = await fail(sender)
    assert error() is not None
    del channel
    assert is_gone(error)

    channel = Channel[Thing]()
    sender = channel.sender
    del channel
    error = await fail(sender)
    assert is_gone(error)


@every_buffer
async def test_a_channel_keeps_none_of_the_errors_it_raises(buffer: int) -> None:
    """Rule 22: each is the caller's own."""
    channel = Channel[Thing](buffer=buffer)
    watched: list[ref[BaseException]] = []

    async with channel.sender as itemize:
        await channel.receiver.aclose()
        try:
            await itemize(Thing())
        except ReceiverClosed as error:
            watched.append(ref(error))
    channel = Channel[Thing](buffer=buffer)
    with pytest.raises(Broken):
        await Maker().write(channel.sender, 0, Broken)
    for _ in range(3):
        try:
            await anext(channel.receiver)
        except SenderFailed as error:
            watched.append(ref(error))
    assert [is_gone(reference) for reference in watched] == [True] * 4


async def test_a_quiet_end_keeps_no_error() -> None:
    """Rule 22, with rule 11: the closing that ended the block."""
    channel = Channel[Thing]()
    watched: list[ref[BaseException]] = []

    async def send() -> None:
        async with channel.sender as itemize:
            try:
                await itemize(Thing())
            except ReceiverClosed as error:
                watched.append(ref(error))
                raise

    task = await begun(send())
    await channel.receiver.aclose()
    await done(task)
    assert [is_gone(reference) for reference in watched] == [True]


# Tasks, and the channel itself.


@every_buffer
@pytest.mark.parametrize("end", ["normal", "failed", "closed", "cancelled"])
async def test_a_channel_keeps_no_task(buffer: int, end: str) -> None:
    """Rule 22: neither of its senders nor of its consumers."""
    channel = Channel[Thing](buffer=buffer)

    async def read() -> None:
        async for _ in channel.receiver:
            pass

    reading = asyncio.create_task(read())
    writing = asyncio.create_task(Maker().write(channel.sender, 9, Broken if end == "failed" else None))
    await turns(2)
    if end == "closed":
        await channel.receiver.aclose()
    if end == "cancelled":
        reading.cancel()
        writing.cancel()
    await turns(30)
    for task in (reading, writing):
        assert task.done()
        if not task.cancelled():
            task.exception()
    watched = [ref(reading), ref(writing)]
    del reading, writing, task
    # Forgets the cancellation, whose traceback refers to the task. Where tasks are written in Python, that of any error does.
    if end == "cancelled" or not COUNTED:
        await channel.receiver.aclose()
    assert [is_gone(task) for task in watched] == [True, True]


@pytest.mark.cpython
@every_buffer
@pytest.mark.parametrize("end", ["unused", "normal", "closed", "cancelled"])
async def test_a_channel_is_free_without_the_garbage_collector(buffer: int, end: str) -> None:
    """Rule 22: its parts do not refer to each other in a circle."""
    channel = Channel[Thing](buffer=buffer)
    if end != "unused":
        ask = asyncio.create_task(anext(channel.receiver))
        writing = await begun(Maker().write(channel.sender, 1 if end == "normal" else 9))
        await done(ask)
        if end == "normal":
            with pytest.raises(StopAsyncIteration):
                await anext(channel.receiver)
        else:
            if end == "cancelled":
                writing.cancel()
                await turns()
            await channel.receiver.aclose()
        await turns()
        assert writing.done()
        del ask, writing
    watched: list[Callable[[], object]] = [ref(channel), ref(channel.sender), ref(channel.receiver)]
    del channel
    assert [part() for part in watched] == [None, None, None]


@every_buffer
@pytest.mark.parametrize("end", ["normal", "left early", "failed"])
async def test_a_fed_by_block_keeps_no_task(buffer: int, end: str) -> None:
    """Rule 22: what keeps a running producer alive lets go of it."""
    watched: list[Callable[[], object]] = []

    async def produce(itemize: Itemizer[int]) -> None:
        task = this_task()
        watched.append(ref(task))
        del task
        await turns(1)  # an eager task that fails in its first step is kept by the frames of create_task, in the traceback
        await itemize(1)
        if end == "failed":
            raise Broken

    async def consume() -> None:
        with suppress(Broken, SenderFailed):
            async with Channel[int](buffer=buffer).fed_by(produce) as items:
                async for _ in items:
                    if end == "left early":
                        break

    await asyncio.create_task(consume())
    await turns()
    assert [is_gone(task) for task in watched] == [True]

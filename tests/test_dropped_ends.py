"""What one side learns when nothing refers to the other side any more: rule 13.

The last reference may go anywhere: in the middle of a step, in another thread, and in any thread that happens to collect garbage.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from threading import Thread

import pytest

from chanstream import Channel, Itemizer, Receiver, ReceiverClosed, Sender, SenderClosed, SenderFailed
from tests.garbage import let_go
from tests.loops import turns
from tests.outcomes import Broken, all_begun, all_done, begun, done, ended, failed, left_by, raises
from tests.producers import write

pytestmark = pytest.mark.usefixtures("no_collector")

every_buffer = pytest.mark.parametrize("buffer", [0, 2])


class Cycle:
    """Keeps an object until the garbage collector comes."""

    def __init__(self, kept: object) -> None:
        self.kept = kept
        self.cycle = self


def here(drop: Callable[[], object]) -> None:
    drop()


def elsewhere(drop: Callable[[], object]) -> None:
    thread = Thread(target=drop)
    thread.start()
    thread.join()


def forget(kept: list[object]) -> None:
    kept.clear()
    let_go()


def collect(kept: list[object]) -> None:
    kept[:] = [Cycle(kept.pop())]
    kept.clear()
    gc.collect()


in_every_way = pytest.mark.parametrize(
    ("where", "how"),
    [(here, forget), (here, collect), (elsewhere, forget), (elsewhere, collect)],
    ids=["at once", "collected", "at once in another thread", "collected in another thread"],
)
either_sender = pytest.mark.parametrize("opened", [False, True])

Where = Callable[[Callable[[], object]], None]
How = Callable[[list[object]], None]


async def closed(itemize: Itemizer[int]) -> None:
    """No items are taken any more, and it stays so."""
    for _ in range(3):
        with pytest.raises(ReceiverClosed):
            await done(asyncio.create_task(itemize(1)))


def ends(buffer: int) -> tuple[Sender[int], list[object]]:
    """The sender of a channel, and the only reference to its receiver."""
    channel = Channel[int](buffer=buffer)
    return channel.sender, [channel.receiver]


# Nothing refers to the receiver.


@every_buffer
@in_every_way
@pytest.mark.parametrize("after", [False, True], ids=["in the block", "after it"])
async def test_a_dropped_receiver_releases_the_itemizers_that_wait(buffer: int, where: Where, how: How, *, after: bool) -> None:
    """Rules 8 and 13: rule 10 holds for every waiting itemize, also after the block: the receiver would have had their items."""
    sender, receiver = ends(buffer)
    async with sender as itemize:
        children = await all_begun(map(itemize, range(buffer + 3)))
        assert [child.done() for child in children] == [True] * buffer + [False] * 3
        if not after:
            where(lambda: how(receiver))
            await raises(ReceiverClosed, *children[buffer:])
            await closed(itemize)
    if after:
        where(lambda: how(receiver))
        await raises(ReceiverClosed, *children[buffer:])
    await all_done(children[:buffer])


@in_every_way
async def test_a_dropped_receiver_releases_the_itemizer_whose_item_was_taken(where: Where, how: How) -> None:
    """Rule 13: in lock-step it waits for a consumer that can't come back."""
    channel = Channel[int]()
    async with channel.sender as itemize:
        child = asyncio.create_task(itemize(1))
        assert await anext(channel.receiver) == 1
        await turns()
        assert not child.done()
        kept: list[object] = [channel.receiver]
        del channel
        where(lambda: how(kept))
        await raises(ReceiverClosed, child)
        await closed(itemize)


@every_buffer
@in_every_way
async def test_a_dropped_receiver_refuses_later_itemizers(buffer: int, where: Where, how: How) -> None:
    """Rule 13: rule 10 holds for every later itemize, also with room in the buffer, and rule 11 for the block."""
    sender, receiver = ends(buffer)
    where(lambda: how(receiver))
    log: list[str] = []
    async with sender as itemize:
        log.append("open")
        await closed(itemize)
        await itemize(1)
        log.append("itemized")
    assert log == ["open"]


@every_buffer
@in_every_way
async def test_after_the_block_the_itemizer_says_whether_the_receiver_was_dropped_before(
    buffer: int, where: Where, how: How
) -> None:
    """Rules 8 and 13: ReceiverClosed if it was, however the block was left; SenderClosed if it was dropped after the block."""
    for error in (None, ValueError()):
        sender, receiver = ends(buffer)
        itemize = await sender.__aenter__()
        where(lambda: how(receiver))  # noqa: B023  called at once
        assert await sender.__aexit__(None if error is None else ValueError, error, None) is False
        await closed(itemize)
        with pytest.raises(SenderClosed):
            await sender.__aenter__()

    sender, receiver = ends(buffer)
    async with sender as itemize:
        pass
    where(lambda: how(receiver))
    with pytest.raises(SenderClosed):
        await itemize(1)


async def test_a_receiver_dropped_by_its_consumer_ends_the_block_quietly() -> None:
    """Rule 13: the usual case, a consumer that leaves its loop and returns."""
    log: list[str] = []

    async def send(sender: Sender[int]) -> None:
        async with sender as itemize:
            try:
                while True:
                    await itemize(1)
            finally:
                log.append("finally")
        log.append("after the block")

    async def take_one() -> asyncio.Task[None]:
        channel = Channel[int]()
        task = asyncio.create_task(send(channel.sender))
        async for _ in channel.receiver:
            break
        return task

    task = await take_one()
    let_go()
    await done(task)
    assert log == ["finally", "after the block"]


async def test_an_ask_that_waits_refers_to_the_receiver() -> None:
    """Rule 13: a task that waits for an item, or iterates, refers to the receiver."""
    channel = Channel[int]()
    sender = channel.sender
    ask = await begun(anext(channel.receiver))
    del channel
    async with sender as itemize:
        child = asyncio.create_task(itemize(1))
        assert await done(ask) == 1
        del ask
        let_go()
        await raises(ReceiverClosed, child)


async def test_a_loop_refers_to_the_receiver() -> None:
    """Rule 13: while the loop runs."""
    channel = Channel[int]()
    sender = channel.sender
    taken: list[int] = []

    async def read(receiver: Receiver[int]) -> None:
        async for item in receiver:
            taken.append(item)

    task = asyncio.create_task(read(channel.receiver))
    del channel
    async with sender as itemize:
        for item in range(3):
            await itemize(item)
            await turns()
            assert taken == list(range(item + 1))
    await done(task)


# Nothing refers to the sender.


@every_buffer
@in_every_way
@either_sender
async def test_a_dropped_sender_fails_the_asks_that_wait(buffer: int, where: Where, how: How, *, opened: bool) -> None:
    """Rule 13: when it was never opened, or its block was abandoned, rule 7 holds for every waiting ask."""
    channel = Channel[int](buffer=buffer)
    receiver = channel.receiver
    asks = await all_begun(anext(receiver) for _ in range(3))
    kept: list[object] = [await channel.sender.__aenter__() if opened else channel.sender]
    del channel
    await turns()
    assert not any(ask.done() for ask in asks)
    where(lambda: how(kept))
    assert {each.__cause__ for each in await raises(SenderFailed, *asks)} == {None}
    await failed(receiver, None)


@every_buffer
@in_every_way
@either_sender
async def test_a_dropped_sender_fails_later_asks(buffer: int, where: Where, how: How, *, opened: bool) -> None:
    """Rule 13: also before the first ask. What was accepted in a block that was abandoned is delivered, then rule 7 holds."""
    channel = Channel[int](buffer=buffer)
    receiver = channel.receiver
    kept: list[object] = [channel.sender]
    accepted = range(buffer if opened else 0)
    if opened:
        itemize = await channel.sender.__aenter__()
        for item in accepted:
            await itemize(item)
        del itemize
    del channel
    where(lambda: how(kept))
    assert [await anext(receiver) for _ in accepted] == list(accepted)
    await failed(receiver, None)


async def test_an_itemizer_refers_to_its_sender() -> None:
    """Rule 13: a task that holds the itemizer can still send."""
    channel = Channel[int]()
    receiver = channel.receiver
    itemize = await channel.sender.__aenter__()
    ask = asyncio.create_task(anext(receiver))
    del channel
    await turns()
    assert not ask.done()
    child = asyncio.create_task(itemize(1))
    assert await done(ask) == 1
    ask = asyncio.create_task(anext(receiver))
    await done(child)
    assert not ask.done()
    del itemize
    let_go()
    await raises(SenderFailed, ask)
    await failed(receiver, None)


async def test_an_itemize_that_waits_refers_to_the_sender() -> None:
    """Rule 13: a task that waits is still there, and no other needs to be."""
    channel = Channel[int]()
    receiver = channel.receiver
    child = asyncio.create_task((await channel.sender.__aenter__())(1))
    del channel
    await turns()
    assert await anext(receiver) == 1
    await turns()
    assert "sender open" in repr(receiver)
    assert not child.done()
    ask = asyncio.create_task(anext(receiver))
    await done(child)  # the ask releases the itemize, and with it goes the last reference
    let_go()
    await raises(SenderFailed, ask)
    await failed(receiver, None)


@every_buffer
@in_every_way
@pytest.mark.parametrize("error", [None, Broken()])
async def test_a_sender_dropped_after_its_block_changes_nothing(buffer: int, where: Where, how: How, error: Broken | None) -> None:
    """Rule 13: a block that ended normally stays complete, and one that failed stays failed from its error."""
    channel = Channel[int](buffer=buffer)
    receiver = channel.receiver
    with left_by(error):
        await write(channel.sender, range(buffer), error)
    if error is not None:
        error.__traceback__ = None  # refers to the sender
    kept: list[object] = [channel.sender]
    del channel
    where(lambda: how(kept))
    assert [await anext(receiver) for _ in range(buffer)] == list(range(buffer))
    await ended(receiver, error)


@in_every_way
@either_sender
async def test_a_sender_dropped_after_the_receiver_was_closed_breaks_nothing(where: Where, how: How, *, opened: bool) -> None:
    """Rules 9 and 13: the closing came first, so no ask misses anything, not even one that has not had the turn to learn of it."""
    channel = Channel[int]()
    receiver = channel.receiver
    kept: list[object] = [await channel.sender.__aenter__() if opened else channel.sender]
    del channel
    asks = await all_begun(anext(receiver) for _ in range(2))
    await receiver.aclose()
    where(lambda: how(kept))
    asks.append(asyncio.create_task(anext(receiver)))
    await raises(StopAsyncIteration, *asks)


async def test_a_task_that_is_thrown_away_in_its_block_fails_the_stream() -> None:
    """Rules 7 and 13: nothing runs that could leave the block; Python closes its coroutine."""
    channel = Channel[int](buffer=1)
    receiver = channel.receiver

    async def send(sender: Sender[int]) -> None:
        async with sender as itemize:
            await itemize(1)
            await asyncio.Event().wait()

    coroutine = send(channel.sender)
    del channel
    coroutine.send(None)
    del coroutine
    let_go()
    assert await anext(receiver) == 1
    with pytest.raises(SenderFailed):
        await anext(receiver)


# Neither.


async def test_a_channel_dropped_as_a_whole_disturbs_nothing() -> None:
    """Rule 13: with no task on either side, nothing happens."""
    for buffer in range(2):
        channel = Channel[int](buffer=buffer)
        ask = await begun(anext(channel.receiver))
        ask.cancel()
        await turns()
        del channel, ask
        let_go()
    await turns()


@in_every_way
def test_ends_may_be_dropped_when_their_loop_is_closed(where: Where, how: How) -> None:
    """Rule 13: no task waits in a closed loop, and no finalizer complains."""
    channel = Channel[int]()

    async def wait(channel: Channel[int]) -> None:
        ask = asyncio.create_task(anext(channel.receiver))
        async with channel.sender as itemize:
            await turns()
            child = asyncio.create_task(itemize(1))
            assert await done(ask) == 1
            child.cancel()

    asyncio.run(wait(channel))
    kept: list[object] = [(channel.sender, channel.receiver)]
    del channel
    where(lambda: how(kept))

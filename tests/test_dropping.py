"""Channels that lose items on purpose, or say which ones were lost: `drop_oldest` and `on_drop`. Rule 25."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Self

import pytest

from chanstream import Channel, Itemizer, Receiver, ReceiverClosed, offer
from tests.garbage import is_gone, let_go
from tests.loops import turns, turns_given
from tests.outcomes import Broken, all_begun, begun, done, failed, left_by, raises, rest, wait_for
from tests.producers import write

TURN: Final = 512
"""So many items pass without a turn of the event loop."""


class Local:
    """What is watched."""


each_way = pytest.mark.parametrize("by_offer", [False, True])


async def put(itemize: Itemizer[int], item: int, *, by_offer: bool) -> None:
    if by_offer:
        assert offer(itemize, item)
    else:
        await itemize(item)


# drop_oldest.


@each_way
@pytest.mark.parametrize("buffer", [1, 2, 5])
async def test_a_full_buffer_loses_its_oldest_item_for_the_new_one(buffer: int, *, by_offer: bool) -> None:
    """Rule 25: and no itemizer waits for room, though nothing is taken."""
    channel = Channel[int](buffer=buffer, drop_oldest=True)
    async with channel.sender as itemize:
        given = turns_given()
        for item in range(20):
            await put(itemize, item, by_offer=by_offer)
            assert channel.statistics().buffered == min(item + 1, buffer)
            assert channel.statistics().dropped == max(0, item + 1 - buffer)
        assert not given()
        assert await anext(channel.receiver) == 20 - buffer
        await itemize(20)
        assert channel.statistics().dropped == 20 - buffer
        await channel.receiver.aclose()
        assert channel.statistics().dropped == 20


@each_way
async def test_what_was_not_lost_is_delivered(*, by_offer: bool) -> None:
    """Rules 6 and 25: after the end of the block too."""
    channel = Channel[int](buffer=3, drop_oldest=True)
    async with channel.sender as itemize:
        for item in range(10):
            await put(itemize, item, by_offer=by_offer)
    assert await rest(channel.receiver) == [7, 8, 9]


async def test_an_itemizer_that_loses_items_still_gives_other_tasks_turns() -> None:
    """Rules 3 and 25: so it does not starve the event loop."""
    channel = Channel[int](buffer=1, drop_oldest=True)
    async with channel.sender as itemize:
        for _ in range(3):
            given = turns_given()
            for item in range(TURN + 2):
                await itemize(item)
            assert given()


async def test_a_waiting_ask_gets_what_was_not_lost() -> None:
    """Rules 14 and 25: it was woken for the first item, and takes the oldest that is left when it runs."""
    channel = Channel[int](buffer=1, drop_oldest=True)
    asks = await all_begun(anext(channel.receiver) for _ in range(2))
    async with channel.sender as itemize:
        for item in (1, 2, 3):
            await itemize(item)
        assert await done(asks[0]) == 3
        await itemize(4)
        assert await done(asks[1]) == 4


def test_drop_oldest_without_a_buffer_is_refused() -> None:
    """Rules 21 and 25: a ValueError, and other arguments are named too."""
    with pytest.raises(ValueError, match=r"Channel\(drop_oldest=True\) needs a buffer"):
        Channel[int](drop_oldest=True)
    with pytest.raises(TypeError, match=r"Channel\(drop_oldest=\.\.\.\) takes True or False, not int"):
        Channel[int](buffer=1, drop_oldest=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Channel\(on_drop=\.\.\.\) takes a plain function of an item, or None, not \[\]"):
        Channel[int](on_drop=[])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Channel\(on_drop=\.\.\.\) takes a plain function of an item, or None, not .*turns"):
        Channel[int](on_drop=turns)  # type: ignore[arg-type]


# on_drop: for which items.


@each_way
async def test_on_drop_is_called_once_for_each_item_that_is_pushed_out(*, by_offer: bool) -> None:
    """Rule 25: in order, and not for what is taken."""
    lost: list[int] = []
    channel = Channel[int](buffer=2, drop_oldest=True, on_drop=lost.append)
    async with channel.sender as itemize:
        for item in range(5):
            await put(itemize, item, by_offer=by_offer)
        assert lost == [0, 1, 2]
    assert await rest(channel.receiver) == [3, 4]
    await channel.receiver.aclose()
    assert lost == [0, 1, 2]


async def leave_by_closing(held: list[Channel[int]]) -> None:
    await held[0].receiver.aclose()
    await held[0].receiver.aclose()


async def leave_the_block(held: list[Channel[int]]) -> None:
    async with held[0].receiver:
        pass


async def leave_by_dropping(held: list[Channel[int]]) -> None:
    held.clear()
    let_go()
    await turns()


@pytest.mark.parametrize("leave", [leave_by_closing, leave_the_block, leave_by_dropping])
@pytest.mark.parametrize("drop_oldest", [False, True])
@pytest.mark.parametrize("ended", [None, "normally", "failed"])
async def test_on_drop_is_called_for_what_a_receiver_leaves_behind(
    leave: Callable[[list[Channel[int]]], Awaitable[None]], ended: str | None, *, drop_oldest: bool
) -> None:
    """Rule 25: once for each item whose itemizer had returned; not for one whose itemizer waits and is refused."""
    lost: list[int] = []
    held = [Channel[int](buffer=2, drop_oldest=drop_oldest, on_drop=lost.append)]
    sender = held[0].sender
    waiting: list[asyncio.Task[None]] = []

    async def leave_and_refuse() -> None:
        await leave(held)
        await raises(ReceiverClosed, *waiting)

    with suppress(Broken):
        async with sender as itemize:
            for item in range(2):
                await itemize(item)
            assert held[0].receiver.take_ready(1) == [0]
            await itemize(2)
            if drop_oldest:
                await itemize(3)
                assert lost == [1]
            else:
                waiting.append(asyncio.create_task(wait_for(itemize(3))))
                await turns()
            if ended is None:
                await leave_and_refuse()
            elif ended == "failed":
                raise Broken
    if ended is not None:
        await leave_and_refuse()
    assert lost == ([1, 2, 3] if drop_oldest else [1, 2])


async def test_on_drop_is_called_for_what_was_offered_to_an_ask_that_was_cancelled() -> None:
    """Rules 24 and 25: in lock-step an itemizer returns when its item was taken, but `offer` before."""
    lost: list[int] = []
    channel = Channel[int](on_drop=lost.append)
    asks = await all_begun(anext(channel.receiver) for _ in range(2))
    async with channel.sender as itemize:
        assert [offer(itemize, item) for item in (1, 2)] == [True, True]
        asks[1].cancel()
        assert await done(asks[0]) == 1
        waiting = await begun(wait_for(itemize(3)))
        await channel.receiver.aclose()
        await raises(ReceiverClosed, waiting)
    assert lost == [2]
    assert channel.statistics().dropped == 1


async def test_on_drop_is_called_for_nothing_that_is_withdrawn_or_taken() -> None:
    """Rules 15 and 25."""
    lost: list[int] = []
    channel = Channel[int](buffer=1, on_drop=lost.append)
    async with channel.sender as itemize:
        await itemize(1)
        waiting = await begun(wait_for(itemize(2)))
        waiting.cancel()
        await turns()
    assert await rest(channel.receiver) == [1]
    await channel.receiver.aclose()
    assert not lost


# on_drop: where and when.


async def test_on_drop_is_called_in_the_loop_of_the_channel() -> None:
    """Rule 25: though another thread drops the receiver."""
    threads: list[int] = []
    lost: list[int] = []

    def note(item: int) -> None:
        asyncio.get_running_loop()
        threads.append(threading.get_ident())
        lost.append(item)

    held = [Channel[int](buffer=2, on_drop=note)]
    sender = held[0].sender
    async with sender as itemize:
        await itemize(1)
        await itemize(2)

        def drop() -> None:
            held.clear()
            let_go()

        await asyncio.to_thread(drop)
        await turns()
        assert lost == [1, 2]
        assert threads == [threading.get_ident()] * 2


def test_a_channel_with_on_drop_binds_when_its_sender_opens() -> None:
    """Rules 19 and 25: other channels bind when they first have to wait."""
    for bound in (False, True):
        channel = Channel[int](buffer=1, on_drop=print if bound else None)
        asyncio.run(write(channel.sender, [1]))
        if bound:
            with pytest.raises(RuntimeError, match="belongs to the event loop"):
                asyncio.run(rest(channel.receiver))
        else:
            assert asyncio.run(rest(channel.receiver)) == [1]


def test_a_sender_that_finds_no_loop_to_bind_to_is_not_opened() -> None:
    """Rules 19 and 25: the refusal does no harm."""
    channel = Channel[int](buffer=1, on_drop=print)
    with pytest.raises(RuntimeError, match="no asyncio event loop runs"):
        channel.sender.__aenter__().send(None)

    async def use() -> list[int]:
        async with channel.sender as itemize:
            await itemize(1)
        return await rest(channel.receiver)

    assert asyncio.run(use()) == [1]


@pytest.mark.parametrize("drop_oldest", [False, True])
def test_in_a_closed_loop_on_drop_is_not_called(*, drop_oldest: bool) -> None:
    """Rule 25: the items are counted and dropped."""
    lost: list[int] = []
    item = Local()
    gone = weakref.ref(item)

    held = [Channel[Local](buffer=1, drop_oldest=drop_oldest, on_drop=lambda _: lost.append(1))]
    sender = held[0].sender
    asyncio.run(write(sender, [item]))
    del item
    held.clear()
    let_go()
    assert not lost
    assert is_gone(gone)
    assert "1 dropped" in repr(sender)


class User:
    """An `on_drop` that uses its own channel, each time in another way."""

    def __init__(self, buffer: int) -> None:
        self.channel = Channel[int](buffer=buffer, drop_oldest=True, on_drop=self.use)
        self.itemize: Itemizer[int] | None = None
        self.seen: list[tuple[int, int, int]] = []
        self.todo: list[Callable[[Receiver[int]], object]] = []

    def use(self, item: int) -> None:
        now = self.channel.statistics()
        self.seen.append((item, now.buffered, now.dropped))
        if self.todo:
            self.todo.pop(0)(self.channel.receiver)


async def test_on_drop_may_use_the_channel_again() -> None:
    """Rule 25: as the last thing of a step, so it finds the new item in its place, and it can offer, take and close."""
    user = User(2)
    channel = user.channel
    async with channel.sender as itemize:
        user.todo = [lambda _: offer(itemize, 9), lambda _: None, lambda receiver: receiver.take_ready(1)]
        for item in range(3):
            await itemize(item)
        assert user.seen == [(0, 2, 1), (1, 2, 2)]  # its own offer pushes one out
        await itemize(3)
        assert user.seen[2:] == [(2, 2, 3)]  # and then it took 9
        assert channel.statistics().buffered == 1
        await itemize(4)
        user.todo = [close_at_once]
        with suppress(ReceiverClosed):
            await itemize(5)
        assert user.seen[3:] == [(3, 2, 4), (4, 0, 6), (5, 0, 6)]  # what it leaves behind by closing
        with pytest.raises(ReceiverClosed):
            await itemize(6)


def close_at_once(receiver: Receiver[int]) -> None:
    with suppress(StopIteration):
        receiver.aclose().send(None)


async def test_on_drop_may_close_the_receiver_when_an_itemizer_comes_back_from_a_turn() -> None:
    """Rules 10, 16 and 25: that one does not wait for ever, nor do those behind it."""
    user = User(1)
    channel = user.channel
    async with channel.sender as itemize:
        for item in range(TURN + 1):
            await itemize(item)
        user.todo = [close_at_once]
        tasks = await all_begun(wait_for(itemize(-number)) for number in (1, 2))
        assert all(task.done() for task in tasks)
        assert isinstance(tasks[1].exception(), ReceiverClosed)
        assert user.seen[-2:] == [(TURN, 1, TURN + 1), (-1, 0, TURN + 2)]


# Errors of on_drop.


class Reports(list[dict[str, object]]):
    """What the event loop's exception handler got."""

    def __enter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        self.handler = self.loop.get_exception_handler()
        self.loop.set_exception_handler(lambda _, context: self.append(context))
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.set_exception_handler(self.handler)


class Fatal(BaseException):
    """No Exception."""


@pytest.mark.parametrize("kind", [Broken, Fatal, asyncio.CancelledError])
@pytest.mark.parametrize("by", ["itemize", "offer", "close", "drop"])
async def test_an_error_of_on_drop_goes_to_the_exception_handler_and_disturbs_neither_side(
    by: str, kind: type[BaseException]
) -> None:
    """Rule 25: and the other items are lost with a word too."""
    lost: list[int] = []

    def fail(item: int) -> None:
        lost.append(item)
        raise kind

    with Reports() as reports:
        held = [Channel[int](buffer=2, drop_oldest=True, on_drop=fail)]
        sender = held[0].sender
        async with sender as itemize:
            await itemize(1)
            await itemize(2)
            if by in ("itemize", "offer"):
                for item in (3, 4):
                    await put(itemize, item, by_offer=by == "offer")
                assert held[0].receiver.take_ready() == [3, 4]
            else:
                await (leave_by_closing if by == "close" else leave_by_dropping)(held)
        assert lost == [1, 2]
        assert [type(report["exception"]) for report in reports] == [kind, kind]
        assert all(str(report["message"]).startswith("on_drop of <Channel buffer=2: ") for report in reports)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_program_leaves_on_drop(kind: type[BaseException]) -> None:
    """Rule 25: as it leaves any callback of an event loop."""

    def interrupt(_: int) -> None:
        raise kind

    channel = Channel[int](buffer=1, drop_oldest=True, on_drop=interrupt)
    async with channel.sender as itemize:
        await itemize(1)
        with pytest.raises(kind):
            offer(itemize, 2)
        assert channel.receiver.take_ready() == [2]


@pytest.mark.cpython
@pytest.mark.usefixtures("no_collector")
async def test_an_error_of_on_drop_keeps_no_frame_alive() -> None:
    """Rules 22 and 25: nor what those that were running hold, once the exception handler is done with it."""

    def fail(_: int) -> None:
        raise Broken

    channel = Channel[int](buffer=1, drop_oldest=True, on_drop=fail)
    gone: list[weakref.ref[Local]] = []

    def caller(itemize: Itemizer[int]) -> None:
        local = Local()
        gone.append(weakref.ref(local))
        assert offer(itemize, 2)

    with Reports() as reports:
        async with channel.sender as itemize:
            await itemize(1)
            caller(itemize)
            errors = [weakref.ref(error) for report in reports if isinstance(error := report["exception"], Broken)]
            del error
            reports.clear()
            assert all(is_gone(each) for each in gone)
            assert all(is_gone(each) for each in errors)
            assert errors
            assert channel.receiver.take_ready() == [2]


async def test_a_stream_that_failed_is_still_truncated_after_on_drop() -> None:
    """Rules 7 and 25: losing items changes nothing of how the stream ends."""
    lost: list[int] = []
    channel = Channel[int](buffer=1, drop_oldest=True, on_drop=lost.append)
    error = Broken()
    with left_by(error):
        await write(channel.sender, (1, 2), error)
    assert await anext(channel.receiver) == 2
    await failed(channel.receiver, error)
    assert lost == [1]

"""`Receiver.take_ready`: what is there, at once. Rule 26, and what rules 2, 3 and 4 say of it."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from typing import Final

import pytest

from chanstream import Channel, Itemizer, offer
from tests.garbage import is_gone
from tests.loops import turns
from tests.outcomes import Broken, done, failed, over, rest, wait_for

TURN: Final = 1024
"""By so many items a buffer shrinks before an ask gives other tasks a turn."""

every_buffer = pytest.mark.parametrize("buffer", [0, 1, 3])


def waiting(itemize: Itemizer[int], first: int, count: int) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(wait_for(itemize(item))) for item in range(first, first + count)]


@every_buffer
@pytest.mark.parametrize("itemizing", [0, 1, 3])
async def test_it_takes_at_most_so_many_of_the_items_that_asks_could_have_had(buffer: int, itemizing: int) -> None:
    """Rules 1 and 26: in order, those with which itemizers wait included, and without giving any task a turn."""
    for limit in (None, 0, 1, 2, 3, 4, 9):
        channel = Channel[int](buffer=buffer)
        async with channel.sender as itemize:
            for item in range(buffer):
                await itemize(item)
            tasks = waiting(itemize, buffer, itemizing)
            await turns()
            given: list[None] = []
            asyncio.get_running_loop().call_soon(given.append, None)
            taken = channel.receiver.take_ready(limit)
            assert not given
            assert taken == [*range(buffer + itemizing)][:limit]
            assert channel.statistics().pending == buffer + itemizing - len(taken)
            await turns()
            # In lock-step the last one returns when a further item is asked for.
            returned = sum(task.done() for task in tasks)
            assert returned == (min(itemizing, len(taken)) if buffer else max(0, len(taken) - 1))
        assert taken + await rest(channel.receiver) == [*range(buffer + itemizing)]
        assert all(task.done() for task in tasks)


async def test_without_a_limit_it_takes_all() -> None:
    """Rule 26: and an empty list is returned if there is nothing."""
    channel = Channel[int](buffer=3)
    assert channel.receiver.take_ready() == []
    async with channel.sender as itemize:
        assert channel.receiver.take_ready() == []
        await itemize(1)
        await itemize(2)
        assert channel.receiver.take_ready() == [1, 2]
        assert channel.receiver.take_ready() == []


@pytest.mark.parametrize("limit", [-1, True, "1", 1.0])
async def test_another_limit_is_refused(limit: int) -> None:
    """Rules 21 and 26: and nothing is taken."""
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        await itemize(1)
        with pytest.raises((TypeError, ValueError), match=r"take_ready\(limit\)"):
            channel.receiver.take_ready(limit)
    assert await rest(channel.receiver) == [1]


@every_buffer
async def test_while_other_asks_are_queued_it_takes_nothing(buffer: int) -> None:
    """Rules 4 and 26: first come, first served."""
    channel = Channel[int](buffer=buffer)
    asks = [asyncio.create_task(anext(channel.receiver)) for _ in range(2)]
    await turns()
    async with channel.sender as itemize:
        assert offer(itemize, 1)
        assert channel.receiver.take_ready() == []
        assert await done(asks[0]) == 1
        assert offer(itemize, 2)
        asks[1].cancel()
        assert channel.receiver.take_ready() == []  # that one has not left the line yet
        await turns()
        assert channel.receiver.take_ready() == [2]


# Rule 2.


@pytest.mark.parametrize("further", ["an ask", "take_ready", "an empty take_ready", "take_ready of none"])
async def test_in_lock_step_the_last_itemizer_returns_when_a_further_item_is_asked_for_or_taken(further: str) -> None:
    """Rules 2 and 26: not by a `take_ready` that takes nothing."""
    channel = Channel[int]()
    async with channel.sender as itemize:
        [first] = tasks = waiting(itemize, 1, 1)
        await turns()
        assert channel.receiver.take_ready() == [1]
        await turns()
        assert not first.done()
        if further == "an ask":
            ask = asyncio.create_task(anext(channel.receiver))
            await done(first)
            ask.cancel()
            await turns()
        elif further == "an empty take_ready":
            assert channel.receiver.take_ready() == []
            await turns()
            assert not first.done()
        else:
            second, third = more = waiting(itemize, 2, 2)
            tasks += more
            await turns()
            assert channel.receiver.take_ready(1 if further == "take_ready" else 0) == ([2] if further == "take_ready" else [])
            await turns()
            assert first.done() is (further == "take_ready")
            assert not second.done()
            assert not third.done()
    await channel.receiver.aclose()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_greedy_consumer_in_lock_step_reads_all_in_order() -> None:
    """Rules 2 and 26: it takes one, and then what is ready."""
    channel = Channel[int]()

    async def write() -> None:
        async with channel.sender as itemize:
            for first in range(0, 30, 3):
                await asyncio.gather(*waiting(itemize, first, 3))

    task = asyncio.create_task(write())
    batches = [[first, *channel.receiver.take_ready()] async for first in channel.receiver]
    assert [item for batch in batches for item in batch] == [*range(30)]
    assert max(map(len, batches)) == 3
    await done(task)


# Rule 3.


async def test_greedy_batches_still_give_other_tasks_turns() -> None:
    """Rules 3 and 26: the asks between them do, before the buffer has shrunk by more than 1,024 items since the last turn."""
    channel = Channel[int](buffer=5 * TURN)
    async with channel.sender as itemize:
        for item in range(5 * TURN):
            await itemize(item)
    given: list[int] = []
    loop = asyncio.get_running_loop()
    loop.call_soon(given.append, 0)
    await turns(1)
    taken = 0
    async for _ in channel.receiver:
        if not given:
            assert taken <= TURN
        loop.call_soon(given.append, taken)
        taken += 1 + len(channel.receiver.take_ready(63))
    assert taken == 5 * TURN
    turns_between = sorted({*given, taken})
    assert len(turns_between) >= 5


async def test_it_lets_itemizers_that_wait_for_room_go_on() -> None:
    """Rules 3 and 26: as many as there is room for, first come, first served."""
    channel = Channel[int](buffer=2)
    async with channel.sender as itemize:
        await itemize(0)
        await itemize(1)
        tasks = waiting(itemize, 2, 3)
        await turns()
        assert channel.receiver.take_ready(1) == [0]
        await turns()
        assert [task.done() for task in tasks] == [True, False, False]
        assert channel.receiver.take_ready() == [1, 2, 3, 4]
        await turns()
        assert all(task.done() for task in tasks)


# The end.


@pytest.mark.parametrize("buffer", [1, 3])
@pytest.mark.parametrize("error", [None, Broken()])
async def test_the_end_and_a_failure_are_left_for_the_loop(buffer: int, error: Broken | None) -> None:
    """Rules 6, 7 and 26."""
    channel = Channel[int](buffer=buffer)
    with suppress(Broken):
        async with channel.sender as itemize:
            await itemize(1)
            if error is not None:
                raise error
    assert channel.receiver.take_ready(2) == [1]
    for _ in range(2):
        assert channel.receiver.take_ready() == []
    await (over(channel.receiver) if error is None else failed(channel.receiver, error))


async def test_a_closed_receiver_has_nothing() -> None:
    """Rules 9 and 26: an empty list, also of a stream that was cut short."""
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        await itemize(1)
        await channel.receiver.aclose()
        assert channel.receiver.take_ready() == []


async def test_in_another_loop_it_is_refused() -> None:
    """Rules 19 and 26: a RuntimeError, and nothing is taken."""
    channel = Channel[int](buffer=1)
    ask = asyncio.create_task(anext(channel.receiver))
    await turns()
    ask.cancel()
    await turns()
    async with channel.sender as itemize:
        await itemize(1)
        with pytest.raises(RuntimeError, match="belongs to the event loop"):
            await asyncio.to_thread(channel.receiver.take_ready)
    assert channel.receiver.take_ready() == [1]


class Item:
    """An item that can be watched."""


@every_buffer
async def test_what_it_took_is_the_consumers(buffer: int) -> None:
    """Rule 22: the channel keeps none of it."""
    channel = Channel[Item](buffer=buffer)
    gone: list[weakref.ref[Item]] = []

    def made() -> Item:
        item = Item()
        gone.append(weakref.ref(item))
        return item

    async with channel.sender as itemize:
        tasks = [asyncio.create_task(wait_for(itemize(made()))) for _ in range(4)]
        await turns()
        taken = channel.receiver.take_ready()
        assert len(taken) == len(gone) == 4
        assert not any(is_gone(each) for each in gone)
        taken.clear()
        assert all(is_gone(each) for each in gone)
    await channel.receiver.aclose()
    await asyncio.gather(*tasks, return_exceptions=True)

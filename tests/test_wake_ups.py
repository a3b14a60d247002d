"""Who is woken, and who is not, step by step on the core. A wake-up in vain breaks no promise, but each costs a task a turn."""

from __future__ import annotations

import asyncio

import pytest
from typing_extensions import override

from chanstream import Channel
from chanstream._core import WAIT, Core
from chanstream._line import Ticket


class Counting(Ticket[int]):
    """Counts how often it is woken."""

    __slots__ = ("wakes",)

    wakes: int

    def __init__(self, item: int = 0) -> None:
        super().__init__()
        self.item = item
        self.asleep = True
        self.wakes = 0

    @override
    def wake(self) -> None:
        self.wakes += 1


def opened(buffer: int) -> Core[int]:
    core = Core[int](buffer)
    core.open()
    return core


def test_who_finds_the_last_room_wakes_nobody() -> None:
    """Rule 3: the buffer is full again, so the next in line waits on."""
    core, first, second = opened(1), Counting(2), Counting(3)
    assert core.put(1)
    core.offer(first)
    core.offer(second)
    assert core.take(None) == 1
    assert first.wakes
    assert core.released(first)
    assert not second.wakes


def test_who_withdraws_from_a_full_buffer_wakes_nobody() -> None:
    """Rules 3 and 15."""
    core, first, second = opened(1), Counting(2), Counting(3)
    assert core.put(1)
    core.offer(first)
    core.offer(second)
    core.withdraw(first)
    assert not second.wakes


def test_who_is_woken_before_its_turn_is_not_released() -> None:
    """Rule 3: first come, first served, also if somebody further back looks first."""
    core, first, second = opened(1), Counting(2), Counting(3)
    assert core.put(1)
    core.offer(first)
    core.offer(second)
    assert core.take(None) == 1
    assert not core.released(second)
    assert core.released(first)
    assert not core.released(second)


@pytest.mark.parametrize("buffer", [0, 1])
def test_an_ask_that_leaves_an_empty_channel_wakes_nobody(buffer: int) -> None:
    """Rule 14: there is nothing that the next in line could take."""
    core, first, second = opened(buffer), Counting(), Counting()
    core.ask(first)
    core.ask(second)
    core.leave(first)
    assert not second.wakes
    assert core.take(second) is WAIT


@pytest.mark.parametrize("buffer", [0, 1])
def test_an_ask_that_takes_the_only_item_wakes_nobody(buffer: int) -> None:
    """Rule 4."""
    core, first, second = opened(buffer), Counting(), Counting()
    core.ask(first)
    core.ask(second)
    if not core.put(1):
        core.offer(Counting(1))
    assert first.wakes
    assert core.take(first) == 1
    assert not second.wakes


@pytest.mark.parametrize("buffer", [1, 1000])
def test_who_looks_at_a_full_buffer_waits_on(buffer: int) -> None:
    """Rule 3: no more items wait than the buffer holds, whoever is woken in vain."""
    core, offer = opened(buffer), Counting(buffer)
    assert all(core.put(number) for number in range(buffer))
    assert not core.put(buffer)
    core.offer(offer)
    assert not core.released(offer)
    assert core.take(None) == 0
    assert core.released(offer)


def test_nobody_is_stranded_by_a_receiver_that_was_closed() -> None:
    """Rule 13: closed where its loop doesn't run, and dropped before that loop has told those who wait."""
    core = opened(0)
    assert not core.strands()
    core.offer(Counting(1))
    assert core.strands()
    core.stop_receiving()
    assert not core.strands()
    core.settle()
    assert not core.strands()


def test_who_waits_for_room_is_woken_when_its_item_is_taken_from_a_buffer_that_a_finalizer_has_emptied() -> None:
    """Rule 3: nobody else has told it of the room."""
    core, offer = opened(1), Counting(2)
    assert core.put(1)
    core.offer(offer)
    core.drop_receiver()
    assert core.take(None) == 2
    assert offer.done
    assert offer.wakes


async def test_a_large_buffer_is_filled_and_emptied() -> None:
    """Rule 3: also where the interpreter has several objects for one number."""
    channel, count = Channel[int](buffer=1000), 3000

    async def write() -> None:
        async with channel.sender as itemize:
            for number in range(count):
                await itemize(number)

    task = asyncio.create_task(write())
    assert [number async for number in channel.receiver] == list(range(count))
    await task

"""A wake-up may come in vain. The public surface gives none that does, so these tests wake the tickets themselves."""

from __future__ import annotations

import asyncio
import weakref

import pytest

from chanstream import Channel
from chanstream._line import Ticket
from chanstream._waiting import Waiter
from tests.loops import turns


async def stays_parked(task: asyncio.Task[None], ticket: Ticket[int] | None) -> None:
    assert isinstance(ticket, Waiter)
    for _ in range(3):
        ticket.wake()
        await turns()
        assert not task.done()
        assert ticket.asleep  # and does not look again at every turn
        assert not ticket.future.done()


async def test_an_itemizer_that_is_woken_in_vain_waits_on() -> None:
    """Rules 2 and 16."""
    channel = Channel[int]()

    async def write() -> None:
        async with channel.sender as itemize:
            await itemize(1)

    task = asyncio.create_task(write())
    await turns()
    await stays_parked(task, channel._home.first_offer)
    assert [item async for item in channel.receiver] == [1]
    await task


async def test_an_ask_that_is_woken_in_vain_waits_on() -> None:
    """Rules 14 and 16."""
    channel = Channel[int]()
    taken: list[int] = []

    async def read() -> None:
        taken.extend([item async for item in channel.receiver])

    task = asyncio.create_task(read())
    await turns()
    await stays_parked(task, channel._home.first_ask)
    async with channel.sender as itemize:
        await itemize(1)
    await task
    assert taken == [1]


@pytest.mark.usefixtures("no_collector")
async def test_a_ticket_keeps_no_future_of_a_wait_that_is_over() -> None:
    """Rule 7: nor what is bound to it."""
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        task = asyncio.create_task(anext(channel.receiver))
        await turns()
        ticket = channel._home.first_ask
        assert isinstance(ticket, Waiter)
        future = weakref.ref(ticket.future)
        await itemize(1)
        assert await task == 1
        assert future() is None

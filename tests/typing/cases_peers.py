"""The stubs in ``typings/``, which every checker has to find: a channel of somebody else keeps the type of its items."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import assert_type

from aiochan import Chan
from asyncio_channel import create_blocking_buffer, create_channel
from asyncio_channel._channel import Channel
from sav import channels


async def of_aiochan() -> None:
    channel = Chan[int](3)
    assert_type(await channel.put(1), bool)
    assert_type(await channel.get(), int | None)
    assert_type(channel.closed, bool)
    assert_type([item async for item in channel], list[int])
    assert_type(await channel.collect(), list[int])
    assert_type(channel.add(1, 2).close(), Chan[int])
    await channel.put("1")  # type: ignore[arg-type]
    channel.closed()  # type: ignore[operator]
    channel.send(1)  # type: ignore[attr-defined]


def made_for_asyncio_channel() -> Channel[int]:
    return create_channel(create_blocking_buffer(3))


async def of_asyncio_channel(channel: Channel[int]) -> None:
    assert_type(await channel.put(1, timeout=1), bool)
    assert_type(await channel.take(), int | None)
    assert_type([number async for number in channel], list[int])
    assert_type(channel.is_closed(), bool)
    await channel.put("1")  # type: ignore[arg-type]
    channel.put(1)  # type: ignore[unused-coroutine]
    channel.send(1)  # type: ignore[attr-defined]


def made_for_sav_channels() -> tuple[AsyncGenerator[None, int | None], AsyncGenerator[int | None, None]]:
    return channels.create()


async def of_sav_channels(sending: AsyncGenerator[None, int | None], receiving: AsyncGenerator[int | None, None]) -> None:
    async with channels.open(sending) as started:
        assert_type(started, AsyncGenerator[None, int | None])
        await started.asend(1)
        await started.asend("1")  # type: ignore[arg-type]
    async with channels.open(receiving, start=False) as numbers:
        assert_type([number async for number in numbers], list[int | None])
    channels.open([1])  # type: ignore[type-var]
    channels.open(sending, begin=True)  # type: ignore[call-arg]

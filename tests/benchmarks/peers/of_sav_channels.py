"""Two async generators, as in the example of https://pypi.org/project/sav.channels/0.5/ ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from sav import channels

from tests.benchmarks.ways import LOCK_STEP, Way

__all__ = ["WAYS"]


async def passing(count: int) -> list[int]:
    receiving: AsyncGenerator[int, None]
    sending: AsyncGenerator[None, int]
    receiving, sending = channels.create()
    received: list[int] = []

    async def write() -> None:
        async with channels.open(sending):
            for number in range(count):
                await sending.asend(number)

    task = asyncio.create_task(write())
    async for number in receiving:
        received.append(number)
    await task
    return received


WAYS: Final = (Way("sav.channels", (LOCK_STEP,), passing),)

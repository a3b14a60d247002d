"""Producers: async functions that know nothing but their itemizer, for `Channel.fed_by` and `stream` alike."""

from __future__ import annotations

import asyncio

from chanstream import Channel, Itemizer
from tests.loops import turns

__all__ = ["busy", "count", "logged"]


async def count(itemize: Itemizer[int], up_to: int) -> None:
    for number in range(up_to):
        await itemize(number)


async def logged(itemize: Itemizer[int], log: list[str], up_to: int = 1_000) -> None:
    """Count, and tell of the end and of the cleanup, which takes its time."""
    try:
        await count(itemize, up_to)
        log.append("end")
    except BaseException as error:
        log.append(type(error).__name__)
        raise
    finally:
        await turns(2)
        log.append("cleaned")


async def busy(itemize: Itemizer[str], log: list[str], event: asyncio.Event) -> None:
    """A producer with every kind of await: its itemizer, a turn, an event, a task, a channel, and in its cleanup."""
    log.append("start")
    try:
        await itemize("first")
        await asyncio.sleep(0)
        await asyncio.create_task(turns(1))
        async with Channel[int](buffer=1).fed_by(count, 2) as numbers:
            async for number in numbers:
                await itemize(str(number))
        await event.wait()
        async with asyncio.timeout(100):
            await itemize("last")
    finally:
        log.append("clean")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log.append("cleaned")

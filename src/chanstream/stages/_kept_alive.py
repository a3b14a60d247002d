"""A sign of life while a source is silent: `kept_alive`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import TypeVar

from chanstream import Channel, Itemizer

from ._arguments import check_plain_function, check_seconds, check_source
from ._common import Stage, close

__all__ = ["kept_alive"]

A = TypeVar("A")
B = TypeVar("B")


def kept_alive(source: AsyncIterable[A], *, seconds: float, beat: Callable[[], B]) -> Stage[A | B]:
    """Make a producer of the items of `source`, and of a ``beat()`` whenever that has been silent for `seconds`.

    Server-sent events need it, so that silence is not taken for a lost connection. The time starts when the consumer has come back,
    whether for an item or for a beat.

    **Waits** for the source, for the time, and for its consumer. While the consumer is busy the source is not read; but a read that
    is under way when a beat is due goes on, and its item is the next.

    **The wait ends** with the source.

    **Cancelled**, or when its consumer leaves, it closes the source if that is a generator. A beat cancels nothing, so the source
    may be anything, a generator included.

    **Raises** the error of the source, and that of `beat`. `kept_alive` itself raises TypeError or ValueError for a bad argument.
    """
    check_source(source)
    check_seconds("kept_alive(seconds=...)", seconds)
    check_plain_function("kept_alive(beat=...)", beat)

    async def keeping_alive(itemize: Itemizer[A | B]) -> None:
        held: list[A | B] = []  # for the moment between reading and sending: the consumer decides how long an item lives
        async with Channel[A]().fed_by(read, aiter(source)) as items:
            while True:
                try:
                    async with asyncio.timeout(seconds):
                        held.append(await anext(items))  # a cancelled ask takes nothing
                except TimeoutError:
                    pass
                except StopAsyncIteration:
                    return
                await itemize(held.pop() if held else beat())

    return keeping_alive


async def read(itemize: Itemizer[A], items: AsyncIterator[A]) -> None:
    """Pass `items` on. In a task of its own, which alone reads the source and closes it."""
    try:
        while True:
            await itemize(await anext(items))  # in no variable: the consumer decides how long an item lives
    except StopAsyncIteration:
        pass
    finally:
        await close(items)

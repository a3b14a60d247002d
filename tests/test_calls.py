"""How often a function of this library is called for each item: what short cuts are for, and what no other test would miss.

Each call costs a hundredth of a hand-over. A coroutine or a generator that goes on counts as called once more.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

import pytest

import chanstream
from chanstream import Channel

OWN = str(Path(chanstream.__file__).parent)

EASE = 0.01
"""Far less than one in any count."""


def calls(program: Callable[[int], Awaitable[None]], items: int) -> Counter[str]:
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OWN):
            found[frame.f_code.co_qualname] += 1

    async def watched() -> None:
        sys.setprofile(note)
        try:
            await program(items)
        finally:
            sys.setprofile(None)

    asyncio.run(watched())
    return found


def assert_at_most(limit: float, program: Callable[[int], Awaitable[None]]) -> None:
    """For each further item, once a stream is under way."""
    some, more = calls(program, 1_000), calls(program, 2_000)
    each = {name: (count - some[name]) / 1_000 for name, count in more.items()}
    assert sum(each.values()) <= limit + EASE, each


@pytest.mark.parametrize(
    ("buffer", "senders", "receivers", "limit"),
    [(0, 1, 1, 11), (1, 1, 1, 12), (64, 1, 1, 2.3), (0, 10, 1, 11.9), (0, 1, 10, 20), (5, 10, 1, 10.13), (5, 1, 10, 27.34)],
)
def test_an_item_takes_no_more_calls_than_this(buffer: int, senders: int, receivers: int, limit: float) -> None:
    """In lock-step, with a short and a long buffer, with crowds of either side."""

    async def program(count: int) -> None:
        channel = Channel[int](buffer=buffer)

        async def write() -> None:
            async def write_some() -> None:
                for number in range(count // senders):
                    await itemize(number)

            async with channel.sender as itemize:
                await asyncio.gather(*[write_some() for _ in range(senders)])

        async def read() -> None:
            async for _ in channel.receiver:
                pass

        await asyncio.gather(write(), *[read() for _ in range(receivers)])

    assert_at_most(limit, program)


def test_a_channel_takes_no_more_calls_than_this() -> None:
    """Made, closed and dropped."""

    async def program(count: int) -> None:
        for _ in range(count):
            channel = Channel[int]()
            await channel.receiver.aclose()

    assert_at_most(15, program)


@pytest.mark.parametrize("failed", [False, True])
def test_the_end_of_a_stream_takes_each_of_a_crowd_no_more_calls_than_this(failed: bool) -> None:  # noqa: FBT001
    """Also if each is told of a failure, and how many wait beside it."""

    async def program(count: int) -> None:
        channel = Channel[int]()
        asks = [asyncio.create_task(anext(channel.receiver, None)) for _ in range(count)]
        await asyncio.sleep(0)
        await channel.sender.__aenter__()
        error = OSError() if failed else None
        await channel.sender.__aexit__(None, error, None)
        await asyncio.gather(*asks, return_exceptions=True)

    assert_at_most(40, program)

"""Its operators, as in https://aiostream.readthedocs.io/en/stable/operators.html .

A streamer passes items in one task, but runs the calls of a map in tasks. Its chunks know no time.
"""

from __future__ import annotations

from typing import Final

from aiostream import Stream, pipe, stream

from tests.benchmarks.cases import generate
from tests.benchmarks.ways import BATCHING, MAPPING, Way

__all__ = ["WAYS"]


async def unchanged(number: int, *_: int) -> int:
    return number


async def mapped(count: int) -> list[int]:
    received: list[int] = []
    results: Stream[int] = stream.map(generate(count), unchanged, ordered=True, task_limit=20)
    async with results.stream() as numbers:
        async for number in numbers:
            received.append(number)
    return received


async def chunked(count: int) -> list[int]:
    received: list[int] = []
    lists: Stream[list[int]] = pipe.chunks(10)(generate(count))
    async with lists.stream() as chunks:
        async for chunk in chunks:
            received += chunk
    return received


WAYS: Final = (
    Way("aiostream map", (MAPPING,), mapped),
    Way("aiostream chunks", (BATCHING,), chunked),
)

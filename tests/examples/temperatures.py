"""Three typed stages over a file of any size, in constant memory: read lines, parse them, aggregate.

Run it on a file of lines like ``Hamburg;12.0``, or on standard input::

    python tests/examples/temperatures.py measurements.txt

The stages know one another only by the types of what passes between them. While the last one is busy, the buffers fill up and the
first one stops reading.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from chanstream import Channel, SenderContext

CHUNK = 1 << 16  # bytes to read at a time


@dataclass(frozen=True, slots=True)
class Measurement:
    station: str
    celsius: float


@dataclass(slots=True)
class Summary:
    low: float
    high: float
    total: float
    count: int

    def add(self, celsius: float) -> None:
        self.low = min(self.low, celsius)
        self.high = max(self.high, celsius)
        self.total += celsius
        self.count += 1

    def row(self) -> str:
        return f"{self.low:6.1f} {self.total / self.count:6.1f} {self.high:6.1f}  {self.count:>9,}"


async def read_lines(file: TextIO, sink: SenderContext[str]) -> None:
    async with sink as itemize:
        while lines := await asyncio.to_thread(file.readlines, CHUNK):
            for line in lines:
                await itemize(line)


async def parse(lines: AsyncIterable[str], sink: SenderContext[Measurement]) -> None:
    async with sink as itemize:
        async for line in lines:
            station, _, celsius = line.partition(";")
            await itemize(Measurement(station, float(celsius)))


async def aggregate(measurements: AsyncIterable[Measurement]) -> dict[str, Summary]:
    summaries: dict[str, Summary] = {}
    async for each in measurements:
        if summary := summaries.get(each.station):
            summary.add(each.celsius)
        else:
            summaries[each.station] = Summary(each.celsius, each.celsius, each.celsius, 1)
    return summaries


async def summarize(file: TextIO) -> dict[str, Summary]:
    lines, measurements = Channel[str](buffer=64), Channel[Measurement](buffer=64)
    async with asyncio.TaskGroup() as stages:
        stages.create_task(read_lines(file, lines.sender))
        stages.create_task(parse(lines.receiver, measurements.sender))
        result = stages.create_task(aggregate(measurements.receiver))
    return result.result()


def main() -> None:
    if len(sys.argv) > 1:
        with Path(sys.argv[1]).open(encoding="utf-8") as file:
            summaries = asyncio.run(summarize(file))
    else:
        summaries = asyncio.run(summarize(sys.stdin))
    print("station         low   mean   high      lines")
    for station, summary in sorted(summaries.items()):
        print(f"{station:<12} {summary.row()}")


if __name__ == "__main__":
    main()

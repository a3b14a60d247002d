"""The output of a process, parsed and written to a database in batches, with a progress bar.

Run it with a database and a command that prints lines like ``Hamburg;12.0``::

    python tests/examples/ingest.py weather.db cat measurements.txt

While the database is busy, no more than a few hundred lines are buffered: the pipe fills up, and the process waits. Each batch is
one transaction. Whatever goes wrong, be it Ctrl-C, a bad line or a process that fails, the database holds whole batches, in order
from the first line on, and the process has ended before the program does.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterable, Sequence
from contextlib import suppress
from subprocess import CalledProcessError

import aiosqlite
from tqdm.asyncio import tqdm

from chanstream import Channel, Itemizer

Row = tuple[str, float]


async def read_lines(itemize: Itemizer[str], command: Sequence[str]) -> None:
    # In a session of its own, so that Ctrl-C in a terminal is for this program alone.
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, start_new_session=True)
    assert process.stdout
    try:
        async for line in process.stdout:
            await itemize(line.decode())
        code = await process.wait()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # wait() alone would wait for ever, if the pipe is full
    if code:
        raise CalledProcessError(code, command)


async def parse(itemize: Itemizer[Row], lines: AsyncIterable[str]) -> None:
    async for line in lines:
        station, _, celsius = line.partition(";")
        await itemize((station, float(celsius)))


async def batch(itemize: Itemizer[list[Row]], rows: AsyncIterable[Row], size: int) -> None:
    rows_of_batch: list[Row] = []
    async for row in rows:
        rows_of_batch.append(row)
        if len(rows_of_batch) == size:
            await itemize(rows_of_batch)
            rows_of_batch = []
    if rows_of_batch:
        await itemize(rows_of_batch)  # not reached after a failure: then the loop raises


async def ingest(path: str, command: Sequence[str], size: int = 100) -> None:
    async with (
        aiosqlite.connect(path, timeout=60) as database,
        Channel[str](buffer=64).fed_by(read_lines, command) as lines,
        Channel[Row](buffer=64).fed_by(parse, lines) as rows,
        Channel[list[Row]]().fed_by(batch, rows, size) as batches,
    ):
        await database.execute("CREATE TABLE IF NOT EXISTS weather (station TEXT, celsius REAL)")
        with tqdm(batches, unit=" batches") as progress:
            async for each in progress:
                await database.executemany("INSERT INTO weather VALUES (?, ?)", each)
                await database.commit()


def main() -> None:
    _, path, *command = sys.argv
    try:
        asyncio.run(ingest(path, command))
    except KeyboardInterrupt:
        sys.exit("interrupted")


if __name__ == "__main__":
    main()

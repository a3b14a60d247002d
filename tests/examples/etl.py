"""Orders from a compressed file into a database, each with a price that a service knows; it can be stopped and taken up again.

Run it with a file of lines such as ``{"item": "tea", "amount": 3}``, a database, and a service that answers ``GET /?item=tea`` with
a number::

    python tests/examples/etl.py orders.jsonl.gz orders.db http://127.0.0.1:9000

The lines are read in a thread, parsed in processes, looked up 20 at a time and written in batches, all at once and in order. Each
batch is one transaction, so whatever ends the program, Ctrl-C, ``kill -9``, a failing service or a bad line, the database holds the
orders from the first one on without a gap. The next run goes on behind the last of them.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterable
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import suppress
from itertools import islice
from threading import Thread
from typing import NamedTuple

import aiosqlite
import httpx
from tqdm import tqdm

from chanstream import BlockingItemizer, Channel, Itemizer, in_thread
from chanstream.stages import batched, in_pool, mapped

WORKERS = 2
CHUNK = 50  # lines that a process parses at a time: one alone would take longer to send there than to parse

Line = tuple[int, str]


class Order(NamedTuple):
    line: int
    item: str
    amount: int


class Priced(NamedTuple):
    line: int
    item: str
    price: float


def read(itemize: BlockingItemizer[list[Line]], path: str, done: int) -> None:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = islice(enumerate(file, 1), done, None)
        while chunk := list(islice(lines, CHUNK)):
            itemize(chunk)


def parse(chunk: list[Line]) -> list[Order]:
    return [Order(line, **json.loads(text)) for line, text in chunk]


async def each(itemize: Itemizer[Order], chunks: AsyncIterable[list[Order]]) -> None:
    async for chunk in chunks:
        for order in chunk:
            await itemize(order)


class Prices:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def look_up(self, order: Order) -> Priced:
        for pause in (0.1, 1):  # seconds until the next attempt
            with suppress(httpx.TransportError):
                return await self.attempt(order)
            await asyncio.sleep(pause)
        return await self.attempt(order)

    async def attempt(self, order: Order) -> Priced:
        response = await self.client.get("/", params={"item": order.item})
        response.raise_for_status()
        return Priced(order.line, order.item, order.amount * float(response.text))


async def load(path: str, database: aiosqlite.Connection, client: httpx.AsyncClient, pool: Executor) -> None:
    await database.execute("CREATE TABLE IF NOT EXISTS orders (line INTEGER PRIMARY KEY, item TEXT, price REAL)")
    async with database.execute("SELECT coalesce(max(line), 0) FROM orders") as cursor:
        ((done,),) = await cursor.fetchall()
    async with (
        Channel[list[Line]]().fed_by(in_thread(read, ahead=WORKERS), path, done) as chunks,
        Channel[list[Order]]().fed_by(mapped(chunks, in_pool(pool, parse), limit=2 * WORKERS)) as parsed,
        Channel[Order]().fed_by(each, parsed) as orders,
        Channel[Priced]().fed_by(mapped(orders, Prices(client).look_up, limit=20)) as priced,
        Channel[list[Priced]]().fed_by(batched(priced, size=100, seconds=1)) as batches,
    ):
        with tqdm(unit=" orders", initial=done) as progress:
            async for batch in batches:
                await database.executemany("INSERT INTO orders VALUES (?, ?, ?)", batch)
                await database.commit()
                progress.update(len(batch))


def begin_worker() -> None:
    """Prepare a process of the pool: Ctrl-C is for the program alone, and no process outlives one that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=end_worker, daemon=True).start()


def end_worker() -> None:
    program = multiprocessing.parent_process()
    assert program
    program.join()
    os._exit(1)


async def run(source: str, path: str, url: str, pool: Executor) -> None:
    async with aiosqlite.connect(path) as database, httpx.AsyncClient(base_url=url, timeout=30) as client:
        await load(source, database, client, pool)


def main() -> None:
    _, source, path, url = sys.argv
    try:
        with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn"), begin_worker) as pool:
            asyncio.run(run(source, path, url, pool))
    except KeyboardInterrupt:
        sys.exit("interrupted")


if __name__ == "__main__":
    main()

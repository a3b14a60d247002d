"""The orders into a database, with a real service, processes and signals."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.test_example_relay import once, serving, until

pytestmark = [pytest.mark.slow, once]

PROGRAM = Path(__file__).parent / "examples" / "etl.py"
TIMEOUT = 100
COUNT = 260
ROWS = [(line, f"item {line}", 2.5 * (line % 7)) for line in range(1, COUNT + 1)]
Rows = list[tuple[int, str, float]]


class Service:
    """Knows the prices, and answers in any order. Holds those of orders behind line `limit`."""

    def __init__(self, limit: int = sys.maxsize, unknown: str = "") -> None:
        self.limit = limit
        self.unknown = unknown
        self.asked = Counter[str]()
        self.under_way = self.most = 0
        self.app = Starlette(routes=[Route("/", self.answer)])

    async def answer(self, request: Request) -> Response:
        item = request.query_params["item"]
        self.asked[item] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await until(lambda: int(item.removeprefix("item ")) <= self.limit)
            await asyncio.sleep(len(self.asked) % 3 * 0.01)
        finally:
            self.under_way -= 1
        return PlainTextResponse("2.5", 404 if item == self.unknown else 200)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "orders.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"item": item, "amount": line % 7}) + "\n" for line, item, _ in ROWS)
    return path


def stored(source: Path) -> Rows:
    with closing(sqlite3.connect(source.with_name("orders.db"))) as database:
        return database.execute("SELECT line, item, price FROM orders ORDER BY line").fetchall()


def is_held(service: Service, source: Path, before: int) -> bool:
    """Whether the program waits for twenty prices, and has stored some orders."""
    return service.under_way == 20 and len(stored(source)) > before


@asynccontextmanager
async def running(source: Path, service: Service) -> AsyncIterator[Process]:
    """The program, in a session of its own, as if in a terminal."""
    async with asyncio.timeout(TIMEOUT), serving(service.app) as url:
        command = (sys.executable, "-X", "dev", "-W", "error", str(PROGRAM), str(source), str(source.with_name("orders.db")), url)
        program = await asyncio.create_subprocess_exec(*command, stderr=PIPE, start_new_session=True)
        try:
            yield program
        finally:
            service.limit = sys.maxsize  # the server waits for its answers
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)


def is_gone(group: int) -> bool:
    """Whether no process of the group exists, not even as a zombie."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


async def test_all_orders_are_stored_with_their_prices_under_a_progress_bar(source: Path) -> None:
    """Rule 28: never more calls than the limit, and the results in order."""
    service = Service()
    async with running(source, service) as program:
        _, err = await program.communicate()
        assert program.returncode == 0, err.decode()
        await until(lambda: is_gone(program.pid))
    assert stored(source) == ROWS
    assert service.most <= 20
    assert f"{COUNT} orders [" in err.decode()
    assert b"Warning" not in err


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill -9"])
async def test_a_run_that_is_stopped_is_taken_up_again_with_nothing_lost_or_twice(source: Path, kind: signal.Signals) -> None:
    """Rules 1, 6, 16 and 17: what is stored is always a beginning, and the rest comes with the next run."""
    before: Rows = []
    for _ in range(2):
        service = Service(limit=len(before) + 100)
        async with running(source, service) as program:
            await until(partial(is_held, service, source, len(before)))
            if kind == signal.SIGKILL:
                program.kill()
            else:
                os.killpg(program.pid, kind)
            _, err = await program.communicate()
            await until(partial(is_gone, program.pid))
            rows = stored(source)
            assert len(before) < len(rows) <= service.limit
            assert rows == ROWS[: len(rows)]
        assert program.returncode == (1 if kind == signal.SIGINT else -kind)
        if kind == signal.SIGINT:
            assert err.decode().splitlines()[-1] == "interrupted"
            assert b"Warning" not in err
        assert service.most == 20
        assert set(service.asked).isdisjoint(item for _, item, _ in before)
        before = rows
    service = Service()
    async with running(source, service) as program:
        _, err = await program.communicate()
    assert program.returncode == 0, err.decode()
    assert stored(source) == ROWS
    assert sorted(service.asked) == sorted(item for _, item, _ in ROWS[len(before) :])


async def test_a_price_that_is_unknown_ends_the_run_behind_all_orders_before_it(source: Path) -> None:
    """Rules 7, 17 and 28: an incomplete batch comes before the failure, and the error surfaces once, as itself."""
    service = Service(unknown="item 250")
    async with running(source, service) as program:
        _, err = await program.communicate()
        await until(lambda: is_gone(program.pid))
    assert program.returncode == 1
    assert stored(source) == ROWS[:249]
    assert b"httpx.HTTPStatusError: Client error '404 Not Found'" in err
    assert b"ExceptionGroup" not in err
    assert b"Warning" not in err

"""The web server that streams, with real clients on sockets of the loopback interface."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
from asyncio import to_thread
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from threading import Timer
from time import monotonic

import pytest
import uvicorn
from starlette.applications import Starlette

from tests.examples.web import Gauge, create_app

PROGRAM = Path(__file__).parent / "examples" / "web.py"
TIMEOUT = 30
BUFFER = 1 << 16  # of a socket, in bytes


class Client:
    """Reads the gauges of a server, and disconnects when it is closed. It blocks, so the loop of the server runs it in a thread."""

    def __init__(self, port: int) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.connection.request("GET", "/gauges")
        self.response = self.connection.getresponse()

    def read(self, count: int) -> list[tuple[str, str]]:
        return [self.read_event() for _ in range(count)]

    def read_event(self) -> tuple[str, str]:
        event, data, end = (self.response.readline().decode() for _ in range(3))
        assert (event[:7], data[:6], end) == ("event: ", "data: ", "\n")
        return event[7:-1], data[6:-1]

    def read_until(self, wanted: tuple[str, str]) -> None:
        deadline = monotonic() + TIMEOUT
        while self.read_event() != wanted:
            assert monotonic() < deadline, f"{wanted} never came"

    def close(self) -> None:
        self.response.close()
        self.connection.close()


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[int]:
    """The port of a server that runs in this event loop. When told to end, the server waits until its requests have ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)  # of the connections too, which inherit it
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=TIMEOUT))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(TIMEOUT):
                yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


def ticks(*names: str) -> Sequence[Gauge]:
    return [Gauge(name, lambda: 1, 0.0) for name in names]


def stopped(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The gauges whose producers have cleaned up since the last call."""
    return sorted(line.removeprefix("stopped watching ") for line in capsys.readouterr().out.splitlines() if "stopped" in line)


def count_watchers() -> int:
    return sum(getattr(task.get_coro(), "__name__", "") == "watch" for task in asyncio.all_tasks())


async def test_every_client_gets_the_events_of_all_producers() -> None:
    """Rule 4: several tasks call one itemizer."""
    async with serving(create_app(ticks("one", "two"))) as port:
        for _ in range(2):
            with closing(await to_thread(Client, port)) as client:
                assert client.response.getheader("Content-Type") == "text/event-stream; charset=utf-8"
                assert set(await to_thread(client.read, 6)) == {("one", "1"), ("two", "1")}  # as their pauses end, in any order


async def test_a_client_that_disconnects_ends_its_producers_and_those_of_nobody_else(capsys: pytest.CaptureFixture[str]) -> None:
    """Rule 17: leaving the block cancels what is left of the task and waits for it."""
    gauges = [*ticks("one", "two"), Gauge("watchers", count_watchers, 0.0)]
    async with serving(create_app(gauges)) as port:
        with closing(await to_thread(Client, port)) as stays:
            await to_thread(stays.read_until, ("watchers", "3"))
            with closing(await to_thread(Client, port)) as leaves:
                await to_thread(leaves.read_until, ("watchers", "6"))
                await to_thread(stays.read_until, ("watchers", "6"))
                assert stopped(capsys) == []
            await to_thread(stays.read_until, ("watchers", "3"))
            assert stopped(capsys) == ["one", "two", "watchers"]
    assert stopped(capsys) == ["one", "two", "watchers"]


async def test_a_client_that_does_not_read_holds_its_producers_up() -> None:
    """Rule 2: `itemize` returns when the response comes back for more, which it does when the connection has room."""
    readings = Counter[str]()

    def read() -> str:
        readings["all"] += 1
        return "x" * (BUFFER // 4)

    async with serving(create_app([Gauge("large", read, 0.0)])) as port:
        with closing(await to_thread(Client, port)), closing(await to_thread(Client, port)) as reads:
            await to_thread(reads.read, 300)
            assert 300 < readings["all"] < 450  # what fits into the buffers of two connections, and not 300 for both


async def test_a_producer_that_fails_breaks_the_response_off(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule 7: a truncated stream never looks complete. Rule 17: the error surfaces once, as itself."""
    numbers = [2, 1]
    async with serving(create_app([Gauge("empty", numbers.pop, 0.0), *ticks("other")])) as port:
        with closing(await to_thread(Client, port)) as client:
            assert await to_thread(client.read, 3) == [("empty", "1"), ("other", "1"), ("empty", "2")]
            with pytest.raises(IncompleteRead):
                await to_thread(client.response.read)
    assert stopped(capsys) == ["empty", "other"]
    (report,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert report.exc_info
    error = report.exc_info[1]
    assert isinstance(error, ExceptionGroup)
    assert [repr(each) for each in error.exceptions] == ["IndexError('pop from empty list')"]


def test_the_program_streams_until_its_client_leaves_and_ends_by_ctrl_c_with_a_client() -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", str(PROGRAM), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stderr
        watchdog = Timer(TIMEOUT, server.kill)
        watchdog.start()
        try:
            said = ""
            while not (found := re.search(r"running on http://127.0.0.1:(\d+)", said)):
                said = server.stderr.readline()
                assert said, "the server has ended"
            port = int(found[1])
            with closing(HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as browser:
                browser.request("GET", "/")
                assert b"EventSource" in browser.getresponse().read()
            with closing(Client(port)) as client:
                assert {name for name, _ in client.read(2)} == {"tasks", "cpu"}
            output = [server.stdout.readline() for _ in range(6)]
            assert output[2:4] == ["watching tasks\n", "watching cpu\n"]
            assert sorted(output[4:]) == ["stopped watching cpu\n", "stopped watching tasks\n"]
            with closing(Client(port)) as client:
                client.read(2)
                server.send_signal(signal.SIGINT)
                with pytest.raises(IncompleteRead):
                    client.response.read()
            out, err = server.communicate()
        finally:
            watchdog.cancel()
            server.kill()
    assert sorted(out.splitlines()[-2:]) == ["stopped watching cpu", "stopped watching tasks"]
    assert "Finished server process" in err
    assert "Warning" not in err
    assert server.returncode == 0

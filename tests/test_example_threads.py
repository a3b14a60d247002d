"""Lines from a thread, with real sockets, threads, processes and signals."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
from asyncio import to_thread
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from tests.examples.threads import lines_of, print_lines
from tests.loops import turns
from tests.test_examples import SLOW

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "tests" / "examples" / "threads.py"
TIMEOUT = 30


class Server:
    """The server that the thread reads from."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.host, self.port = "127.0.0.1", int(listener.getsockname()[1])
        self.connection: socket.socket | None = None

    def accept(self) -> socket.socket:
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(TIMEOUT)
        return self.connection

    def send(self, lines: str) -> None:
        (self.connection or self.accept()).sendall(lines.encode())

    def send_all(self, lines: str) -> None:
        with self.accept() as connection:
            connection.sendall(lines.encode())

    def wait_for_hang_up(self) -> bool:
        """Whether the client closes the connection. With lines that it has not read, that is a reset."""
        assert self.connection
        try:
            return self.connection.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        server = Server(listener)
        yield server
        if server.connection:
            server.connection.close()


def count_readers() -> int:
    """How many threads are in the blocking function of the example."""
    return sum("LineClient.run" in thread.name for thread in threading.enumerate())


async def test_the_loop_ends_when_the_source_ends(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Rule 6: what was accepted is delivered, then the loop ends."""
    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(print_lines(server.host, server.port, 10), to_thread(server.send_all, "one\ntwo\nthree\n"))
        assert capsys.readouterr().out == "one\ntwo\nthree\n"
        assert count_readers() == 0


async def test_the_thread_ends_when_the_loop_has_enough(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Rule 17: when the block has ended, nothing of the producer goes on."""
    async with asyncio.timeout(TIMEOUT):
        sending = asyncio.create_task(to_thread(server.send, "one\ntwo\nthree\n"))
        await print_lines(server.host, server.port, 2)
        assert count_readers() == 0
        await sending
        assert await to_thread(server.wait_for_hang_up)
    assert capsys.readouterr().out == "one\ntwo\n"


@pytest.mark.parametrize("ahead", [0, 64])
async def test_the_thread_ends_when_it_waits_for_the_source(server: Server, ahead: int) -> None:
    """Rules 17 and 27: `stop` gets it out of there."""
    async with asyncio.timeout(TIMEOUT):
        async with lines_of(server.host, server.port, ahead) as lines:
            await to_thread(server.send, "one\n")
            assert await anext(lines) == "one"
            ask = asyncio.ensure_future(anext(lines))  # gets the thread out of its callback
            await turns()
            ask.cancel()
            assert count_readers() == 1
        assert count_readers() == 0
        assert await to_thread(server.wait_for_hang_up)


async def test_a_busy_loop_holds_the_source_up(server: Server) -> None:
    """Rule 2, down to the other end of the connection."""
    count = 1_000
    line = b"x" * ((1 << 16) - 1) + b"\n"

    def send_until_held() -> int:
        connection = server.accept()
        connection.settimeout(2)
        for number in range(count):
            sent = 0
            while sent < len(line):
                try:
                    sent += connection.send(line[sent:])
                except TimeoutError:
                    left_over.append(line[sent:])
                    return number
        return count

    def send_the_rest(number: int) -> None:
        assert server.connection
        with server.connection as connection:
            connection.settimeout(TIMEOUT)
            connection.sendall(b"".join(left_over))
            for _ in range(number + 1, count):
                connection.sendall(line)

    left_over: list[bytes] = []
    async with asyncio.timeout(TIMEOUT), lines_of(server.host, server.port, ahead=64) as lines:
        held = await to_thread(send_until_held)
        assert held < count  # what fits into the buffers of a connection is a part of 64 MiB
        sending = asyncio.create_task(to_thread(send_the_rest, held))
        assert [len(each) async for each in lines] == [len(line) - 1] * count
        await sending


async def test_an_error_in_the_thread_leaves_the_block_as_itself(server: Server) -> None:
    """Rule 17: an error surfaces once, as itself."""
    server.listener.close()
    async with asyncio.timeout(TIMEOUT):
        with pytest.raises(ConnectionRefusedError):
            await print_lines(server.host, server.port, 1)


# A signal that comes just before the event loop falls asleep is noticed when it wakes up, for `asyncio.run` has no signal wake it.
# A user's Ctrl-C is never that exact, but a test's is, once in some hundred times. So an alarm wakes the loop.
AWAKE = """
import atexit, signal
signal.signal(signal.SIGALRM, lambda signum, frame: None)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
"""

# Runs the program that the arguments name, as `python PROGRAM ARGUMENTS` does.
RUN = """
import runpy, sys
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@contextmanager
def running(*arguments: str | Path, own_session: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A program, in a session of its own as if in a terminal."""
    command = [sys.executable, "-X", "dev", "-W", "error", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=own_session) as process:
        watchdog = Timer(TIMEOUT, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def outcome(program: subprocess.Popen[str]) -> tuple[str, str]:
    """What it has said and complained of, but for steps that took long on a busy machine."""
    out, err = program.communicate()
    return out, SLOW.sub("", err)


def test_the_program_ends_with_its_source(server: Server) -> None:
    with running(PROGRAM, server.host, str(server.port), "10") as program:
        server.send_all("one\ntwo\nthree\n")
        assert outcome(program) == ("one\ntwo\nthree\n", "")
    assert program.returncode == 0


def test_the_program_ends_when_it_has_enough(server: Server) -> None:
    with running(PROGRAM, server.host, str(server.port), "2") as program:
        server.send("one\ntwo\nthree\n")
        assert outcome(program) == ("one\ntwo\n", "")
    assert program.returncode == 0
    assert server.wait_for_hang_up()


def test_ctrl_c_ends_the_program_while_its_thread_waits_for_the_source(server: Server) -> None:
    with running("-c", AWAKE + RUN, PROGRAM, server.host, str(server.port), "2") as program:
        server.send("one\n")
        assert program.stdout
        assert program.stdout.readline() == "one\n"
        program.send_signal(signal.SIGINT)
        assert outcome(program) == ("", "interrupted\n")
    assert program.returncode == 1


# Takes a line, so that the thread waits in its callback, and is then ended in one way or another.
BUSY = """
import asyncio, sys
from tests.examples.threads import lines_of

async def hold(held):
    async with lines_of(sys.argv[1], int(sys.argv[2])) as lines:
        print(await anext(lines), flush=True)
        held.set()
        await asyncio.Event().wait()

async def main(way):
    held = asyncio.Event()
    task = asyncio.create_task(hold(held))
    await held.wait()
    if way == "interrupted":
        await task
    elif way == "failed":
        raise OSError
    # The loop ends under a task that goes on.

try:
    asyncio.run(main(sys.argv[3]))
except (KeyboardInterrupt, OSError) as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(("way", "said"), [("interrupted", "KeyboardInterrupt\n"), ("failed", "OSError\n"), ("done", "")])
def test_the_loop_ends_while_the_thread_waits_in_its_callback(server: Server, way: str, said: str) -> None:
    with running("-c", AWAKE + BUSY, server.host, str(server.port), way) as program:
        server.send("one\ntwo\nthree\n")
        assert program.stdout
        assert program.stdout.readline() == "one\n"
        if way == "interrupted":
            program.send_signal(signal.SIGINT)
        assert outcome(program) == (said, "")
    assert program.returncode == 0
    assert server.wait_for_hang_up()

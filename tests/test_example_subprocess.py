"""The output of a process into a database, with real processes, signals, pipes and database locks."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from asyncio import to_thread
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.examples.ingest import ingest
from tests.test_example_threads import TIMEOUT, running

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parent / "examples" / "ingest.py"

# Writes `count` lines of 500 characters, each with its process id and its number, but in line `bad` a word. Reports when it has
# written `mark` lines, when it has waited for the pipe for `patience` seconds, and at the end. Goes on when a report is answered.
# An alarm ends it if nothing else does.
COMMAND = """
import os, select, signal, socket, sys
port, count, bad, mark, patience, alarm = map(int, sys.argv[1:])
signal.alarm(alarm)
connection = socket.create_connection(("127.0.0.1", port))
def report(what, number):
    connection.sendall(f"{what} {number} {os.getpid()}\\n".encode())
    connection.recv(1)
os.set_blocking(1, False)
for number in range(count):
    if number == mark:
        report("written", number)
    line = f"{os.getpid()};{'warm' if number == bad else number}".ljust(499) + "\\n"
    while True:
        try:
            os.write(1, line.encode())
        except BlockingIOError:
            if not select.select([], [1], [], patience or None)[1]:
                report("held", number)
                patience = 0
        else:
            break
report("written", count)
"""
ENDLESS = 1 << 40


class Reports:
    """What the process tells, and the arguments that start it."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.connection: socket.socket | None = None

    def command(self, count: int, *, bad: int = -1, mark: int = -1, patience: int = 0) -> list[str]:
        arguments = (self.listener.getsockname()[1], count, bad, mark, patience, TIMEOUT + 2)
        return [sys.executable, "-c", COMMAND, *map(str, arguments)]

    def next(self) -> tuple[str, int, int]:
        if self.connection is None:
            self.connection, _ = self.listener.accept()
            self.connection.settimeout(TIMEOUT)
        what, number, pid = self.connection.recv(100).decode().split()
        return what, int(number), int(pid)

    def answer(self) -> None:
        assert self.connection
        self.connection.sendall(b"!")


@pytest.fixture
def reports() -> Iterator[Reports]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        reports = Reports(listener)
        yield reports
        if reports.connection:
            reports.connection.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "weather.db")


def stored(path: str) -> list[tuple[str, float]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT station, celsius FROM weather ORDER BY rowid").fetchall()


def is_reaped(pid: int) -> bool:
    """Whether no such process exists, not even as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_lines_of_a_process_are_stored_under_a_progress_bar(path: str, reports: Reports) -> None:
    with running(PROGRAM, path, *reports.command(250), own_session=True) as program:
        what, count, pid = reports.next()
        reports.answer()
        _, err = program.communicate()
    assert (what, count, program.returncode) == ("written", 250, 0)
    assert stored(path) == [(str(pid), number) for number in range(250)]
    assert "3 batches [" in err.splitlines()[-1]
    assert "Warning" not in err
    assert is_reaped(pid)


def test_a_database_that_is_busy_holds_the_process_up(path: str, reports: Reports) -> None:
    """Rule 3, through four stages and a pipe: `itemize` returns as soon as at most n accepted items are waiting to be taken."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with running(PROGRAM, path, *reports.command(8000, patience=2), own_session=True) as program:
            what, written, pid = reports.next()
            # As much as pipe, StreamReader, channels and batches hold: about 640 lines where a pipe holds 64 KiB.
            assert what == "held"
            assert written < 4000
            other.execute("COMMIT")
            reports.answer()
            assert reports.next() == ("written", 8000, pid)
            reports.answer()
            _, err = program.communicate()
    assert program.returncode == 0, err
    assert stored(path) == [(str(pid), number) for number in range(8000)]


def test_ctrl_c_leaves_whole_batches_and_no_process(path: str, reports: Reports) -> None:
    """Rule 17: no task outlives its block, and each waits for the cleanup of its producer."""
    with running(PROGRAM, path, *reports.command(ENDLESS, mark=5000), own_session=True) as program:
        _, written, pid = reports.next()
        assert written == 5000
        reports.answer()
        os.killpg(program.pid, signal.SIGINT)
        _, err = program.communicate()
    rows = stored(path)
    assert len(rows) % 100 == 0 < len(rows)
    assert rows == [(str(pid), number) for number in range(len(rows))]
    assert err.endswith("interrupted\n")
    assert "Traceback" not in err  # nor is there one of the process, which a Ctrl-C in the terminal does not reach
    assert "Warning" not in err
    assert program.returncode == 1
    assert is_reaped(pid)


def test_a_bad_line_leaves_the_batches_before_it_and_no_process(path: str, reports: Reports) -> None:
    """Rule 17: an error surfaces once, as itself."""
    with running(PROGRAM, path, *reports.command(ENDLESS, bad=250), own_session=True) as program:
        _, err = program.communicate()
    ((pid, _), *_) = rows = stored(path)
    assert rows == [(pid, number) for number in range(200)]
    assert err.splitlines()[-1].startswith("ValueError: could not convert string to float: 'warm")
    assert "Warning" not in err
    assert program.returncode == 1
    assert is_reaped(int(pid))


def test_a_process_that_fails_does_not_pass_for_one_that_has_ended(path: str) -> None:
    """Rule 7: a truncated stream never looks complete, so the last batch, which is not whole, is not stored."""
    code = "for number in range(250): print(f'Oslo;{number}', flush=True)\nraise SystemExit(3)"
    with running(PROGRAM, path, sys.executable, "-c", code, own_session=True) as program:
        _, err = program.communicate()
    assert stored(path) == [("Oslo", number) for number in range(200)]
    assert "returned non-zero exit status 3" in err.splitlines()[-1]
    assert "Warning" not in err
    assert program.returncode == 1


async def test_a_bad_line_has_ended_the_process_when_the_error_comes_out(path: str, reports: Reports) -> None:
    """Rule 17: leaving the block waits for the producer, and that for its process."""
    async with asyncio.timeout(TIMEOUT):
        with pytest.raises(ValueError, match="could not convert"):
            await ingest(path, reports.command(ENDLESS, bad=250))
        ((pid, _), *_) = rows = stored(path)
        assert rows == [(pid, number) for number in range(200)]
        assert is_reaped(int(pid))


async def test_a_cancelled_program_has_ended_its_process(path: str, reports: Reports) -> None:
    """Rule 17, as above."""
    async with asyncio.timeout(TIMEOUT):
        task = asyncio.create_task(ingest(path, reports.command(ENDLESS, mark=5000)))
        _, written, pid = await to_thread(reports.next)
        assert written == 5000
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert is_reaped(pid)
        rows = stored(path)
        assert len(rows) % 100 == 0 < len(rows)
        assert rows == [(str(pid), number) for number in range(len(rows))]

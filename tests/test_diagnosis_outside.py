"""The report of a program that hangs, had from outside of it: by a signal, from another process, and by a test that fails."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chanstream import Channel
from chanstream.diagnosis import deadline, on_signal
from tests.loops import turns

pytestmark = pytest.mark.cpython

PROGRAM = """
import asyncio, signal, sys
from chanstream import Channel
from chanstream.diagnosis import deadline, on_signal

async def read(numbers):
    async for _ in numbers.receiver:
        pass

async def hang():
    numbers = Channel()
    async with numbers.sender as itemize:
        reader = asyncio.create_task(read(numbers))
        await itemize(1)
        asyncio.get_running_loop().call_later(0.1, lambda: print("it hangs", flush=True))
        await reader

on_signal(signal.SIGUSR1)
if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.run(hang())
asyncio.run(hang())
"""
REPORT = "DEADLOCK: read() [Task-2] -> hang() [Task-1] -> read() [Task-2]\n"


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program, from its first line of output to its end."""
    command = [sys.executable, "-c", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_signal_prints_why_a_program_hangs(loop: str) -> None:
    """Rule 30: which task waits for which, whatever event loop is idle."""
    with running(PROGRAM, loop) as process:
        process.send_signal(signal.SIGUSR1)
        assert process.stderr is not None
        assert process.stderr.readline() == REPORT


def ps(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chanstream", "ps", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


if sys.version_info >= (3, 14):  # an older Python runs nothing for another process

    @pytest.mark.slow
    def test_another_process_is_looked_at_while_it_is_idle() -> None:
        """Rule 30: it changes nothing that it looks at; the process that was looked at goes on."""
        with running(PROGRAM, "asyncio") as process:
            for _ in range(2):
                done = ps(str(process.pid))
                if "Operation not permitted" in done.stderr:
                    pytest.skip("this machine allows no debugging")
                assert done.stdout.splitlines(keepends=True)[0] == REPORT, done.stderr
            assert process.poll() is None

    @pytest.mark.slow
    def test_another_process_is_looked_at_while_it_is_busy() -> None:
        """Rule 30: it answers without being interrupted."""
        busy = "import sys; print('busy', flush=True)\nwhile True: sys.version"
        with running(busy) as process:
            done = ps(str(process.pid))
            if "Operation not permitted" in done.stderr:
                pytest.skip("this machine allows no debugging")
            assert done.stdout == "no event loop runs in the main thread\n"

    @pytest.mark.slow
    def test_what_does_not_answer_is_said() -> None:
        """Rule 30: Python is asked between two of its instructions, so not while it waits in a call that nothing interrupts."""
        asleep = "import ctypes; print('asleep', flush=True); ctypes.CDLL(None).pause()"
        with running(asleep) as process:
            done = ps(str(process.pid))
            if "Operation not permitted" in done.stderr:
                pytest.skip("this machine allows no debugging")
            assert (done.returncode, done.stdout) == (1, "")
            assert f"process {process.pid} has not answered for 5 seconds" in done.stderr

    @pytest.mark.slow
    def test_a_process_that_is_not_there_is_named() -> None:
        """Rule 30: the message says what it takes."""
        with running("print('gone')") as process:
            process.wait()
        done = ps(str(process.pid))
        assert (done.returncode, done.stdout) == (1, "")
        assert f"process {process.pid} can't be looked at" in done.stderr


if sys.version_info < (3, 14):

    @pytest.mark.slow
    def test_what_an_older_python_can_do_instead_is_said() -> None:
        """Rule 30: what it can't see, it says."""
        done = ps(str(os.getpid()))
        assert (done.returncode, done.stdout) == (1, "")
        assert "needs Python 3.14" in done.stderr
        assert "on_signal" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("one",), ("1", "2")])
def test_what_is_no_process_is_refused(arguments: tuple[str, ...]) -> None:
    """Rule 30: `python -m chanstream ps` takes the number of a process."""
    done = ps(*arguments)
    assert (done.returncode, done.stderr) == (1, "usage: python -m chanstream ps PID\n")


@pytest.fixture
def no_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("no_handler")
async def test_the_report_of_a_signal_is_that_of_the_loop_that_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Rule 30: a program that is busy is shown too."""
    on_signal(signal.SIGUSR1)
    numbers = Channel[int]()
    reader = asyncio.ensure_future(anext(numbers.receiver))
    await turns()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert "waits for an item of" in capsys.readouterr().err
    reader.cancel()
    await asyncio.wait([reader])


@pytest.mark.usefixtures("no_handler")
def test_a_signal_says_where_no_loop_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Rule 30: what it can't see, it says."""
    on_signal(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert capsys.readouterr().err == "no event loop runs in the main thread\n"


def test_only_the_main_thread_handles_signals() -> None:
    """Rule 30: elsewhere, `on_signal` raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            on_signal(signal.SIGUSR1)
        except ValueError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(raised) == 1


async def wait_for(channel: Channel[int]) -> None:
    await anext(channel.receiver)


async def test_a_block_that_hangs_fails_and_explains_why() -> None:
    """Rule 30: what it calls a deadlock is one; the block itself is part of it."""
    numbers = Channel[int]()
    with pytest.raises(TimeoutError, match=r"longer than 0.01 seconds(?s:.*)DEADLOCK: .* waits for what no task brings") as failed:
        async with deadline(0.01):
            await wait_for(numbers)
    assert "Open the sender of `numbers`" in str(failed.value)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_block_that_ends_in_time_ends_as_it_does() -> None:
    """Rule 30: it changes nothing that it looks at."""
    async with deadline(60):
        await turns()
    with pytest.raises(LookupError):
        async with deadline(60):
            raise LookupError


async def test_a_block_that_is_cancelled_from_elsewhere_raises_the_cancellation() -> None:
    """Rule 30: it changes nothing that it looks at, also when its time is over at the same moment."""

    async def wait() -> None:
        async with deadline(0):
            await asyncio.sleep(3600)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


def test_a_deadline_needs_a_task() -> None:
    """Rule 30: outside of a task there is nothing that could be cancelled."""
    with pytest.raises(RuntimeError, match="only be set in a task"):
        deadline(1).__aenter__().send(None)

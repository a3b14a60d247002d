"""The worker pool: no job is lost, whatever becomes of its attempts. The timeouts and pauses in here take no time."""

from __future__ import annotations

import asyncio
import socket
import socketserver
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from threading import Thread

import pytest
from typing_extensions import override

from chanstream import Channel
from tests.examples.pool import Done, Failed, Outcome, Pool, put_all
from tests.loops import turns
from tests.test_examples import EXAMPLES, run

Jobs = list[str]
Strings = Outcome[str, str]


def pool(do: Callable[[str], Awaitable[str]], workers: int = 2) -> Pool[str, str]:
    """Whoever doesn't finish an attempt in the step in which it starts is out of time."""
    return Pool(do, workers, attempts=3, timeout=0, pause=0)


async def outcomes_of(pool: Pool[str, str], *jobs: str) -> list[Strings]:
    async with (
        asyncio.timeout(30),  # a job that hangs fails its test
        Channel[str]().fed_by(put_all, jobs) as receiver,
        Channel[Strings]().fed_by(pool.run, receiver) as outcomes,
    ):
        return [outcome async for outcome in outcomes]


class Service:
    """Does some jobs at once, and others only at the third attempt, never or not in time."""

    def __init__(self) -> None:
        self.attempts = Counter[str]()

    async def __call__(self, job: str) -> str:
        self.attempts[job] += 1
        match job:
            case "hangs":
                await asyncio.Event().wait()
            case "wavers" if self.attempts[job] < 3:
                raise ConnectionError(self.attempts[job])
            case "fails":
                raise ConnectionError(self.attempts[job])
            case _:
                pass
        return job.upper()


@pytest.mark.parametrize("workers", [1, 2, 9])
async def test_every_job_has_one_outcome_whatever_becomes_of_its_attempts(workers: int) -> None:
    """Rules 4 and 16."""
    service = Service()
    outcomes = await outcomes_of(pool(service, workers), "a", "hangs", "wavers", "fails", "b", "hangs", "c")
    assert sorted(outcome.job for outcome in outcomes) == ["a", "b", "c", "fails", "hangs", "hangs", "wavers"]
    for outcome in outcomes:
        match outcome:
            case Done(job, result):
                assert job in {"a", "b", "c", "wavers"}
                assert result == job.upper()
            case Failed("hangs", errors):
                assert [type(error) for error in errors] == [TimeoutError] * 3
            case Failed(job, errors):
                assert job == "fails"
                assert [error.args for error in errors] == [(1,), (2,), (3,)]
    assert service.attempts == {"a": 1, "b": 1, "c": 1, "fails": 3, "hangs": 6, "wavers": 3}


async def test_the_outcomes_end_when_the_last_worker_has_ended() -> None:
    """Rules 6 and 17: the end is that of the block around the workers, and not that of the first worker."""
    released = asyncio.Event()

    async def do(job: str) -> str:
        if job == "slow":
            await released.wait()
        return job

    patient = Pool(do, workers=2)
    taken: Jobs = []

    async def read() -> None:
        taken.extend([outcome.job for outcome in await outcomes_of(patient, "slow", "quick")])

    task = asyncio.create_task(read())
    await turns(50)
    assert not task.done()
    released.set()
    await task
    assert taken == ["quick", "slow"]


async def test_whoever_reads_slowly_holds_the_workers_up() -> None:
    """Rule 4: a pool of n waiting workers gets n items in flight, in lock-step too."""
    service = Service()
    async with (
        Channel[str]().fed_by(put_all, "abcdefgh") as jobs,
        Channel[Strings]().fed_by(pool(service).run, jobs) as outcomes,
    ):
        for taken, started in enumerate([2, 2, 3, 4, 5]):
            if taken:
                await anext(outcomes)
            await turns(50)
            assert len(service.attempts) == started


async def test_an_error_that_no_retry_can_mend_ends_the_pool() -> None:
    """Rule 17: the error surfaces once, in the group of the workers."""

    async def do(job: str) -> str:
        if job == "bad":
            raise ValueError(job)
        return job

    with pytest.raises(ExceptionGroup) as caught:
        await outcomes_of(pool(do), "good", "bad", "good")
    assert [repr(error) for error in caught.value.exceptions] == ["ValueError('bad')"]


async def test_leaving_early_ends_the_workers() -> None:
    """Rule 17: leaving the block cancels what is left of the task and waits for it."""
    ended: Jobs = []

    async def do(job: str) -> str:
        try:
            if job != "quick":
                await asyncio.Event().wait()
        finally:
            await turns()
            ended.append(job)
        return job

    async with (
        Channel[str]().fed_by(put_all, ["quick", "slow", "slow", "slow"]) as jobs,
        Channel[Strings]().fed_by(Pool(do, workers=3).run, jobs) as outcomes,
    ):
        assert await anext(outcomes) == Done("quick", "quick")
        await turns(50)
        assert ended == ["quick"]
    assert ended == ["quick", "slow", "slow"]


class Greeting(socketserver.BaseRequestHandler):
    @override
    def handle(self) -> None:
        connection: socket.socket = self.request
        connection.sendall(b"220 ready\r\n")


def test_the_program_greets_servers_that_answer_and_reports_those_that_do_not() -> None:
    with (
        socketserver.TCPServer(("127.0.0.1", 0), Greeting) as server,
        closing(socket.socket()) as nobody,
    ):
        thread = Thread(target=server.serve_forever)
        thread.start()
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        ports: list[int] = [sock.getsockname()[1] for sock in (server.socket, nobody)]
        try:
            output = run("-X", "dev", "-W", "error", EXAMPLES / "pool.py", *(f"127.0.0.1:{port}" for port in ports))
        finally:
            server.shutdown()
            thread.join()
    first, second = output.splitlines()
    assert first == f"127.0.0.1:{ports[0]} says '220 ready'"
    assert second.startswith(f"127.0.0.1:{ports[1]} failed: ConnectionRefusedError(")

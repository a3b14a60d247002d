"""A worker pool: a timeout for every attempt, retries, and the outcome of each job in a second channel.

Run it with the addresses of servers that greet whoever connects, as those of SSH, FTP and SMTP do::

    python tests/examples/pool.py localhost:22 localhost:25

Every job has one outcome: `Done`, or `Failed` with the errors of all its attempts. The outcomes end when all workers have ended,
and whoever reads them slowly holds the workers up. Any other error is a mistake: it ends the pool, and surfaces.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from chanstream import Channel, Itemizer, Receiver

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Done(Generic[Job, Result]):
    job: Job
    result: Result


@dataclass(frozen=True, slots=True)
class Failed(Generic[Job]):
    job: Job
    errors: list[OSError]


Outcome: TypeAlias = Done[Job, Result] | Failed[Job]


@dataclass(frozen=True, slots=True)
class Pool(Generic[Job, Result]):
    do: Callable[[Job], Awaitable[Result]]
    workers: int = 10
    attempts: int = 3
    timeout: float = 5.0  # seconds, of one attempt
    pause: float = 0.1  # seconds before the second attempt, twice as many before the third

    async def run(self, itemize: Itemizer[Outcome[Job, Result]], jobs: Receiver[Job]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.workers):
                tasks.create_task(self.work(itemize, jobs))

    async def work(self, itemize: Itemizer[Outcome[Job, Result]], jobs: Receiver[Job]) -> None:
        async for job in jobs:  # one receiver for all workers: each job goes to one of them, which keeps it to the end
            await itemize(await self.outcome(job))

    async def outcome(self, job: Job) -> Outcome[Job, Result]:
        errors: list[OSError] = []
        while len(errors) < self.attempts:
            await asyncio.sleep(self.pause * len(errors))
            try:
                async with asyncio.timeout(self.timeout):  # around the work alone: nothing is taken or sent in here
                    return Done(job, await self.do(job))
            except OSError as error:  # a TimeoutError is one
                errors.append(error)
        return Failed(job, errors)


async def greeting(address: str) -> str:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with closing(writer):
        return (await reader.read(100)).decode(errors="replace").strip()


async def put_all(itemize: Itemizer[Job], jobs: Iterable[Job]) -> None:
    for job in jobs:
        await itemize(job)


async def main() -> None:
    async with (
        Channel[str]().fed_by(put_all, sys.argv[1:]) as addresses,
        Channel[Outcome[str, str]]().fed_by(Pool(greeting).run, addresses) as outcomes,
    ):
        async for outcome in outcomes:
            match outcome:
                case Done(address, line):
                    print(f"{address} says {line!r}")
                case Failed(address, errors):
                    print(f"{address} failed: {errors[-1]!r}")


if __name__ == "__main__":
    asyncio.run(main())

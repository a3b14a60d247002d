"""Rules 16, 17 and 23: on every path of `fed_by` and `feed`, the ``cancelling()`` count of a task is afterwards what it was.

A count that stays too high keeps an ``asyncio.timeout`` around from ever ending in a TimeoutError, and one that is too low hides a
cancellation. Each test is one way to end, with one scope around the block and one inside the producer, struck in every turn.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import TypeAlias

import anyio
import pytest

from chanstream import Channel, Itemizer, Receiver, SenderFailed
from tests.loops import turns
from tests.producers import BodyError, ProducerError

Scope: TypeAlias = Callable[[], AbstractAsyncContextManager[object]]


# Scopes. Each ends as if nothing had been, whatever happens inside.


@asynccontextmanager
async def group() -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        child = tasks.create_task(turns(3))
        yield
        child.cancel()


@asynccontextmanager
async def group_that_fails() -> AsyncIterator[None]:
    async def fail() -> None:
        await turns(4)
        raise BodyError

    with suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            yield
            await turns(9)  # before Python 3.13 a failure that comes later is counted, and not taken back


@asynccontextmanager
async def timeout() -> AsyncIterator[None]:
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            yield


@asynccontextmanager
async def long_timeout() -> AsyncIterator[None]:
    async with asyncio.timeout(100):
        yield


@asynccontextmanager
async def anyio_scope() -> AsyncIterator[None]:
    with anyio.CancelScope():
        yield


@asynccontextmanager
async def anyio_timeout() -> AsyncIterator[None]:
    with anyio.move_on_after(0):
        yield


@asynccontextmanager
async def anyio_group() -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turns, 2)
        yield


def nothing() -> AbstractAsyncContextManager[None]:
    return nullcontext()


SCOPES = [nothing, group, group_that_fails, timeout, long_timeout, anyio_scope, anyio_timeout, anyio_group]
QUIET_SCOPES = [nothing, group, long_timeout, anyio_scope, anyio_group]


# Runs of a producer, in a block and in the task itself, and how they end: how many items there are, how many of them are taken, and
# whether the producer fails.

ENDS = {"ended": (2, 9, False), "failed": (2, 9, True), "left early": (1_000, 1, False), "left early, failed": (1_000, 1, True)}


class Run:
    def __init__(self, inside: Scope, items: int, taken: int, *, fails: bool) -> None:
        self.inside = inside
        self.items = items
        self.taken = taken
        self.fails = fails
        self.log: list[str] = []
        self.reader: asyncio.Task[None] | None = None

    async def produce(self, itemize: Itemizer[int]) -> None:
        try:
            async with self.inside():
                for item in range(self.items):
                    await itemize(item)
        finally:
            await turns(2)
            self.log.append("cleaned")
        if self.fails:
            raise ProducerError

    async def read(self, rows: Receiver[int]) -> None:
        async for row in rows:
            await turns(1)
            if row + 1 == self.taken:
                break

    async def end(self) -> None:
        if self.reader is not None:
            self.reader.cancel()
            await asyncio.wait([self.reader])

    async def read_and_close(self, rows: Receiver[int]) -> None:
        with suppress(SenderFailed):
            async with rows:
                await self.read(rows)


async def in_a_block(run: Run, channel: Channel[int]) -> None:
    async with channel.fed_by(run.produce) as rows:
        await run.read(rows)


async def in_a_feed(run: Run, channel: Channel[int]) -> None:
    run.reader = asyncio.create_task(run.read_and_close(channel.receiver))
    await channel.feed(run.produce)


either_way = pytest.mark.parametrize("way", [in_a_block, in_a_feed])
either_mode = pytest.mark.parametrize("buffer", [0, 2], ids=["lock-step", "buffered"])
every_end = pytest.mark.parametrize(("items", "taken", "fails"), ENDS.values(), ids=ENDS)

Way: TypeAlias = Callable[[Run, Channel[int]], Awaitable[None]]


@either_way
@either_mode
@every_end
async def test_a_count_is_afterwards_what_it_was(way: Way, buffer: int, items: int, taken: int, *, fails: bool) -> None:
    """Rules 16, 17 and 23: with every scope around and inside. The next await raises no cancellation either."""
    task = asyncio.current_task()
    assert task is not None
    for around in SCOPES:
        for inside in SCOPES:
            run = Run(inside, items, taken, fails=fails)
            what = (around.__name__, inside.__name__)
            with suppress(ProducerError, SenderFailed, BaseExceptionGroup):
                async with around():
                    await way(run, Channel[int](buffer=buffer))
            assert task.cancelling() == 0, what
            await turns(2)
            assert task.cancelling() == 0, what
            await run.end()


@either_way
@either_mode
@every_end
async def test_a_cancellation_from_outside_is_counted_once(way: Way, buffer: int, items: int, taken: int, *, fails: bool) -> None:
    """Rules 16, 17 and 23: in whatever turn it comes, it is raised and counted, and what it cuts short is cleaned up once."""
    cancelled = 0
    for inside in QUIET_SCOPES:
        for turn in range(14):
            run = Run(inside, items, taken, fails=fails)
            task = asyncio.create_task(outcome(way, run, Channel[int](buffer=buffer)))
            await turns(turn)
            asked = task.cancel()
            await asyncio.wait([task])
            await run.end()
            what = (inside.__name__, turn)
            assert task.cancelling() == asked, what
            assert run.log in ([], ["cleaned"]), what
            if task.cancelled():
                cancelled += 1
                continue
            if asked and sys.version_info >= (3, 13):
                # An error was raised in place of the cancellation, and the next await raised that.
                pytest.fail(f"the cancellation was lost: {what}")
    assert cancelled


async def outcome(way: Way, run: Run, channel: Channel[int]) -> None:
    with suppress(ProducerError, SenderFailed, BaseExceptionGroup):
        await way(run, channel)
    await turns(1)


# In Python 3.11 and 3.12 such a cancellation is lost.
if sys.version_info >= (3, 13):

    async def fail_in_a_block() -> None:
        async def fail(_: Itemizer[int]) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                raise ProducerError

        with suppress(ProducerError):
            async with Channel[int]().fed_by(fail) as rows:
                await anext(rows)

    async def fail_while_a_block_is_left() -> None:
        async def fail(_: Itemizer[int]) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.01)  # meanwhile the scope is cancelled
                raise ProducerError

        with suppress(ProducerError):
            async with Channel[int]().fed_by(fail):
                await turns(2)

    async def end_quietly() -> None:
        channel = Channel[int]()
        await channel.receiver.aclose()
        async with channel.sender as itemize:
            try:
                await asyncio.Event().wait()
            finally:
                await itemize(0)

    @pytest.mark.parametrize("end", [fail_in_a_block, fail_while_a_block_is_left, end_quietly])
    async def test_a_cancellation_that_comes_again_is_known_to_the_scope_that_asked_for_it(
        end: Callable[[], Awaitable[None]],
    ) -> None:
        """Rules 11, 16 and 17: anyio knows its own by the message."""
        went_on = False
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_later(0.005, scope.cancel)
            await end()
            await asyncio.sleep(0)
            went_on = True
        assert scope.cancelled_caught
        assert not went_on
        await turns()

"""Long pipelines: every stage adds one to what it reads, through channels of its own.

Each is run to its end, is left early, and fails at its source; each time every stage has to end. One of fed_by blocks is also left
while its source waits for what never comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise

from chanstream import Channel, Itemizer, Receiver, Sender, SenderFailed
from tests.soak.setting import Account, Setting, assert_at_rest, assert_ended, assert_next

__all__ = ["fed_by_stages", "stages"]

ITEMS = 20
TAKEN_BEFORE_LEAVING = 3
BUFFERS = (0, 2)


class SourceError(Exception):
    """The source fails with it."""


class Pipeline:
    """What its stages do, counted."""

    def __init__(self, setting: Setting, end: str) -> None:
        self.setting = setting
        self.length = setting.stages
        self.end = end
        self.began = 0
        self.ended = 0
        self.passed = 0

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        self.began += 1
        try:
            yield
        finally:
            self.ended += 1

    async def source(self, itemize: Itemizer[int]) -> None:
        async with self.counted():
            for number in range(ITEMS):
                await itemize(number)
                if self.end == "stalled" and number + 1 == TAKEN_BEFORE_LEAVING:
                    await asyncio.get_running_loop().create_future()  # which is never set
            if self.end == "failed":
                raise SourceError

    async def stage(self, itemize: Itemizer[int], upstream: AsyncIterator[int]) -> None:
        async with self.counted():
            async for item in upstream:
                await itemize(item + 1)
                self.passed += 1
                self.setting.progress(self.passed, ITEMS * self.length)

    async def take(self, items: AsyncIterator[int], count: int) -> None:
        for number in range(count):
            await assert_next(items, number + self.length)

    def finished(self) -> None:
        assert self.began == self.ended == self.length + 1, f"{self.began} of {self.length + 1} began, and {self.ended} ended"


# Every stage in a task of its own.


async def first(pipeline: Pipeline, sender: Sender[int]) -> None:
    async with sender as itemize:
        await pipeline.source(itemize)


async def further(pipeline: Pipeline, receiver: Receiver[int], sender: Sender[int]) -> None:
    async with receiver as upstream, sender as itemize:
        await pipeline.stage(itemize, upstream)


async def stages(setting: Setting) -> Account:
    """A pipeline of tasks, joined by channels."""
    account = {"stages": 0, "items": 0, "closed": 0, "failed": 0}
    for buffer in BUFFERS:
        for end in ("complete", "left", "failed"):
            pipeline = Pipeline(setting, end)
            joints = [Channel[int](buffer=buffer) for _ in range(setting.stages + 1)]
            last = joints[-1].receiver
            tasks = [asyncio.create_task(first(pipeline, joints[0].sender))]
            for upstream, downstream in pairwise(joints):
                tasks.append(asyncio.create_task(further(pipeline, upstream.receiver, downstream.sender)))
            if end == "left":
                async with last:
                    await pipeline.take(last, TAKEN_BEFORE_LEAVING)
                account["closed"] += setting.stages
                account["items"] += TAKEN_BEFORE_LEAVING
            else:
                await pipeline.take(last, ITEMS)
                account["items"] += ITEMS
            if end == "failed":
                account["failed"] += await failures(last)
            else:
                await assert_ended(last)
            await asyncio.wait(tasks)
            errors = [task.exception() for task in tasks]
            assert sum(error is not None for error in errors) == (len(tasks) if end == "failed" else 0)
            pipeline.finished()
            account["stages"] += setting.stages
            for joint in joints:
                assert_at_rest(joint)
    assert account["failed"] == len(BUFFERS) * (setting.stages + 1)
    return account


async def failures(items: AsyncIterator[int]) -> int:
    """How many failures there are from the end of a pipeline back to its source, each caused by the next."""
    try:
        item = await anext(items)
    except SenderFailed as failed:
        error: BaseException | None = failed
    else:
        message = f"{item} came from a source that failed"
        raise AssertionError(message)
    count = 0
    while isinstance(error, SenderFailed):
        count += 1
        error = error.__cause__
    assert isinstance(error, SourceError), f"it all began with {error!r}"
    return count


# Every stage fed by the one before, in blocks around each other.


async def fed_by_stages(setting: Setting) -> Account:
    """A pipeline of fed_by blocks, one in the other."""
    account = {"stages": 0, "items": 0, "left": 0, "failed": 0}
    for buffer in BUFFERS:
        for end in ("complete", "left", "stalled", "failed"):
            pipeline = Pipeline(setting, end)
            try:
                async with AsyncExitStack() as blocks:
                    items = await blocks.enter_async_context(Channel[int](buffer=buffer).fed_by(pipeline.source))
                    for _ in range(setting.stages):
                        block = Channel[int](buffer=buffer).fed_by(pipeline.stage, items)
                        items = await blocks.enter_async_context(block)
                    if end in {"left", "stalled"}:
                        await pipeline.take(items, TAKEN_BEFORE_LEAVING)
                        account["items"] += TAKEN_BEFORE_LEAVING
                        account["left"] += setting.stages
                    else:
                        await pipeline.take(items, ITEMS)
                        account["items"] += ITEMS
                        await assert_ended(items)
            except (SenderFailed, SourceError):
                if end != "failed":
                    raise
                account["failed"] += 1
            pipeline.finished()
            account["stages"] += setting.stages
    return account

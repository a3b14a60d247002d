"""The outcomes of tasks and streams.

No clock is involved: a task has a few turns of the event loop, and one that goes on waiting fails the test and does not hang it.
Only `collect` waits for as long as it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from chanstream import Channel, Receiver, SenderFailed
from tests.loops import turns

__all__ = [
    "Broken",
    "all_begun",
    "all_done",
    "begun",
    "closed_early",
    "collect",
    "cut_short",
    "done",
    "ended",
    "failed",
    "left_by",
    "over",
    "raises",
    "rest",
    "settle",
    "until",
    "wait_for",
]

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


class Broken(Exception):
    """What goes wrong in a sender block."""


@contextmanager
def left_by(error: BaseException | None) -> Iterator[None]:
    """What is inside is left by `error` itself, or normally."""
    left: BaseException | None = None
    try:
        yield
    except BaseException as caught:
        if caught is not error:
            raise
        left = caught
    assert left is error


async def wait_for(awaitable: Awaitable[T]) -> T:
    """A coroutine of `awaitable`, for what takes no other."""
    return await awaitable


async def collect(items: AsyncIterable[T]) -> list[T]:
    """All that is still to come, however long it takes."""
    return [item async for item in items]


async def begun(coroutine: Coroutine[object, object, T]) -> asyncio.Task[T]:
    """A task of `coroutine` that has had a few turns."""
    [task] = await all_begun([coroutine])
    return task


async def all_begun(coroutines: Iterable[Coroutine[object, object, T]]) -> list[asyncio.Task[T]]:
    """A task of each, which have had a few turns."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    await turns()
    return tasks


async def done(task: asyncio.Task[T], within: int = 10) -> T:
    """What `task` returned within so many turns."""
    await turns(within)
    assert task.done(), f"{task} still waits"
    return task.result()


async def all_done(tasks: Iterable[asyncio.Task[T]]) -> list[T]:
    """What each of `tasks` returned within a few turns."""
    return [await done(task) for task in tasks]


async def raises(kind: type[E], *tasks: asyncio.Task[object]) -> list[E]:
    """The errors of this kind that `tasks` raised within a few turns."""
    errors: list[E] = []
    for task in tasks:
        with pytest.raises(kind) as caught:
            await done(task)
        errors.append(caught.value)
    return errors


async def settle(channel: Channel[T]) -> None:
    """Make `channel` wait in the running loop, so that it belongs to it."""
    ask = await begun(anext(channel.receiver))
    ask.cancel()
    await turns()
    assert ask.cancelled()


async def rest(receiver: Receiver[T]) -> list[T]:
    """All that is still to come, within a few turns."""
    return await done(asyncio.create_task(collect(receiver)), 60)


async def over(receiver: Receiver[T]) -> None:
    """The stream is complete, and it stays so."""
    for _ in range(3):
        with pytest.raises(StopAsyncIteration):
            await done(asyncio.create_task(anext(receiver)))
        assert await rest(receiver) == []


def cut_short(receiver: Receiver[T]) -> None:
    """The receiver was closed before the stream had ended, so a new loop is refused."""
    with pytest.raises(RuntimeError, match="was closed before the stream had ended"):
        aiter(receiver)


async def failed(receiver: Receiver[T], cause: BaseException | None) -> None:
    """The stream is truncated, and it stays so."""
    for _ in range(3):
        with pytest.raises(SenderFailed) as caught:
            await done(asyncio.create_task(anext(receiver)))
        assert caught.value.__cause__ is cause


async def ended(receiver: Receiver[T], error: BaseException | None) -> None:
    """The stream has ended as its block did: complete, or failed by `error`."""
    await (over(receiver) if error is None else failed(receiver, error))


async def closed_early(receiver: Receiver[T]) -> None:
    """The receiver was closed before the stream had ended: loops under way end, a new one is refused, and it stays so."""
    for _ in range(3):
        with pytest.raises(StopAsyncIteration):
            await done(asyncio.create_task(anext(receiver)))
        cut_short(receiver)
        assert receiver.take_ready() == []


async def until(channel: Channel[T], state: str) -> None:
    """Give turns until `channel` says `state` of itself, and not one more: what was woken in the last one has not run yet."""
    for _ in range(25):
        if state in repr(channel):
            return
        await turns(1)
    pytest.fail(f"never {state}: {channel}")

"""What the stages share: their type, which errors are those of a source, how a source is closed and tasks are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Final, Protocol, TypeAlias, TypeGuard, TypeVar

from chanstream import ChannelError, Itemizer

__all__ = ["FAILURES", "STRIDE", "Stage", "cancelling", "close", "outlast"]

T = TypeVar("T")

# A producer that takes nothing but its itemizer.
Stage: TypeAlias = Callable[[Itemizer[T]], Coroutine[object, object, None]]

STRIDE: Final = 1_024
"""How many items of a source that never waits are read in a row before other tasks and timers get a turn."""

FAILURES: Final = (Exception, ChannelError, asyncio.CancelledError)
"""The errors of a source; a CancelledError is one if the task that reads the source was not cancelled. Others end the program."""


def cancelling() -> int:
    """Return how many cancellations of the running task were requested and not taken back."""
    try:
        task: asyncio.Task[object] | None = asyncio.current_task()
    except RuntimeError:  # no event loop of asyncio runs, as for a stage under `stream` elsewhere
        return 0
    return 0 if task is None else task.cancelling()


async def close(items: AsyncIterator[object]) -> None:
    """Close a generator, and nothing else: a receiver could be closed as well, but is closed by its own block.

    To be called in the task that has read the generator, to which the generator's timeouts and task groups belong.
    """
    if is_generator(items):
        await items.aclose()


class Closable(Protocol):
    async def aclose(self) -> None: ...


def is_generator(items: object) -> TypeGuard[Closable]:
    return isinstance(items, AsyncGenerator)


async def outlast(tasks: set[asyncio.Task[T]]) -> None:
    """Wait until `tasks` is empty, whatever happens meanwhile. A callback removes each task that has ended.

    The tasks have been cancelled, and the task that waits here ends by an error already. A cancellation that comes meanwhile would
    interrupt their cleanup if it was passed on, and replace the error if it was raised.
    """
    while tasks:
        with suppress(asyncio.CancelledError):
            await asyncio.wait(tasks)

"""What a scenario gets, and what it reports: the words that all of them share.

A scenario is an async function of a `Setting` that returns an `Account`: what it did, counted. It asserts its laws itself, so a
broken promise is an AssertionError, in an exception group where tasks were involved. It checks every item, ends by itself and
leaves no task behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, TypeAlias

from chanstream import Channel

__all__ = ["Account", "Setting", "Turns", "assert_at_rest", "assert_ended", "assert_next"]

Account: TypeAlias = dict[str, int]
"""What was done, counted, in the order in which a report shows it."""

LESS_TO_DEBUG: Final = 10
"""An event loop in debug mode takes so many times longer for an item."""


def silent(_done: int, _total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Setting:
    """How much of everything."""

    items: int = 1_000_000
    crowd: int = 10_000
    stages: int = 1_000
    seed: int = 0
    progress: Callable[[int, int], None] = silent

    def on(self, loop: asyncio.AbstractEventLoop) -> Setting:
        """The same for `loop`: fewer items where each takes longer."""
        return replace(self, items=self.items // LESS_TO_DEBUG) if loop.get_debug() else self

    def share(self, divisor: int) -> int:
        """The number of items for something that takes `divisor` times longer than passing one."""
        return max(1, self.items // divisor)


def assert_at_rest(channel: Channel[int]) -> None:
    """Nothing is in `channel`, and no task waits in it: what was cut short has left no trace."""
    now = channel.statistics()
    assert now.pending == now.itemizing == now.asking == 0, f"not at rest: {now}"


async def assert_next(items: AsyncIterator[int], expected: int) -> None:
    item = await anext(items)
    assert item == expected, f"{item} came in the place of {expected}"


async def assert_ended(items: AsyncIterator[int]) -> None:
    """`items` has ended, and stays so."""
    for _ in range(2):
        with suppress(StopAsyncIteration):
            message = f"{await anext(items)} came after the end"
            raise AssertionError(message)


class Turns:
    """Cuts a block short after `count` turns of the event loop, as `asyncio.timeout` does after a time. Does not raise for it."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.fired = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.before = task.cancelling()
        self.handle = asyncio.get_running_loop().call_soon(self.tick)

    def tick(self) -> None:
        if self.left:
            self.left -= 1
            self.handle = asyncio.get_running_loop().call_soon(self.tick)
        else:
            self.fired = True
            self.task.cancel()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self.handle.cancel()
        if not self.fired:
            return False
        cancelled_by_others = self.task.uncancel() > self.before
        assert kind is asyncio.CancelledError, f"a cancellation was answered with {error!r}"
        return not cancelled_by_others

"""What is compared: ways to pass numbers from one task to another, or from a thread, each with the same work and the same check.

The work: one task makes the numbers below `count`, another appends each to a list. The check, after the clock has stopped: the list
holds every number once and in order. The clock runs while the second task is made, while both pass the items and the end, and until
both are done; it does not run while the event loop is made and closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final, TypeAlias

from tests.benchmarks.harness import Case, Clock
from tests.loops import EVERY_LOOP

__all__ = [
    "BATCHING",
    "BUFFER_1",
    "BUFFER_64",
    "DROPPING",
    "FAN_OUT",
    "FEEDING",
    "IO",
    "LOCK_STEP",
    "MAKING",
    "MAPPING",
    "OFFERING",
    "STREAM",
    "THREAD_0",
    "THREAD_64",
    "THREAD_1024",
    "Passing",
    "Runner",
    "Way",
    "case_of",
    "on_asyncio",
    "timed",
]

LOCK_STEP: Final = "lock-step"
BUFFER_1: Final = "buffer=1"
BUFFER_64: Final = "buffer=64"
STREAM: Final = "stream"
IO: Final = "1 ms apart"
MAKING: Final = "making"
OFFERING: Final = "without waiting"
FAN_OUT: Final = "to 300 clients"
FEEDING: Final = "a task that feeds"
DROPPING: Final = "the latest 8"
MAPPING: Final = "20 calls"
BATCHING: Final = "lists of 10"
THREAD_0: Final = "from a thread, lock-step"
THREAD_64: Final = "from a thread, 64"
THREAD_1024: Final = "from a thread, 1,024"

# Passes so many numbers and returns what arrived.
Passing: TypeAlias = Callable[[int], Coroutine[object, object, list[int]]]
# Runs a coroutine that measures itself, and returns what it says.
Runner: TypeAlias = Callable[[Callable[[int], Coroutine[object, object, float]], int], float]


@dataclass(frozen=True)
class Way:
    """One way to pass numbers, and where it is compared."""

    name: str
    groups: tuple[str, ...]
    passing: Passing
    runner: Runner | None = None
    """What runs it, if that isn't the event loop of the others."""
    limit: int | None = None

    @property
    def is_countable(self) -> bool:
        """Whether it takes the same turns of the event loop wherever it runs."""
        return self.runner is None and not {THREAD_0, THREAD_64, THREAD_1024} & {*self.groups}


def on_asyncio(loop: str) -> Runner:
    def run(measured: Callable[[int], Coroutine[object, object, float]], count: int) -> float:
        with asyncio.Runner(loop_factory=EVERY_LOOP[loop]) as runner:
            return runner.run(measured(count))

    return run


def timed(passing: Passing) -> Callable[[int], Coroutine[object, object, float]]:
    async def measured(count: int) -> float:
        start = Clock()
        received = await passing(count)
        seconds = Clock() - start
        if received != list(range(count)):
            message = f"{count} numbers were sent, and these came: {received[:20]}..."
            raise AssertionError(message)
        return seconds

    return measured


def case_of(way: Way, runner: Runner) -> Case:
    """The way as a case, run by `runner` unless it brings its own."""
    measured = timed(way.passing)
    run = way.runner or runner
    return Case(way.name, lambda count: run(measured, count), way.limit)

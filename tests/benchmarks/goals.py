"""What was aimed for, as ratios within one run. The aims were set for CPython 3.11 and 3.13 on asyncio's own event loop."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.harness import Ratio, Series, ratio
from tests.benchmarks.ways import (
    BATCHING,
    BUFFER_1,
    BUFFER_64,
    DROPPING,
    FAN_OUT,
    FEEDING,
    IO,
    LOCK_STEP,
    MAKING,
    MAPPING,
    OFFERING,
    STREAM,
    THREAD_0,
    THREAD_64,
    THREAD_1024,
)

__all__ = ["GOALS", "IMPORT_SECONDS", "Goal", "Outcome", "outcomes"]

IMPORT_SECONDS: Final = 0.010
"""What ``import chanstream`` may take after ``import asyncio``."""


@dataclass(frozen=True)
class Goal:
    """`ours` may cost `at_most` so many times what `against` costs."""

    group: str
    ours: str
    against: str
    at_most: float
    aim: float | None = None
    """What would be better still."""


MEMORY: Final = Goal("memory", "Channel()", "asyncio.Queue(1)", 0.35)

GOALS: Final = (
    Goal(LOCK_STEP, "Channel()", "bare futures", 0.85, 0.70),
    Goal(LOCK_STEP, "Channel()", "asyncio.sleep(0)", 1.25),
    Goal(LOCK_STEP, "Channel()", "asyncio.Queue(1)", 0.70),
    Goal(LOCK_STEP, "Channel()", "sav.channels", 0.80),
    Goal(LOCK_STEP, "Channel()", "trio(0)", 0.55),
    Goal(LOCK_STEP, "Channel()", "anyio(0)", 0.30),
    Goal(LOCK_STEP, "Channel()", "trio.as_safe_channel", 0.30),
    Goal(BUFFER_1, "Channel(buffer=1)", "asyncio.Queue(1)", 0.50),
    Goal(BUFFER_64, "Channel(buffer=64)", "asyncio.Queue(64)", 0.60),
    Goal(BUFFER_64, "Channel(buffer=64)", "anyio(64)", 0.08),
    Goal(BUFFER_64, "Channel(buffer=64), take_ready", "asyncio.Queue(64), get_nowait", 0.70),
    Goal(BUFFER_64, "Channel(buffer=64), take_ready", "Channel(buffer=64)", 0.65),
    Goal(STREAM, "stream", "async generator", 2.0 if sys.version_info >= (3, 12) else 3.0),
    Goal(OFFERING, "offer", "Queue.put_nowait", 1.5),
    Goal(FAN_OUT, "offer to 300", "Queue.put_nowait to 300", 1.5),
    Goal(FEEDING, "feed, 10 items", "a sender block, 10 items", 1.1),
    Goal(DROPPING, "Channel(drop_oldest=True)", "deque(maxlen=8) and an Event", 1.3),
    Goal(MAPPING, "mapped", "aiostream map", 0.15),
    Goal(MAPPING, "mapped", "TaskGroup, Semaphore(20)", 1.2),
    Goal(MAPPING, "mapped, buffer=64", "TaskGroup, Semaphore(20)", 1.2),
    Goal(BATCHING, "batched", "aiostream chunks", 0.1),
    Goal(BATCHING, "batched, with seconds", "aiostream chunks", 0.3),
    Goal(MAKING, "Channel[int](), closed", "asyncio.Queue[int]()", 1.5),
    Goal(MAKING, "Channel(), closed", "asyncio.Queue()", 1.5),
    Goal(IO, "Channel(), slow sender", "asyncio.Queue(1), slow sender", 1.0),
    Goal(IO, "Channel(), slow receiver", "asyncio.Queue(1), slow receiver", 1.0),
    Goal(IO, "Channel(buffer=1), slow sender", "asyncio.Queue(1), slow sender", 1.0),
    Goal(IO, "Channel(buffer=1), slow receiver", "asyncio.Queue(1), slow receiver", 1.0),
    Goal(THREAD_0, "in_thread", "run_coroutine_threadsafe", 1.0),
    Goal(THREAD_64, "in_thread, 64", "janus(64), from a thread", 1 / 4),
    Goal(THREAD_64, "in_thread, 64", "culsans(64), from a thread", 1 / 1.5),
    Goal(THREAD_1024, "in_thread, 1,024", "queue.Queue(1,024)", 1.0),
)


@dataclass(frozen=True)
class Outcome:
    """A goal and what was measured, which is None where the peer isn't installed or wasn't asked for."""

    goal: Goal
    ratio: Ratio | None

    @property
    def met(self) -> bool | None:
        return None if self.ratio is None else self.ratio.value <= self.goal.at_most

    @property
    def verdict(self) -> str:
        if self.ratio is None:
            return "not measured"
        by = self.ratio.value / self.goal.at_most - 1
        if by <= 0:
            aim = self.goal.aim
            return "met" if aim is None else "met, and the aim" if self.ratio.value <= aim else f"met, not the aim of {aim:.2f}"
        missed = f"MISSED by {by:.0%}" if by >= 0.005 else "MISSED by less than 1%"
        return f"{missed}, within the spread" if self.ratio.low <= self.goal.at_most else missed


def outcomes(series: Mapping[str, Series]) -> list[Outcome]:
    """Of all goals about which something of ours was measured."""
    return [
        Outcome(goal, ratio(series[goal.ours], series[goal.against]) if goal.against in series else None)
        for goal in GOALS
        if goal.ours in series
    ]

"""Measures cases against one another on a machine that does other things too. Knows nothing of channels.

- **Interleaved**: a round runs every case once, so that whatever slows the machine down for a while slows all of them. The order is
  rotated from round to round, so that no case always runs at the same place.
- **Processor time** of this process, so that what other processes do is not counted. The garbage collector stays on, and every run
  begins after a full collection.
- **The minimum** of the rounds is what a case costs: noise only adds. A ratio is one minimum by another. How far to trust it is
  told by the quartiles of the ratios that the rounds gave one by one.
- The first round is dropped. It finds out how many items each case passes in about `SECONDS`, so that slow ones don't take all the
  time.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Final, TextIO

__all__ = ["Case", "Clock", "Progress", "Ratio", "Series", "measure", "ratio"]

SECONDS: Final = 0.05
"""About how long one run of a slow case takes. A fast one passes the items that were asked for."""

Clock: Callable[[], float] = time.process_time


@dataclass(frozen=True)
class Case:
    """Something that is done so many times. `run` checks that all was done, and returns the seconds that it took."""

    name: str
    run: Callable[[int], float]
    limit: int | None = None
    """How many items it never needs to exceed."""


@dataclass
class Series:
    """What a case cost in each round, in seconds per item."""

    name: str
    items: int
    costs: list[float] = field(default_factory=list)

    @property
    def least(self) -> float:
        return min(self.costs)

    @property
    def quartiles(self) -> tuple[float, float]:
        return quartiles(self.costs)


@dataclass(frozen=True)
class Ratio:
    """One cost by another: of the minima, and the quartiles of the rounds' own."""

    value: float
    low: float
    high: float


def ratio(one: Series, other: Series) -> Ratio:
    low, high = quartiles([a / b for a, b in zip(one.costs, other.costs, strict=True)])
    return Ratio(one.least / other.least, low, high)


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high


class Progress:
    """One line that is written over and over on a terminal, and ten lines at most elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.began = time.monotonic()
        self.told = 0.0

    def begin(self) -> None:
        self.began = time.monotonic()
        self.told = 0.0

    def tell(self, what: str, done: int, total: int, detail: str = "") -> None:
        seconds = time.monotonic() - self.began
        left = f", about {seconds / done * (total - done):.0f} s left" if 0 < done < total else ""
        if self.stream.isatty():
            line = f"{what}: {done} of {total}, {seconds:.0f} s{left}  {detail}"
            end = "\n" if done == total else ""
            self.stream.write(f"\r{line[:118]:118}{end}")
            self.stream.flush()
        elif done == total or (done and done / total >= self.told + 0.1):
            self.told = done / total
            self.stream.write(f"{what}: {done} of {total}, {seconds:.0f} s{left}\n")
            self.stream.flush()


def measure(what: str, cases: Sequence[Case], rounds: int, items: int, progress: Progress) -> dict[str, Series]:
    """Run each case once in each of so many rounds."""
    progress.begin()
    total = (rounds + 1) * len(cases)
    done = 0
    found: dict[str, Series] = {}
    for case in cases:
        progress.tell(what, done, total, case.name)
        found[case.name] = Series(case.name, fitting(case, items))
        done += 1
    for number in range(rounds):
        first = number * 7 % len(cases)
        for case in (*cases[first:], *cases[:first]):
            progress.tell(what, done, total, case.name)
            series = found[case.name]
            gc.collect()
            series.costs.append(case.run(series.items) / series.items)
            done += 1
    progress.tell(what, done, total)
    return found


def fitting(case: Case, items: int) -> int:
    """How many items the case shall pass, found by passing some: the first round, which warms everything up."""
    most = items if case.limit is None else min(items, case.limit)
    trial = max(1, most // 20)
    case.run(trial)
    cost = case.run(trial) / trial
    return most if cost * most <= SECONDS else max(trial, int(SECONDS / cost))

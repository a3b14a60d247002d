"""Whether memory stays flat.

Two gauges, read at intervals. An object that is kept is a block or more, so the number of blocks that Python has allocated shows
every one. A container that only grows stays one block, so the memory of the process is read too. What counts is the median of the
last readings, so a passing peak is no leak.
"""

from __future__ import annotations

import gc
import sys
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from tests.loops import turns
from tests.soak.setting import Account

__all__ = ["Meter", "no_collector"]

READINGS: Final = 40

FEWEST: Final = 8
"""With fewer readings the beginning can't be compared with the end, and nothing is judged."""

BLOCKS: Final = 250
"""How many blocks may be added: the interpreter keeps up to 80 spare objects of a kind. One object for every thousand items is
more, from 350,000 items on."""

KIB: Final = 1_100
"""How much the process may grow, in KiB: Python's allocator takes an arena of a MiB at a time, now and then one more."""

PROC: Final = [path for path in (Path("/proc/self/smaps_rollup"), Path("/proc/self/status")) if path.exists()]
"""Where Linux tells the memory that is the process's own. The first is exact to the page."""


def own_kib() -> int:
    """The memory of this process; elsewhere than on Linux, the most that there has been."""
    if PROC:
        for line in PROC[0].read_bytes().splitlines():
            if line.startswith((b"Anonymous:", b"RssAnon:")):
                return int(line.split()[1])
    elif sys.platform != "win32":
        import resource  # Windows has none

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most // 1024 if sys.platform == "darwin" else most
    return 0


class Meter:
    """Gets how far a run of `total` is, and reads the gauges in time for `READINGS` readings."""

    def __init__(self, total: int, *, noise: int = 1) -> None:
        self.readings = min(READINGS, total)
        self.step = total // self.readings
        self.noise = noise  # by what the limits are multiplied
        self.count = 0
        # Made now, so that a reading adds no block of its own.
        self.blocks = array("q", bytes(8 * self.readings))
        self.kib = array("q", bytes(8 * self.readings))

    @property
    def next(self) -> int:
        """How far the run is when the gauges are read again."""
        return (self.count + 1) * self.step

    def read(self) -> None:
        if self.count < self.readings:
            self.kib[self.count] = own_kib()
            self.blocks[self.count] = sys.getallocatedblocks()
            self.count += 1

    async def read_without_garbage(self) -> None:
        """Errors make cycles, by their tracebacks. What a finalizer tells the event loop takes a turn to be forgotten."""
        gc.collect()
        await turns()
        self.read()

    def growth(self) -> tuple[int, int]:
        """Of the blocks, over the first readings. Of the memory, over the least: what is given back meanwhile hides nothing."""
        quarter = self.count // 4
        blocks, kib = self.blocks[: self.count], self.kib[: self.count]
        return round(median(blocks[-quarter:]) - median(blocks[:quarter])), round(median(kib[-quarter:]) - min(kib[:-quarter]))

    def account(self) -> Account:
        """The growth. Raises AssertionError if it is more than what is noise."""
        if self.count < FEWEST:
            return {}
        blocks, kib = self.growth()
        assert blocks <= BLOCKS * self.noise, f"memory is not flat: {blocks} blocks more, {list(self.blocks[: self.count])}"
        assert kib <= KIB * self.noise, f"memory is not flat: {kib} KiB more, {list(self.kib[: self.count])}"
        return {"blocks more": blocks, "KiB more": kib}


@contextmanager
def no_collector() -> Iterator[None]:
    """Without the garbage collector: references alone have to keep memory flat."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

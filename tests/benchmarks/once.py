"""What is measured without rounds: the bytes of an idle channel, the turns of the event loop, and the import."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Final

from chanstream import Channel

__all__ = ["bytes_of", "idle_channel", "import_seconds", "memory"]

MANY: Final = 1000

IMPORT: Final = """
import asyncio, time
start = time.process_time()
import chanstream
print(time.process_time() - start)
"""


def bytes_of(make: Callable[[], object]) -> float:
    """What one takes with all its parts: what is allocated for a thousand, by a thousand."""
    import tracemalloc  # PyPy has none

    kept: list[object] = [make() for _ in range(MANY)]  # whatever is made once and for all
    kept.clear()
    kept += [None] * MANY
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for place in range(MANY):
            kept[place] = make()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / MANY


def idle_channel() -> Channel[int]:
    return Channel()


def idle_queue() -> asyncio.Queue[int]:
    return asyncio.Queue(1)


def memory() -> dict[str, float]:
    return {
        "Channel()": bytes_of(idle_channel),
        "Channel(buffer=1)": bytes_of(lambda: Channel(buffer=1)),
        "asyncio.Queue(1)": bytes_of(idle_queue),
    }


def import_seconds(rounds: int) -> list[float]:
    """What ``import chanstream`` takes on top of ``import asyncio``, in so many new interpreters, once it has been compiled."""
    found: list[float] = []
    with TemporaryDirectory() as cache:
        # An installed package is compiled; a checkout need not be, and the environment may forbid it.
        environment = os.environ | {"PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(rounds + 1):
            done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, env=environment)
            found.append(float(done.stdout))
    return found[1:]  # the first one compiles

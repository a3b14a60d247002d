"""Channels, as in https://aiochan.readthedocs.io/en/latest/quick.html ."""

from __future__ import annotations

from typing import Final

from aiochan import Chan

from tests.benchmarks.peers._shared import through_channel
from tests.benchmarks.ways import BUFFER_1, BUFFER_64, LOCK_STEP, Passing, Way

__all__ = ["WAYS"]


def through(size: int | None) -> Passing:
    def make() -> Chan[int]:
        return Chan(size)

    return through_channel(make)


WAYS: Final = (
    Way("aiochan()", (LOCK_STEP,), through(None)),
    Way("aiochan(1)", (BUFFER_1,), through(1)),
    Way("aiochan(64)", (BUFFER_64,), through(64)),
)

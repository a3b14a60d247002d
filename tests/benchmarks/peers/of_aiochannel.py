"""Closable queues, as in https://pypi.org/project/aiochannel/1.4.1/ . They have a size of 1 or more."""

from __future__ import annotations

from typing import Final

from aiochannel import Channel

from tests.benchmarks.peers._shared import through_channel
from tests.benchmarks.ways import BUFFER_1, BUFFER_64, LOCK_STEP, Way

__all__ = ["WAYS"]

WAYS: Final = (
    Way("aiochannel(1)", (LOCK_STEP, BUFFER_1), through_channel(lambda: Channel(1))),
    Way("aiochannel(64)", (BUFFER_64,), through_channel(lambda: Channel(64))),
)

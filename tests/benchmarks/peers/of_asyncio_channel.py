"""Channels, as in https://github.com/ebb29c/asyncio-channel/blob/main/docs/api.md . They have a size of 1 or more."""

from __future__ import annotations

from typing import Final

from asyncio_channel import create_channel

from tests.benchmarks.peers._shared import through_channel
from tests.benchmarks.ways import BUFFER_1, BUFFER_64, LOCK_STEP, Way

__all__ = ["WAYS"]

WAYS: Final = (
    Way("asyncio-channel(1)", (LOCK_STEP, BUFFER_1), through_channel(lambda: create_channel(1))),
    Way("asyncio-channel(64)", (BUFFER_64,), through_channel(lambda: create_channel(64))),
)

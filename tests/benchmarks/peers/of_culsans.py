"""The async side of its queues, as in https://culsans.readthedocs.io/latest/ . They have a size of 1 or more.

Made for threads, as janus is.
"""

from __future__ import annotations

from typing import Final

from culsans import AsyncQueueShutDown, Queue

from tests.benchmarks.peers._shared import through_queue, through_queue_from_thread
from tests.benchmarks.ways import BUFFER_1, BUFFER_64, LOCK_STEP, THREAD_64, THREAD_1024, Way

__all__ = ["WAYS"]

WAYS: Final = (
    Way("culsans(1)", (LOCK_STEP, BUFFER_1), through_queue(lambda: Queue(1), AsyncQueueShutDown)),
    Way("culsans(64)", (BUFFER_64,), through_queue(lambda: Queue(64), AsyncQueueShutDown)),
    Way("culsans(64), from a thread", (THREAD_64,), through_queue_from_thread(lambda: Queue(64), AsyncQueueShutDown)),
    Way("culsans(1,024), from a thread", (THREAD_1024,), through_queue_from_thread(lambda: Queue(1_024), AsyncQueueShutDown)),
)

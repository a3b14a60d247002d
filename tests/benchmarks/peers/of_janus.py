"""The async side of its queues, as in https://github.com/aio-libs/janus#example . They have a size of 1 or more.

Made for threads: its documentation says not to use it between tasks alone where speed matters.
"""

from __future__ import annotations

from typing import Final

from janus import AsyncQueueShutDown, Queue

from tests.benchmarks.peers._shared import through_queue, through_queue_from_thread
from tests.benchmarks.ways import BUFFER_1, BUFFER_64, LOCK_STEP, THREAD_64, THREAD_1024, Way

__all__ = ["WAYS"]

WAYS: Final = (
    Way("janus(1)", (LOCK_STEP, BUFFER_1), through_queue(lambda: Queue(1), AsyncQueueShutDown)),
    Way("janus(64)", (BUFFER_64,), through_queue(lambda: Queue(64), AsyncQueueShutDown)),
    Way("janus(64), from a thread", (THREAD_64,), through_queue_from_thread(lambda: Queue(64), AsyncQueueShutDown)),
    Way("janus(1,024), from a thread", (THREAD_1024,), through_queue_from_thread(lambda: Queue(1_024), AsyncQueueShutDown)),
)

"""Which task awaits a producer, as asyncio knows it from Python 3.14 on and ``python -m asyncio pstree`` draws it.

An edge of the call graph is a strong reference from a producer to its consumer, and the library keeps a running producer alive. An
edge that lasted as long as the producer would so keep a lost consumer alive for ever. There is one only for a consumer that is
alive anyway: one that is a producer itself, and any other while it is parked in the channel of one of its blocks.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final
from weakref import WeakKeyDictionary, WeakSet, ref

from ._cancellation import current_task

__all__ = ["HAS_CALL_GRAPH", "Edges"]

HAS_CALL_GRAPH: Final = sys.version_info >= (3, 14)

# The producers of the blocks that a task has entered.
producers: Final[WeakKeyDictionary[asyncio.Task[object], WeakSet[asyncio.Task[None]]]] = WeakKeyDictionary()


class Edges:
    """The edges to the task that entered a block, from the producer of that and from those of all other blocks that it is in."""

    __slots__ = ("consumer",)

    consumer: ref[asyncio.Task[object]]

    def __init__(self, producer: asyncio.Task[None], consumer: asyncio.Task[object]) -> None:
        self.consumer = ref(consumer)
        producers.setdefault(consumer, WeakSet()).add(producer)

    if sys.version_info >= (3, 14):

        def add(self) -> bool:
            """Draw them, if the consumer is the running task. Return whether it is."""
            consumer = self.consumer()
            if consumer is None or consumer is not current_task():
                return False
            for producer in producers[consumer]:
                asyncio.future_add_to_awaited_by(producer, consumer)
            return True

        def discard(self) -> None:
            consumer = self.consumer()
            if consumer is not None:
                for producer in producers[consumer]:
                    asyncio.future_discard_from_awaited_by(producer, consumer)

    else:

        def add(self) -> bool:
            """Do nothing: asyncio has no call graph."""
            return False

        def discard(self) -> None:
            """Do nothing, as `add`."""

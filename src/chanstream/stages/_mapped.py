"""A function called for many items at a time: `mapped`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from chanstream import Channel, Itemizer, offer

from ._arguments import check_awaitable, check_bool, check_count, check_function, check_source
from ._common import FAILURES, STRIDE, Stage, cancelling, close, outlast

__all__ = ["mapped"]

A = TypeVar("A")
B = TypeVar("B")


def mapped(source: AsyncIterable[A], func: Callable[[A], Awaitable[B]], *, limit: int, ordered: bool = True) -> Stage[B]:
    """Make a producer of the results of ``func(item)``, for each item of `source`, at most `limit` calls at a time.

    A call counts from its start until its result was taken, that is until ``await itemize(result)`` returned. So while the consumer
    is busy, the calls under way go on, and with `limit` results in hand none is started. The source is read only when a call may
    start.

    The results come in the order of the items; with ``ordered=False``, as soon as each is ready.

    **Waits** for the source, for the calls, and for its consumer.

    **The wait ends** with the source, when all results were taken. If the source fails, the calls under way end first, and its
    error comes after their results.

    **Cancelled**, or when its consumer leaves, it cancels the calls under way, waits for them, and closes the source if that is a
    generator. Items that were read and whose results were not taken are lost.

    **Raises** the error of the first call that fails, alone, in the place of its result. The other calls under way, or if
    ordered those behind it, are cancelled as soon as it has failed. A call that was cancelled from elsewhere fails by
    asyncio.CancelledError. `mapped` itself raises TypeError or ValueError for a bad argument.

    **Order of service**: calls start in the order of the items, each in a task of its own.
    """
    check_source(source)
    check_function("mapped(func)", func)
    check_count("mapped(limit=...)", limit)
    check_bool("mapped(ordered=...)", ordered)

    async def mapping(itemize: Itemizer[B]) -> None:
        calls = Calls(func, limit, ordered=ordered)
        async with Channel[None](buffer=1).fed_by(calls.call_each, aiter(source)) as signals:
            async for _ in signals:
                while calls.queue and calls.queue[0].done():
                    await itemize(calls.queue.popleft().result())
                    calls.result_taken()

    return mapping


class Calls(Generic[A, B]):
    """The calls under way, and those that have ended and whose results wait to be taken."""

    __slots__ = ("ending", "failed", "func", "limit", "loop", "name", "ordered", "queue", "running", "signal", "taken", "under_way")

    ending: set[asyncio.Task[B]]
    """The running calls that were cancelled. A second cancellation would interrupt their cleanup."""
    failed: bool
    """Whether a call has failed. Then no other one is started."""
    func: Callable[[A], Awaitable[B]]
    limit: int
    loop: asyncio.AbstractEventLoop
    name: str
    ordered: bool
    queue: deque[asyncio.Task[B]]
    """The calls in the order in which their results are passed on."""
    running: set[asyncio.Task[B]]
    """The running calls that were not cancelled."""
    signal: Itemizer[None]
    """Where to offer a signal that the first call in the queue has ended. One signal may be for several calls."""
    taken: asyncio.Event
    """Set when a result was taken."""
    under_way: int
    """How many calls were started whose results have not been taken."""

    def __init__(self, func: Callable[[A], Awaitable[B]], limit: int, *, ordered: bool) -> None:
        self.ending = set()
        self.failed = False
        self.func = func
        self.limit = limit
        self.name = name_of(func)
        self.ordered = ordered
        self.queue = deque()
        self.running = set()
        self.taken = asyncio.Event()
        self.under_way = 0

    async def call_each(self, signal: Itemizer[None], items: AsyncIterator[A]) -> None:
        """Start the calls. In a task of its own, which alone reads the source and closes it."""
        self.loop = asyncio.get_running_loop()
        self.signal = signal
        try:
            try:
                async for item in items:
                    if not self.failed:
                        self.start(item)
                    del item
                    if not self.under_way % STRIDE:
                        await asyncio.sleep(0)
                    while self.failed or self.under_way >= self.limit:  # after a failure, until the block cancels this task
                        self.taken.clear()
                        await self.taken.wait()
            except FAILURES:
                if cancelling():
                    raise
                # The source has failed. What was read before comes first, and the error of a call replaces that of the source.
                await self.wait()
                if not self.failed:
                    raise
            await self.wait()
        finally:
            self.cancel([*self.running])
            await outlast(self.ending)
            await close(items)

    def start(self, item: A) -> None:
        self.under_way += 1
        call = self.loop.create_task(self.call(item), name=self.name)
        self.running.add(call)
        if self.ordered:
            self.queue.append(call)
        call.add_done_callback(self.end)

    async def call(self, item: A) -> B:
        awaitable = self.func(item)
        try:
            return await awaitable
        except TypeError:
            check_awaitable(self.func, awaitable)
            raise

    def end(self, call: asyncio.Task[B]) -> None:
        self.running.discard(call)
        self.ending.discard(call)
        if not self.ordered:
            self.queue.append(call)
        if call.cancelled() or call.exception() is not None:
            self.fail(call)
        if self.queue and self.queue[0] is call:  # it may have been taken already
            offer(self.signal, None)

    def fail(self, call: asyncio.Task[B]) -> None:
        """Start no other call, and cancel those whose results will not be taken: all, or those behind this one."""
        self.failed = True
        if not self.ordered:
            self.cancel([*self.running])
        elif call in self.queue:
            self.cancel([*self.queue][self.queue.index(call) :])

    def result_taken(self) -> None:
        """Let another call start in the place of one whose result was taken."""
        self.under_way -= 1
        self.taken.set()

    def cancel(self, calls: list[asyncio.Task[B]]) -> None:
        for call in calls:
            if call in self.running:
                self.running.discard(call)
                self.ending.add(call)
                call.cancel()

    async def wait(self) -> None:
        """Wait until no call is running."""
        if self.running:
            await asyncio.wait(self.running)


def name_of(func: object) -> str:
    """Return the name of the tasks of the calls."""
    name: object = getattr(func, "__qualname__", None)
    return name if isinstance(name, str) else repr(func)

"""A blocking function as one that can be awaited: `in_pool`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import TypeVar

from ._arguments import check_plain_function, check_pool

__all__ = ["in_pool"]

A = TypeVar("A")
B = TypeVar("B")


def in_pool(pool: Executor, func: Callable[[A], B]) -> Callable[[A], Coroutine[object, object, B]]:
    """Make an async function of a blocking one, for `mapped` to call.

    ``mapped(rows, in_pool(pool, parse), limit=4)`` has four rows parsed at a time, each in a worker of the pool.

    `pool` is an executor of concurrent.futures, of threads, processes or interpreters. The caller closes it: put the block of the
    stage inside its block. Processes and interpreters need a `func`, items and results that can be pickled.

    **Waits** for a free worker of the pool and for `func`. With a `limit` of as many calls as the pool has workers, each is idle
    between two calls for as long as a hand-over takes; with twice as many, none is.

    **Cancelled**, a call that has not begun in the pool never does. One that has begun can't be stopped: it runs on, and its result
    is dropped.

    **Raises** what `func` raises; BrokenProcessPool for each call of a pool that has lost a process, so that `mapped` raises one;
    RuntimeError if the pool was shut down. `in_pool` itself raises TypeError for a bad argument.
    """
    check_pool(pool)
    check_plain_function("in_pool(func)", func)

    async def call(item: A, /) -> B:
        return await asyncio.get_running_loop().run_in_executor(pool, run, func, item)

    return call


def run(func: Callable[[A], B], item: A) -> B:
    """What a worker of the pool runs. A future can't hold a StopIteration, and on Python 3.11 would never be done."""
    try:
        return func(item)
    except StopIteration as error:
        message = f"{func!r} raised StopIteration, which would end a loop that it knows nothing of: catch it"
        raise RuntimeError(message) from error

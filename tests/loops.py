"""The event loops that the tests run on, and how a test lets other tasks run.

Every async test runs once on each loop that is chosen. There are asyncio's own, the same in debug mode, with eager tasks (from
Python 3.12 on), and uvloop (where it can be installed). CHANSTREAM_LOOPS=asyncio,debug chooses those two. Without it, ``pytest``
chooses asyncio's own, and everything else all of them: ``pytest --full`` and the soak. The benchmarks have an option for theirs.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from asyncio import constants, format_helpers
from collections.abc import Callable
from traceback import StackSummary
from typing import TypeAlias

from typing_extensions import override

__all__ = ["EVERY_LOOP", "LOOPS", "LoopFactory", "this_task", "turns", "turns_given"]

LoopFactory: TypeAlias = Callable[[], asyncio.AbstractEventLoop]


# In debug mode asyncio notes where each callback, task and future came from, in more time than a test takes otherwise. One frame
# will do, and none for a callback.
setattr(constants, "DEBUG_STACK_DEPTH", 1)  # typed as final
format_helpers.extract_stack = lambda *_: StackSummary()


class DebugLoop(asyncio.SelectorEventLoop):
    """Stays in debug mode, also when a runner that knows nothing about it turns it off."""

    @override
    def set_debug(self, enabled: bool) -> None:
        super().set_debug(True)


def debug_loop() -> asyncio.AbstractEventLoop:
    loop = DebugLoop()
    loop.set_debug(True)
    return loop


EVERY_LOOP: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop, "debug": debug_loop}

if sys.version_info >= (3, 12):

    def eager_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    EVERY_LOOP["eager"] = eager_loop

if importlib.util.find_spec("uvloop") is not None:
    import uvloop

    EVERY_LOOP["uvloop"] = uvloop.new_event_loop

wanted = os.environ.get("CHANSTREAM_LOOPS")
LOOPS = {name: EVERY_LOOP[name] for name in wanted.split(",")} if wanted else EVERY_LOOP


async def turns(count: int = 10) -> None:
    """Let every other task run that can, `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)


def turns_given() -> Callable[[], bool]:
    """Tell later whether any other task has had a turn since."""
    given: list[None] = []
    asyncio.get_running_loop().call_soon(given.append, None)
    return lambda: bool(given)


def this_task() -> asyncio.Task[object]:
    """The task that runs."""
    task = asyncio.current_task()
    assert task is not None
    return task

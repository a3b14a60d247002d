"""Runs one scenario on one event loop, within a bounded time.

Besides its own laws, a scenario has to leave no task, no error for the event loop to report and none for the interpreter. One that
hangs is cancelled when its time is over, and the report says where its tasks wait. Should that not end it, the process dies, and
prints where its threads are.
"""

from __future__ import annotations

import asyncio
import faulthandler
import math
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.loops import LOOPS
from tests.soak.collector import unraisable
from tests.soak.scenarios import SCENARIOS, Scenario
from tests.soak.setting import Account, Setting

__all__ = ["Row", "bounded", "patience", "perform"]

GRACE = 20
"""Seconds to end in, for what is cancelled."""


@dataclass
class Row:
    """What one scenario did on one loop."""

    loop: str
    name: str
    seconds: float = 0.0
    account: Account = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def patience(setting: Setting) -> float:
    """Many times the seconds that the slowest scenario takes."""
    return 60 + setting.items / 20_000 + setting.crowd / 30 + setting.stages / 3


@contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


async def bounded(scenario: Scenario, setting: Setting, seconds: float) -> Account:
    """What `scenario` returns. Raises AssertionError if it hangs or leaves a task behind."""
    with watchdog(seconds + GRACE):
        task = asyncio.ensure_future(scenario(setting))
        _, waiting = await asyncio.wait([task], timeout=seconds)
        if waiting:
            standing = asyncio.all_tasks() - {asyncio.current_task()}
            places = {f"{frame.f_code.co_qualname}:{frame.f_lineno}" for task in standing for frame in task.get_stack()}
            task.cancel()
            await asyncio.wait([task])
            message = f"it hangs: after {seconds:.0f} s, {len(standing)} tasks stand at " + ", ".join(sorted(places)[:9])
            raise AssertionError(message)
        account = task.result()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"{len(left)} tasks go on"
        return account


def perform(loop: str, name: str, setting: Setting, seconds: float) -> Row:
    row = Row(loop, name)
    reports: list[str] = []
    began = time.monotonic()
    with unraisable() as errors, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        running = runner.get_loop()
        running.slow_callback_duration = math.inf  # a crowd takes its time, and nothing else waits
        running.set_exception_handler(lambda _, context: reports.append(str(context)))
        try:
            row.account = runner.run(bounded(SCENARIOS[name], setting.on(running), seconds))
        except Exception as error:
            row.broken = [f"{type(each).__name__}: {each}" for each in leaves(error)]
            traceback.print_exception(error, limit=-4)
    row.seconds = time.monotonic() - began
    row.broken += [f"left to the event loop: {report}" for report in reports]
    row.broken += [f"left to the interpreter: {error}" for error in errors]
    return row


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in leaves(each)]
    return [error]

"""Every async test runs on every event loop, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.loops import LOOPS, LoopFactory

# Seconds, of which no test takes a quarter. What holds up the event loop itself is ended by pytest's faulthandler_timeout.
FOR_EVER = 120


def pytest_asyncio_loop_factories() -> dict[str, LoopFactory]:
    return LOOPS


def pytest_configure() -> None:
    # A shell that runs the tests in the background has them ignore Ctrl-C, and so would the programs that they start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest_asyncio.fixture
async def nothing_is_left() -> AsyncIterator[None]:
    """No task goes on after a test, or for ever within it, and no error was left for the event loop to report."""
    reports: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reports.append(context))
    waiting: list[str] = []
    alarm = loop.call_later(FOR_EVER, end_the_test, waiting)
    # The collection that ends the test need not look through what was there before it.
    gc.freeze()
    yield
    alarm.cancel()
    gc.collect()
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not waiting, "somebody waited for ever"
    assert not left, "a task goes on after the test"
    assert not reports, "an error was left to the event loop"


def end_the_test(waiting: list[str]) -> None:
    """Tell where every task waits, and cancel them all."""
    for task in asyncio.all_tasks():
        waiting.append(task.get_name())
        task.print_stack()
        task.cancel("it waits for ever")


@pytest.fixture(autouse=True)
def async_tests_leave_nothing(request: pytest.FixtureRequest) -> None:
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("nothing_is_left")


@pytest.fixture
def no_collector() -> Iterator[None]:
    """References alone decide how long an object lives, and a test that collects garbage says so."""
    gc.disable()
    yield
    gc.enable()

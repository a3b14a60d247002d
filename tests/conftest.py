"""Every async test runs on every event loop, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.loops import LOOPS, LoopFactory


def pytest_asyncio_loop_factories() -> dict[str, LoopFactory]:
    return LOOPS


def pytest_collection_finish() -> None:
    # Every async test ends with a collection. It need not look through everything that was imported.
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest_asyncio.fixture
async def nothing_is_left() -> AsyncIterator[None]:
    """No task goes on after a test, and no error was left for the event loop to report."""
    reports: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    yield
    gc.collect()
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, "a task goes on after the test"
    assert not reports, "an error was left to the event loop"


@pytest.fixture(autouse=True)
def async_tests_leave_nothing(request: pytest.FixtureRequest) -> None:
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("nothing_is_left")

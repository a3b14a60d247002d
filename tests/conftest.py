"""What a run covers, and that no async test leaves anything behind.

Without options, pytest runs what takes seconds: asyncio's own event loop, a fifth of the Hypothesis examples, and no test that is
marked as slow. ``pytest --full`` runs everything on every event loop. In both, the environment variables CHANSTREAM_LOOPS (see
`tests.loops`) and CHANSTREAM_EXAMPLES (see `tests.drawn`) and pytest's own option ``-m`` go before.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import inspect
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from chanstream.diagnosis import graph
from tests.garbage import COUNTED

# Seconds, of which no test takes a quarter. What holds up the event loop itself is ended by pytest's faulthandler_timeout.
FOR_EVER = 30
FOR_EVER_IF_SLOW = 120

NOT_SLOW = "not slow"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run slow tests too, on every event loop, with all examples")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--full"):
        # Before any module is imported that reads them.
        os.environ.setdefault("CHANSTREAM_LOOPS", "asyncio")
        os.environ.setdefault("CHANSTREAM_EXAMPLES", "0.2")
        config.option.markexpr = config.option.markexpr or NOT_SLOW
    if not COUNTED:
        # A coroutine that a test throws away is collected in the middle of any other.
        config.addinivalue_line("filterwarnings", "ignore:coroutine .* was never awaited:RuntimeWarning")
    # A shell that runs the tests in the background has them ignore Ctrl-C, and so would the programs that they start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not COUNTED:
        left_out = [item for item in items if item.get_closest_marker("cpython")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """A test that has failed may still hang when its loop is closed, and pytest has just ended its watch over it."""
    faulthandler.dump_traceback_later(float(node.config.getini("faulthandler_timeout")), exit=True)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    from tests.loops import LOOPS  # after pytest_configure

    return LOOPS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and how to run it."""
    from tests.loops import EVERY_LOOP, LOOPS  # likewise

    share = float(os.environ.get("CHANSTREAM_EXAMPLES", "1"))
    left_out = [
        "slow tests" if terminalreporter.config.option.markexpr == NOT_SLOW else "",
        ", ".join(f"the {name} loop" for name in EVERY_LOOP if name not in LOOPS),
        f"{1 - share:.0%} of the examples" if share < 1 else "",
    ]
    if any(left_out):
        terminalreporter.write_line(f"left out: {', '.join(filter(None, left_out))}; run everything with: pytest --full")


def pytest_sessionfinish() -> None:
    if COUNTED:
        gc.unfreeze()


@pytest_asyncio.fixture
async def nothing_is_left(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """No task goes on after a test, or for ever within it, and no error was left for the event loop to report."""
    reports: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reports.append(context))
    waiting: list[str] = []
    is_slow = request.node.get_closest_marker("slow") is not None
    alarm = loop.call_later(FOR_EVER_IF_SLOW if is_slow else FOR_EVER, end_the_test, waiting)
    # The collection that ends the test need not look through what was there before it. What is garbage now would be kept for ever.
    if COUNTED:
        gc.collect()
        gc.freeze()
    yield
    alarm.cancel()
    if COUNTED:  # elsewhere it takes longer than most tests
        gc.collect()
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not waiting, waiting[0]
    assert not left, "a task goes on after the test"
    assert not reports, "an error was left to the event loop"


def end_the_test(waiting: list[str]) -> None:
    """Tell which task waits for which, and cancel them all."""
    waiting.append(str(graph()) if COUNTED else "a task waited for ever")
    for task in asyncio.all_tasks():
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

"""Events of watchdog, with real files."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from watchdog.events import FileSystemEvent

from chanstream import Receiver
from tests.examples.watch import every_event, latest_events
from tests.test_example_threads import AWAKE, ROOT, RUN, TIMEOUT, outcome, running

pytestmark = pytest.mark.slow

PROGRAM = ROOT / "tests" / "examples" / "watch.py"


async def created(events: AsyncIterator[FileSystemEvent]) -> AsyncIterator[str]:
    async for event in events:
        if event.event_type == "created":
            yield Path(str(event.src_path)).name


async def until_it_watches(events: AsyncIterator[FileSystemEvent], directory: Path) -> None:
    """Until the first event, for which something has to happen."""
    asking = asyncio.ensure_future(anext(events))
    while not asking.done():
        directory.joinpath("ready").write_text("", encoding="utf-8")
        await asyncio.wait([asking], timeout=0.05)


every_way = pytest.mark.parametrize("watch", [every_event, latest_events])


@every_way
async def test_events_arrive_and_no_thread_is_left(
    watch: Callable[[Path], AbstractAsyncContextManager[Receiver[FileSystemEvent]]], tmp_path: Path
) -> None:
    """Rules 24 and 27: whether or not the callback may wait."""
    before = set(threading.enumerate())
    async with asyncio.timeout(TIMEOUT):
        async with watch(tmp_path) as events:
            await until_it_watches(events, tmp_path)
            assert set(threading.enumerate()) - before
            tmp_path.joinpath("one").write_text("1", encoding="utf-8")
            async for name in created(events):
                if name == "one":
                    break
        assert not set(threading.enumerate()) - before


async def test_a_busy_loop_holds_the_callback_up_and_loses_nothing(tmp_path: Path) -> None:
    """Rule 27."""
    names = [f"{number:03}" for number in range(200)]
    async with asyncio.timeout(TIMEOUT), every_event(tmp_path) as events:
        await until_it_watches(events, tmp_path)
        for name in names:
            tmp_path.joinpath(name).write_text("", encoding="utf-8")
        await asyncio.sleep(0.2)
        found: list[str] = []
        async for name in created(events):
            if name != "ready":
                found.append(name)
            if name == names[-1]:
                break
    assert found == names


async def test_the_latest_events_are_the_newest(tmp_path: Path) -> None:
    """Rules 24 and 25: what was lost are the oldest."""
    names = [f"{number:03}" for number in range(200)]
    async with asyncio.timeout(TIMEOUT), latest_events(tmp_path, most=10) as events:
        await until_it_watches(events, tmp_path)
        for name in names:
            tmp_path.joinpath(name).write_text("", encoding="utf-8")
        dropped = -1
        while dropped != (dropped := events.statistics().dropped) or not dropped:  # until no more events come
            await asyncio.sleep(0.3)
        newest = events.take_ready()
    assert len(newest) == 10
    found = {Path(str(event.src_path)).name for event in newest}
    assert names[-1] in found
    assert names[0] not in found


async def test_leaving_while_the_callback_waits(tmp_path: Path) -> None:
    """Rule 27: the callback is released before watchdog joins its thread."""
    async with asyncio.timeout(TIMEOUT), every_event(tmp_path) as events:
        await until_it_watches(events, tmp_path)
        for number in range(200):
            tmp_path.joinpath(str(number)).write_text("", encoding="utf-8")
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("options", [[], ["--latest"]])
def test_ctrl_c_ends_the_program(tmp_path: Path, options: list[str]) -> None:
    with running("-c", AWAKE + RUN, PROGRAM, tmp_path, *options) as program:
        stop = threading.Event()

        def write() -> None:
            while not stop.wait(0.05):
                tmp_path.joinpath("ready").write_text("", encoding="utf-8")

        writing = threading.Thread(target=write)
        writing.start()
        assert program.stdout
        assert " ready" in program.stdout.readline()
        stop.set()
        writing.join()
        program.send_signal(signal.SIGINT)
        _, complaints = outcome(program)
    # watchdog logs this if an event comes while it stops.
    complaints = complaints.replace("InotifyEmitter.queue_events() called when the thread is inactive\n", "")
    assert (complaints, program.returncode) == ("", 0)

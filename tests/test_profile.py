"""Which stage is the bottleneck, in programs of which that is known."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
from collections.abc import AsyncIterable, Iterator
from time import perf_counter, sleep, thread_time

import pytest

from chanstream import Channel, Itemizer
from chanstream.diagnosis import Profile, profile
from chanstream.stages import mapped
from tests.loops import LOOPS

pytestmark = pytest.mark.cpython


def burn(milliseconds: float) -> None:
    end = thread_time() + milliseconds / 1000
    while thread_time() < end:
        sum(range(50))


async def numbers(itemize: Itemizer[int], *, wait: float = 0.0) -> None:
    for number in range(1_000_000):
        if wait:
            await asyncio.sleep(wait)
        await itemize(number)


async def parse(itemize: Itemizer[int], source: AsyncIterable[int], *, work: float = 0.0, wait: float = 0.0) -> None:
    async for number in source:
        burn(work)
        if wait:
            await asyncio.sleep(wait)
        await itemize(number)


async def fetch(number: int) -> int:
    await asyncio.sleep(0.03)
    return number


async def consume(items: AsyncIterable[int], seconds: float, *, work: float = 0.0, wait: float = 0.0) -> None:
    end = asyncio.get_running_loop().time() + seconds
    least = 100 * seconds  # where other programs take the processor
    async for _ in items:
        burn(work)
        if wait:
            await asyncio.sleep(wait)
        least -= 1
        if least < 0 and asyncio.get_running_loop().time() > end:
            return


async def source_waits(buffer: int, seconds: float) -> None:
    async with Channel[int](buffer=buffer).fed_by(numbers, wait=0.005) as a, Channel[int](buffer=buffer).fed_by(parse, a) as b:
        await consume(b, seconds)


async def stage_runs(buffer: int, seconds: float) -> None:
    async with Channel[int](buffer=buffer).fed_by(numbers) as a, Channel[int](buffer=buffer).fed_by(parse, a, work=3) as b:
        await consume(b, seconds)


async def stage_waits(buffer: int, seconds: float) -> None:
    async with Channel[int](buffer=buffer).fed_by(numbers) as a, Channel[int](buffer=buffer).fed_by(parse, a, wait=0.005) as b:
        await consume(b, seconds)


async def consumer_runs(buffer: int, seconds: float) -> None:
    async with Channel[int](buffer=buffer).fed_by(numbers) as a, Channel[int](buffer=buffer).fed_by(parse, a) as b:
        await consume(b, seconds, work=3)


async def consumer_waits(buffer: int, seconds: float) -> None:
    async with Channel[int](buffer=buffer).fed_by(numbers) as a, Channel[int](buffer=buffer).fed_by(parse, a) as b:
        await consume(b, seconds, wait=0.005)


async def calls_wait(buffer: int, seconds: float) -> None:
    async with (
        Channel[int](buffer=buffer).fed_by(numbers) as a,
        Channel[int](buffer=buffer).fed_by(mapped(a, fetch, limit=3)) as b,
    ):
        await consume(b, seconds)


async def call(number: int) -> int:
    await asyncio.sleep(0)
    burn(3)
    return number


async def calls_run(buffer: int, seconds: float) -> None:
    async with (
        Channel[int](buffer=buffer).fed_by(numbers) as a,
        Channel[int](buffer=buffer).fed_by(mapped(a, call, limit=3)) as b,
    ):
        await consume(b, seconds)


async def fed_in_a_group(buffer: int, seconds: float) -> None:
    a, b = Channel[int](buffer=buffer), Channel[int](buffer=buffer)
    async with asyncio.TaskGroup() as tasks, b.receiver:
        tasks.create_task(a.feed(numbers))
        tasks.create_task(b.feed(parse, a.receiver, work=3))
        await consume(b.receiver, seconds)
        await a.receiver.aclose()


PROGRAMS = {
    source_waits: "numbers",
    stage_runs: "parse",
    stage_waits: "parse",
    consumer_runs: "main",
    consumer_waits: "main",
    calls_wait: "mapped",
    calls_run: "mapped(call)",
    fed_in_a_group: "parse",
}


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("buffer", [0, 8])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_the_bottleneck_is_found(program: object, buffer: int, loop: str) -> None:
    """Rule 30: which stage is the bottleneck."""
    assert callable(program)

    async def main() -> Profile:
        async with profile() as found:
            await program(buffer, 1.0)
        return found

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        found = runner.run(main())
    assert found.bottleneck.removeprefix("test_the_bottleneck_is_found.").partition("(fetch)")[0] == PROGRAMS[program], str(found)
    assert "A look has failed" not in str(found)


@pytest.mark.slow
def test_a_bottleneck_that_moves_is_where_it_was_longest() -> None:
    """Rule 30: which stage is the bottleneck."""

    async def main() -> Profile:
        async with profile() as found:
            await stage_waits(0, 0.3)
            await source_waits(0, 1.2)
        return found

    assert asyncio.run(main()).bottleneck == "numbers"


def test_a_report_names_stages_and_where_they_run() -> None:
    """Rule 30: which stage is the bottleneck; a short look shows it too."""

    async def main() -> Profile:
        async with profile() as found:
            await stage_runs(0, 0.3)
        return found

    text = str(asyncio.run(main()))
    lines = text.splitlines()
    assert lines[0].split("  ")[0] == "stage"
    # The third is `main`. A task that is only ever seen at the very start of a step is called by its own name.
    assert {line.split()[0].rpartition(".")[2] for line in lines[1:4]} >= {"numbers", "parse"}
    assert re.search(r"^parse is the bottleneck: \d+% of the time, it runs\.$", text, re.MULTILINE)
    assert "tests/test_profile.py:" in text


def test_nothing_is_left_of_a_profile() -> None:
    """Rule 30: it costs nothing until it is asked, nor after."""

    async def main() -> None:
        async with profile() as found:
            assert signal.getitimer(signal.ITIMER_REAL) != (0.0, 0.0)
        assert found.bottleneck == ""
        assert "No stage was seen at work." in str(found)

    before = signal.getsignal(signal.SIGALRM)
    asyncio.run(main())
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == before


def test_a_profile_that_is_thrown_away_ends_with_its_event_loop() -> None:
    """Rule 30: it costs nothing until it is asked, nor after."""

    async def main() -> None:
        await profile().__aenter__()

    asyncio.run(main())
    end = perf_counter() + 30
    while signal.getitimer(signal.ITIMER_REAL) != (0.0, 0.0) and perf_counter() < end:
        sleep(0.001)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.fixture
def alarm_is_taken() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm_is_taken")
def test_a_thread_looks_where_the_signal_is_taken() -> None:
    """Rule 30: it changes nothing; a handler that the program has set stays."""
    handler = signal.getsignal(signal.SIGALRM)

    async def main() -> Profile:
        async with profile() as found:
            assert [each.name for each in threading.enumerate() if each.name == "chanstream.diagnosis.profile"]
            await stage_waits(0, 0.15)
        return found

    found = asyncio.run(main())
    assert found.bottleneck == "parse"
    assert signal.getsignal(signal.SIGALRM) is handler
    assert not [each.name for each in threading.enumerate() if each.name == "chanstream.diagnosis.profile"]


@pytest.mark.usefixtures("alarm_is_taken")
def test_a_thread_ends_with_the_event_loop_of_a_profile_that_is_thrown_away() -> None:
    """Rule 30: it costs nothing until it is asked, nor after."""

    async def main() -> None:
        await profile().__aenter__()

    asyncio.run(main())
    for thread in threading.enumerate():
        if thread.name == "chanstream.diagnosis.profile":
            thread.join(30)
            assert not thread.is_alive()


def test_too_few_looks_are_reported() -> None:
    """Rule 30: what it can't see, it says. While one call of C takes long, nothing looks."""

    async def main() -> Profile:
        async with profile() as found:
            sum(range(6_000_000))
        return found

    assert re.search(r"^Only \d+ of \d+ looks came through", str(asyncio.run(main())), re.MULTILINE)


# The table that is drawn meanwhile.


def test_a_live_profile_leaves_its_table_on_stderr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 30: which stage is the bottleneck, while the program runs; and afterwards as without it."""

    async def main() -> Profile:
        async with profile(live=True) as found:
            await stage_runs(0, 0.3)
        return found

    monkeypatch.setenv("COLUMNS", "120")
    found = asyncio.run(main())
    told = capsys.readouterr()
    assert told.out == ""
    assert re.search(r"stage .* input full .* output empty .* mostly at", told.err)
    assert re.search(r"parse .* \d+% .* \d+% .* tests/test_profile\.py:\d+", told.err)
    assert "parse is the bottleneck" in told.err
    assert "parse is the bottleneck" in str(found)


def test_without_rich_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 30: a live table needs the extra `diagnosis`."""
    monkeypatch.setattr("chanstream.diagnosis._profile.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=re.escape("pip install 'chanstream[diagnosis]'")):
        profile(live=True)
    profile()

"""A short soak. ``python -m tests.soak`` runs it at length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final

import pytest

from chanstream import Channel, Itemizer, stream
from tests.breaking import Mutant
from tests.soak.flow import FLOWS, Producer, flow
from tests.soak.memory import Meter
from tests.soak.mutants import LISTED, find
from tests.soak.run import bounded
from tests.soak.scenarios import SCENARIOS
from tests.soak.setting import Account, Setting, Turns, assert_at_rest, assert_ended

# Its gauges are those of CPython, and what it drops has to go at once.
pytestmark = [pytest.mark.slow, pytest.mark.cpython]

SHORT: Final = Setting(items=20_000, crowd=200, stages=60)
SHORT_IN_DEBUG: Final = replace(SHORT, crowd=80, stages=20)

SECONDS: Final = 30
"""Far more than any of them takes."""


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_short_soak_keeps_every_promise(name: str) -> None:
    """Rules 1 to 22: each scenario tells its own laws."""
    loop = asyncio.get_running_loop()
    setting = (SHORT_IN_DEBUG if loop.get_debug() else SHORT).on(loop)
    account = await bounded(SCENARIOS[name], setting, SECONDS)
    if name in FLOWS:
        assert account["items"] == setting.items
        assert {"blocks more", "KiB more"} <= account.keys(), "memory was not judged"


# What it would find.


def through(producer: Producer) -> AbstractAsyncContextManager[AsyncIterator[int]]:
    return Channel[int](buffer=64).fed_by(producer)


async def test_the_soak_finds_an_item_that_is_lost() -> None:
    def lossy(producer: Producer) -> AbstractAsyncContextManager[AsyncIterator[int]]:
        async def lose(itemize: Itemizer[int]) -> None:
            async for item in stream(producer):
                if item != 777:
                    await itemize(item)

        return through(lose)

    with pytest.raises(AssertionError, match="778 came in the place of 777"):
        await flow(replace(SHORT, items=1_000), lossy, 1_000)


async def test_the_soak_finds_that_the_end_is_lost() -> None:
    def short(producer: Producer) -> AbstractAsyncContextManager[AsyncIterator[int]]:
        async def lose(itemize: Itemizer[int]) -> None:
            async for item in stream(producer):
                if item < 990:
                    await itemize(item)

        return through(lose)

    with pytest.raises(AssertionError, match="the stream ended after 990 of 1000 items"):
        await flow(replace(SHORT, items=1_000), short, 1_000)


async def test_the_soak_finds_a_producer_that_is_ahead_of_its_consumer() -> None:
    with pytest.raises(AssertionError, match="returned when the consumer was done with"):
        await flow(replace(SHORT, items=1_000), through, 63 - 1)


@pytest.mark.parametrize("every", [1, 20])
async def test_the_soak_finds_items_that_are_kept(every: int) -> None:
    items: list[int] = []

    def keeping(producer: Producer) -> AbstractAsyncContextManager[AsyncIterator[int]]:
        async def keep(itemize: Itemizer[int]) -> None:
            async def pass_on(item: int) -> None:
                if item % every == 0:
                    items.append(item)
                await itemize(item)

            await producer(pass_on)

        return through(keep)

    with pytest.raises(AssertionError, match=r"memory is not flat: \d+ blocks more"):
        await flow(SHORT, keeping, 64)


def test_the_meter_finds_a_container_that_only_grows() -> None:
    kept: list[None] = []
    meter = Meter(40)
    for _ in range(40):
        kept += [None] * 100_000
        meter.read()
    with pytest.raises(AssertionError, match=r"memory is not flat: \d+ KiB more"):
        meter.account()


def test_the_meter_takes_no_passing_peak_for_a_leak() -> None:
    meter = Meter(40)
    for number in range(40):
        passing = [object() for _ in range(10_000)] if number in {3, 20, 37} else []
        meter.read()
        del passing
    assert meter.account()["blocks more"] < 100


async def test_the_soak_finds_what_hangs_and_says_where() -> None:
    channel = Channel[int]()

    async def waits_for_ever(_: Setting) -> Account:
        async with channel.sender as itemize:
            await itemize(1)
        return {}

    with pytest.raises(AssertionError, match=r"it hangs: after 0 s, 1 tasks stand at .*waits_for_ever"):
        await bounded(waits_for_ever, SHORT, 0.1)


async def test_the_soak_finds_a_task_that_goes_on() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def leaves(_: Setting) -> Account:
        tasks.append(asyncio.create_task(asyncio.sleep(60)))
        return {}

    with pytest.raises(AssertionError, match="1 tasks go on"):
        await bounded(leaves, SHORT, SECONDS)
    tasks[0].cancel()
    await asyncio.wait(tasks)


async def test_the_soak_finds_calls_that_still_wait_and_items_that_still_come() -> None:
    channel = Channel[int](buffer=1)
    assert_at_rest(channel)
    async with channel.sender as itemize:
        await itemize(1)
        with pytest.raises(AssertionError, match="not at rest"):
            assert_at_rest(channel)
        with pytest.raises(AssertionError, match="1 came after the end"):
            await assert_ended(channel.receiver)


async def test_what_is_cut_short_after_turns_has_to_be_cancelled() -> None:
    async with Turns(3):
        await asyncio.get_running_loop().create_future()
    async with Turns(3):
        pass

    async def swallow() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return

    with pytest.raises(AssertionError, match="a cancellation was answered with None"):
        async with Turns(3):
            await swallow()


async def test_a_cancellation_from_elsewhere_is_not_swallowed_by_turns() -> None:
    async def cut() -> None:
        async with Turns(0):
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(cut())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.parametrize("mutant", [LISTED[0]], ids=lambda mutant: mutant.name)
def test_the_soak_finds_what_is_broken_on_purpose(mutant: Mutant) -> None:
    """The others are found by ``python -m tests.soak --mutants``."""
    found, line = find(mutant, "--only", "lock-step")
    assert found, line

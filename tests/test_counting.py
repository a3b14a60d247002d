"""What passing an item takes, counted and not timed: it is the same on every machine, and one more turn or future is a failure.

The limits are for each further item, once a stream is under way. Below one turn, the tasks pass several items a turn.

An end that had to sleep goes without a turn before its next waits, and then tries one again in every sixty-fourth. Where an end
sleeps for most items, these turns come on top.
"""

from __future__ import annotations

import asyncio
from dataclasses import astuple

import pytest

from chanstream import Channel, Itemizer
from tests.benchmarks import cases, scale
from tests.benchmarks.counting import Counts, Program, per_item

CHANNEL = scale.LIBRARIES[0]
assert CHANNEL.name == "Channel"

TRIED = 1 / 64
"""How many turns an end that sleeps tries for each item."""

EASE = 0.002
"""Of 1,000 items, the turns that happen to be tried early."""


def assert_at_most(limit: Counts, program: Program, items: int = 1000) -> None:
    found = per_item(program, items)
    assert all(count <= most + EASE for count, most in zip(astuple(found), astuple(limit), strict=True)), found


def pool(workers: int) -> Program:
    """Workers on one channel in lock-step, each busy for a turn with every item."""

    async def program(count: int) -> None:
        channel = Channel[int]()
        taken: list[int] = []

        async def work() -> None:
            async for number in channel.receiver:
                taken.append(number)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(workers):
                tasks.create_task(work())
            async with channel.sender as itemize:
                for number in range(count):
                    await itemize(number)
        assert sorted(taken) == list(range(count))

    return program


async def crowd_before_a_busy_receiver(count: int) -> None:
    """Ten tasks call the itemizer, and the receiver takes one item a turn."""
    channel = Channel[int]()
    numbers = iter(range(count))

    async with asyncio.TaskGroup() as tasks:

        async def write(itemize: Itemizer[int]) -> None:
            for number in numbers:
                await itemize(number)

        async def read() -> None:
            taken: list[int] = []
            async for number in channel.receiver:
                taken.append(number)
                await asyncio.sleep(0)
            assert taken == list(range(count))

        tasks.create_task(read())
        async with channel.sender as itemize, asyncio.TaskGroup() as writers:
            for _ in range(10):
                writers.create_task(write(itemize))


def waiting(program: scale.Program, size: int) -> Program:
    return lambda count: program(CHANNEL, size, count)


@pytest.mark.parametrize(
    ("program", "limit"),
    [
        # One turn, in which both tasks run.
        pytest.param(cases.through_channel(0), Counts(turns=1, steps=2, futures=0, tasks=0), id="lock-step"),
        pytest.param(cases.fed(0), Counts(turns=1, steps=2, futures=0, tasks=0), id="fed_by"),
        # Two items a turn, one in the buffer and one with its itemizer.
        pytest.param(cases.through_channel(1), Counts(turns=1 / 2, steps=1, futures=0, tasks=0), id="buffer=1"),
        pytest.param(cases.through_channel(64), Counts(turns=1 / 65, steps=2 / 65, futures=0, tasks=0), id="buffer=64"),
        pytest.param(cases.fed(64), Counts(turns=1 / 65, steps=2 / 65, futures=0, tasks=0), id="fed_by, buffer=64"),
        # The event loop has no part in it.
        pytest.param(cases.streamed, Counts(turns=0, steps=0, futures=0, tasks=0), id="stream"),
        # A step for the sender and two for the worker, one of which is its own. In a larger pool a worker sleeps.
        pytest.param(pool(2), Counts(turns=1, steps=3, futures=0, tasks=0), id="pool of 2"),
        pytest.param(pool(10), Counts(turns=1, steps=3 + TRIED, futures=0, tasks=0), id="pool of 10"),
        # All that are queued sleep, and none but the first is woken.
        pytest.param(waiting(scale.waiting_senders, 100), Counts(turns=1 / 100, steps=1.01, futures=0, tasks=0), id="100 senders"),
        pytest.param(
            waiting(scale.waiting_receivers, 100), Counts(turns=1, steps=2 + TRIED, futures=0, tasks=0), id="100 receivers"
        ),
        pytest.param(
            crowd_before_a_busy_receiver, Counts(turns=1, steps=2 + TRIED, futures=0, tasks=0), id="10 senders, busy receiver"
        ),
    ],
)
def test_an_item_takes_no_more_than_this(program: Program, limit: Counts) -> None:
    assert_at_most(limit, program)


@pytest.mark.parametrize("stages", [1, 2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_stage_of_a_pipeline_takes_two_steps(stages: int) -> None:
    """In lock-step an item goes down the whole pipeline and its sender is released all the way up, so at most two turns a stage."""

    async def program(count: int) -> None:
        await scale.pipeline(CHANNEL, stages, stages * count)

    found = per_item(program, 200) / stages
    assert found.turns <= ((2 * stages - 2) / stages if stages > 1 else 1) + EASE
    assert found.steps <= 2 + 2 * TRIED + EASE  # at both ends of a stage
    assert found.futures == found.tasks == 0


SLOW = [
    pytest.param(cases.channel_of_slow_sender, cases.queue_of_slow_sender, id="sender"),
    pytest.param(cases.channel_of_slow_receiver, cases.queue_of_slow_receiver, id="receiver"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("slow", "of_queue"), SLOW)
@pytest.mark.parametrize("buffer", [0, 1])
def test_an_item_of_a_slow_end_takes_no_more_than_with_a_queue(slow: cases.Buffered, of_queue: Program, buffer: int) -> None:
    """When one end waits for something else before each item, the other one finds out that turns bring nothing."""
    of = per_item(of_queue)
    # Lock-step has one step more: a sender goes on only when the receiver has come back.
    steps = of.steps + (buffer == 0)
    assert_at_most(Counts(of.turns + TRIED, steps + TRIED, of.futures, of.tasks), slow(buffer))


@pytest.mark.slow
@pytest.mark.parametrize("slow", ["sender", "receiver"])
def test_an_end_that_was_slow_is_soon_busy_again(slow: str) -> None:
    """Once a turn has paid, what was wasted before is forgotten: one pause in a hundred items costs a few turns each time."""

    async def bursts(count: int) -> list[int]:
        channel = Channel[int]()
        received: list[int] = []

        async def write() -> None:
            async with channel.sender as itemize:
                for number in range(count):
                    if slow == "sender" and number % 100 == 0:
                        await asyncio.sleep(cases.MILLISECOND)
                    await itemize(number)

        task = asyncio.create_task(write())
        async for number in channel.receiver:
            if slow == "receiver" and number % 100 == 0:
                await asyncio.sleep(cases.MILLISECOND)
            received.append(number)
        await task
        return received

    assert_at_most(Counts(turns=1 + 3 / 100, steps=2 + 2 / 100, futures=1 / 100, tasks=0), bursts, 5_000)


@pytest.mark.slow
def test_what_is_counted() -> None:
    """The counts themselves, where it is known what they have to be."""
    assert per_item(cases.bare_futures) == Counts(turns=2, steps=2, futures=2, tasks=0)
    assert per_item(cases.alternating) == Counts(turns=1, steps=2, futures=0, tasks=0)

    async def tasks(count: int) -> None:
        for _ in range(count):
            await asyncio.create_task(asyncio.sleep(0))

    # A task that is waited for is a future. It takes two steps, and a third wakes the task that waits.
    assert per_item(tasks) == Counts(turns=3, steps=3, futures=1, tasks=1)

    async def hidden_futures(count: int) -> None:
        for _ in range(count):
            future: asyncio.Future[None] = asyncio.Future()
            asyncio.get_running_loop().call_later(1, future.set_result, None)
            await future

    # Not made by the loop. A timer runs in a turn of its own without having been put in line; it wakes the task.
    assert per_item(hidden_futures) == Counts(turns=2, steps=1, futures=1, tasks=0)

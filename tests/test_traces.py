"""A producer and a consumer, once joined by an async generator and once by a channel in lock-step, leave the same trace.

What they do is drawn as data and performed by two producers that differ in one line: ``yield item`` and ``await itemize(item)``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from chanstream import Channel, SenderContext, SenderFailed
from tests.loops import LOOPS, turns
from tests.schedules import ENOUGH, BoomError, examples

Trace: TypeAlias = list[str]


# What a producer does.


@dataclass(frozen=True)
class Log:
    text: str


@dataclass(frozen=True)
class Pause:
    turns: int


@dataclass(frozen=True)
class Yield:
    item: int


@dataclass(frozen=True)
class Raise:
    text: str


@dataclass(frozen=True)
class Loop:
    times: int
    body: tuple[Step, ...]


@dataclass(frozen=True)
class Try:
    """``try: body`` and ``finally: cleanup``, which yields nothing: a generator must not while it is closed."""

    body: tuple[Step, ...]
    cleanup: tuple[Log | Pause, ...]


Step: TypeAlias = Log | Pause | Yield | Raise | Loop | Try

texts = st.sampled_from("abc")
logs = st.builds(Log, texts)
pauses = st.builds(Pause, st.integers(1, 3))
cleanups = st.lists(logs | pauses, max_size=3).map(tuple)
plain = logs | pauses | st.builds(Yield, st.integers(0, 9))


def longer(steps: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
    bodies = st.lists(steps, max_size=4).map(tuple)
    return st.builds(Loop, st.integers(0, 3), bodies) | st.builds(Try, bodies, cleanups)


producers = st.lists(st.recursive(plain | plain | st.builds(Raise, texts), longer, max_leaves=8), max_size=6).map(tuple)


# What a consumer does.


@dataclass(frozen=True)
class Visit:
    """A loop over the stream: what is done with each item, and after the last of them `break`."""

    bodies: tuple[tuple[Log | Pause | Raise, ...], ...]
    afterwards: tuple[Log | Pause | Raise, ...]


deeds = st.lists(logs | pauses | logs | pauses | st.builds(Raise, texts), max_size=3).map(tuple)
visits = st.builds(Visit, st.lists(deeds, min_size=1, max_size=4).map(tuple), deeds)
consumers = st.lists(visits, min_size=1, max_size=3).map(tuple)


# How it is performed.


@dataclass(frozen=True)
class Enter:
    cleanup: tuple[Log | Pause, ...]


@dataclass(frozen=True)
class Leave:
    pass


def unrolled(steps: tuple[Step, ...]) -> Iterator[Log | Pause | Yield | Raise | Enter | Leave]:
    """The steps one after another, so that one loop performs them: a `yield` can't stand in a function that a producer calls."""
    for step in steps:
        match step:
            case Loop(times, body):
                for _ in range(times):
                    yield from unrolled(body)
            case Try(body, cleanup):
                yield Enter(cleanup)
                yield from unrolled(body)
                yield Leave()
            case Log() | Pause() | Yield() | Raise():
                yield step


class Producer:
    """Everything a producer does but to pass an item on."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.cleanups: list[tuple[Log | Pause, ...]] = []

    async def do(self, step: Log | Pause | Raise | Enter | Leave) -> None:
        match step:
            case Enter(cleanup):
                self.cleanups.append(cleanup)
            case Leave():
                await self.clean_up()
            case Log() | Pause() | Raise():
                await do(step, "producer", self.trace)

    async def clean_up(self) -> None:
        for step in self.cleanups.pop():
            await do(step, "finally", self.trace)

    async def clean_up_all(self) -> None:
        while self.cleanups:
            await self.clean_up()


async def do(step: Log | Pause | Raise, who: str, trace: Trace) -> None:
    match step:
        case Log(text):
            trace.append(f"{who} {text}")
        case Pause(count):
            await turns(count)
            trace.append(f"{who} after {count} turns")
        case Raise(text):
            trace.append(f"{who} raises {text}")
            raise BoomError(text)


async def generate(steps: tuple[Step, ...], trace: Trace) -> AsyncGenerator[int, None]:
    producer = Producer(trace)
    try:
        trace.append("producer starts")
        for step in unrolled(steps):
            if isinstance(step, Yield):
                trace.append(f"producer gives {step.item}")
                yield step.item
            else:
                await producer.do(step)
        trace.append("producer ends")
    finally:
        await producer.clean_up_all()


async def itemize_all(steps: tuple[Step, ...], trace: Trace, sender: SenderContext[int]) -> None:
    async with sender as itemize:
        producer = Producer(trace)
        try:
            trace.append("producer starts")
            for step in unrolled(steps):
                if isinstance(step, Yield):
                    trace.append(f"producer gives {step.item}")
                    await itemize(step.item)
                else:
                    await producer.do(step)
            trace.append("producer ends")
        finally:
            await producer.clean_up_all()


async def consume(visits: tuple[Visit, ...], trace: Trace, items: AsyncIterator[int]) -> None:
    for visit in visits:
        bodies = deque(visit.bodies)
        async for item in items:
            trace.append(f"consumer takes {item}")
            for step in bodies.popleft():
                await do(step, "consumer", trace)
            if not bodies:
                trace.append("consumer breaks")
                break
        else:
            trace.append("consumer meets the end")
        for step in visit.afterwards:
            await do(step, "consumer", trace)
    trace.append("consumer leaves")


async def by_generator(producer: tuple[Step, ...], consumer: tuple[Visit, ...]) -> Trace:
    trace: Trace = []
    try:
        async with aclosing(generate(producer, trace)) as items:
            await consume(consumer, trace, items)
    except BoomError as error:
        trace.append(f"out comes {error}")
    return trace


async def by_channel(producer: tuple[Step, ...], consumer: tuple[Visit, ...]) -> Trace:
    trace: Trace = []
    channel = Channel[int]()

    async def consuming() -> None:
        async with channel.receiver as items:
            await consume(consumer, trace, items)

    # The body of a generator starts when it is asked for the first item, and so does the sender here.
    consuming_task = asyncio.create_task(consuming())
    producing_task = asyncio.create_task(itemize_all(producer, trace, channel.sender))
    # A generator is closed by its consumer, who waits for it. A channel is closed without waiting, so the waiting is done here.
    for _ in range(ENOUGH):
        if consuming_task.done() and producing_task.done():
            break
        await turns(1)
    assert consuming_task.done(), channel
    assert producing_task.done(), channel
    with suppress(BoomError):
        producing_task.result()
    try:
        consuming_task.result()
    except SenderFailed as error:
        trace.append(f"out comes {error.__cause__}")
    except BoomError as error:
        trace.append(f"out comes {error}")
    return trace


Joined: TypeAlias = Callable[[tuple[Step, ...], tuple[Visit, ...]], Coroutine[object, object, Trace]]


def traced(joined: Joined, loop: str, producer: tuple[Step, ...], consumer: tuple[Visit, ...]) -> Trace:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(joined(producer, consumer))


@given(producers, consumers, st.sampled_from(list(LOOPS)))
@examples(250)
def test_a_channel_leaves_the_trace_of_an_async_generator(
    producer: tuple[Step, ...], consumer: tuple[Visit, ...], loop: str
) -> None:
    """Rule 2: line for line, also when the producer fails, and when the consumer fails, breaks and comes back, or leaves early."""
    assert traced(by_channel, loop, producer, consumer) == traced(by_generator, loop, producer, consumer)

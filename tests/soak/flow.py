"""Items through one channel, as many as one likes: each in its place, none ahead of its time, and memory flat.

The producer passes 0, 1, 2 and so on, and the consumer counts along. Both pause now and then, so that each waits for the other in
every way there is. The garbage collector is off: a channel in use makes no cycles.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeAlias

from chanstream import Channel, Itemizer, stream
from tests.explorer.explore import chance
from tests.loops import turns
from tests.soak.memory import Meter, no_collector
from tests.soak.setting import Account, Setting, Turns, assert_at_rest, assert_ended, assert_next

__all__ = ["FLOWS", "Producer", "Way", "cut_short", "flow", "short_lived"]

Producer: TypeAlias = Callable[[Itemizer[int]], Coroutine[object, object, None]]
Way: TypeAlias = Callable[[Producer], AbstractAsyncContextManager[AsyncIterator[int]]]
"""How a producer is run for its consumer."""

RARELY: Final = 500
"""A pause comes after so many items, on average, and in a short run a hundred times."""

LONGEST_PAUSE: Final = 3


def in_a_task(buffer: int) -> Way:
    @asynccontextmanager
    async def run(producer: Producer) -> AsyncIterator[AsyncIterator[int]]:
        channel = Channel[int](buffer=buffer)

        async def write() -> None:
            async with channel.sender as itemize:
                await producer(itemize)

        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(write())
            async with channel.receiver as items:
                yield items
        assert writing.done()
        assert_at_rest(channel)

    return run


def fed_by(buffer: int) -> Way:
    def run(producer: Producer) -> AbstractAsyncContextManager[AsyncIterator[int]]:
        return Channel[int](buffer=buffer).fed_by(producer)

    return run


def as_stream(producer: Producer) -> AbstractAsyncContextManager[AsyncIterator[int]]:
    return contextlib.aclosing(stream(producer))


class Flow:
    """One run: `total` items, of which the producer may be `ahead` of what the consumer has done with."""

    def __init__(self, setting: Setting, total: int, ahead: int) -> None:
        self.setting = setting
        self.total = total
        self.ahead = ahead
        self.sent = 0
        self.done = 0  # how many items the consumer is done with
        self.stretch = max(1, min(2 * RARELY, total // 50))  # the longest between two pauses
        self.meter = Meter(total)

    async def produce(self, itemize: Itemizer[int]) -> None:
        numbers = chance(f"producer {self.setting.seed}")
        pause = 0
        ahead = self.ahead
        for number in range(self.total):
            await itemize(number)
            assert number - self.done <= ahead, f"itemize({number}) returned when the consumer was done with {self.done}"
            if number == pause:
                pause += numbers.randint(1, self.stretch)
                await turns(numbers.randint(1, LONGEST_PAUSE))
        self.sent = self.total

    async def consume(self, items: AsyncIterator[int]) -> None:
        numbers = chance(f"consumer {self.setting.seed}")
        pause = 0
        async for item in items:
            assert item == self.done, f"{item} came in the place of {self.done}"
            if item == pause:
                pause += numbers.randint(1, self.stretch)
                await turns(numbers.randint(1, LONGEST_PAUSE))
                if item >= self.meter.next:
                    self.meter.read()
                self.setting.progress(item, self.total)
            self.done += 1
        assert self.done == self.sent == self.total, f"the stream ended after {self.done} of {self.total} items"
        await assert_ended(items)


async def flow(setting: Setting, way: Way, ahead: int) -> Account:
    """Items through `way`. In lock-step `ahead` is -1, for itemize returns when the consumer is done with the item."""
    run = Flow(setting, setting.items, ahead)
    with no_collector():
        async with way(run.produce) as items:
            await run.consume(items)
    return {"items": run.done, **run.meter.account()}


async def lock_step(setting: Setting) -> Account:
    """Two tasks in lock-step."""
    return await flow(setting, in_a_task(0), -1)


async def buffer_1(setting: Setting) -> Account:
    """Two tasks and a buffer for one item."""
    return await flow(setting, in_a_task(1), 1)


async def buffer_64(setting: Setting) -> Account:
    """Two tasks and a buffer for 64 items."""
    return await flow(setting, in_a_task(64), 64)


async def fed_by_0(setting: Setting) -> Account:
    """fed_by in lock-step."""
    return await flow(setting, fed_by(0), -1)


async def fed_by_64(setting: Setting) -> Account:
    """fed_by and a buffer for 64 items."""
    return await flow(setting, fed_by(64), 64)


async def streamed(setting: Setting) -> Account:
    """stream, in one task."""
    return await flow(setting, as_stream, -1)


FLOWS: Final = {
    "lock-step": lock_step,
    "buffer-1": buffer_1,
    "buffer-64": buffer_64,
    "fed-by": fed_by_0,
    "fed-by-64": fed_by_64,
    "stream": streamed,
}


async def short_lived(setting: Setting) -> Account:
    """Channels and streams that pass five items each, some left after three: they leave nothing behind."""
    ways = [in_a_task(0), in_a_task(2), fed_by(0), fed_by(2), as_stream]
    blocks = setting.share(100)
    meter = Meter(blocks)
    began = ended = taken = 0

    async def produce(itemize: Itemizer[int]) -> None:
        nonlocal began, ended
        began += 1
        try:
            for number in range(5):
                await itemize(number)
        finally:
            ended += 1

    with no_collector():
        for number in range(blocks):
            expected = 3 if number % 3 == 0 else 5
            async with ways[number % len(ways)](produce) as items:
                for item in range(expected):
                    await assert_next(items, item)
                    taken += 1
                if expected == 5:
                    await assert_ended(items)
            assert began == ended == number + 1, f"{began} producers began and {ended} have ended"
            if number + 1 >= meter.next:
                await meter.read_without_garbage()
                setting.progress(number, blocks)
    return {"channels": blocks, "items": taken, **meter.account()}


async def cut_short(setting: Setting) -> Account:
    """One channel of each kind, in which before every item an ask and an itemize are cancelled: none leaves a trace."""
    total = setting.share(20)
    meter = Meter(total)
    buffered, lock_step = Channel[int](buffer=1), Channel[int]()
    cut = 0

    async def cancelled_ask(channel: Channel[int]) -> None:
        nonlocal cut
        async with Turns(cut % 3):
            message = f"{await anext(channel.receiver)} came, which was not sent"
            raise AssertionError(message)
        cut += 1

    async def cancelled_itemize(itemize: Itemizer[int]) -> None:
        nonlocal cut
        async with Turns(cut % 3):
            await itemize(-1)
            message = "itemize returned, and no ask had come"
            raise AssertionError(message)
        cut += 1

    with no_collector():
        async with buffered.sender as put, lock_step.sender as itemize:
            for number in range(total):
                await cancelled_ask(buffered)
                await put(number)
                await cancelled_itemize(put)
                await assert_next(buffered.receiver, number)

                await cancelled_ask(lock_step)
                await cancelled_itemize(itemize)
                writing = asyncio.ensure_future(itemize(number))
                await assert_next(lock_step.receiver, number)
                await cancelled_ask(lock_step)  # but it has asked
                await writing
                if number + 1 >= meter.next:
                    assert_at_rest(buffered)
                    assert_at_rest(lock_step)
                    await meter.read_without_garbage()
                    setting.progress(number, total)
    assert cut == 5 * total
    return {"items": 2 * total, "cut short": cut, **meter.account()}

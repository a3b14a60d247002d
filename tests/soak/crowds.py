"""Many of one thing at a time: senders, receivers, channels. What they do is counted exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import ref

from chanstream import Channel, Itemizer, ReceiverClosed
from tests.explorer.explore import chance
from tests.loops import turns
from tests.soak.memory import no_collector
from tests.soak.setting import Account, Setting, Turns, assert_at_rest, assert_ended, assert_next

__all__ = ["channels", "receivers", "senders"]

EACH: Final = 3
"""How many items each of a crowd sends or takes."""

UNTIL_ALL_STAND: Final = 4
"""Turns until every task that was just made waits in its line, and until each that was cancelled or told has ended."""

BUFFERS: Final = (0, 1, 64)


def assert_waiting(channel: Channel[int], senders: int, receivers: int) -> None:
    now = channel.statistics()
    assert (now.itemizing, now.asking) == (senders, receivers), f"{senders} senders and {receivers} receivers should wait: {now}"


async def cancel_half(tasks: list[asyncio.Task[None]], seed: str) -> list[int]:
    """Cancel one half of `tasks`, by chance. Returns the places of the others, in order."""
    order = list(range(len(tasks)))
    chance(seed).shuffle(order)
    half = len(order) // 2
    for place in order[:half]:
        tasks[place].cancel()
    await turns(UNTIL_ALL_STAND)
    return sorted(order[half:])


def start(crowd: int, act: Callable[[int], Awaitable[None]]) -> list[asyncio.Task[None]]:
    async def run(place: int) -> None:
        await act(place)

    return [asyncio.create_task(run(place)) for place in range(crowd)]


class Senders:
    """A crowd that sends through one channel. Each act begins and ends with the channel empty and at rest."""

    def __init__(self, setting: Setting, buffer: int) -> None:
        self.setting = setting
        self.crowd = setting.crowd
        self.at_once = min(buffer, self.crowd)  # how many need not wait
        self.channel = Channel[int](buffer=buffer)
        self.returned = 0
        self.cancelled = 0
        self.refused = 0

    async def run(self) -> None:
        async with self.channel.sender as itemize:
            for act in (self.all_are_served, self.half_are_cancelled, self.all_are_cancelled):
                await act(itemize)
                assert_at_rest(self.channel)
            await self.all_are_refused(itemize)
            assert_at_rest(self.channel)
        await assert_ended(self.channel.receiver)

    async def all_wait(self, itemize: Itemizer[int]) -> list[asyncio.Task[None]]:
        tasks = start(self.crowd, itemize)
        await turns(UNTIL_ALL_STAND)
        assert_waiting(self.channel, self.crowd - self.at_once, 0)
        return tasks

    async def release(self) -> None:
        """Ask for one more item than there is: in lock-step, the itemizer of the last one waits for that."""
        async with Turns(UNTIL_ALL_STAND):
            await anext(self.channel.receiver)

    async def all_are_served(self, itemize: Itemizer[int]) -> None:
        """Everybody sends a few items, in the order in which they come."""
        calls = 0

        async def send(_: int) -> None:
            nonlocal calls
            for _ in range(EACH):
                calls += 1
                await itemize(calls - 1)

        tasks = start(self.crowd, send)
        for number in range(EACH * self.crowd):
            await assert_next(self.channel.receiver, number)
            self.setting.progress(number, EACH * self.crowd)
        await self.release()
        await turns(UNTIL_ALL_STAND)
        self.returned += sum(task.done() for task in tasks)

    async def half_are_cancelled(self, itemize: Itemizer[int]) -> None:
        """The others keep their places."""
        tasks = await self.all_wait(itemize)
        left = await cancel_half(tasks[self.at_once :], f"senders {self.setting.seed}")
        expected = [*range(self.at_once), *(self.at_once + place for place in left)]
        for place in expected:
            await assert_next(self.channel.receiver, place)
        await self.release()
        await turns(UNTIL_ALL_STAND)
        cancelled = sum(task.cancelled() for task in tasks)
        self.cancelled += cancelled
        self.returned += sum(task.done() for task in tasks) - cancelled

    async def all_are_cancelled(self, itemize: Itemizer[int]) -> None:
        """Behind a buffer that is full. Nothing of theirs is delivered, except from one that gets a place."""
        accepted = [-1 - place for place in range(self.at_once)]
        for item in accepted:
            await itemize(item)
        tasks = start(self.crowd, itemize)
        await turns(UNTIL_ALL_STAND)
        assert_waiting(self.channel, self.crowd, 0)
        if accepted:
            await assert_next(self.channel.receiver, accepted.pop(0))
            tasks[0].cancel()  # the one that has been woken for the place, and has not run
            await turns(UNTIL_ALL_STAND)
            assert tasks[1].done(), "a place in the buffer is free, and the first in the queue still waits"
            accepted.append(1)
        for task in reversed(tasks):  # the last in line first
            task.cancel()
        await turns(UNTIL_ALL_STAND)
        cancelled = sum(task.cancelled() for task in tasks)
        self.cancelled += cancelled
        self.returned += sum(task.done() for task in tasks) - cancelled
        for item in accepted:
            await assert_next(self.channel.receiver, item)

    async def all_are_refused(self, itemize: Itemizer[int]) -> None:
        """The receiver is closed while they wait. Only those that need not wait have returned."""
        tasks = await self.all_wait(itemize)
        await self.channel.receiver.aclose()
        await turns(UNTIL_ALL_STAND)
        refused = sum(isinstance(task.exception(), ReceiverClosed) for task in tasks)
        self.refused += refused
        self.returned += len(tasks) - refused


async def senders(setting: Setting) -> Account:
    """A crowd that sends through one channel: all served, half cancelled, all cancelled, all refused."""
    crowds = [Senders(setting, buffer) for buffer in BUFFERS]
    for crowd in crowds:
        await crowd.run()
        half = (crowd.crowd - crowd.at_once) // 2
        given_on = min(1, crowd.at_once)
        assert crowd.cancelled == half + crowd.crowd - given_on, f"{crowd.cancelled} were cancelled"
        assert crowd.refused == crowd.crowd - crowd.at_once, f"{crowd.refused} were refused"
        assert crowd.returned == 2 * crowd.crowd - half + given_on + crowd.at_once, f"{crowd.returned} have returned"
    return {
        "senders": 4 * len(crowds) * setting.crowd,
        "returned": sum(crowd.returned for crowd in crowds),
        "cancelled": sum(crowd.cancelled for crowd in crowds),
        "refused": sum(crowd.refused for crowd in crowds),
    }


class Receivers:
    """A crowd that iterates one receiver. Each act begins with the channel empty."""

    def __init__(self, setting: Setting, buffer: int) -> None:
        self.setting = setting
        self.crowd = setting.crowd
        self.channel = Channel[int](buffer=buffer)
        self.taken: list[int] = []
        self.took = 0
        self.cancelled = 0
        self.ended = 0

    async def take(self, count: int) -> None:
        for _ in range(count):
            try:
                self.taken.append(await anext(self.channel.receiver))
            except StopAsyncIteration:
                self.ended += 1

    async def run(self) -> None:
        async with self.channel.sender as itemize:
            await self.all_are_served(itemize)
            await self.half_are_cancelled(itemize)
            await self.all_are_cancelled(itemize)
            tasks = await self.all_wait()
        # The block has ended, and all are told.
        await turns(UNTIL_ALL_STAND)
        assert all(task.done() for task in tasks)
        assert_at_rest(self.channel)
        await assert_ended(self.channel.receiver)

    async def all_wait(self) -> list[asyncio.Task[None]]:
        self.taken.clear()
        tasks = start(self.crowd, lambda _: self.take(1))
        await turns(UNTIL_ALL_STAND)
        assert_waiting(self.channel, 0, self.crowd)
        return tasks

    async def serve(self, tasks: list[asyncio.Task[None]], itemize: Itemizer[int], count: int) -> None:
        """Send 0, 1, 2 and so on, until all have theirs. In lock-step the last itemize waits for one more ask, and is cut short."""
        for number in range(count - 1):
            await itemize(number)
            self.setting.progress(number, count)
        async with Turns(UNTIL_ALL_STAND):
            await itemize(count - 1)
        await asyncio.wait(tasks)
        assert self.taken == list(range(count)), f"{len(self.taken)} of {count} items were taken, or in another order"

    async def all_are_served(self, itemize: Itemizer[int]) -> None:
        """Everybody takes a few items."""
        tasks = start(self.crowd, lambda _: self.take(EACH))
        await self.serve(tasks, itemize, EACH * self.crowd)
        self.took += sum(task.done() for task in tasks)

    async def half_are_cancelled(self, itemize: Itemizer[int]) -> None:
        """The others keep their places, and no item goes to one that has left."""
        tasks = await self.all_wait()
        left = await cancel_half(tasks, f"receivers {self.setting.seed}")
        assert_waiting(self.channel, 0, len(left))
        await self.serve(tasks, itemize, len(left))
        cancelled = sum(task.cancelled() for task in tasks)
        self.cancelled += cancelled
        self.took += sum(task.done() for task in tasks) - cancelled

    async def all_are_cancelled(self, itemize: Itemizer[int]) -> None:
        """When an item has come, and the first has been woken but has not run: it is there for the next one."""
        tasks = await self.all_wait()

        def cancel() -> None:
            for task in tasks:
                task.cancel()

        async def send(item: int) -> None:
            asyncio.get_running_loop().call_soon(cancel)  # so it comes before the step of the task that is woken next
            await itemize(item)

        sending = start(1, send)
        await turns(UNTIL_ALL_STAND)
        self.cancelled += sum(task.cancelled() for task in tasks)
        assert not self.taken, f"{self.taken} went to asks that were cancelled"
        await assert_next(self.channel.receiver, 0)
        for task in sending:
            task.cancel()
        await asyncio.wait(sending)


async def receivers(setting: Setting) -> Account:
    """A crowd that iterates one receiver: all served, half cancelled, all cancelled, all told of the end."""
    crowds = [Receivers(setting, buffer) for buffer in BUFFERS]
    for crowd in crowds:
        await crowd.run()
        half = crowd.crowd // 2
        assert crowd.cancelled == half + crowd.crowd, f"{crowd.cancelled} were cancelled"
        assert crowd.took == 2 * crowd.crowd - half, f"{crowd.took} took what was theirs"
        assert crowd.ended == crowd.crowd, f"{crowd.ended} were told of the end"
    return {
        "receivers": 4 * len(crowds) * setting.crowd,
        "took": sum(crowd.took for crowd in crowds),
        "cancelled": sum(crowd.cancelled for crowd in crowds),
        "ended": sum(crowd.ended for crowd in crowds),
    }


async def channels(setting: Setting) -> Account:
    """A crowd of channels, each with a sender and a receiver, all in use at the same time; then all are free."""
    crowd = setting.crowd
    taken = 0

    async def write(place: int) -> None:
        async with alive[place].sender as itemize:
            for number in range(EACH):
                await itemize(place + number)

    async def read(place: int) -> None:
        nonlocal taken
        number = place
        async for item in alive[place].receiver:
            assert item == number, f"{item} came in the place of {number} in channel {place}"
            number += 1
            taken += 1
            if item == place:
                await barrier.wait()  # none goes on before every channel is in use
        assert number == place + EACH, f"channel {place} ended after {number - place} items"

    with no_collector():
        alive = [Channel[int](buffer=place % 3) for place in range(crowd)]
        watched = [ref(channel) for channel in alive]
        barrier = asyncio.Barrier(crowd)
        async with asyncio.TaskGroup() as tasks:
            for place in range(crowd):
                tasks.create_task(write(place))
                tasks.create_task(read(place))
        for channel in alive:
            assert_at_rest(channel)
        del channel
        alive.clear()
        freed = sum(reference() is None for reference in watched)
    assert taken == EACH * crowd
    assert freed == crowd, f"{crowd - freed} of {crowd} channels are kept alive"
    return {"channels": crowd, "items": taken, "freed": freed}

"""The garbage collector, run over and over by another thread, while ends of channels are dropped in cycles.

So finalizers run in a thread that is not the event loop's, between any two steps of what the loop's thread does. What waits for
a dropped end has to be woken all the same, and no item may be lost, nor any error left to the interpreter (but see `MET`). The
collector of the loop's own thread is off: the other thread collects everything, and that it did is counted.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Final, Self

from chanstream import Channel, Itemizer, ReceiverClosed, Sender, SenderFailed, stream
from tests.loops import turns
from tests.soak.memory import no_collector
from tests.soak.setting import Account, Setting, assert_ended, assert_next

__all__ = ["Collecting", "collected_elsewhere"]

LANES: Final = 6
"""How many tasks drop ends at the same time."""

OFTEN: Final = 1e-5
"""Seconds between two looks whether another thread wants to run: finalizers come between almost any two steps."""


class Collecting:
    """A thread that collects garbage for as long as a block lasts."""

    def __init__(self) -> None:
        self.collections = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, name="collector")

    def run(self) -> None:
        while not self.stop.wait(0.0002):
            gc.collect()
            self.collections += 1

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop.set()
        self.thread.join()


@contextmanager
def switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(OFTEN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def no_word_of_resources() -> Iterator[None]:
    """In debug mode a receiver warns of being dropped while a task waits for it. Here it is dropped on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


@contextmanager
def unraisable() -> Iterator[list[str]]:
    """What the interpreter would have printed, since no caller could get it."""
    errors: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda report: errors.append(f"{report.exc_value!r} in {report.object!r}")
    try:
        yield errors
    finally:
        sys.unraisablehook = before


@contextmanager
def left_to(loop: asyncio.AbstractEventLoop) -> Iterator[list[str]]:
    """What the event loop would have reported."""
    errors: list[str] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: errors.append(str(context)))
    try:
        yield errors
    finally:
        loop.set_exception_handler(before)


MET: Final = "ValueError('coroutine already executing')"
"""What is no broken promise. A stream is two objects, a generator and the coroutine of its producer. Garbage in a cycle, the one is
closed by its event loop and the other by the collector; in two threads they may meet, and the second one gets this. The
producer has been closed all the same, and once."""


class Cycle:
    """Garbage that only a collector finds, and that counts which thread found it."""

    def __init__(self, found: Counter[bool], *content: object) -> None:
        self.content = content
        self.found = found
        self.itself = self
        self.home = threading.get_ident()

    def __del__(self) -> None:
        self.found[threading.get_ident() != self.home] += 1


class Forever:
    """Awaited by a coroutine that is driven by hand: it stays suspended."""

    def __await__(self) -> Generator[None, None, None]:
        while True:
            yield


class Lane:
    """One task, which makes channels, uses them and drops them or their ends in cycles."""

    def __init__(self, found: Counter[bool], account: Counter[str]) -> None:
        self.found = found
        self.account = account
        self.cleaned = 0

    def drop(self, *ends: object) -> None:
        """What nothing else refers to, is garbage now."""
        Cycle(self.found, *ends)
        self.account["cycles"] += 1

    async def take(self, items: AsyncIterator[int], count: int) -> None:
        for expected in range(count):
            await assert_next(items, expected)
            self.account["items"] += 1

    async def used_and_dropped(self, buffer: int) -> None:
        channel = Channel[int](buffer=buffer)
        self.drop(channel)

        async def write() -> None:
            async with channel.sender as itemize:
                self.drop(channel.sender, itemize)
                for number in range(10):
                    await itemize(number)

        writing = asyncio.create_task(write())
        self.drop(channel.receiver, writing)
        await self.take(channel.receiver, 10)
        await assert_ended(channel.receiver)
        await writing

    async def receiver_dropped(self, buffer: int) -> None:
        """Rule 13: an itemize that waits raises."""
        channel = Channel[int](buffer=buffer)
        accepted = 0

        async def write(sender: Sender[int]) -> str:
            nonlocal accepted
            async with sender as itemize:
                try:
                    for number in range(1_000_000):
                        await itemize(number)
                        accepted += 1
                except ReceiverClosed:
                    self.account["told"] += 1
                    raise
            return "ended quietly"

        writing = asyncio.create_task(write(channel.sender))
        await self.take(channel.receiver, 3)
        self.drop(channel, channel.receiver)
        del channel
        assert await writing == "ended quietly"
        assert accepted <= 3 + buffer, f"{accepted} items were accepted, of which 3 were taken"

    async def sender_dropped(self, buffer: int) -> None:
        """Rule 13: an ask that waits raises, when the sender was never opened."""
        channel = Channel[int](buffer=buffer)
        receiver = channel.receiver
        self.drop(channel, channel.sender)
        del channel
        await self.fails(receiver)

    async def itemizer_dropped(self, buffer: int) -> None:
        """Rules 13 and 7: the block was opened and never left. What was accepted is delivered."""
        channel = Channel[int](buffer=buffer + 3)
        receiver, itemize = channel.receiver, await channel.sender.__aenter__()
        for number in range(3):
            await itemize(number)
        self.drop(channel, itemize)
        del channel, itemize
        await self.take(receiver, 3)
        await self.fails(receiver)

    async def block_abandoned(self, buffer: int) -> None:
        """Rules 13 and 7: a coroutine is closed by the collector while it is in its sender block."""
        channel = Channel[int](buffer=buffer + 3)
        receiver = channel.receiver

        async def write(sender: Sender[int]) -> None:
            try:
                async with sender as itemize:
                    for number in range(3):
                        await itemize(number)
                    await Forever()
            finally:
                self.cleaned += 1

        block: Coroutine[object, None, None] = write(channel.sender)
        del channel
        block.send(None)
        before = self.cleaned
        self.drop(block)
        del block
        await self.take(receiver, 3)
        await self.fails(receiver)
        while self.cleaned == before:
            await turns(1)

    async def fails(self, receiver: AsyncIterator[int]) -> None:
        try:
            item = await anext(receiver)
        except SenderFailed:
            self.account["told"] += 1
        else:
            message = f"{item} came from a sender that was dropped"
            raise AssertionError(message)

    async def stream_dropped(self, _buffer: int) -> None:
        """Rule 18: the collector of a stream that was left early has its producer clean up, once."""
        before = self.cleaned

        async def produce(itemize: Itemizer[int]) -> None:
            try:
                for number in range(10):
                    await itemize(number)
            finally:
                for _ in range(1_000):  # so that it takes a while, and the threads meet in it
                    pass
                self.cleaned += 1

        items = stream(produce)
        await self.take(items, 3)
        self.drop(items)
        del items
        while self.cleaned == before:
            await turns(1)
        await turns()
        assert self.cleaned == before + 1, "a producer was closed twice"

    async def fed_by_left(self, buffer: int) -> None:
        """Rule 17: a block that is left early ends its task, whatever is collected meanwhile."""
        before = self.cleaned

        async def produce(itemize: Itemizer[int]) -> None:
            self.drop(itemize)
            try:
                for number in range(10):
                    await itemize(number)
            finally:
                self.cleaned += 1

        channel = Channel[int](buffer=buffer)
        self.drop(channel)
        async with channel.fed_by(produce) as items:
            del channel
            self.drop(items)
            await self.take(items, 3)
        assert self.cleaned == before + 1

    @property
    def kinds(self) -> list[Callable[[int], Awaitable[None]]]:
        return [
            self.used_and_dropped,
            self.receiver_dropped,
            self.sender_dropped,
            self.itemizer_dropped,
            self.block_abandoned,
            self.stream_dropped,
            self.fed_by_left,
        ]

    async def run(self, rounds: int, progress: Callable[[], None]) -> None:
        kinds = self.kinds
        for number in range(rounds):
            await kinds[number % len(kinds)](number // len(kinds) % 3)
            self.account["rounds"] += 1
            progress()


async def collected_elsewhere(setting: Setting) -> Account:
    """Ends dropped in cycles, while another thread collects garbage all the time."""
    total = setting.share(1_000)
    rounds = max(total // LANES, 21)  # each kind with each buffer
    found: Counter[bool] = Counter()
    account: Counter[str] = Counter()

    def progress() -> None:
        setting.progress(account["rounds"], rounds * LANES)

    running = asyncio.get_running_loop()
    with ExitStack() as conditions:
        errors = conditions.enter_context(unraisable())
        reports = conditions.enter_context(left_to(running))
        for condition in (no_word_of_resources(), no_collector(), switching_often()):
            conditions.enter_context(condition)
        collecting = conditions.enter_context(Collecting())
        async with asyncio.TaskGroup() as lanes:
            for _ in range(LANES):
                lanes.create_task(Lane(found, account).run(rounds, progress))
        before = collecting.collections
        while collecting.collections < before + 2:  # the last garbage too
            await turns(1)
    told_of = [error for error in errors + reports if MET not in error]
    assert not told_of, f"left to the interpreter or to the event loop: {told_of[:5]}"
    assert account["rounds"] == rounds * LANES
    assert found == {True: account["cycles"]}, f"of {account['cycles']} cycles, the other thread has found {dict(found)}"
    told = 4 * LANES * (rounds // 7) + LANES * min(4, max(0, rounds % 7 - 1))
    assert account["told"] == told, f"{account['told']} of {told} who waited for a dropped end were told"
    return {**account, "collections": collecting.collections, "met": len(errors) + len(reports)}

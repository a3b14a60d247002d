"""Random timeouts and cancellations on both sides of a channel, and every item accounted for exactly.

Items are numbered in the order of the calls of the itemizer, over all senders. The laws:

- Items are taken in that order, each once, and none whose itemize has been cancelled or refused.
- In lock-step no itemize has returned whose item is not taken; with a buffer, at most as many as it holds.
- In the end every item is in one account. It was taken; it was withdrawn by who was cut short; it was refused, because the receiver
  was closed; or it was dropped, because the receiver was closed, after its itemize had returned. Only closing drops or refuses.
- A cancelled itemize doesn't tell whether its item was taken. Whether it was, the list of the taken ones tells.
- Nothing is taken after the receiver was closed. All receivers end alike, as the sender block ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from enum import Enum, auto
from random import Random
from typing import Final

from chanstream import Channel, Itemizer, ReceiverClosed, SenderFailed
from tests.explorer.explore import chance
from tests.loops import turns
from tests.soak.memory import Meter
from tests.soak.setting import Account, Setting, Turns, assert_at_rest

__all__ = ["Round", "storm"]

BUFFERS: Final = (0, 1, 2, 7, 64)
PAUSES: Final = (0.1, 0.5, 0.9)
"""How often a side pauses. Each side of a round has its own, so that now one is faster and now the other."""

MOST_TURNS: Final = 8
LONGEST: Final = 0.001
"""Seconds of a timeout or a pause by the clock."""

STORMY: Final = ("withdrawn", "refused", "dropped", "taken, but cut short", "asks cut short")
"""What has to happen, or it has shown nothing."""

ENOUGH: Final = 10_000
"""In so many calls all of it happens."""

NOISE: Final = 8
"""How many tasks and timers there are at a time is random, and so are the spare objects that the interpreter keeps of them."""


class Call(Enum):
    """How a call of the itemizer ended."""

    PENDING = auto()
    RETURNED = auto()
    CANCELLED = auto()
    REFUSED = auto()


class Fate(Enum):
    """How a round ends, if nothing ends it before."""

    ENDS = auto()
    FAILS = auto()
    CANCELLED = auto()
    CLOSES = auto()


class BlockError(Exception):
    """The sender block fails with it."""


class Round:
    """One channel, its senders and its receivers. What breaks a law is noted, since a task might swallow what it raises."""

    def __init__(self, numbers: Random, channel: Channel[int], buffer: int) -> None:
        self.numbers = numbers
        self.channel = channel
        self.buffer = buffer
        self.fate = numbers.choice(list(Fate))
        self.writers_pause, self.readers_pause = numbers.choice(PAUSES), numbers.choice(PAUSES)
        self.closes_after = numbers.randrange(40) if self.fate is Fate.CLOSES else -1
        self.calls: list[Call] = []
        self.taken: list[bool] = []
        self.last = -1
        self.undelivered = 0  # returned and not taken
        self.closed = False
        self.asks_cut = 0
        self.endings: list[BaseException | None] = []
        self.broken: list[str] = []

    # The calls. Each notes what happened in the very step in which it happened.

    async def send(self, itemize: Itemizer[int]) -> None:
        number = len(self.calls)
        self.calls.append(Call.PENDING)
        self.taken.append(False)
        try:
            await itemize(number)
        except asyncio.CancelledError:
            self.calls[number] = Call.CANCELLED
            raise
        except ReceiverClosed:
            self.calls[number] = Call.REFUSED
            raise
        self.calls[number] = Call.RETURNED
        if not self.taken[number]:
            self.undelivered += 1
            if self.undelivered > self.buffer:
                self.broken.append(f"itemize({number}) returned, and {self.undelivered} items wait to be taken")

    async def take(self) -> None:
        try:
            number = await anext(self.channel.receiver)
        except asyncio.CancelledError:
            self.asks_cut += 1
            raise
        call = self.calls[number]
        if self.closed:
            self.broken.append(f"{number} was taken after the receiver was closed")
        if self.taken[number]:
            self.broken.append(f"{number} was taken twice")
        elif number < self.last:
            self.broken.append(f"{number} was taken after {self.last}")
        if call in (Call.CANCELLED, Call.REFUSED):
            self.broken.append(f"{number} was taken after its itemize was {call.name.lower()}")
        if call is Call.RETURNED:
            self.undelivered -= 1
        self.taken[number] = True
        self.last = max(self.last, number)

    # What cuts them short.

    def limit(self) -> AbstractAsyncContextManager[object]:
        choice = self.numbers.random()
        if choice < 0.3:
            return nullcontext()
        if choice < 0.8:
            return Turns(self.numbers.randrange(MOST_TURNS))
        return asyncio.timeout(self.numbers.uniform(0, LONGEST))

    async def limited(self, act: Callable[[], Awaitable[None]]) -> None:
        with suppress(TimeoutError):
            async with self.limit():
                await act()

    async def pause(self, often: float) -> None:
        if self.numbers.random() < often:
            if self.numbers.random() < 0.9:
                await turns(self.numbers.randrange(MOST_TURNS))
            else:
                await asyncio.sleep(self.numbers.uniform(0, LONGEST))

    # The tasks.

    async def writer(self, itemize: Itemizer[int], count: int) -> None:
        for _ in range(count):
            await self.pause(self.writers_pause)
            await self.limited(lambda: self.send(itemize))

    async def block(self) -> BaseException | None:
        """The sender block. Returns the error that left it."""
        try:
            async with self.channel.sender as itemize:
                async with asyncio.TaskGroup() as writers:
                    for _ in range(self.numbers.randint(1, 8)):
                        writers.create_task(self.writer(itemize, self.numbers.randint(0, 20)))
                if self.fate is Fate.FAILS:
                    raise BlockError  # noqa: TRY301 - it has to leave the block
        except (asyncio.CancelledError, BlockError) as error:
            return error
        return None

    async def reader(self) -> None:
        while True:
            await self.pause(self.readers_pause)
            if sum(self.taken) == self.closes_after:
                await self.channel.receiver.aclose()
                self.closed = True
            try:
                await self.limited(self.take)
            except StopAsyncIteration:
                self.endings.append(None)
                return
            except SenderFailed as failed:
                self.endings.append(failed.__cause__)
                return

    async def run(self) -> Account:
        readers = self.numbers.randint(1, 4)
        async with asyncio.TaskGroup() as tasks:
            block = tasks.create_task(self.block())
            for _ in range(readers):
                tasks.create_task(self.reader())
            if self.fate is Fate.CANCELLED:
                await turns(self.numbers.randrange(1, 60))  # one at least, so that it has begun
                block.cancel()
        assert len(self.endings) == readers
        error = block.result()
        wrong = [ending for ending in self.endings if ending is not error]
        assert not wrong, f"the block ended by {error!r}, and receivers by {wrong}"
        return self.account()

    def account(self) -> Account:
        accounts: Counter[str] = Counter()
        for call, taken in zip(self.calls, self.taken, strict=True):
            accounts["taken" if taken else call.name] += 1
        closed = self.fate is Fate.CLOSES
        assert not self.broken, "; ".join(self.broken[:5])
        assert not accounts["PENDING"], f"{accounts['PENDING']} calls of the itemizer have not ended"
        assert accounts["RETURNED"] <= (self.buffer if closed else 0), f"{accounts['RETURNED']} sent items are lost"
        assert closed or not accounts["REFUSED"], f"{accounts['REFUSED']} items were refused by a receiver that is open"
        account = {
            "calls": len(self.calls),
            "taken": accounts["taken"],
            "withdrawn": accounts["CANCELLED"],
            "refused": accounts["REFUSED"],
            "dropped": accounts["RETURNED"],
        }
        assert account["calls"] == sum(account.values()) - account["calls"]
        account["taken, but cut short"] = sum(
            taken and call is Call.CANCELLED for call, taken in zip(self.calls, self.taken, strict=True)
        )
        account["asks cut short"] = self.asks_cut
        return account


async def storm(setting: Setting) -> Account:
    """Random timeouts and cancellations on both sides of one channel after the other."""
    total = setting.share(20)
    accounts: Counter[str] = Counter()
    meter = Meter(max(1, total // 40), noise=NOISE)
    numbers = chance(f"storm {setting.seed}")
    while accounts["calls"] < total:
        buffer = BUFFERS[accounts["channels"] % len(BUFFERS)]
        channel = Channel[int](buffer=buffer)
        accounts.update(await Round(numbers, channel, buffer).run())
        assert_at_rest(channel)
        accounts["channels"] += 1
        if accounts["channels"] >= meter.next:
            await asyncio.sleep(2 * LONGEST)  # a loop keeps the timers that were cancelled until they would have rung
            await meter.read_without_garbage()
            setting.progress(accounts["calls"], total)
    if total >= ENOUGH:
        calm = [name for name in STORMY if not accounts[name]]
        assert not calm, f"it was no storm: {calm} never happened"
    return dict(accounts) | meter.account()

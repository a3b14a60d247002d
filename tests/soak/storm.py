"""Random timeouts and cancellations on both sides of a channel, and every item accounted for exactly.

Items are numbered in the order of the calls of the itemizer, over all senders. The laws:

- Items are taken in that order, each once, and none whose itemize has been cancelled or refused.
- In lock-step no itemize has returned whose item is not taken; with a buffer, at most as many as it holds. In lock-step an offer is
  accepted for a receiver that asks.
- In the end every item is in one account. It was taken; it was withdrawn by a call that was cut short; it was refused, because the
  receiver was closed or, when it was offered, because there was no room; or it was dropped after its itemize or offer had returned:
  because the receiver was closed, or for a newer one where the channel loses its oldest. Accepted = taken + dropped + withdrawn.
- The channel calls its `on_drop` once for each item that is dropped, in order, and for no other, and it counts them.
- A cancelled itemize doesn't show whether its item was taken. The list of the taken ones does.
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

from chanstream import Channel, Itemizer, ReceiverClosed, SenderFailed, offer
from tests.explorer.explore import chance
from tests.loops import turns
from tests.soak.memory import Meter
from tests.soak.setting import Account, Setting, Turns, assert_at_rest

__all__ = ["Round", "storm"]

BUFFERS: Final = (0, 1, 2, 7, 64)
READERS: Final = 4
PAUSES: Final = (0.1, 0.5, 0.9)
"""How often a side pauses. Each side of a round has its own, so that now one is faster and now the other."""

OFTEN: Final = (0.0, 0.2, 0.8)
"""How often an item is offered in place of being itemized, and how often items are taken at once in place of being asked for."""

MOST_TURNS: Final = 8
LONGEST: Final = 0.001
"""Seconds of a timeout or a pause by the clock."""

STORMY: Final = (
    "withdrawn",
    "refused",
    "dropped",
    "taken, but cut short",
    "asks cut short",
    "offered",
    "taken at once",
    "left behind",
    "pushed out",
    "fed",
)
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
    """By a receiver that was closed."""
    FULL = auto()
    """It was offered, and there was no room."""


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

    def __init__(self, numbers: Random, buffer: int) -> None:
        self.numbers = numbers
        self.buffer = buffer
        self.drops_oldest = buffer > 0 and numbers.random() < 0.3
        self.tells = numbers.random() < 0.5
        self.channel = Channel[int](buffer=buffer, drop_oldest=self.drops_oldest, on_drop=self.lose if self.tells else None)
        self.is_fed = numbers.random() < 0.5
        self.offers = numbers.choice(OFTEN)
        self.takes_ready = numbers.choice(OFTEN)
        self.offered: set[int] = set()
        self.lost: list[int] = []
        self.at_once = 0
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
        if not self.taken[number] and number not in self.lost:
            self.undelivered += 1
            if self.undelivered > self.buffer and not self.drops_oldest:
                self.broken.append(f"itemize({number}) returned, and {self.undelivered} items wait to be taken")

    def offer(self, itemize: Itemizer[int]) -> None:
        number = len(self.calls)
        self.calls.append(Call.PENDING)
        self.taken.append(False)
        if offer(itemize, number):
            self.offered.add(number)
            self.calls[number] = Call.RETURNED
        else:
            self.calls[number] = Call.REFUSED if self.closed else Call.FULL
            if self.drops_oldest and not self.closed:
                self.broken.append(f"{number} was refused by a channel that always has room")

    def lose(self, number: int) -> None:
        """What `on_drop` does."""
        if self.calls[number] is not Call.RETURNED or self.taken[number] or number in self.lost:
            self.broken.append(f"on_drop({number}) was called for what is {self.calls[number].name.lower()}")
        self.lost.append(number)
        if number not in self.offered:
            self.undelivered -= 1

    async def take(self) -> None:
        if self.numbers.random() < self.takes_ready:
            taken = self.channel.receiver.take_ready(self.numbers.randrange(4))
            self.at_once += len(taken)
            for number in taken:
                self.note_taken(number)
            await turns(1)
            return
        try:
            number = await anext(self.channel.receiver)
        except asyncio.CancelledError:
            self.asks_cut += 1
            raise
        self.note_taken(number)

    def note_taken(self, number: int) -> None:
        call = self.calls[number]
        if self.closed:
            self.broken.append(f"{number} was taken after the receiver was closed")
        if self.taken[number]:
            self.broken.append(f"{number} was taken twice")
        elif number < self.last:
            self.broken.append(f"{number} was taken after {self.last}")
        if call in (Call.CANCELLED, Call.REFUSED, Call.FULL) or number in self.lost:
            self.broken.append(f"{number} was taken after its itemize was {call.name.lower()}, or it was lost")
        if call is Call.RETURNED and number not in self.offered:
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
            if self.numbers.random() < self.offers:
                self.offer(itemize)
            else:
                await self.limited(lambda: self.send(itemize))

    async def produce(self, itemize: Itemizer[int]) -> None:
        async with asyncio.TaskGroup() as writers:
            for _ in range(self.numbers.randint(1, 8)):
                writers.create_task(self.writer(itemize, self.numbers.randint(0, 20)))
        if self.fate is Fate.FAILS:
            raise BlockError

    async def block(self) -> BaseException | None:
        """The sender block, or the feed. Returns the error that left it."""
        try:
            if self.is_fed:
                await self.channel.feed(self.produce)
            else:
                async with self.channel.sender as itemize:
                    await self.produce(itemize)
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
        readers = self.numbers.randint(1, READERS)
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
        dropped = [
            number
            for number, (call, taken) in enumerate(zip(self.calls, self.taken, strict=True))
            if call is Call.RETURNED and not taken
        ]
        counted = self.channel.statistics().dropped
        assert counted == len(dropped), f"{len(dropped)} items were dropped, and the channel counted {counted}"
        assert not self.tells or self.lost == dropped, f"{dropped} were dropped, and on_drop was called with {self.lost}"
        assert not self.broken, "; ".join(self.broken[:5])
        assert not accounts["PENDING"], f"{accounts['PENDING']} calls of the itemizer have not ended"
        assert self.drops_oldest or closed or not dropped, f"{len(dropped)} sent items are lost"
        assert self.drops_oldest or len(dropped) <= (self.buffer or READERS), f"{len(dropped)} sent items are lost"
        assert closed or not accounts["REFUSED"], f"{accounts['REFUSED']} items were refused by a receiver that is open"
        account = {
            "calls": len(self.calls),
            "taken": accounts["taken"],
            "withdrawn": accounts["CANCELLED"],
            "refused": accounts["REFUSED"] + accounts["FULL"],
            "dropped": accounts["RETURNED"],
        }
        accepted = account["calls"] - account["refused"]
        assert accepted == account["taken"] + account["dropped"] + account["withdrawn"]
        account["taken, but cut short"] = sum(
            taken and call is Call.CANCELLED for call, taken in zip(self.calls, self.taken, strict=True)
        )
        account["asks cut short"] = self.asks_cut
        account["offered"] = len(self.offered)
        account["taken at once"] = self.at_once
        account["left behind" if closed else "pushed out"] = len(dropped)
        account["fed"] = self.is_fed * account["calls"]
        return account


async def storm(setting: Setting) -> Account:
    """Random timeouts and cancellations on both sides of one channel after the other."""
    total = setting.share(20)
    accounts: Counter[str] = Counter()
    meter = Meter(max(1, total // 40), noise=NOISE)
    numbers = chance(f"storm {setting.seed}")
    while accounts["calls"] < total:
        buffer = BUFFERS[accounts["channels"] % len(BUFFERS)]
        this = Round(numbers, buffer)
        accounts.update(await this.run())
        assert_at_rest(this.channel)
        accounts["channels"] += 1
        if accounts["channels"] >= meter.next:
            await asyncio.sleep(2 * LONGEST)  # a loop keeps the timers that were cancelled until they would have rung
            await meter.read_without_garbage()
            setting.progress(accounts["calls"], total)
    if total >= ENOUGH:
        calm = [name for name in STORMY if not accounts[name]]
        assert not calm, f"it was no storm: {calm} never happened"
    return dict(accounts) | meter.account()

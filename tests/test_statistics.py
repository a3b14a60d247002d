"""What a channel says of itself: `statistics`, and the `repr` that is made of it. Rule 26."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import FrozenInstanceError, asdict, fields, replace
from typing import Final, TypeVar

import pytest
from typing_extensions import override

from chanstream import Channel, ChannelStatistics, Itemizer, offer
from tests.garbage import let_go
from tests.loops import turns
from tests.outcomes import Broken, wait_for

T = TypeVar("T")

IDLE: Final = ChannelStatistics(
    buffer=0, buffered=0, pending=0, itemizing=0, asking=0, dropped=0, sender="unopened", receiver="open"
)
OPEN: Final = replace(IDLE, sender="open")


class Scene:
    """A channel with an open sender block, and tasks that wait in it."""

    def __init__(self, channel: Channel[int], itemize: Itemizer[int]) -> None:
        self.channel = channel
        self.itemize = itemize
        self.tasks: list[asyncio.Task[object]] = []

    async def put(self, *items: int) -> None:
        for item in items:
            await self.itemize(item)

    async def itemizing(self, *items: int) -> None:
        self.tasks += [asyncio.create_task(wait_for(self.itemize(item))) for item in items]
        await turns()

    async def asking(self, count: int) -> None:
        self.tasks += [asyncio.create_task(wait_for(anext(self.channel.receiver))) for _ in range(count)]
        await turns()


@asynccontextmanager
async def scene(buffer: int, *, drop_oldest: bool = False) -> AsyncIterator[Scene]:
    channel = Channel[int](buffer=buffer, drop_oldest=drop_oldest)
    async with channel.sender as itemize:
        made = Scene(channel, itemize)
        yield made
        for task in made.tasks:
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)


def elsewhere(func: Callable[[], T]) -> T:
    """What `func` returns in another thread. Gives no task a turn meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(func).result()


def agree(channel: Channel[int], expected: ChannelStatistics) -> None:
    """The channel says so, its receiver too, in any thread; and its `repr` says the same."""
    assert channel.statistics() == expected
    assert channel.receiver.statistics() == expected
    assert elsewhere(channel.statistics) == expected
    assert elsewhere(channel.receiver.statistics) == expected
    for shown in (repr(channel), repr(channel.sender), repr(channel.receiver), elsewhere(lambda: repr(channel))):
        read = re.search(
            r"<Channel (?:lock-step|buffer=(\d+)): sender ([a-z ]+), receiver ([a-z]+), (\d+) to be taken, "
            r"(\d+) waiting in itemize, (\d+) waiting for an item(?:, (\d+) dropped)?(?:, made at [^>]*)?>",
            shown,
        )
        assert read is not None, shown
        buffer, sender, receiver, pending, itemizing, asking, dropped = read.groups("0")
        assert (sender, receiver) == (expected.sender, expected.receiver)
        counts = [expected.buffer, expected.pending, expected.itemizing, expected.asking, expected.dropped]
        assert [*map(int, (buffer, pending, itemizing, asking, dropped))] == counts


async def test_what_waits_in_lock_step_is_counted() -> None:
    """Rule 26: an itemizer whose item was taken waits on, until a further one is asked for."""
    async with scene(0) as here:
        agree(here.channel, OPEN)
        await here.asking(2)
        agree(here.channel, replace(OPEN, asking=2))
        assert offer(here.itemize, 1)
        agree(here.channel, replace(OPEN, asking=2, buffered=1, pending=1))
        await turns()
        await here.itemizing(2)
        agree(here.channel, replace(OPEN, itemizing=1))
        await here.itemizing(3, 4)
        agree(here.channel, replace(OPEN, itemizing=3, pending=2))
        assert here.channel.receiver.take_ready() == [3, 4]
        await turns()
        agree(here.channel, replace(OPEN, itemizing=1))


async def test_what_waits_with_a_buffer_is_counted() -> None:
    """Rule 26: `buffered` are those whose itemizer has returned, `pending` all that is not taken."""
    async with scene(2) as here:
        await here.asking(1)
        agree(here.channel, replace(OPEN, buffer=2, asking=1))
        await here.put(1)
        await turns()
        agree(here.channel, replace(OPEN, buffer=2))
        await here.put(2, 3)
        await here.itemizing(4, 5)
        agree(here.channel, replace(OPEN, buffer=2, buffered=2, pending=4, itemizing=2))
        assert await anext(here.channel.receiver) == 2
        await turns()
        agree(here.channel, replace(OPEN, buffer=2, buffered=2, pending=3, itemizing=1))
        assert here.channel.receiver.take_ready(2) == [3, 4]
        assert offer(here.itemize, 6)
        agree(here.channel, replace(OPEN, buffer=2, buffered=1, pending=2, itemizing=1))
        await turns()
        agree(here.channel, replace(OPEN, buffer=2, buffered=2, pending=2))


@pytest.mark.parametrize("by", ["drop_oldest", "close"])
async def test_what_is_lost_is_counted(by: str) -> None:
    """Rule 26: pushed out or left behind; not the item of a waiting itemizer, since that raises."""
    async with scene(2, drop_oldest=by == "drop_oldest") as here:
        await here.put(1, 2)
        if by == "drop_oldest":
            await here.put(3, 4, 5)
            agree(here.channel, replace(OPEN, buffer=2, buffered=2, pending=2, dropped=3))
        else:
            await here.itemizing(3)
            await here.channel.receiver.aclose()
            agree(here.channel, replace(OPEN, buffer=2, dropped=2, receiver="closed"))


async def test_what_is_left_behind_by_a_receiver_that_is_dropped_is_counted() -> None:
    """Rules 13 and 26."""
    held = [Channel[int](buffer=2)]
    sender, statistics = held[0].sender, held[0].receiver.statistics
    async with sender as itemize:
        await itemize(1)
        await itemize(2)
        assert statistics().dropped == 0
        del statistics
        held.clear()
        let_go()
        await turns()
        assert "receiver closed, 0 to be taken, 0 waiting in itemize, 0 waiting for an item, 2 dropped" in repr(sender)


async def finished(channel: Channel[int]) -> None:
    async with channel.sender:
        pass


async def failing(channel: Channel[int]) -> None:
    with suppress(Broken):
        async with channel.sender:
            raise Broken


async def quiet(channel: Channel[int]) -> None:
    async with channel.sender as itemize:
        await channel.receiver.aclose()
        await itemize(1)


async def closed(channel: Channel[int]) -> None:
    await channel.receiver.aclose()


async def failed_and_closed(channel: Channel[int]) -> None:
    await failing(channel)
    await closed(channel)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (finished, replace(IDLE, sender="finished")),
        (failing, replace(IDLE, sender="failed")),
        (quiet, replace(IDLE, sender="finished", receiver="closed")),
        (closed, replace(IDLE, receiver="closed")),
        (failed_and_closed, replace(IDLE, sender="failed", receiver="closed")),
    ],
)
async def test_the_phases_are_words(end: Callable[[Channel[int]], asyncio.Future[None]], expected: ChannelStatistics) -> None:
    """Rule 26: of each side one."""
    channel = Channel[int]()
    agree(channel, IDLE)
    await end(channel)
    agree(channel, expected)


@pytest.mark.parametrize("opened", [False, True])
async def test_the_phases_of_a_sender_that_is_lost(*, opened: bool) -> None:
    """Rules 13 and 26: the receiver still says which."""
    held = [Channel[int]()]
    receiver = held[0].receiver
    if opened:
        await held[0].sender.__aenter__()
        assert receiver.statistics() == OPEN
    held.clear()
    let_go()
    assert receiver.statistics() == replace(IDLE, sender="abandoned" if opened else "dropped unopened")


async def test_statistics_are_a_value() -> None:
    """Rule 26: frozen, compared by what they say, and of nothing but numbers and words; so they can be kept, logged and sent."""
    async with scene(1) as here:
        await here.put(1)
        now = here.channel.statistics()
        assert now == here.channel.statistics()
        assert {type(value) for value in asdict(now).values()} == {int, str}
        assert [field.name for field in fields(now)] == [*asdict(IDLE)]
        with pytest.raises(FrozenInstanceError):
            now.buffered = 0  # type: ignore[misc]
        assert here.channel.receiver.take_ready() == [1]
        assert now.buffered == 1
        assert here.channel.statistics() != now


class Secret(int):
    """An item that may not be shown."""

    @override
    def __repr__(self) -> str:
        raise AssertionError


async def test_what_it_says_never_shows_an_item() -> None:
    """Surface and rule 26."""
    async with scene(2, drop_oldest=True) as here:
        await here.put(Secret(1), Secret(2), Secret(3))
        assert "2 to be taken" in repr(here.channel)
        assert "pending=2" in repr(here.channel.statistics())


async def test_what_was_accepted_adds_up() -> None:
    """Rule 26: accepted = taken + withdrawn + dropped + pending, at every moment."""
    accepted = taken = withdrawn = 0
    async with scene(2, drop_oldest=True) as here:
        for number in range(40):
            accepted += 1
            if number % 3:
                await here.put(number)
            else:
                assert offer(here.itemize, number)
            if number % 5 == 0:
                taken += len(here.channel.receiver.take_ready(1))
            now = here.channel.statistics()
            assert accepted == taken + now.dropped + now.pending
    async with scene(2) as here:
        accepted = 5
        await here.put(1, 2)
        await here.itemizing(3, 4, 5)
        here.tasks[1].cancel()
        await turns()
        withdrawn = 1
        assert accepted == withdrawn + here.channel.statistics().pending
        taken = len(here.channel.receiver.take_ready(2))
        now = here.channel.statistics()
        assert accepted == taken + withdrawn + now.dropped + now.pending

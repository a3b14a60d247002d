"""In which order items are taken, and when an itemizer returns: rules 1 to 5."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Never

import pytest
from typing_extensions import override

from chanstream import Channel, Itemizer, ReceiverClosed, SenderContext, SenderFailed, offer
from tests.loops import turns, turns_given
from tests.outcomes import all_begun, all_done, begun, done, raises, rest
from tests.producers import write

every_buffer = pytest.mark.parametrize("buffer", [0, 1, 2, 5])
buffered = pytest.mark.parametrize("buffer", [1, 2, 5])


# Rule 1.


@every_buffer
async def test_items_are_taken_in_the_order_of_the_calls(buffer: int) -> None:
    """Rule 1: one task calls."""
    channel = Channel[int](buffer=buffer)
    task = asyncio.create_task(write(channel.sender, range(12)))
    assert await rest(channel.receiver) == list(range(12))
    await done(task)


@every_buffer
async def test_items_of_several_tasks_are_taken_in_the_order_of_the_calls(buffer: int) -> None:
    """Rule 1: whichever of them called it."""
    channel = Channel[str](buffer=buffer)
    called: list[str] = []

    async def call(itemize: Itemizer[str], name: str, pauses: list[int]) -> None:
        for number, pause in enumerate(pauses):
            await turns(pause)
            called.append(f"{name}{number}")
            await itemize(f"{name}{number}")

    async def write() -> None:
        async with channel.sender as itemize, asyncio.TaskGroup() as group:
            _ = [
                group.create_task(call(itemize, "a", [0, 3, 0, 1])),
                group.create_task(call(itemize, "b", [1, 0, 5, 0])),
                group.create_task(call(itemize, "c", [0, 0, 0, 9])),
            ]

    task = asyncio.create_task(write())
    taken = await rest(channel.receiver)
    assert taken == called
    assert sorted(taken) == [f"{name}{number}" for name in "abc" for number in range(4)]
    await done(task)


@buffered
async def test_a_call_that_finds_room_does_not_overtake_one_that_waits(buffer: int) -> None:
    """Rule 1: there is room from the taking of an item until the first sender in line has its turn."""
    channel = Channel[str](buffer=buffer)

    async def take_and_call(itemize: Itemizer[str]) -> None:
        await anext(channel.receiver)
        await itemize("late")

    async with channel.sender as itemize:
        for _ in range(buffer):
            await itemize("buffered")
        waiting = await begun(itemize("early"))
        overtaking = await begun(take_and_call(itemize))
        rest = [await anext(channel.receiver) for _ in range(buffer + 1)]
        assert rest[-2:] == ["early", "late"]
        await done(waiting)
        await done(overtaking)


@every_buffer
async def test_an_item_is_taken_once_and_a_consumer_that_waits_behind_it_has_asked(buffer: int) -> None:
    """Rules 1 and 2: of two that ask, one gets the item, and the other goes on waiting, which in lock-step releases the sender."""
    channel = Channel[str](buffer=buffer)
    asks = await all_begun(anext(channel.receiver) for _ in range(2))
    async with channel.sender as itemize:
        await done(asyncio.create_task(itemize("first")))
        assert await done(asks[0]) == "first"
        assert not asks[1].done()
        sent = asyncio.create_task(itemize("second"))
        assert await done(asks[1]) == "second"
        assert sent.done() is (buffer > 0)  # no other waits behind this one
        ask = asyncio.create_task(anext(channel.receiver))
        await done(sent)
    await raises(StopAsyncIteration, ask)


# Rule 2.


async def test_in_lock_step_an_itemizer_waits_until_a_further_item_is_asked_for() -> None:
    """Rules 1 and 2: not only until its item was taken, by the same consumer coming back, which does not get that item again."""
    channel = Channel[str]()
    async with channel.sender as itemize:
        for item in ("first", "second", "third"):
            sent = await begun(itemize(item))
            assert not sent.done()
            assert await anext(channel.receiver) == item
            await turns()
            assert not sent.done()
            further = asyncio.create_task(anext(channel.receiver))
            await done(sent)
            assert not further.done()
            between = asyncio.create_task(itemize("between"))
            assert await done(further) == "between"
            assert not between.done()
            further = asyncio.create_task(anext(channel.receiver))
            await done(between)
            further.cancel()
            await turns()
            assert further.cancelled()


async def test_in_lock_step_an_ask_that_finds_an_item_releases_the_itemizer_before() -> None:
    """Rule 2: the further ask need not wait itself."""
    channel = Channel[str]()
    async with channel.sender as itemize:
        first = asyncio.create_task(itemize("first"))
        second = await begun(itemize("second"))
        assert await anext(channel.receiver) == "first"
        await turns()
        assert (first.done(), second.done()) == (False, False)
        assert await anext(channel.receiver) == "second"
        await turns()
        assert (first.done(), second.done()) == (True, False)
        ask = asyncio.create_task(anext(channel.receiver))
        await done(second)
    await raises(StopAsyncIteration, ask)


@pytest.mark.parametrize("producer", [0, 1, 3])
@pytest.mark.parametrize("consumer", [0, 1, 3])
async def test_in_lock_step_a_channel_leaves_the_trace_of_a_generator(producer: int, consumer: int) -> None:
    """Rule 2: with one consumer this is `yield`, line for line."""
    log: list[str] = []

    async def generate() -> AsyncIterator[int]:
        log.append("begin")
        for item in range(3):
            log.append(f"pass {item}")
            yield item
            log.append(f"back after {item}")
            await turns(producer)
        log.append("end")

    async def write(sink: SenderContext[int]) -> None:
        async with sink as itemize:
            log.append("begin")
            for item in range(3):
                log.append(f"pass {item}")
                await itemize(item)
                log.append(f"back after {item}")
                await turns(producer)
            log.append("end")

    async def read(items: AsyncIterator[int]) -> None:
        log.append("ask")
        async for item in items:
            log.append(f"got {item}")
            await turns(consumer)
            log.append(f"ask after {item}")
        log.append("over")

    await read(generate())
    trace, log = log, []
    assert trace[:4] == ["ask", "begin", "pass 0", "got 0"]

    channel = Channel[int]()
    reading = asyncio.create_task(read(channel.receiver))
    await turns(1)
    writing = asyncio.create_task(write(channel.sender))
    await turns(20)
    await done(reading)
    await done(writing)
    assert log == trace


# Rule 3.


@buffered
async def test_with_room_an_itemizer_returns_at_once(buffer: int) -> None:
    """Rule 3: while there is room it returns at once, and gives no other task a turn."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        given = turns_given()
        for item in range(buffer):
            await itemize(item)
        assert not given()
        assert [await anext(channel.receiver) for _ in range(buffer)] == list(range(buffer))
        assert not given()  # nor does an ask that finds an item
        await itemize(buffer)
        assert not given()


@pytest.mark.parametrize("buffer", [1, 2, 5, 300])
async def test_without_room_an_itemizer_waits_until_an_item_is_taken(buffer: int) -> None:
    """Rule 3: it returns as soon as at most n accepted items are waiting to be taken.

    Also where the interpreter has several objects for one number.
    """
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        for item in range(buffer):
            await itemize(item)
        sent = await begun(itemize(buffer))
        assert not sent.done()
        assert await anext(channel.receiver) == 0
        await done(sent)  # no further item has been asked for
        sent = await begun(itemize(buffer + 1))
        assert not sent.done()
        assert await anext(channel.receiver) == 1
        await done(sent)
    assert await rest(channel.receiver) == list(range(2, buffer + 2))


@buffered
async def test_senders_are_released_first_come_first_served(buffer: int) -> None:
    """Rule 3: each item taken releases one sender, the first."""
    channel = Channel[int](buffer=buffer)
    returned: list[int] = []

    async def send(itemize: Itemizer[int], item: int) -> None:
        await itemize(item)
        returned.append(item)

    async with channel.sender as itemize:
        tasks = await all_begun(send(itemize, item) for item in range(buffer + 4))
        for taken in range(4):
            assert returned == list(range(buffer + taken))
            assert await anext(channel.receiver) == taken
            await turns()
        assert returned == list(range(buffer + 4))
    assert await rest(channel.receiver) == list(range(4, buffer + 4))
    await asyncio.gather(*tasks)


@buffered
async def test_all_items_can_be_taken_before_a_waiting_sender_has_its_turn(buffer: int) -> None:
    """Rule 3: an item whose sender still waits is taken in its order, and releases the sender as well."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        tasks = await all_begun(map(itemize, range(buffer + 3)))
        given = turns_given()
        assert [await anext(channel.receiver) for _ in range(buffer + 3)] == list(range(buffer + 3))
        assert not given()
        await all_done(tasks)
        await itemize(0)
        assert await anext(channel.receiver) == 0


@buffered
@pytest.mark.parametrize("more", [0, 1])
async def test_several_free_places_release_several_senders(buffer: int, more: int) -> None:
    """Rule 3: places that become free in one step are filled by as many senders, without a further ask.

    With one more than the buffer holds, an item is taken whose sender still waits, and that sender does not need its place.
    """
    channel = Channel[int](buffer=buffer)
    size = 3 * buffer + 1
    async with channel.sender as itemize:
        tasks = await all_begun(map(itemize, range(size)))
        assert [await anext(channel.receiver) for _ in range(buffer + more)] == list(range(buffer + more))
        await turns()
        assert [task.done() for task in tasks] == [item < 2 * buffer + more for item in range(size)]
    assert await rest(channel.receiver) == list(range(buffer + more, size))
    await all_done(tasks)


# An end that never has to wait.

MOST = 1_024
"""By how many items a buffer grows or shrinks before other tasks have had a turn."""


class Ticker:
    """Note, at each turn of the event loop, how many items have been accepted or taken."""

    def __init__(self) -> None:
        self.count = 0
        self.seen: list[int] = []
        self.tick()

    def tick(self) -> None:
        self.seen.append(self.count)
        self.handle = asyncio.get_running_loop().call_soon(self.tick)

    def check(self, *, often: bool = False) -> None:
        """There was a turn before the count grew by more than MOST, and not for every few items, unless `often` is true."""
        self.handle.cancel()
        steps = [step for step in (after - before for before, after in pairwise([*self.seen, self.count])) if step]
        assert max(steps) <= MOST
        assert often or sum(steps) / len(steps) >= MOST / 4


async def flood(itemize: Itemizer[int]) -> None:
    """Pass on more than may be in one step, and see that there were turns."""
    ticker = Ticker()
    for item in range(3 * MOST):
        await itemize(item)
        ticker.count += 1
    ticker.check()


@pytest.mark.parametrize("buffer", [3 * MOST, sys.maxsize])
async def test_a_source_that_is_always_ready_starves_no_other_task(buffer: int) -> None:
    """Rule 3: a turn before the buffer has grown by more than 1,024 items, also if its limit is beyond any memory."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        await flood(itemize)


@pytest.mark.parametrize(("workers", "offered"), [(1, False), (3, False), (1, True)])
async def test_a_long_backlog_starves_no_other_task(workers: int, *, offered: bool) -> None:
    """Rule 3: a turn before the buffer has shrunk by more than 1,024 items since the last one, for one loop or a pool of them.

    Also if it grew by `offer`, which gives none.
    """
    channel = Channel[int](buffer=sys.maxsize if offered else 4 * MOST)
    async with channel.sender as itemize:
        for item in range(4 * MOST):
            if offered:
                assert offer(itemize, item)
            else:
                await itemize(item)
    taken: list[int] = []
    ticker = Ticker()

    async def read() -> None:
        async for item in channel.receiver:
            taken.append(item)
            ticker.count += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(read())
    assert taken == list(range(4 * MOST))
    ticker.check(often=workers > 1)


async def test_a_source_that_offers_first_starves_no_other_task() -> None:
    """Rule 3: a turn before the buffer has grown by more than 1,024 items, those that were offered in one step included."""
    channel = Channel[int](buffer=sys.maxsize)
    async with channel.sender as itemize:
        assert all(offer(itemize, item) for item in range(MOST))
        await flood(itemize)


async def test_a_buffer_that_was_emptied_in_one_step_grows_with_turns_again() -> None:
    """Rule 3: a turn before it has grown by more than 1,024 items since `take_ready`, which gives none."""
    channel = Channel[int](buffer=sys.maxsize)
    async with channel.sender as itemize:
        for item in range(4 * MOST):
            await itemize(item)
        assert len(channel.receiver.take_ready()) == 4 * MOST
        await flood(itemize)


async def test_a_backlog_of_which_a_part_was_taken_in_one_step_starves_no_other_task() -> None:
    """Rule 3: a turn before it has shrunk by more than 1,024 items since `take_ready`, which gives none."""
    channel = Channel[int](buffer=sys.maxsize)
    await write(channel.sender, range(6 * MOST))
    ticker = Ticker()
    assert len(channel.receiver.take_ready(2 * MOST)) == 2 * MOST
    async for _ in channel.receiver:
        ticker.count += 1
    ticker.check()


async def test_a_timeout_around_a_source_that_is_always_ready_strikes() -> None:
    """Rules 3 and 15: in the turn that comes before an item is accepted, so that item is withdrawn, and those before are there."""
    channel = Channel[int](buffer=sys.maxsize)
    returned = 0

    async def write(itemize: Itemizer[int]) -> None:
        nonlocal returned
        while returned < 9 * MOST:
            await itemize(returned)
            returned += 1

    with pytest.raises(TimeoutError):
        async with channel.sender as itemize, asyncio.timeout(0):
            await write(itemize)
    assert 0 < returned < 9 * MOST
    assert channel.statistics().pending == returned
    assert channel.receiver.take_ready() == list(range(returned))
    with pytest.raises(SenderFailed):
        await anext(channel.receiver)


async def test_an_ask_that_is_cancelled_in_its_turn_has_taken_nothing() -> None:
    """Rules 3 and 14: the turn comes before an item is taken."""
    channel = Channel[int](buffer=4 * MOST)
    await write(channel.sender, range(4 * MOST))
    taken: list[int] = []

    async def read() -> None:
        async for item in channel.receiver:
            taken.append(item)

    reading = asyncio.create_task(read())
    while not taken:
        await turns(1)
    reading.cancel()
    await turns(1)
    assert reading.cancelled()
    assert 0 < len(taken) < 4 * MOST
    assert taken + await rest(channel.receiver) == list(range(4 * MOST))


def test_a_turn_that_is_due_binds_no_loop() -> None:
    """Rules 3 and 19: it waits for nothing, so such a buffer may be filled in one event loop and emptied in others."""
    channel = Channel[int](buffer=5 * MOST)

    async def take() -> list[int]:
        return [await anext(channel.receiver) for _ in range(4 * MOST)]

    asyncio.run(write(channel.sender, range(5 * MOST)))
    assert asyncio.run(take()) + asyncio.run(rest(channel.receiver)) == list(range(5 * MOST))


# Rule 4.


@every_buffer
async def test_consumers_are_served_first_come_first_served(buffer: int) -> None:
    """Rule 4: each item goes to one of them, to the ask that came first."""
    channel = Channel[int](buffer=buffer)
    asks = await all_begun(anext(channel.receiver) for _ in range(4))
    task = asyncio.create_task(write(channel.sender, range(4)))
    assert [await done(ask) for ask in asks] == [0, 1, 2, 3]
    with pytest.raises(StopAsyncIteration):
        await anext(channel.receiver)
    await done(task)


@buffered
async def test_an_ask_that_finds_an_item_does_not_overtake_one_that_waits_for_it(buffer: int) -> None:
    """Rule 4: an item is there from the call of the itemizer until the first consumer in line has its turn."""
    channel = Channel[str](buffer=buffer)
    early = await begun(anext(channel.receiver))
    async with channel.sender as itemize:
        await itemize("first")
        late = asyncio.create_task(itemize("second"))
        assert await anext(channel.receiver) == "second"
        assert await done(early) == "first"
        await done(late)


async def test_in_lock_step_too_an_ask_does_not_overtake_one_that_waits() -> None:
    """Rule 4: the newcomer has its turn between the offer of the item and the turn of the first in line."""
    channel = Channel[str]()
    early = await begun(anext(channel.receiver))
    async with channel.sender as itemize:
        sent = asyncio.create_task(itemize("first"))
        late = asyncio.create_task(anext(channel.receiver))
        assert await done(early) == "first"
        assert not late.done()
        await done(sent)
    await raises(StopAsyncIteration, late)


@every_buffer
@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("workers_first", [True, False])
async def test_every_worker_of_a_pool_gets_busy(buffer: int, size: int, *, workers_first: bool) -> None:
    """Rule 4: a pool of n waiting workers gets n items in flight, in lock-step too."""
    channel = Channel[int](buffer=buffer)
    busy: list[int] = []
    finished: list[int] = []
    go_on = asyncio.Event()

    async def work() -> None:
        async for item in channel.receiver:
            busy.append(item)
            await go_on.wait()
            finished.append(item)

    if workers_first:
        workers = await all_begun(work() for _ in range(size))
        writing = asyncio.create_task(write(channel.sender, range(2 * size + 1)))
    else:
        writing = await begun(write(channel.sender, range(2 * size + 1)))
        workers = [asyncio.create_task(work()) for _ in range(size)]
    await turns(10 + 10 * size)
    assert busy == list(range(size))
    assert not finished
    go_on.set()
    await turns(10 + 10 * size)
    assert sorted(finished) == list(range(2 * size + 1))
    await all_done(workers)
    await done(writing)


@every_buffer
async def test_each_item_goes_to_one_of_several_loops(buffer: int) -> None:
    """Rule 4: several senders and several loops; nothing is lost, nothing comes twice, each gets its share in order."""
    channel = Channel[tuple[str, int]](buffer=buffer)
    taken: dict[str, list[tuple[str, int]]] = {"x": [], "y": [], "z": []}

    async def read(name: str, pause: int) -> None:
        async for item in channel.receiver:
            taken[name].append(item)
            await turns(pause)

    async def send(itemize: Itemizer[tuple[str, int]], name: str, pause: int) -> None:
        for number in range(6):
            await itemize((name, number))
            await turns(pause)

    async def write() -> None:
        async with channel.sender as itemize, asyncio.TaskGroup() as group:
            _ = [group.create_task(send(itemize, name, pause)) for name, pause in (("a", 0), ("b", 2), ("c", 1))]

    tasks = [asyncio.create_task(read(name, pause)) for pause, name in enumerate(taken)]
    tasks.append(asyncio.create_task(write()))
    await turns(60)
    await all_done(tasks)
    everything = [item for items in taken.values() for item in items]
    assert sorted(everything) == [(name, number) for name in "abc" for number in range(6)]
    assert all(taken.values())
    for items in taken.values():
        for sender in "abc":
            numbers = [number for name, number in items if name == sender]
            assert numbers == sorted(numbers)


# Rule 5.


class Hostile:
    """Nothing can be done with it but to pass it on."""

    @override
    def __eq__(self, other: object) -> Never:
        raise AssertionError

    @override
    def __hash__(self) -> Never:
        raise AssertionError

    @override
    def __repr__(self) -> Never:
        raise AssertionError

    def __bool__(self) -> Never:
        raise AssertionError


def every_kind_of_object() -> list[object]:
    return [
        None,
        False,
        0,
        ...,
        NotImplemented,
        [],
        Hostile(),
        Hostile(),  # of two in a row, a consumer of a short buffer waits for one and finds the other
        ValueError("an item, not an error"),
        StopAsyncIteration("an item, not the end"),
        StopIteration(),
        GeneratorExit(),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
        BaseExceptionGroup("a group", [ReceiverClosed()]),
        SenderFailed(),
        StopAsyncIteration,
        Channel[None](),
        None,
    ]


@every_buffer
async def test_any_object_is_an_item(buffer: int) -> None:
    """Rule 5: None, exceptions, StopAsyncIteration instances; the consumer gets the object itself, and more after it."""
    channel = Channel[object](buffer=buffer)
    items = every_kind_of_object()
    task = asyncio.create_task(write(channel.sender, items))
    taken = await rest(channel.receiver)
    assert [id(item) for item in taken] == [id(item) for item in items]
    await done(task)


@buffered
async def test_any_object_is_found_by_the_first_ask(buffer: int) -> None:
    """Rule 5: also one that can't be compared, with a receiver that has not waited yet."""
    channel = Channel[object](buffer=buffer)
    items = [Hostile() for _ in range(buffer)]
    async with channel.sender as itemize:
        for item in items:
            await itemize(item)
        assert (await anext(channel.receiver)) is items[0]
        await channel.receiver.aclose()


@every_buffer
async def test_any_object_reaches_a_consumer_that_waits_for_it(buffer: int) -> None:
    """Rule 5: the same when the ask comes first."""
    channel = Channel[object](buffer=buffer)
    async with channel.sender as itemize, asyncio.TaskGroup() as group:
        for item in every_kind_of_object():
            ask = group.create_task(anext(channel.receiver))
            await turns()
            sent = group.create_task(itemize(item))
            assert (await done(ask)) is item
            assert sent.done() is (buffer > 0)
        await channel.receiver.aclose()

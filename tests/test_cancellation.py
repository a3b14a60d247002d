"""Cancellation, wherever it lands: rules 14 to 16.

A wait begins with a turn of the event loop and goes on parked. `after` is how many turns a task has had when it is cancelled: with
none it has not begun, or where tasks are eager it is turning; with one it is turning, or just parked; then it is parked.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import combinations, product
from typing import TypeVar

import pytest

from chanstream import Channel, Itemizer, ReceiverClosed, SenderFailed
from tests.loops import this_task, turns
from tests.outcomes import Broken, all_begun, all_done, begun, closed_early, done, ended, left_by, raises, rest
from tests.producers import write

T = TypeVar("T")

every_buffer = pytest.mark.parametrize("buffer", [0, 1, 3])
buffered = pytest.mark.parametrize("buffer", [1, 3])
at_any_moment = pytest.mark.parametrize("after", [0, 1, 4])
wherever_it_stands = pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "middle", "last"])


async def cancelled(task: asyncio.Task[T]) -> None:
    """Cancel `task`, and see it end by that."""
    task.cancel()
    await turns()
    assert task.cancelled()


def woken_and_cancelled(task: asyncio.Task[T]) -> None:
    """Cancel `task` after this step, and before the turn of a task that is woken in this step from now on."""
    asyncio.get_running_loop().call_soon(task.cancel)


async def finish(channel: Channel[T], expected: list[T]) -> None:
    """What is left in `channel`, whose block has ended, is exactly this."""
    assert await rest(channel.receiver) == expected
    with pytest.raises(StopAsyncIteration):
        await anext(channel.receiver)


# Rule 14.


@every_buffer
@at_any_moment
async def test_a_cancelled_ask_takes_nothing(buffer: int, after: int) -> None:
    """Rule 14: it leaves no trace; the next item goes to the next ask."""
    channel = Channel[int](buffer=buffer)
    state = repr(channel)
    ask = asyncio.create_task(anext(channel.receiver))
    await turns(after)
    await cancelled(ask)
    assert repr(channel) == state
    async with channel.sender as itemize:
        sent = await begun(itemize(1))
        assert sent.done() is (buffer > 0)
    await finish(channel, [1])
    await done(sent)


@buffered
@at_any_moment
async def test_an_ask_that_is_cancelled_when_it_was_woken_takes_nothing(buffer: int, after: int) -> None:
    """Rule 14: an item is taken in the same step in which the ask returns it, not before."""
    channel = Channel[int](buffer=buffer)
    ask = asyncio.create_task(anext(channel.receiver))
    await turns(after)
    async with channel.sender as itemize:
        await itemize(1)
        await cancelled(ask)
        assert " 1 to be taken" in repr(channel)
    await finish(channel, [1])


async def test_in_lock_step_an_ask_that_is_cancelled_when_it_was_woken_takes_nothing() -> None:
    """Rule 14: nor is the itemizer released, since its item was not taken."""
    channel = Channel[int]()
    ask = await begun(anext(channel.receiver))

    async def send(itemize: Itemizer[int]) -> None:
        woken_and_cancelled(ask)
        await itemize(1)

    async with channel.sender as itemize:
        sent = await begun(send(itemize))
        assert ask.cancelled()
        assert not sent.done()
        assert " 1 to be taken" in repr(channel)
        assert await anext(channel.receiver) == 1
    await finish(channel, [])
    await done(sent)


@buffered
@at_any_moment
async def test_an_ask_that_is_cancelled_when_it_was_woken_wakes_the_next(buffer: int, after: int) -> None:
    """Rule 14: the next one in line is woken in its place, and needs nothing else."""
    channel = Channel[int](buffer=buffer)
    asks = [asyncio.create_task(anext(channel.receiver)) for _ in range(3)]
    await turns(after)
    async with channel.sender as itemize:
        await itemize(1)
        asks[0].cancel()
        asks[1].cancel()
        assert await done(asks[2]) == 1
        assert (asks[0].cancelled(), asks[1].cancelled()) == (True, True)
    await finish(channel, [])


@every_buffer
async def test_in_lock_step_too_an_ask_that_is_cancelled_when_it_was_woken_wakes_the_next(buffer: int) -> None:
    """Rule 14: one after the other, until one takes the item."""
    channel = Channel[int](buffer=buffer)
    asks = await all_begun(anext(channel.receiver) for _ in range(4))

    async def send(itemize: Itemizer[int]) -> None:
        woken_and_cancelled(asks[0])
        woken_and_cancelled(asks[1])
        await itemize(1)

    async with channel.sender as itemize:
        sent = asyncio.create_task(send(itemize))
        assert await done(asks[2]) == 1
        assert (asks[0].cancelled(), asks[1].cancelled()) == (True, True)
        await done(sent)
        assert not asks[3].done()
    await raises(StopAsyncIteration, asks[3])


@buffered
@at_any_moment
async def test_an_ask_that_is_cancelled_leaves_every_item_to_the_others(buffer: int, after: int) -> None:
    """Rule 14: with more items than asks, too."""
    channel = Channel[int](buffer=buffer)
    asks = [asyncio.create_task(anext(channel.receiver)) for _ in range(2)]
    await turns(after)
    async with channel.sender as itemize:
        await itemize(0)
        asks[0].cancel()
        sent = asyncio.create_task(itemize(1))
        assert await done(asks[1]) == 0
        assert asks[0].cancelled()
    await finish(channel, [1])
    await done(sent)


@every_buffer
@at_any_moment
@wherever_it_stands
async def test_an_ask_leaves_the_queue_from_anywhere(buffer: int, after: int, place: int) -> None:
    """Rule 14: the others keep their order."""
    channel = Channel[int](buffer=buffer)
    asks = [asyncio.create_task(anext(channel.receiver)) for _ in range(3)]
    await turns(after)
    await cancelled(asks.pop(place))
    async with channel.sender as itemize:
        sent = [asyncio.create_task(itemize(item)) for item in range(3)]
        assert [await done(ask) for ask in asks] == [0, 1]
    await finish(channel, [2])
    await all_done(sent)


@every_buffer
async def test_of_two_receivers_the_second_is_cancelled(buffer: int) -> None:
    """Rule 14: the first gets the item, and no ask is counted that is no longer there."""
    channel = Channel[int](buffer=buffer)
    first, second = await all_begun(anext(channel.receiver) for _ in range(2))
    await cancelled(second)
    async with channel.sender as itemize:
        sent = asyncio.create_task(itemize(1))
        assert await done(first) == 1
        assert sent.done() is (buffer > 0)  # in lock-step no further item has been asked for
    await finish(channel, [])
    await done(sent)


@every_buffer
@pytest.mark.parametrize("error", [None, Broken()])
async def test_a_cancelled_ask_does_not_keep_the_end_from_others(buffer: int, error: Broken | None) -> None:
    """Rule 14: the end wakes every ask, and stays; nor that by an error."""
    channel = Channel[int](buffer=buffer)
    asks = await all_begun(anext(channel.receiver) for _ in range(3))
    with left_by(error):
        async with channel.sender:
            woken_and_cancelled(asks[0])
            if error is not None:
                raise error
    await raises(StopAsyncIteration if error is None else SenderFailed, *asks[1:])
    assert asks[0].cancelled()
    await ended(channel.receiver, error)


async def test_an_ask_that_was_woken_in_vain_waits_on() -> None:
    """Rules 14 and 15: woken by an ask that was cancelled, for an item that is withdrawn in the same turn."""
    channel = Channel[int]()
    first, second = await all_begun(anext(channel.receiver) for _ in range(2))

    async def send_and_withdraw(itemize: Itemizer[int]) -> None:
        woken_and_cancelled(first)
        sender = this_task()
        woken_and_cancelled(sender)
        await itemize(1)

    async with channel.sender as itemize:
        sent = await begun(send_and_withdraw(itemize))
        assert first.cancelled()
        assert sent.cancelled()
        assert not second.done()
        sent = asyncio.create_task(itemize(2))
        assert await done(second) == 2
    await finish(channel, [])
    await done(sent)


@every_buffer
async def test_an_ask_under_a_timeout_loses_nothing(buffer: int) -> None:
    """Rule 14: as it is used; a timeout that is over at once cancels at the first wait."""
    channel = Channel[int](buffer=buffer)
    taken: list[int] = []
    timeouts = 0

    async def write() -> None:
        async with channel.sender as itemize:
            for item in range(30):
                await turns(item % 3)
                await itemize(item)

    task = asyncio.create_task(write())
    while not task.done():
        try:
            async with asyncio.timeout(0):
                taken.append(await anext(channel.receiver))
        except TimeoutError:
            timeouts += 1
        except StopAsyncIteration:
            break
    taken += await rest(channel.receiver)
    assert taken == list(range(30))
    assert timeouts
    await done(task)


# Rule 15.


@every_buffer
@at_any_moment
async def test_a_cancelled_itemize_withdraws_its_item(buffer: int, after: int) -> None:
    """Rule 15: if it has not been taken, it is never delivered."""
    channel = Channel[str](buffer=buffer)
    async with channel.sender as itemize:
        for _ in range(buffer):
            await itemize("kept")
        state = repr(channel)
        child = asyncio.create_task(itemize("withdrawn"))
        await turns(after)
        await cancelled(child)
        assert repr(channel) == state
    await finish(channel, ["kept"] * buffer)


@every_buffer
@at_any_moment
@wherever_it_stands
async def test_an_itemize_leaves_the_queue_from_anywhere(buffer: int, after: int, place: int) -> None:
    """Rule 15: the first, a middle and the last waiting sender; the others keep their order."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        for item in range(buffer):
            await itemize(item)
        children = [asyncio.create_task(itemize(buffer + number)) for number in range(3)]
        await turns(after)
        await cancelled(children.pop(place))
        assert [child.done() for child in children] == [False, False]
    await finish(channel, [item for item in range(buffer + 3) if item != buffer + place])
    await all_done(children)


@at_any_moment
async def test_in_lock_step_a_taken_item_has_been_delivered(after: int) -> None:
    """Rule 15: the itemize that waits behind it can be cancelled, its item can't be called back, and comes once."""
    channel = Channel[int]()
    async with channel.sender as itemize:
        child = asyncio.create_task(itemize(1))
        assert await anext(channel.receiver) == 1
        await turns(after)
        await cancelled(child)
        assert " 0 to be taken, 0 waiting in itemize" in repr(channel)
        child = asyncio.create_task(itemize(2))
        assert await anext(channel.receiver) == 2
        ask = asyncio.create_task(anext(channel.receiver))
        await done(child)
    await raises(StopAsyncIteration, ask)


@buffered
async def test_an_item_taken_before_its_sender_had_its_turn_has_been_delivered(buffer: int) -> None:
    """Rule 15: the sender was woken since its item is gone, and is cancelled instead."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        children = await all_begun(map(itemize, range(buffer + 1)))
        assert [await anext(channel.receiver) for _ in children] == list(range(buffer + 1))
        await cancelled(children[-1])
        for item in range(buffer):
            await itemize(item)
    await finish(channel, list(range(buffer)))


async def test_in_lock_step_a_released_itemize_that_is_cancelled_has_delivered() -> None:
    """Rule 15: a further item has been asked for, and the cancellation comes before the turn of the sender."""
    channel = Channel[int]()
    async with channel.sender as itemize:
        child = asyncio.create_task(itemize(1))
        assert await anext(channel.receiver) == 1
        await turns()

        async def ask_and_cancel() -> int:
            woken_and_cancelled(child)
            return await anext(channel.receiver)

        ask = await begun(ask_and_cancel())
        assert child.cancelled()
        child = asyncio.create_task(itemize(2))
        assert await done(ask) == 2
    await finish(channel, [])
    await done(child)


@every_buffer
async def test_a_delivered_item_stays_delivered_when_the_block_is_cancelled(buffer: int) -> None:
    """Rules 7 and 15: what was taken comes once, and the stream is truncated."""
    channel = Channel[int](buffer=buffer)
    task = asyncio.create_task(write(channel.sender, range(9)))
    assert await anext(channel.receiver) == 0
    await turns()
    await cancelled(task)
    assert [await anext(channel.receiver) for _ in range(buffer)] == list(range(1, buffer + 1))
    with pytest.raises(SenderFailed):
        await anext(channel.receiver)


@buffered
@pytest.mark.parametrize("count", [1, 2])
async def test_the_place_of_a_woken_sender_that_is_cancelled_goes_to_the_next(buffer: int, count: int) -> None:
    """Rules 15 and 16: a slot freed by a withdrawn item goes to the next sender, and needs no further ask."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        children = await all_begun(map(itemize, range(buffer + 3)))
        assert await anext(channel.receiver) == 0
        for child in children[buffer : buffer + count]:
            child.cancel()
        await turns()
        assert [child.cancelled() for child in children[buffer:]] == [number < count for number in range(3)]
        assert children[buffer + count].done()
        assert [child.done() for child in children[buffer:]] == [number <= count for number in range(3)]
    await finish(channel, [*range(1, buffer), *range(buffer + count, buffer + 3)])
    await all_done(children[buffer + count :])


@buffered
async def test_the_place_of_a_woken_sender_is_not_given_twice(buffer: int) -> None:
    """Rule 15: a sender that is cancelled without having been woken frees no place."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        children = await all_begun(map(itemize, range(buffer + 3)))
        await cancelled(children[buffer])
        assert [child.done() for child in children[buffer + 1 :]] == [False, False]
        assert await anext(channel.receiver) == 0
        await turns()
        assert [child.done() for child in children[buffer + 1 :]] == [True, False]
    await finish(channel, [*range(1, buffer), buffer + 1, buffer + 2])
    await done(children[-1])


@every_buffer
async def test_many_senders_can_be_cancelled_in_any_order(buffer: int) -> None:
    """Rule 15: what remains is what was not cancelled."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        children = await all_begun(map(itemize, range(buffer + 100)))
        waiting = children[buffer:]
        gone = waiting[::3] + waiting[::-1][::4]
        for child in gone:
            child.cancel()
        await turns()
    stay = [item for item, child in enumerate(children) if child not in gone]
    await finish(channel, stay)
    for item in stay:
        await done(children[item])


@every_buffer
async def test_an_itemize_that_is_cancelled_while_the_receiver_closes(buffer: int) -> None:
    """Rule 15: whichever comes first, its item is gone, and no task waits."""
    for close_first in (True, False):
        channel = Channel[int](buffer=buffer)
        async with channel.sender as itemize:
            children = await all_begun(map(itemize, range(buffer + 2)))
            if close_first:
                await channel.receiver.aclose()
            children[buffer].cancel()
            if not close_first:
                await channel.receiver.aclose()
            await turns()
            assert children[buffer].cancelled()
            with pytest.raises(ReceiverClosed):
                children[buffer + 1].result()
        await closed_early(channel.receiver)


# Rule 16.


async def use_up_the_first_turns(channel: Channel[str], itemize: Itemizer[str], buffer: int) -> None:
    """Wait in vain once on each side, so that the next waits are parked from their first step on."""
    ask = await begun(anext(channel.receiver))
    await cancelled(ask)
    for _ in range(buffer):
        await itemize("filler")
    child = await begun(itemize("withdrawn"))
    await cancelled(child)
    for _ in range(buffer):
        assert await anext(channel.receiver) == "filler"


async def turns_until_done(*tasks: asyncio.Task[None]) -> None:
    for _ in range(20):
        if all(task.done() for task in tasks):
            return
        await turns(1)


async def run(buffer: int, moments: dict[str, int], *, parked: bool) -> None:
    """Senders a and b and consumers x and y; those in `moments` are cancelled when the others have had so many turns."""
    channel = Channel[str](buffer=buffer)
    called: list[str] = []
    returned: list[str] = []
    taken: list[str] = []

    async def send(itemize: Itemizer[str], name: str) -> None:
        for number in range(3):
            called.append(f"{name}{number}")
            await itemize(f"{name}{number}")
            returned.append(f"{name}{number}")

    async def take() -> None:
        async for item in channel.receiver:
            taken.append(item)
            await asyncio.sleep(0)

    story = f"{buffer=} {moments=} {parked=}"
    async with channel.sender as itemize:
        if parked:
            await use_up_the_first_turns(channel, itemize, buffer)
        tasks = {name: asyncio.create_task(take() if name in "xy" else send(itemize, name)) for name in "xayb"}
        for moment in range(max(moments.values()) + 1):
            for name, its_moment in moments.items():
                if its_moment == moment:
                    tasks[name].cancel()
            await asyncio.sleep(0)
        senders = tasks["a"], tasks["b"]
        await turns_until_done(*senders)
        tasks["z"] = asyncio.create_task(take())
        await turns_until_done(*senders)
        assert all(sender.done() for sender in senders), story
    await turns()
    assert all(task.done() for task in tasks.values()), story
    assert all(task.cancelled() or task.exception() is None for task in tasks.values()), story

    assert taken == [item for item in called if item in taken], story
    assert set(returned) <= set(taken), story
    missing = [item for item in called if item not in taken]
    assert all(tasks[item[0]].cancelled() for item in missing), story
    assert len({item[0] for item in missing}) == len(missing), story
    assert all(f"{name}2" in returned or tasks[name].cancelled() for name in "ab"), story
    await finish(channel, [])


@pytest.mark.parametrize("victims", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("buffer", [0, 1, 2])
@pytest.mark.parametrize("parked", [False, True])
async def test_no_cancellation_loses_doubles_or_reorders_an_item_or_leaves_a_task_waiting(
    victims: int, buffer: int, monkeypatch: pytest.MonkeyPatch, *, parked: bool
) -> None:
    """Rule 16: each of two senders and two consumers, and each pair of them, cancelled at every moment."""
    # In debug mode every task and future notes its whole stack, pytest's own included, which takes longer than the rest.
    monkeypatch.setattr(sys, "tracebacklimit", 1, raising=False)
    for names, moments in product(combinations("abxy", victims), product(range(12 // victims), repeat=victims)):
        await run(buffer, dict(zip(names, moments, strict=True)), parked=parked)

"""`offer`: a send that never waits, for plain callbacks. Rule 24."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import product
from typing import Final, TypeAlias

import pytest
from typing_extensions import override

from chanstream import Channel, Itemizer, ReceiverClosed, SenderClosed, offer, stream
from tests.garbage import let_go
from tests.loops import turns, turns_given
from tests.outcomes import Broken, all_begun, begun, done, over, rest, wait_for

Wrap: TypeAlias = Callable[[Itemizer[int]], Itemizer[int]]


def itself(itemize: Itemizer[int]) -> Itemizer[int]:
    return itemize


def wrapped(itemize: Itemizer[int]) -> Itemizer[int]:
    async def passed_on(item: int, /) -> None:
        await itemize(item)

    return passed_on


def wrapped_twice(itemize: Itemizer[int]) -> Itemizer[int]:
    return wrapped(Wrapper(itemize))


def followed(itemize: Itemizer[int]) -> Itemizer[int]:
    """A wrapper that awaits something else afterwards."""

    async def passed_on(item: int, /) -> None:
        await itemize(item)
        await asyncio.sleep(0)

    return passed_on


def nested(itemize: Itemizer[int]) -> Itemizer[int]:
    """A wrapper that offers something by itself."""
    inner = Channel[int](buffer=9)
    opened = inner.sender.__aenter__()
    with pytest.raises(StopIteration) as entered:
        opened.send(None)
    other: Itemizer[int] = entered.value.value

    async def passed_on(item: int, /) -> None:
        assert offer(wrapped(other), item)
        inner.receiver.take_ready()
        await itemize(item)

    return passed_on


class Wrapper(Itemizer[int]):
    def __init__(self, itemize: Itemizer[int]) -> None:
        self.itemize = itemize

    @override
    async def __call__(self, item: int, /) -> None:
        await self.itemize(item)


WRAPS: Final = [itself, wrapped, wrapped_twice, followed, nested]
each_wrap = pytest.mark.parametrize("wrap", WRAPS)


# Room.


@each_wrap
@pytest.mark.parametrize("buffer", [1, 2, 5])
async def test_with_a_buffer_there_is_room_until_it_is_full(buffer: int, wrap: Wrap) -> None:
    """Rule 24: any number in one step; what was refused is never delivered, and what was accepted is, in order."""
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        write = wrap(itemize)
        assert [offer(write, item) for item in range(buffer + 2)] == [True] * buffer + [False] * 2
        assert await anext(channel.receiver) == 0
        assert [offer(write, item) for item in (10, 11)] == [True, False]
    assert await rest(channel.receiver) == [*range(1, buffer), 10]
    await over(channel.receiver)


@each_wrap
@pytest.mark.parametrize("asks", [0, 1, 2, 3])
async def test_in_lock_step_there_is_room_for_each_ask_that_waits(asks: int, wrap: Wrap) -> None:
    """Rule 24."""
    channel = Channel[int]()
    async with channel.sender as itemize:
        asking = await all_begun(anext(channel.receiver) for _ in range(asks))
        write = wrap(itemize)
        assert [offer(write, item) for item in range(4)] == [True] * asks + [False] * (4 - asks)
        assert [await done(each) for each in asking] == [*range(asks)]
        assert offer(write, 4) is False
    assert await rest(channel.receiver) == []


async def test_an_offer_gives_no_other_task_a_turn_and_returns_a_bool() -> None:
    """Rule 24: it never waits, and is no coroutine; so it works in a plain callback."""
    channel = Channel[int](buffer=2)
    results: list[object] = []
    async with channel.sender as itemize:
        asyncio.get_running_loop().call_soon(lambda: results.append(offer(itemize, 1)))
        asyncio.get_running_loop().call_later(0, lambda: results.append(offer(itemize, 2)))
        await asyncio.sleep(0.01)
        assert results == [True, True]
        assert offer(itemize, 3) is False
        assert await anext(channel.receiver) == 1
        await asyncio.create_task(wait_for(itemize(4)))
        assert offer(itemize, 5) is False
    assert await rest(channel.receiver) == [2, 4]


# The consumer that is cancelled first.


@each_wrap
@pytest.mark.parametrize("then", ["another asks", "another waits", "take_ready", "the block ends"])
async def test_if_the_consumer_is_cancelled_first_the_item_is_the_next_ones(then: str, wrap: Wrap) -> None:
    """Rule 24: in lock-step, where it was accepted because that one waited."""
    channel = Channel[int]()
    asks = await all_begun(anext(channel.receiver) for _ in range(2 if then == "another waits" else 1))
    async with channel.sender as itemize:
        assert offer(wrap(itemize), 1)
        asks[0].cancel()
        await turns()
        assert asks[0].cancelled()
        if then == "another waits":
            assert asks[1].result() == 1
        elif then == "take_ready":
            assert not offer(wrap(itemize), 2)  # none waits for it any more
            assert channel.receiver.take_ready() == [1]
        elif then == "another asks":
            assert await done(asyncio.create_task(anext(channel.receiver))) == 1
    assert await rest(channel.receiver) == ([1] if then == "the block ends" else [])


# Beside itemizers that wait.


@pytest.mark.parametrize("cancelled", [None, 0, 1])
@pytest.mark.parametrize("buffer", [0, 1, 2, 3])
async def test_an_offer_keeps_the_order_of_the_calls(buffer: int, cancelled: int | None) -> None:
    """Rules 1, 15 and 24: it goes behind every itemizer that waits, if there is room for all; what those withdraw never comes."""
    for waiting, asks, taken, offers, pause in product(range(4), range(2), (0, 1, 3), (3,), (1, 10)):
        channel = Channel[int](buffer=buffer)
        called: list[int] = []
        refused: list[int] = []
        async with channel.sender as itemize:
            asking = await all_begun(anext(channel.receiver) for _ in range(asks))
            called += [item for item in range(buffer) if offer(itemize, item)]
            writing = [asyncio.create_task(wait_for(itemize(10 + number))) for number in range(waiting)]
            called += [10 + number for number in range(waiting)]
            await turns(pause)
            # All this in one step, in which no task that could go on has run yet.
            got = channel.receiver.take_ready(taken)
            room = (buffer or len([each for each in asking if not each.done()])) - channel.statistics().pending
            for item in range(100, 100 + offers):
                assert offer(itemize, item) is (room > 0)
                (called if room > 0 else refused).append(item)
                room -= 1
            assert channel.statistics().buffered <= max(buffer, asks)
            untaken = [item for item in called if item not in got]
            if cancelled is not None and cancelled < len(writing) and writing[cancelled].cancel():
                withdrawn = 10 + cancelled
                await turns()
                # An ask that waited may have run before the itemizer that was cancelled.
                if withdrawn in untaken and withdrawn not in [each.result() for each in asking if each.done()]:
                    called.remove(withdrawn)
            await turns()
        got = [*(each.result() for each in asking if each.done()), *got]
        for each in asking:
            each.cancel()
        got += await rest(channel.receiver)
        assert got == called, (waiting, asks, taken, offers, pause)
        await asyncio.gather(*writing, return_exceptions=True)


async def test_after_what_was_offered_behind_an_itemizer_there_is_room_as_before() -> None:
    """Rules 3 and 24: also if that is cancelled, or its item is taken, and an itemize that finds room gives no turn."""
    for then in ("goes on", "is cancelled", "is taken"):
        channel = Channel[int](buffer=4)
        async with channel.sender as itemize:
            assert [offer(itemize, item) for item in range(4)] == [True] * 4
            writing = await begun(wait_for(itemize(4)))
            assert channel.receiver.take_ready() == [0, 1, 2, 3, 4] if then == "is taken" else True
            if then != "is taken":
                assert channel.receiver.take_ready(3) == [0, 1, 2]
            assert offer(itemize, 5)
            if then == "is cancelled":
                writing.cancel()
            await turns()
            assert writing.done()
            given = turns_given()
            await itemize(6)
            assert not given()
        assert await rest(channel.receiver) == {"goes on": [3, 4, 5, 6], "is cancelled": [3, 5, 6], "is taken": [5, 6]}[then]


@pytest.mark.parametrize("drop_oldest", [False, True])
async def test_an_offer_goes_behind_an_itemizer_for_which_a_turn_is_due(*, drop_oldest: bool) -> None:
    """Rules 1, 3 and 24: though that one has room; and with `drop_oldest` there is room in any case."""
    channel = Channel[int](buffer=2000, drop_oldest=drop_oldest)
    offered: list[bool] = []
    async with channel.sender as itemize:

        async def write() -> None:
            for item in range(1500):
                if item == 512:
                    asyncio.get_running_loop().call_soon(lambda: offered.append(offer(itemize, -1)))
                await itemize(item)

        await asyncio.create_task(write())
        assert offered == [True]
    assert await rest(channel.receiver) == [*range(513), -1, *range(513, 1500)]


async def test_with_drop_oldest_there_always_is_room() -> None:
    """Rules 24 and 25: for an itemizer for which a turn is due, and what is offered behind it, the oldest go."""
    lost: list[int] = []
    channel = Channel[int](buffer=2, drop_oldest=True, on_drop=lost.append)
    async with channel.sender as itemize:

        async def write() -> None:
            for item in range(1027):
                if item == 1026:
                    asyncio.get_running_loop().call_soon(lambda: [offer(itemize, item) for item in (-1, -2, -3)])
                await itemize(item)

        await asyncio.create_task(write())
        # The one for which a turn is due may still be cancelled, so it is there when the oldest that is accepted for good goes.
        assert lost == [*range(1026), -1, 1026]
        assert channel.statistics().dropped == len(lost)
    assert await rest(channel.receiver) == [-2, -3]


# The ends.


@each_wrap
@pytest.mark.parametrize("buffer", [0, 3])
@pytest.mark.parametrize("end", ["closed", "dropped"])
async def test_an_offer_is_refused_when_the_receiver_has_gone(end: str, buffer: int, wrap: Wrap) -> None:
    """Rule 24: within the block, and after it too if the receiver went first."""
    held = [Channel[int](buffer=buffer)]
    sender = held[0].sender
    async with sender as itemize:
        if end == "closed":
            await held[0].receiver.aclose()
        held.clear()
        let_go()
        assert offer(wrap(itemize), 1) is False
    assert offer(wrap(itemize), 1) is False


@each_wrap
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("error", [None, Broken()])
@pytest.mark.parametrize("buffer", [0, 3])
async def test_an_offer_after_the_block_is_a_mistake(buffer: int, error: Broken | None, wrap: Wrap, *, closed: bool) -> None:
    """Rule 24: if the block ended first, however it ended, and whatever becomes of the receiver then."""
    channel = Channel[int](buffer=buffer)
    with suppress(Broken):
        async with channel.sender as itemize:
            if error is not None:
                raise error
    if closed:
        await channel.receiver.aclose()
    with pytest.raises(SenderClosed):
        offer(wrap(itemize), 1)


# Loops and threads.


@each_wrap
@pytest.mark.parametrize("buffer", [0, 3])
async def test_an_offer_in_another_loop_or_thread_is_refused_and_harms_nothing(buffer: int, wrap: Wrap) -> None:
    """Rules 19 and 24: a RuntimeError."""
    channel = Channel[int](buffer=buffer)
    asking = await begun(anext(channel.receiver))
    async with channel.sender as itemize:
        write = wrap(itemize)

        async def elsewhere() -> None:
            offer(write, 1)

        with pytest.raises(RuntimeError, match="belongs to the event loop"):
            await asyncio.to_thread(offer, write, 1)
        with pytest.raises(RuntimeError, match="belongs to the event loop"):
            await asyncio.to_thread(asyncio.run, elsewhere())
        assert offer(write, 2)
        assert await done(asking) == 2
    assert await rest(channel.receiver) == []


@each_wrap
async def test_a_foreign_thread_offers_with_call_soon_threadsafe(wrap: Wrap) -> None:
    """Rule 24: and doesn't block."""
    channel = Channel[int](buffer=99)
    loop = asyncio.get_running_loop()
    async with channel.sender as itemize:

        def write() -> None:
            for item in range(99):
                loop.call_soon_threadsafe(offer, wrap(itemize), item)

        thread = threading.Thread(target=write)
        thread.start()
        assert [await anext(channel.receiver) for _ in range(99)] == list(range(99))
        thread.join()


async def test_while_a_wrapper_is_offered_to_the_itemizers_of_other_threads_wait() -> None:
    """Rules 2 and 24: an itemizer knows whether `offer` runs it."""
    log: list[list[int]] = []

    async def elsewhere() -> None:
        channel = Channel[int]()
        task = asyncio.create_task(channel.feed(count_to_three))
        log.append(await rest(channel.receiver))
        await task

    async def count_to_three(itemize: Itemizer[int]) -> None:
        for item in range(3):
            await itemize(item)

    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:

        async def passed_on(item: int, /) -> None:
            thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
            thread.start()
            thread.join()
            await itemize(item)

        assert offer(passed_on, 1)
    assert log == [[0, 1, 2]]
    assert await rest(channel.receiver) == [1]


# Wrappers.


@pytest.mark.parametrize("buffer", [0, 1])
async def test_an_itemize_after_a_wrapped_offer_waits_as_before(buffer: int) -> None:
    """Rules 2, 3 and 24: whether that was accepted, refused or failed."""

    async def fails(_: int, /) -> None:
        raise Broken

    async def write(itemize: Itemizer[int]) -> None:
        for item in range(buffer + 1):
            assert offer(wrapped(itemize), item) is (item < buffer)
        with pytest.raises(Broken):
            offer(fails, 1)
        await itemize(9)

    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        task = await begun(write(itemize))
        assert not task.done()
        assert [await anext(channel.receiver) for _ in range(buffer + 1)] == [*range(buffer), 9]
        asking = asyncio.create_task(anext(channel.receiver))
        await done(task)
    with pytest.raises(StopAsyncIteration):
        await asking


async def test_a_wrapper_whose_cleanup_awaits_is_refused() -> None:
    """Rule 24: the cleanup is cut off where it awaits, since an offer never waits."""
    log: list[str] = []

    async def audited(item: int, /) -> None:
        try:
            await itemize(item)
        finally:
            log.append("begun")
            await asyncio.sleep(0)
            log.append("ended")

    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        assert [offer(audited, item) for item in range(2)] == [True, False]
    assert log == ["begun", "begun"]
    assert await rest(channel.receiver) == [0]


async def test_a_wrapper_that_can_not_be_ended_is_a_mistake() -> None:
    """Rule 24: an offer never waits, and ends; so does one with an error in its cleanup."""
    own = RuntimeError("of its own")

    async def endless(_: int, /) -> None:
        for _attempt in range(102):  # one more than an offer makes, for the end of the test
            with suppress(GeneratorExit):
                await asyncio.sleep(0)

    async def fails(_: int, /) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            raise own

    with pytest.raises(RuntimeError, match="coroutine ignored GeneratorExit"):
        offer(endless, 1)
    with pytest.raises(RuntimeError, match="of its own"):
        offer(fails, 1)


@pytest.mark.parametrize("buffer", [0, 1])
async def test_a_wrapper_that_catches_the_refusal_has_passed_on_nothing(buffer: int) -> None:
    """Rule 24: what was not accepted is not called accepted; what touches no channel is up to itself."""

    async def safe(item: int, /) -> None:
        with suppress(SenderClosed):
            await itemize(item)

    async def other(_: int, /) -> None:
        pass

    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        pass
    assert offer(safe, 1) is False
    assert offer(other, 1) is True
    await over(channel.receiver)


async def test_a_wrapper_that_awaits_before_is_refused_and_taken_back() -> None:
    """Rule 24: it goes no further, so nothing is delivered; its cleanup runs."""
    log: list[str] = []
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:

        async def passed_on(item: int, /) -> None:
            try:
                await asyncio.sleep(0)
                await itemize(item)
            finally:
                log.append("cleaned")

        assert offer(passed_on, 1) is False
        assert log == ["cleaned"]
        assert channel.receiver.take_ready() == []


async def test_what_is_refused_is_taken_back_at_once() -> None:
    """Rule 24: also if something else keeps its coroutine."""
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        calls = [itemize(2)]
        await itemize(1)
        assert offer(lambda _: calls[0], 2) is False
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await calls[0]
    assert await rest(channel.receiver) == [1]


async def test_an_itemizer_of_another_make_is_run_as_far_as_it_goes() -> None:
    """Rule 24: a fake that keeps the items accepts them, one that says that nothing listens refuses them."""
    items: list[int] = []

    async def keep(item: int, /) -> None:
        items.append(item)

    assert offer(keep, 1)
    assert items == [1]

    async def refuse(_: int, /) -> None:
        raise ReceiverClosed

    assert offer(refuse, 1) is False


if sys.version_info >= (3, 12):

    @pytest.mark.parametrize("first", [False, True], ids=["afterwards", "before"])
    def test_an_eager_task_that_a_wrapper_makes_is_no_part_of_the_offer(*, first: bool) -> None:
        """Rule 24: it waits in its own itemizer as anywhere, and what that accepts says nothing of the item that was offered."""

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            log = Channel[str](buffer=1)
            channel = Channel[int](buffer=1)
            tasks: list[asyncio.Task[None]] = []
            async with log.sender as write, channel.sender as itemize:

                async def tell(item: int) -> None:
                    tasks.append(asyncio.create_task(wait_for(write(str(item)))))

                async def logged(item: int, /) -> None:
                    if first:
                        await tell(item)
                    await itemize(item)
                    if not first:
                        await tell(item)

                assert offer(logged, 1)
                assert not offer(logged, 2)
                await turns()
                assert channel.receiver.take_ready() == [1]
                assert [task.done() for task in tasks] == ([True, False] if first else [True])
                assert log.receiver.take_ready() == (["1", "2"] if first else ["1"])
                await asyncio.wait(tasks)

        asyncio.run(main())


@each_wrap
async def test_a_stream_has_no_room(wrap: Wrap) -> None:
    """Rule 24: a RuntimeError says so, and the stream goes on."""

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)
        with pytest.raises(RuntimeError, match=r"stream\(\), which has no room"):
            offer(wrap(itemize), 2)
        await itemize(3)

    assert [item async for item in stream(produce)] == [1, 3]


def test_what_is_no_itemizer_is_refused_by_name() -> None:
    """Rule 21: and what it takes is said."""
    channel = Channel[int](buffer=1)
    with pytest.raises(TypeError, match=r"offer\(itemize, item\) takes the itemizer that .* not Sender"):
        offer(channel.sender, 1)  # type: ignore[arg-type]

    def plain(_: int, /) -> Coroutine[object, object, None]:
        items: dict[int, Coroutine[object, object, None]] = {}
        return items.get(1)  # type: ignore[return-value]  # as an untyped program does

    with pytest.raises(TypeError, match=r"offer\(itemize, item\) takes an async function .* returned NoneType"):
        offer(plain, 1)

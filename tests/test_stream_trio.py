"""Rule 18: a stream under trio, which drives its tasks in another way than asyncio does, next to a generator."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeAlias

import pytest
import trio

from chanstream import Itemizer, stream
from chanstream.stages import batched
from tests.garbage import let_go
from tests.outcomes import Broken
from tests.producers import as_generator

Make: TypeAlias = Callable[[list[str]], AsyncGenerator[int, None]]


async def produce(itemize: Itemizer[int], log: list[str]) -> None:
    try:
        for number in range(3):
            await trio.sleep(0.001)
            log.append(f"give {number}")
            await itemize(number)
        await trio.sleep_forever()
    except BaseException as error:
        log.append(type(error).__name__)
        raise
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.001)
        log.append("cleaned up")


both = pytest.mark.parametrize("make", [as_generator(produce), lambda log: stream(produce, log)], ids=["generated", "streamed"])


@both
def test_a_timeout_of_the_consumer_reaches_what_func_awaits(make: Make) -> None:
    """Rule 18: the Cancelled of `move_on_after` is raised at the await, and the cleanup awaits."""
    log: list[str] = []

    async def main() -> None:
        async with aclosing(make(log)) as items:
            with trio.move_on_after(0.1) as scope:
                async for item in items:
                    log.append(f"took {item}")
            assert scope.cancelled_caught
            log.append("moved on")

    trio.run(main)
    assert log == [
        *(line for number in range(3) for line in (f"give {number}", f"took {number}")),
        "Cancelled",
        "cleaned up",
        "moved on",
    ]


@both
def test_a_stream_that_is_closed_early_cleans_up(make: Make) -> None:
    """Rule 18: `aclose` raises GeneratorExit at the ``await itemize(item)``, and waits for the cleanup."""
    log: list[str] = []

    async def main() -> None:
        items = make(log)
        assert await anext(items) == 0
        await items.aclose()
        log.append("closed")
        with pytest.raises(StopAsyncIteration):
            await anext(items)

    trio.run(main)
    assert log == ["give 0", "GeneratorExit", "cleaned up", "closed"]


@both
def test_what_is_thrown_in_is_raised_where_func_waits(make: Make) -> None:
    """Rule 18: also from another task than that which took the item."""
    log: list[str] = []

    async def main() -> None:
        items = make(log)
        assert await anext(items) == 0

        async def throw() -> None:
            with pytest.raises(KeyError):
                await items.athrow(KeyError())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(throw)

    trio.run(main)
    assert log == ["give 0", "KeyError", "cleaned up"]


@pytest.mark.cpython  # on PyPy trio learns of a dropped native generator too late for this
@both
def test_a_dropped_stream_is_closed_by_trio(make: Make) -> None:
    """Rule 18: it warns, as of a generator, and closes it, here too."""
    log: list[str] = []

    async def main() -> None:
        items = make(log)
        assert await anext(items) == 0
        with pytest.warns(ResourceWarning, match="was garbage collected before it had been exhausted"):  # noqa: PT031
            del items
            let_go()
            for _ in range(3):
                await trio.lowlevel.checkpoint()

    trio.run(main)
    assert log[:2] == ["give 0", "GeneratorExit"]


async def slept(log: list[str]) -> None:
    """What trio answers to a signal comes back to what has given it."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await trio.lowlevel.checkpoint()
    log.append(f"cancelled inside: {scope.cancelled_caught}")
    event = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(event.wait)
        event.set()
    sending, receiving = trio.open_memory_channel[str](0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sending.send, "an item")
        log.append(f"received: {await receiving.receive()}")
    log.append(f"in a thread: {await trio.to_thread.run_sync(str, 7)}")


def test_func_awaits_what_trio_has() -> None:
    """Rule 18: scopes, nurseries, channels and threads inside func, between its items."""
    log: list[str] = []

    async def give(itemize: Itemizer[int]) -> None:
        await slept(log)
        await itemize(1)
        await slept(log)
        await itemize(2)

    async def main() -> None:
        assert [item async for item in stream(give)] == [1, 2]

    trio.run(main)
    assert log == ["cancelled inside: True", "received: an item", "in a thread: 7"] * 2


@pytest.mark.parametrize("waits", [trio.sleep_forever, trio.Event().wait], ids=["sleeps", "waits for an event"])
def test_a_scope_of_func_that_ends_before_the_item_covers_only_what_func_awaits(waits: Callable[[], Awaitable[None]]) -> None:
    """Rule 18: a timeout inside func is its own affair."""

    async def give(itemize: Itemizer[bool]) -> None:
        for _ in range(2):
            with trio.move_on_after(0.001) as scope:
                await waits()
            await itemize(scope.cancelled_caught)

    async def main() -> None:
        assert [item async for item in stream(give)] == [True, True]

    trio.run(main)


def test_the_itemizer_in_another_task_is_refused() -> None:
    """Rule 18: trio rejects the signal, and the RuntimeError names the way out."""

    async def give(itemize: Itemizer[int]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(itemize, 1)

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as refused:
            await anext(stream(give))
        [error] = refused.value.exceptions
        assert isinstance(error, RuntimeError)
        assert "Channel.fed_by" in str(error)

    trio.run(main)


def test_a_stage_that_needs_no_event_loop_runs_under_trio() -> None:
    """Rules 18 and 28: batches by size, of a source that fails."""

    async def main() -> list[list[int]]:
        batches = list[list[int]]()
        with pytest.raises(Broken):
            async for batch in stream(batched(stream(count_and_fail), size=2)):
                batches.append(batch)
        return batches

    assert trio.run(main) == [[0, 1], [2]]


async def count_and_fail(itemize: Itemizer[int]) -> None:
    for number in range(3):
        await trio.lowlevel.checkpoint()
        await itemize(number)
    raise Broken

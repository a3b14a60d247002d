"""Rule 17: a producer in a task of its own, that a block owns.

test_producer_errors.py tests which errors leave the block, test_lost_blocks.py a block that is never left.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Never, TypeVar

import pytest

from chanstream import Channel, ChannelError, Itemizer, Receiver, ReceiverClosed, SenderClosed, SenderFailed, stream
from tests.loops import this_task, turns
from tests.outcomes import begun, collect, cut_short, done, wait_for
from tests.producers import BodyError, Halt, ProducerError, busy, count, failing, failing_cleanup, in_a_generator, logged

T = TypeVar("T")

either_mode = pytest.mark.parametrize("buffer", [0, 2], ids=["lock-step", "buffered"])


async def relay(itemize: Itemizer[int], source: AsyncIterator[int], log: list[str]) -> None:
    try:
        async for item in source:
            await itemize(item)
    finally:
        await turns(2)
        log.append("relay cleaned")


async def some(rows: AsyncIterator[T], number: int) -> list[T]:
    return [await anext(rows) for _ in range(number)]


async def into(got: list[T], rows: AsyncIterator[T]) -> None:
    async for row in rows:
        got.append(row)


async def slow(itemize: Itemizer[int], log: list[str], released: asyncio.Event) -> None:
    """A producer whose cleanup takes until `released` is set."""
    try:
        await count(itemize, 10)
    finally:
        await released.wait()
        log.append("cleaned")


async def outcome(awaitable: Coroutine[object, object, T]) -> T:
    """Run in a task of its own and wait for it, but not for ever."""
    task = asyncio.create_task(awaitable)
    await ended(task)
    return await task


async def ended(task: asyncio.Task[T]) -> None:
    for _ in range(300):
        if task.done():
            return
        await turns(1)
    for _ in range(20):  # one that swallows it shall not hold up the end of the test
        task.cancel()
        await turns(1)
    pytest.fail("it waits for ever")


@contextmanager
def new_tasks() -> Iterator[Callable[[], set[asyncio.Task[object]]]]:
    """Tell which tasks have been made since."""
    before = asyncio.all_tasks()
    yield lambda: asyncio.all_tasks() - before


# What the block is.


async def test_the_repr_of_a_block_shows_its_channel() -> None:
    channel = Channel[int]()
    assert repr(channel.fed_by(count, 1)) == f"<FedBlock of {channel!r}>"


@either_mode
async def test_the_block_gives_what_the_producer_passes_on_and_then_the_end(buffer: int) -> None:
    """Rule 17, and rule 6 for what comes after."""
    channel = Channel[int](buffer=buffer)
    async with channel.fed_by(count, 4) as rows:
        assert rows is channel.receiver
        assert await collect(rows) == [0, 1, 2, 3]
        assert await collect(rows) == []
    assert await collect(rows) == []


async def test_func_runs_in_a_task_and_a_context_of_its_own() -> None:
    """Rule 17: one task, inside the sender block, for as long as the block lasts."""
    variable = contextvars.ContextVar("variable", default="outside")

    async def tell(itemize: Itemizer[object]) -> None:
        variable.set("inside")
        await itemize(asyncio.current_task())
        await itemize(repr(channel))

    channel = Channel[object]()
    with new_tasks() as new:
        async with channel.fed_by(tell) as rows:
            task = await anext(rows)
            assert new() == {task}
            assert "sender open" in str(await anext(rows))
        assert not new()
    assert variable.get() == "outside"
    assert task is not asyncio.current_task()


async def test_a_buffered_producer_runs_ahead_of_a_body_that_does_not_ask() -> None:
    """Rules 3 and 17: the task runs whether or not the body iterates."""
    log: list[str] = []
    channel = Channel[int](buffer=3)
    async with channel.fed_by(logged, log, 3):
        await turns()
        assert log == ["end", "cleaned"]
        assert "3 to be taken" in repr(channel)


async def test_a_block_left_at_once_leaves_nothing() -> None:
    """Rule 17: whether the task has started by then is a matter of the event loop."""
    channel = Channel[int]()
    with new_tasks() as new:
        async with channel.fed_by(count, 3) as rows:
            pass
        assert not new()
    assert "receiver closed, 0 to be taken, 0 waiting in itemize" in repr(channel)
    cut_short(rows)


@either_mode
async def test_a_loop_left_at_any_item_ends_the_producer_quietly_and_waits_for_its_cleanup(buffer: int) -> None:
    """Rule 17: leaving closes the receiver, cancels the task and waits for it."""
    for taken in range(5):
        log: list[str] = []
        with new_tasks() as new:
            async with Channel[int](buffer=buffer).fed_by(logged, log) as rows:
                await turns(4)
                assert await some(rows, taken) == list(range(taken))
            assert not new()
        assert log == ["CancelledError", "cleaned"]
        cut_short(rows)


async def test_a_closed_receiver_ends_the_producer_before_the_block_is_left() -> None:
    """Rules 10, 11 and 17: the producer is cancelled wherever it waits, and its end is quiet."""
    log: list[str] = []
    async with Channel[int]().fed_by(logged, log) as rows:
        assert await anext(rows) == 0
        await rows.aclose()
        await turns()
        assert log == ["CancelledError", "cleaned"]
        cut_short(rows)


async def test_a_producer_whose_receiver_is_closed_already_is_not_started() -> None:
    """Rules 10 and 17."""
    log: list[str] = []
    channel = Channel[int]()
    await channel.receiver.aclose()
    async with channel.fed_by(logged, log) as rows:
        cut_short(rows)
        await turns()
    assert log == []


async def test_a_block_of_workers_shares_the_items() -> None:
    """Rules 4 and 17: the receiver is an ordinary one."""
    got: list[int] = []

    async def work(rows: Receiver[int]) -> None:
        async for row in rows:
            got.append(row)
            await turns(1)

    async with Channel[int]().fed_by(count, 9) as rows, asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(work(rows))
    assert got == list(range(9))


async def test_the_block_may_be_left_by_another_task() -> None:
    """Rule 17: nothing is bound to the task that entered, so fixtures and exit stacks may own a block."""
    log: list[str] = []
    block = Channel[int]().fed_by(logged, log)
    rows = await block.__aenter__()
    assert await anext(rows) == 0

    async def leave() -> None:
        await block.__aexit__(None, None, None)

    await outcome(leave())
    assert log == ["CancelledError", "cleaned"]


async def test_a_block_may_be_entered_outside_of_a_task() -> None:
    """Rule 17: in a callback of the event loop, for it doesn't wait there."""
    log: list[str] = []
    entered: list[Receiver[int]] = []

    def enter() -> None:
        try:
            block.__aenter__().send(None)
        except StopIteration as returned:
            entered.append(returned.value)

    block = Channel[int]().fed_by(logged, log)
    asyncio.get_running_loop().call_soon(enter)
    await turns(2)
    assert await anext(entered[0]) == 0
    await block.__aexit__(None, None, None)
    assert log == ["CancelledError", "cleaned"]


async def test_tasks_may_be_of_another_make() -> None:
    """Rule 20: a task factory may return objects that can't be kept from reporting their loss."""

    class OtherTask(asyncio.Task[T]):
        @property
        def _log_destroy_pending(self) -> bool:
            return True

    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(lambda loop, coro, **options: OtherTask(coro, loop=loop, **options))
    try:
        async with Channel[int]().fed_by(count, 3) as rows:
            assert await collect(rows) == [0, 1, 2]
    finally:
        loop.set_task_factory(before)


# What it refuses.


async def test_fed_by_on_an_opened_sender_raises_at_the_block_and_changes_nothing() -> None:
    """Rules 8 and 17: func is not called, no task is made, and the block that is open goes on."""
    log: list[str] = []
    channel = Channel[int]()
    got = asyncio.create_task(collect(channel.receiver))
    async with channel.sender as itemize:
        await itemize(1)
        before = repr(channel)
        with new_tasks() as new:
            with pytest.raises(SenderClosed, match="opened before"):
                async with channel.fed_by(logged, log):
                    pytest.fail("the body ran")
            assert not new()
        assert repr(channel) == before
        await itemize(2)
    await turns()
    assert log == []
    assert await got == [1, 2]


async def test_a_block_is_entered_once_and_the_first_is_unharmed_by_a_second() -> None:
    """Rules 8 and 17: the same block again, and another of the same channel, while the first runs and after it."""
    channel = Channel[int]()
    first, second = channel.fed_by(count, 3), channel.fed_by(count, 3)
    async with first as rows:
        for again in first, second:
            with pytest.raises(SenderClosed):
                async with again:
                    pytest.fail("the body ran")
        assert await collect(rows) == [0, 1, 2]
    for again in first, second:
        with pytest.raises(SenderClosed):
            async with again:
                pytest.fail("the body ran")


async def test_a_block_that_is_left_in_another_loop_is_unharmed() -> None:
    """Rules 17 and 19: that is refused, and its own loop reads on and leaves it."""
    block = Channel[int]().fed_by(count, 3)
    numbers = await block.__aenter__()
    assert await anext(numbers) == 0
    with pytest.raises(RuntimeError, match="belongs to the event loop"):
        await asyncio.to_thread(asyncio.run, wait_for(block.__aexit__(None, None, None)))
    assert await collect(numbers) == [1, 2]
    await block.__aexit__(None, None, None)


@pytest.mark.parametrize("error", [RecursionError(), KeyboardInterrupt()])
async def test_a_block_whose_task_can_not_be_made_fails_the_stream(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules 7 and 31: those that wait for its items get the error, and nothing is left that was never awaited."""

    def refuse(*_: object, **_options: object) -> Never:
        raise error

    channel = Channel[int]()
    asking = await begun(anext(channel.receiver))
    with monkeypatch.context() as patched, pytest.raises(type(error)):
        patched.setattr(asyncio, "create_task", refuse)
        await channel.fed_by(count, 3).__aenter__()
    with pytest.raises(SenderFailed) as caught:
        await done(asking)
    assert caught.value.__cause__ is error


# Cancellation from outside.


BUSY = ["first", "0", "1", "last"]


async def read_busy(log: list[str], got: list[str], buffer: int) -> None:
    event = asyncio.Event()
    async with Channel[str](buffer=buffer).fed_by(busy, log, event) as rows:
        async for row in rows:
            got.append(row)
            await asyncio.sleep(0)
            if row == "1":
                event.set()


@either_mode
async def test_a_body_cancelled_at_any_turn_leaves_no_task_and_loses_no_cleanup(buffer: int) -> None:
    """Rule 17: one run for every turn of the loop, with the cancellation in that turn."""
    finished = cancelled = 0
    for turn in range(60):
        log: list[str] = []
        got: list[str] = []
        with new_tasks() as new:
            task = asyncio.create_task(read_busy(log, got, buffer))
            await turns(turn)
            task.cancel()
            await ended(task)
            assert not new(), turn
        assert got == BUSY[: len(got)]
        assert log in ([], ["start", "clean", "cleaned"], ["start", "clean"]), turn
        if task.cancelled():
            cancelled += 1
            # The only await at which nothing more is run is in the cleanup itself.
            assert log != ["start"], turn
        else:
            finished += 1
            assert (got, log) == (BUSY, ["start", "clean", "cleaned"])
    assert finished > 5
    assert cancelled > 5


@either_mode
async def test_a_producer_cancelled_from_elsewhere_at_any_turn_is_an_incomplete_stream(buffer: int) -> None:
    """Rules 7, 16 and 17: every await of the producer, and the time before its first step. The consumer is never cancelled."""
    finished = failed = 0
    for turn in range(60):
        log: list[str] = []
        got: list[str] = []
        with new_tasks() as new:
            task = asyncio.create_task(read_busy(log, got, buffer))
            reader = {task}
            while not (producers := new() - reader) and not task.done():
                await turns(1)
            await turns(turn)
            for producer in producers:
                producer.cancel("from elsewhere")
            await ended(task)
            assert not new(), turn
        assert got == BUSY[: len(got)]
        assert not task.cancelled()
        error = task.exception()
        if error is None:
            finished += 1
            assert got == BUSY
        else:
            failed += 1
            assert isinstance(error, SenderFailed)
            assert isinstance(error.__cause__, asyncio.CancelledError)
    assert finished > 5
    assert failed > 5


async def test_a_producer_cancelled_before_its_first_step_fails_the_stream() -> None:
    """Rules 7 and 17: the consumer gets SenderFailed, doesn't wait for ever and is not cancelled."""

    async def never(itemize: Itemizer[int]) -> None:
        await asyncio.Event().wait()
        await itemize(1)

    async def read() -> list[int]:
        with new_tasks() as new:
            async with Channel[int]().fed_by(never) as rows:
                for task in new():
                    task.cancel("from elsewhere")
                with pytest.raises(SenderFailed) as met:
                    await anext(rows)
                assert isinstance(met.value.__cause__, asyncio.CancelledError)
                return await collect(rows)

    with pytest.raises(SenderFailed) as raised:
        await outcome(read())
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)
    reader = this_task()
    assert not reader.cancelling()


async def test_a_producer_cancelled_from_elsewhere_after_the_receiver_was_closed_is_no_failure() -> None:
    """Rules 9 and 17: the rest is missed by no task."""
    log: list[str] = []

    async def cancelled_again(itemize: Itemizer[int]) -> None:
        try:
            await count(itemize, 10)
        finally:
            log.append("closed")
            raise asyncio.CancelledError

    async with Channel[int]().fed_by(cancelled_again) as rows:
        assert await anext(rows) == 0
        await rows.aclose()
        await turns()
        assert log == ["closed"]


async def test_a_timeout_around_the_block_ends_it() -> None:
    """Rule 17: cleanup included, and nothing of the cancellation remains."""
    log: list[str] = []
    with new_tasks() as new:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit, Channel[int]().fed_by(logged, log) as rows:
                async for _ in rows:
                    limit.reschedule(0)
                    await asyncio.Event().wait()
        assert not new()
    assert log == ["CancelledError", "cleaned"]
    reader = this_task()
    assert not reader.cancelling()


async def test_a_timeout_inside_the_block_leaves_the_producer_alone() -> None:
    """Rules 14 and 17."""

    async def late(itemize: Itemizer[int], event: asyncio.Event) -> None:
        await event.wait()
        await count(itemize, 2)

    event = asyncio.Event()
    async with Channel[int]().fed_by(late, event) as rows:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await anext(rows)
        event.set()
        assert await collect(rows) == [0, 1]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancelled_body_waits_for_the_cleanup(times: int) -> None:
    """Rule 17: func is cancelled once, and its cleanup may take its time. No group is made of two cancellations."""
    log: list[str] = []
    released = asyncio.Event()

    async def read() -> None:
        async with Channel[int]().fed_by(slow, log, released) as rows:
            await anext(rows)
            await asyncio.Event().wait()

    task = await begun(read())
    for _ in range(times):
        task.cancel()
        await turns()
        assert not task.done()
    released.set()
    await ended(task)
    assert task.cancelled()
    assert log == ["cleaned"]


@pytest.mark.parametrize("body", ["left", "failed", "busy"])
async def test_a_cancellation_that_an_error_takes_the_place_of_is_raised_at_the_next_await(body: str) -> None:
    """Rule 16: a task that handles the error does not go on as if it had not been cancelled.

    As with asyncio.TaskGroup, from Python 3.13 on. If this failed, a timeout around the block would be used up and never strike.
    """
    released = asyncio.Event()

    async def slow(itemize: Itemizer[int]) -> None:
        try:
            await count(itemize, 10)
        finally:
            await released.wait()
            if body != "failed":
                raise ProducerError

    async def read() -> str:
        with suppress(ProducerError, BodyError):
            async with Channel[int]().fed_by(slow) as rows:
                await anext(rows)
                if body == "failed":
                    raise BodyError
                if body == "busy":
                    await asyncio.Event().wait()
        await turns()
        return "went on"

    task = await begun(read())
    task.cancel()
    await turns()
    released.set()
    await ended(task)
    if sys.version_info >= (3, 13):
        assert task.cancelled()
        assert task.cancelling() == 1
    else:
        assert task.result() == "went on"


async def test_an_error_in_place_of_another_tasks_cancellation_cancels_nothing() -> None:
    """Rule 17: the body raised that of a task that it waited for, and its own task was not cancelled."""
    other = asyncio.create_task(asyncio.Event().wait())
    other.cancel()
    with pytest.raises(ProducerError):
        async with Channel[int]().fed_by(failing_cleanup, ProducerError()) as rows:
            await anext(rows)
            await other
    await turns()


async def test_an_error_of_a_block_in_the_cleanup_of_a_cancelled_task_cancels_nothing() -> None:
    """Rule 17: a cancellation that did not reach the block is not raised again by it."""

    async def read() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with suppress(ProducerError):
                async with Channel[int]().fed_by(failing, ProducerError()) as rows:
                    await collect(rows)
        await turns()
        return "cleaned"

    task = await begun(read())
    task.cancel()
    await ended(task)
    assert task.result() == "cleaned"


@pytest.mark.parametrize("own", [None, BodyError("x"), Halt("x"), SenderFailed("x")], ids=repr)
async def test_a_cancellation_while_leaving_does_not_interrupt_the_cleanup(own: BaseException | None) -> None:
    """Rule 17: nothing outlives the block, the producer is cancelled once, and the body's own error is not hidden."""
    log: list[str] = []
    released = asyncio.Event()

    async def read() -> None:
        async with Channel[int]().fed_by(slow, log, released) as rows:
            await anext(rows)
            if own is not None:
                raise own

    with new_tasks() as new:
        task = asyncio.create_task(read())
        for _ in range(3):
            await turns()
            assert not task.done()
            task.cancel()
        await turns()
        assert not task.done()
        released.set()
        await ended(task)
        assert not new()
    assert log == ["cleaned"]
    if own is None:
        assert task.cancelled()
    else:
        assert task.exception() is own


async def test_an_error_in_the_cleanup_of_a_cancelled_block_comes_as_itself() -> None:
    """Rule 17: to be cancelled is no reason of the body's own. What is cancelled again is taken back by the timeout around.

    If this failed, CancelledError would come in an exception group, which no timeout, task group or `except Exception` around the
    block knows what to do with. With an async generator under aclosing, the error comes alone as well.
    """
    error = ProducerError()
    with pytest.raises(ProducerError) as raised:
        async with asyncio.timeout(None) as limit, Channel[int]().fed_by(failing_cleanup, error) as rows:
            await anext(rows)
            limit.reschedule(0)
            await asyncio.Event().wait()
    assert raised.value is error
    assert limit.expired()
    assert not this_task().cancelling()
    await turns()


async def test_an_error_in_the_cleanup_of_a_block_in_a_closed_generator_comes_as_itself() -> None:
    """Rule 17: to be closed, as a generator around the block is, is no reason of the body's own."""
    error = ProducerError()
    generator = in_a_generator(Channel[int]().fed_by(failing_cleanup, error))
    assert await anext(generator) == 0
    with pytest.raises(ProducerError) as raised:
        await generator.aclose()
    assert raised.value is error


async def test_a_generator_around_the_block_is_closed_as_any_other() -> None:
    """Rule 17: GeneratorExit leaves the block unchanged."""
    log: list[str] = []
    async with aclosing(in_a_generator(Channel[int]().fed_by(logged, log))) as generator:
        assert await anext(generator) == 0
    assert log == ["CancelledError", "cleaned"]
    assert await collect(generator) == []


async def test_a_cancellation_while_a_generator_around_the_block_is_closed_is_not_lost() -> None:
    """Rule 17: a task that is cancelled in `await generator.aclose()` is cancelled, as it is without the block."""
    log: list[str] = []

    async def slow(itemize: Itemizer[int]) -> None:
        try:
            await count(itemize, 10)
        finally:
            log.append("cleaning")
            await turns()
            log.append("cleaned")

    async def read() -> None:
        generator = in_a_generator(Channel[int]().fed_by(slow))
        assert await anext(generator) == 0
        await generator.aclose()
        log.append("went on")

    task = asyncio.create_task(read())
    await turns(5)
    assert log == ["cleaning"]
    task.cancel()
    await ended(task)
    assert log == ["cleaning", "cleaned"]
    assert task.cancelled()


async def test_a_producer_that_swallowed_a_cancellation_from_elsewhere_is_cancelled_all_the_same() -> None:
    """Rule 17: leaving the block cancels what is left of the task, whatever was asked of it before."""
    log: list[str] = []

    async def produce(_: Itemizer[int]) -> None:
        for _attempt in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.append("cancelled")

    async def leave() -> None:
        with new_tasks() as new:
            async with Channel[int]().fed_by(produce):
                await turns()
                for task in new():
                    task.cancel()
                await turns()
                assert log == ["cancelled"]

    leaving = asyncio.create_task(leave())
    await turns(40)
    assert leaving.done()
    await leaving
    assert log == ["cancelled", "cancelled"]


async def test_a_producer_that_goes_on_regardless_is_waited_for() -> None:
    """Rule 17: the block ends when the task does; meanwhile its itemizer raises every time."""
    log: list[str] = []

    async def stubborn(itemize: Itemizer[int]) -> None:
        for number in range(4):
            try:
                await itemize(number)
            except (asyncio.CancelledError, ReceiverClosed) as error:
                log.append(type(error).__name__)
        await turns(8)
        log.append("end")

    async def read() -> None:
        async with Channel[int]().fed_by(stubborn) as rows:
            assert await anext(rows) == 0

    with new_tasks() as new:
        await outcome(read())
        assert not new()
    assert log[-2:] == ["ReceiverClosed", "end"]
    assert len(log) == 5
    assert set(log[:-1]) <= {"CancelledError", "ReceiverClosed"}


async def test_tasks_that_a_producer_leaves_behind_lose_their_itemizer() -> None:
    """Rules 8, 10 and 17: the block owns func's task. Others that func made are its own to end; here they write no more."""
    children: list[asyncio.Task[None]] = []

    async def leave_a_child(itemize: Itemizer[int]) -> None:
        children.append(asyncio.create_task(count(itemize, 1_000)))
        await itemize(-1)

    async with Channel[int]().fed_by(leave_a_child) as rows:
        got = await collect(rows)
    assert -1 in got
    assert len(got) < 6
    await turns()
    (child,) = children
    with pytest.raises(ChannelError):
        await outcome(wait_for(child))
    assert await collect(rows) == []


@pytest.mark.parametrize("cancelled_before", [False, True])
async def test_a_cancellation_that_the_body_has_handled_is_not_raised_again(*, cancelled_before: bool) -> None:
    """Rules 16 and 17: neither one that came within the block, nor one before it, when the block raises an error."""
    log: list[str] = []

    async def program() -> None:
        task = this_task()
        if cancelled_before:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        with suppress(BodyError):
            async with Channel[int]().fed_by(count, 10):
                if not cancelled_before:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await asyncio.sleep(0)
                raise BodyError
        await asyncio.sleep(0)
        log.append(f"went on with {task.cancelling()}")

    await outcome(program())
    assert log == ["went on with 1"]


async def test_a_cancellation_of_another_task_that_the_body_raises_is_none_of_its_own() -> None:
    """Rules 16 and 17: nor is one before the block, which was handled."""
    log: list[str] = []

    async def program() -> None:
        task = this_task()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        with suppress(ProducerError):
            async with Channel[int]().fed_by(failing, ProducerError(), 0):
                await turns(3)
                raise asyncio.CancelledError
        await asyncio.sleep(0)
        log.append("went on")

    await outcome(program())
    assert log == ["went on"]


async def test_a_producer_that_never_began_has_finished_when_its_block_is_left() -> None:
    """Rules 6 and 17: it was cancelled before its first step."""
    channel = Channel[int]()
    async with channel.fed_by(count, 10):
        pass
    await turns()
    assert channel.statistics().sender == "finished"


# Pipelines.


async def test_leaving_a_pipeline_early_ends_every_stage_from_the_end_to_the_source() -> None:
    """Rule 17: closing a stage closes what is upstream of it, and each cleanup is waited for."""
    for taken in range(5):
        log: list[str] = []
        with new_tasks() as new:
            async with (
                Channel[int]().fed_by(logged, log) as numbers,
                Channel[int](buffer=1).fed_by(relay, numbers, log) as relayed,
                Channel[int]().fed_by(relay, relayed, log) as again,
            ):
                await turns(4)
                assert await some(again, taken) == list(range(taken))
            assert not new()
        assert log == ["relay cleaned", "relay cleaned", "CancelledError", "cleaned"]


async def test_a_stage_that_owns_what_is_upstream_closes_it_with_itself() -> None:
    """Rule 17: blocks nest in producers too."""
    log: list[str] = []

    async def stage(itemize: Itemizer[int]) -> None:
        async with Channel[int]().fed_by(logged, log) as numbers:
            await relay(itemize, numbers, log)

    async with Channel[int]().fed_by(stage) as rows:
        assert [await anext(rows), await anext(rows)] == [0, 1]
        await rows.aclose()
        await turns(20)
        assert log == ["relay cleaned", "CancelledError", "cleaned"]


async def test_a_pipeline_that_ends_ends_complete() -> None:
    """Rules 6 and 17."""
    log: list[str] = []
    async with (
        Channel[int]().fed_by(logged, log, 5) as numbers,
        Channel[int]().fed_by(relay, numbers, log) as relayed,
    ):
        assert await collect(relayed) == [0, 1, 2, 3, 4]
    assert log == ["end", "cleaned", "relay cleaned"]


async def test_an_error_of_any_stage_surfaces_as_itself() -> None:
    """Rule 17: in between it travels as SenderFailed, and each block knows its own."""
    error = ProducerError()
    log: list[str] = []
    with pytest.raises(ProducerError) as raised:
        async with (
            Channel[int]().fed_by(failing, error) as numbers,
            Channel[int]().fed_by(relay, numbers, log) as relayed,
            Channel[int]().fed_by(relay, relayed, log) as again,
        ):
            await collect(again)
    assert raised.value is error
    assert error.__context__ is None

    async def fail_midway(itemize: Itemizer[int], source: AsyncIterator[int]) -> None:
        await itemize(await anext(source))
        raise error

    log.clear()
    with pytest.raises(ProducerError) as raised:
        async with (
            Channel[int]().fed_by(logged, log) as numbers,
            Channel[int]().fed_by(fail_midway, numbers) as relayed,
            Channel[int]().fed_by(relay, relayed, log) as again,
        ):
            await collect(again)
    assert raised.value is error
    assert log == ["relay cleaned", "CancelledError", "cleaned"]


async def test_an_error_of_the_source_surfaces_as_itself_through_a_stage_that_closes_its_source() -> None:
    """Rules 9 and 17: a stage may hold its source in `async with`."""
    error = ProducerError()

    async def tidy(itemize: Itemizer[int], source: Receiver[int]) -> None:
        async with source:
            async for item in source:
                await itemize(item)

    with pytest.raises(ProducerError) as raised:
        async with Channel[int]().fed_by(failing, error) as numbers, Channel[int]().fed_by(tidy, numbers) as rows:
            await collect(rows)
    assert raised.value is error


async def test_errors_of_two_stages_come_together() -> None:
    """Rule 17: both failed, each for a reason of its own."""
    early, late = ProducerError("source"), ProducerError("stage")

    async def fail_while_closing(itemize: Itemizer[int], source: AsyncIterator[int]) -> None:
        try:
            await itemize(await anext(source))
        finally:
            raise late

    with pytest.raises(ExceptionGroup) as raised:
        async with (
            Channel[int]().fed_by(failing_cleanup, early) as numbers,
            Channel[int]().fed_by(fail_while_closing, numbers) as rows,
        ):
            await anext(rows)
    assert raised.value.exceptions == (late, early)


async def test_a_pipeline_cancelled_at_any_turn_leaves_no_task() -> None:
    """Rules 16 and 17."""

    async def run(log: list[str], got: list[int]) -> None:
        async with (
            Channel[int]().fed_by(count, 4) as numbers,
            Channel[int](buffer=1).fed_by(relay, numbers, log) as relayed,
            Channel[int]().fed_by(relay, relayed, log) as again,
        ):
            await into(got, again)

    finished = 0
    for turn in range(60):
        got: list[int] = []
        with new_tasks() as new:
            task = asyncio.create_task(run([], got))
            await turns(turn)
            task.cancel()
            await ended(task)
            assert not new(), turn
        assert got == list(range(len(got)))
        finished += not task.cancelled()
    assert 0 < finished < 60


# Cases of trio's as_safe_channel.


async def test_a_block_cancelled_before_anything_was_asked_for_ends() -> None:
    """Rule 17. trio, test_as_safe_channel_cancelled."""

    async def read() -> None:
        async with Channel[int]().fed_by(count, 2):
            reader = this_task()
            reader.cancel()

    # A cancellation that finds no await comes at the next, which is the leaving of the block.
    with pytest.raises(asyncio.CancelledError):
        await outcome(read())


async def test_a_timeout_held_by_the_producer_across_its_itemizer_does_not_reach_the_body() -> None:
    """Rule 17. trio, test_as_safe_channel_doesnt_leak_cancellation: what an async generator can't do (PEP 789)."""
    limits: list[asyncio.Timeout] = []
    log: list[str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            async with asyncio.timeout(None) as limit:
                limits.append(limit)
                await itemize(1)
                await itemize(2)
        except TimeoutError:
            log.append("timeout")
            await itemize(3)

    async with Channel[int]().fed_by(produce) as rows:
        assert await anext(rows) == 1
        limits[0].reschedule(0)
        await turns(4)
        log.append("the body is not cancelled")
        assert await collect(rows) == [3]
    assert log == ["timeout", "the body is not cancelled"]


async def test_a_cancelled_body_comes_before_the_cancelled_producer() -> None:
    """Rule 17. trio, test_as_safe_channel_multi_cancel: there the scope cancels both at once, here the body leaves first."""
    log: list[str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await itemize(1)
        finally:
            log.append("producer")

    async def read() -> None:
        async with Channel[int]().fed_by(produce) as rows:
            async for _ in rows:
                try:
                    await asyncio.Event().wait()
                finally:
                    log.append("body")

    task = await begun(read())
    task.cancel()
    await ended(task)
    assert task.cancelled()
    assert log == ["body", "producer"]


async def test_a_generator_exit_of_the_body_is_not_swallowed() -> None:
    """Rule 17. trio, test_as_safe_channel_does_not_suppress_nested_genexit."""
    with pytest.raises(GeneratorExit):
        async with Channel[int]().fed_by(count, 1) as rows:
            assert await anext(rows) == 0
            raise GeneratorExit


async def test_an_error_of_a_child_of_the_producer_surfaces_when_the_body_leaves_early() -> None:
    """Rule 17. trio, test_as_safe_channel_genexit_filter and test_as_safe_channel_swallowing_extra_exceptions."""

    async def fail_when_cancelled(error: Exception) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise error from None

    errors = [ValueError("a"), TypeError("b")]

    async def produce(itemize: Itemizer[int]) -> None:
        async with asyncio.TaskGroup() as group:
            for error in errors:
                group.create_task(fail_when_cancelled(error))
            await turns(2)
            await count(itemize, 5)

    with pytest.raises(ExceptionGroup) as raised:
        async with Channel[int]().fed_by(produce) as rows:
            async for _ in rows:
                break
    assert set(raised.value.exceptions) == set(errors)


# Beside the other ways.


async def test_a_stream_is_a_source_like_any_other() -> None:
    """Rules 17 and 18: a stream read by a producer in a task, and a block read inside a stream."""
    log: list[str] = []

    async def through_a_block(itemize: Itemizer[int]) -> None:
        async with Channel[int]().fed_by(logged, log) as rows:
            await relay(itemize, rows, log)

    async with aclosing(stream(count, 3)) as numbers, Channel[int]().fed_by(relay, numbers, log) as rows:
        assert await collect(rows) == [0, 1, 2]
    log.clear()
    async with aclosing(stream(through_a_block)) as numbers:
        assert inspect.isasyncgen(numbers)
        assert await anext(numbers) == 0
    assert log == ["relay cleaned", "CancelledError", "cleaned"]

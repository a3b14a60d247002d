"""`Channel.feed`: a producer that runs in the calling task, and every way in which it ends. Rule 23."""

from __future__ import annotations

import asyncio
import inspect
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Final, TypeAlias

import anyio
import pytest

from chanstream import Channel, Itemizer, Receiver, ReceiverClosed, SenderClosed, SenderFailed
from tests.garbage import let_go
from tests.loops import this_task, turns
from tests.outcomes import Broken, begun, done, failed, over, rest
from tests.producers import count, logged

CLOSED: Final = "the receiver is closed"
DROPPED: Final = "the receiver is dropped"

every_buffer = pytest.mark.parametrize("buffer", [0, 1, 3])
each_end = pytest.mark.parametrize("end", [CLOSED, DROPPED])


class Feed:
    """A channel, the task that runs `feed`, and what holds the receiver."""

    def __init__(self, func: Callable[[Itemizer[int]], Coroutine[object, object, None]], buffer: int = 0, before: int = 0) -> None:
        channel = Channel[int](buffer=buffer)
        self.held = [channel.receiver]
        # Not by create_task, with which an eager task factory runs the first step.
        self.task = asyncio.Task(self.run(channel.feed(func)), loop=asyncio.get_running_loop())
        self.before = before
        """How many cancellations the task has swallowed before."""
        self.counts: list[int] = []

    async def run(self, feeding: Coroutine[object, object, None]) -> None:
        task = this_task()
        for _ in range(self.before):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        try:
            await feeding
        finally:
            self.counts.append(task.cancelling())

    @property
    def receiver(self) -> Receiver[int]:
        return self.held[0]

    async def lose_receiver(self, end: str) -> None:
        if end == CLOSED:
            await self.receiver.aclose()
        else:
            self.held.clear()
            let_go()


# Where it runs, and what with.


@every_buffer
async def test_func_runs_in_the_calling_task_inside_the_sender_block(buffer: int) -> None:
    """Rule 23: with its arguments, and when it has ended, so has the stream."""
    channel = Channel[int](buffer=buffer)
    tasks: list[object] = []

    async def produce(itemize: Itemizer[int], first: int, *, last: int) -> None:
        tasks.append(asyncio.current_task())
        for number in range(first, last):
            await itemize(number)

    task = asyncio.create_task(channel.feed(produce, 2, last=9))
    assert await rest(channel.receiver) == list(range(2, 9))
    await done(task)
    assert tasks == [task]
    await over(channel.receiver)


def shown_of(feeding: Coroutine[object, object, None], name: str) -> object:
    """What debuggers and call graphs read of a coroutine."""
    shown: object = getattr(feeding, name)
    return shown


async def test_feed_is_a_coroutine_like_any_other() -> None:
    """Rule 23: whatever runs coroutines runs it, and a task shows where it is."""
    channel = Channel[int]()
    shown: list[object] = []

    async def produce(itemize: Itemizer[int]) -> None:
        shown.append(shown_of(feeding, "cr_running"))
        await itemize(0)

    feeding = channel.feed(produce)
    assert inspect.isawaitable(feeding)
    task = await begun(feeding)
    assert shown == [True]
    assert shown_of(feeding, "cr_running") is False
    assert shown_of(feeding, "cr_await") is not None
    assert "coro=<Channel.feed() running at " in repr(task)
    assert f"wait_for=<waiting in itemize of {channel!r}>" in repr(task)
    assert [frame.f_code.co_name for frame in task.get_stack()]
    assert await rest(channel.receiver) == [0]
    await done(task)

    async def run_by(run: Callable[[Coroutine[object, object, None]], Awaitable[object]]) -> None:
        channel = Channel[int](buffer=9)
        await run(channel.feed(count, 3))
        assert await rest(channel.receiver) == [0, 1, 2]

    await run_by(lambda feeding: asyncio.wait_for(feeding, 100))
    await run_by(asyncio.gather)
    await run_by(asyncio.ensure_future)
    channel = Channel[int](buffer=9)
    async with anyio.create_task_group() as group:
        group.start_soon(channel.feed, count, 3)
    assert await rest(channel.receiver) == [0, 1, 2]


def test_a_program_may_consist_of_a_feed() -> None:
    """Rule 23."""
    channel = Channel[int](buffer=9)
    asyncio.run(channel.feed(count, 3))
    assert channel.statistics().buffered == 3


def test_outside_of_a_task_it_is_refused_and_the_sender_is_left_alone() -> None:
    """Rule 23: it runs in the calling task, so there has to be one."""
    channel = Channel[int](buffer=9)
    with pytest.raises(RuntimeError, match="outside of an asyncio task"):
        channel.feed(count, 3).send(None)
    asyncio.run(channel.feed(count, 3))
    assert channel.statistics().buffered == 3


# The receiver is gone.


async def in_itemize(itemize: Itemizer[int]) -> None:
    while True:
        await itemize(1)


async def at_an_event(_: Itemizer[int]) -> None:
    await asyncio.Event().wait()


async def at_plain_turns(_: Itemizer[int]) -> None:
    await turns(10_000)


async def in_a_timeout(itemize: Itemizer[int]) -> None:
    async with asyncio.timeout(100):
        await in_itemize(itemize)


async def in_a_task_group(itemize: Itemizer[int]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(at_an_event(itemize))


async def in_tasks_that_itemize(itemize: Itemizer[int]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(in_itemize(itemize))
        group.create_task(at_an_event(itemize))


async def in_an_anyio_scope(itemize: Itemizer[int]) -> None:
    with anyio.CancelScope():
        await in_itemize(itemize)


async def in_an_anyio_task_group(itemize: Itemizer[int]) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(at_an_event, itemize)


async def at_another_channel(itemize: Itemizer[int]) -> None:
    async with Channel[int]().fed_by(at_an_event) as numbers:
        async for number in numbers:
            await itemize(number)


async def in_another_feed(_: Itemizer[int]) -> None:
    channel = Channel[int]()
    async with channel.receiver:
        await channel.feed(at_an_event)


WAITS: Final = [
    in_itemize,
    at_an_event,
    at_plain_turns,
    in_a_timeout,
    in_a_task_group,
    in_tasks_that_itemize,
    in_an_anyio_scope,
    in_an_anyio_task_group,
    at_another_channel,
    in_another_feed,
]


@each_end
@every_buffer
@pytest.mark.parametrize("wait", WAITS)
async def test_when_the_receiver_is_gone_func_is_cancelled_once_wherever_it_waits(
    wait: Callable[[Itemizer[int]], Coroutine[object, object, None]], buffer: int, end: str
) -> None:
    """Rule 23: its cleanup runs to its end, `feed` returns normally, and the count of cancellations is what it was."""
    log: list[str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await wait(itemize)
        except BaseException as error:
            log.append(type(error).__name__)
            raise
        finally:
            await turns(5)
            log.append("cleaned")

    feed = Feed(produce, buffer)
    await turns(20)
    await feed.lose_receiver(end)
    if end == CLOSED:
        await feed.lose_receiver(end)
    await done(feed.task, 40)
    assert log == ["CancelledError", "cleaned"]
    assert feed.counts == [0]


@each_end
@pytest.mark.parametrize("takes_back", [False, True])
@pytest.mark.parametrize("before", [0, 1])
async def test_func_may_end_as_it_likes_when_it_is_cancelled(before: int, end: str, *, takes_back: bool) -> None:
    """Rule 23: `feed` returns normally, and the count is what it was, also in the cleanup of a task that was cancelled before."""
    log: list[str] = []

    async def produce(_: Itemizer[int]) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        task = asyncio.current_task()
        if takes_back and task is not None:
            task.uncancel()
        await turns(3)
        log.append("ended")

    feed = Feed(produce, before=before)
    await turns()
    await feed.lose_receiver(end)
    await done(feed.task)
    assert log == ["ended"]
    assert feed.counts == [before]


async def test_func_is_cancelled_at_its_next_wait_if_it_closes_the_receiver_itself() -> None:
    """Rule 23: and if it has none, `feed` returns normally all the same."""
    for waits in (False, True):
        log: list[str] = []

        async def produce(_: Itemizer[int], receiver: Receiver[int], *, waits: bool, log: list[str]) -> None:
            await receiver.aclose()
            log.append("closed")
            if waits:
                await asyncio.sleep(0)
                log.append("went on")

        channel = Channel[int]()
        await channel.feed(produce, channel.receiver, waits=waits, log=log)
        assert log == ["closed"]
        await turns(2)  # and no cancellation is left


class Kinds:
    """Functions that return a coroutine of their own, each of which notes that it was called."""

    def __init__(self) -> None:
        self.called = 0

    async def method(self, itemize: Itemizer[int]) -> None:
        self.called += 1
        await itemize(1)

    def plain(self, itemize: Itemizer[int]) -> Coroutine[object, object, None]:
        self.called += 1
        return count(itemize, 1)

    def partial(self, itemize: Itemizer[int]) -> Coroutine[object, object, None]:
        return partial(self.plain, itemize)()

    async def __call__(self, itemize: Itemizer[int]) -> None:
        self.called += 1
        await itemize(1)


KINDS: Final[dict[str, Callable[[Kinds], Callable[[Itemizer[int]], Coroutine[object, object, None]]]]] = {
    "async": lambda kinds: kinds.method,
    "plain": lambda kinds: kinds.plain,
    "partial": lambda kinds: partial(kinds.plain),
    "callable": lambda kinds: kinds,
}
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_end
@each_kind
async def test_if_the_receiver_is_gone_before_the_first_step_func_is_not_started(kind: str, end: str) -> None:
    """Rule 23: `feed` returns normally."""
    kinds = Kinds()
    feed = Feed(KINDS[kind](kinds))
    await feed.lose_receiver(end)
    await done(feed.task)
    assert kinds.called == 0


# The first step.


THROWN: Final = asyncio.CancelledError()
BEFORE_IT: Final[dict[str, Callable[[Coroutine[object, object, None]], object]]] = {
    "closed": lambda feeding: feeding.close(),
    "cancelled": lambda feeding: feeding.throw(asyncio.CancelledError()),
    "cancelled, as trio does": lambda feeding: feeding.throw(asyncio.CancelledError),
    "thrown at, as before Python 3.12": lambda feeding: feeding.throw(asyncio.CancelledError, THROWN, None),
    "thrown away": lambda _: let_go(),
}


def end_before_its_first_step(what: str, feeding: Coroutine[object, object, None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that it was never awaited
        with suppress(asyncio.CancelledError):
            BEFORE_IT[what](feeding)
        del feeding
        let_go()


@each_kind
@pytest.mark.parametrize(
    # PyPy may keep what was thrown away until a later collection.
    "what",
    [pytest.param(each, marks=pytest.mark.cpython) if each == "thrown away" else each for each in BEFORE_IT],
)
async def test_a_feed_that_ends_before_its_first_step_fails_the_stream(what: str, kind: str) -> None:
    """Rules 7, 16 and 23: whatever func is; its consumer does not wait for ever."""
    channel = Channel[int]()
    asking = await begun(anext(channel.receiver))
    kinds = Kinds()
    end_before_its_first_step(what, channel.feed(KINDS[kind](kinds)))
    with pytest.raises(SenderFailed) as caught:
        await done(asking)
    cause = caught.value.__cause__
    expected = {"closed": GeneratorExit, "thrown away": type(None)}.get(what, asyncio.CancelledError)
    assert type(cause) is expected
    assert (cause is THROWN) == (what == "thrown at, as before Python 3.12")
    await failed(channel.receiver, cause)
    assert kinds.called == 0


@each_kind
async def test_a_task_that_is_cancelled_before_its_first_step_fails_the_stream(kind: str) -> None:
    """Rules 16 and 23."""
    kinds = Kinds()
    channel = Channel[int]()
    # Not by create_task, with which an eager task factory runs the first step.
    task = asyncio.Task(channel.feed(KINDS[kind](kinds)), loop=asyncio.get_running_loop())
    task.cancel()
    await turns()
    assert task.cancelled()
    with pytest.raises(SenderFailed):
        await anext(channel.receiver)
    assert kinds.called == 0


async def test_a_feed_that_is_cancelled_before_its_first_step_without_a_receiver_ends_by_that() -> None:
    """Rule 23: a cancellation from outside leaves it as a cancellation."""
    channel = Channel[int]()
    await channel.receiver.aclose()
    task = asyncio.Task(channel.feed(count, 1), loop=asyncio.get_running_loop())
    task.cancel()
    await turns()
    assert task.cancelled()
    assert channel.statistics().sender == "finished"


@pytest.mark.parametrize("what", BEFORE_IT)
async def test_a_second_feed_leaves_the_stream_of_the_first_alone(what: str) -> None:
    """Rule 23: one run for one channel, whatever becomes of the other before its first step."""
    channel = Channel[int]()
    task = await begun(channel.feed(count, 3))
    end_before_its_first_step(what, channel.feed(count, 3))
    with pytest.raises(SenderClosed):
        await channel.feed(count, 3)
    assert await rest(channel.receiver) == [0, 1, 2]
    await done(task)


async def test_a_feed_that_is_closed_midway_closes_func_and_fails_the_stream() -> None:
    """Rules 7 and 23."""
    log: list[str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await itemize(1)
        except GeneratorExit:
            log.append("closed")
            raise

    channel = Channel[int]()
    feeding = channel.feed(produce)

    async def begin() -> None:
        """Another coroutine runs its first step, and then closes it."""
        feeding.send(None)
        feeding.close()

    await begin()
    assert log == ["closed"]
    with pytest.raises(SenderFailed) as caught:
        await anext(channel.receiver)
    assert isinstance(caught.value.__cause__, GeneratorExit)


# Other ends.


async def fails(_: Itemizer[int]) -> None:
    raise Broken


def fails_at_once(_: Itemizer[int]) -> Coroutine[object, object, None]:
    raise Broken


def returns_nothing(_: Itemizer[int]) -> Coroutine[object, object, None]:
    result: dict[str, Coroutine[object, object, None]] = {}
    return result.get("nothing")  # type: ignore[return-value]  # as an untyped program does


async def stops(_: Itemizer[int]) -> None:
    raise StopAsyncIteration


@pytest.mark.parametrize(
    ("func", "kind"), [(fails, Broken), (fails_at_once, Broken), (returns_nothing, TypeError), (stops, RuntimeError)]
)
async def test_an_error_of_func_leaves_feed_as_itself(
    func: Callable[[Itemizer[int]], Coroutine[object, object, None]], kind: type[Exception]
) -> None:
    """Rules 7 and 23: and the stream fails by it."""
    channel = Channel[int]()
    task = await begun(channel.feed(func))
    error = task.exception()
    assert type(error) is kind
    await failed(channel.receiver, error)


async def test_what_is_no_producer_is_refused_when_feed_is_called() -> None:
    """Rules 21 and 23: before anything runs."""
    channel = Channel[int](buffer=1)
    with pytest.raises(TypeError, match="func takes an async function"):
        _ = channel.feed(None)  # type: ignore[arg-type]
    await channel.feed(count, 1)


@every_buffer
async def test_a_cancellation_from_outside_leaves_feed_as_the_very_object(buffer: int) -> None:
    """Rules 7 and 23: a library such as anyio knows its own by what it carries."""
    seen: list[BaseException] = []

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await in_itemize(itemize)
        except asyncio.CancelledError as error:
            seen.append(error)
            raise

    async def note(feeding: Coroutine[object, object, None]) -> None:
        try:
            await feeding
        except asyncio.CancelledError as error:
            seen.append(error)
            raise

    channel = Channel[int](buffer=buffer)
    task = await begun(note(channel.feed(produce)))
    task.cancel("a message")
    await turns()
    assert task.cancelled()
    assert task.cancelling() == 1
    assert seen[0] is seen[1]
    assert seen[0].args == ("a message",)
    assert [await anext(channel.receiver) for _ in range(buffer)] == [1] * buffer
    await failed(channel.receiver, seen[0])


@each_end
@pytest.mark.parametrize("first", ["close", "cancel"])
@pytest.mark.parametrize("pause", [0, 1, 2, 3])
async def test_a_cancellation_from_outside_that_comes_together_with_the_end_stays_one(pause: int, first: str, end: str) -> None:
    """Rule 23: in either order, also while the cleanup is under way."""
    task_ended: list[bool] = []

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await in_itemize(itemize)
        finally:
            await turns(4)
            task_ended.append(True)

    feed = Feed(produce)
    await turns()
    if first == "cancel":
        feed.task.cancel()
        await turns(pause)
        await feed.lose_receiver(end)
        await turns(20)
        assert task_ended  # it was cancelled once
    else:
        await feed.lose_receiver(end)
        await turns(pause)
        feed.task.cancel()
        await turns(20)
    assert feed.task.cancelled()
    assert feed.counts == [1]


async def test_an_error_and_a_cancellation_from_outside_that_come_together() -> None:
    """Rule 23: the error leaves `feed` as itself; from Python 3.13 on the next await raises the cancellation."""
    log: list[str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await in_itemize(itemize)
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_soon(task.cancel)
            raise Broken from None

    async def run(feeding: Coroutine[object, object, None]) -> None:
        try:
            await feeding
        except Broken:
            log.append("broken")
        await asyncio.sleep(0)
        log.append("went on")

    channel = Channel[int]()
    task = await begun(run(channel.feed(produce)))
    await channel.receiver.aclose()
    await turns()
    assert task.cancelled() is (sys.version_info >= (3, 13))
    assert log == (["broken"] if task.cancelled() else ["broken", "went on"])


@pytest.mark.parametrize("swallowed", [False, True])
async def test_a_cancellation_that_a_quiet_end_took_the_place_of_leaves_feed(*, swallowed: bool) -> None:
    """Rules 11 and 23: in the cleanup, the itemizer raises ReceiverClosed."""
    seen: list[BaseException] = []

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            seen.append(error)
            if not swallowed:
                await turns(2)
                await itemize(1)
        await turns(2)
        await itemize(2)

    feed = Feed(produce)
    await turns()
    feed.task.cancel("a message")
    await turns(1)
    await feed.receiver.aclose()
    await turns()
    assert feed.task.cancelled()
    with pytest.raises(asyncio.CancelledError) as caught:
        await feed.task
    assert caught.value.args == (() if swallowed else ("a message",))
    assert feed.counts == [1]


async def test_a_quiet_end_without_a_cancellation_is_quiet() -> None:
    """Rules 11 and 23: func lets ReceiverClosed leave before it is cancelled, or in its cleanup."""

    async def produce(itemize: Itemizer[int], receiver: Receiver[int]) -> None:
        await receiver.aclose()
        await itemize(1)

    channel = Channel[int]()
    await channel.feed(produce, channel.receiver)
    await turns(2)

    async def raises_another(_: Itemizer[int]) -> None:
        raise ReceiverClosed

    channel = Channel[int]()
    with pytest.raises(ReceiverClosed):
        await channel.feed(raises_another)


async def test_func_may_itemize_when_it_is_cancelled() -> None:
    """Rules 11 and 23: ReceiverClosed then leaves it in place of the cancellation."""

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await itemize(1)

    feed = Feed(produce)
    await turns()
    await feed.receiver.aclose()
    await asyncio.wait([feed.task])
    assert feed.task.exception() is None
    assert feed.counts == [0]


async def test_a_cancellation_that_comes_with_the_end_of_func_leaves_feed() -> None:
    """Rules 16 and 23: as the one that it is, by which anyio knows its own."""

    async def produce(_: Itemizer[int]) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        feed.task.cancel("a message")

    feed = Feed(produce)
    await turns()
    await feed.receiver.aclose()
    with pytest.raises(asyncio.CancelledError) as caught:
        await feed.task
    assert caught.value.args == ("a message",)
    assert feed.counts == [1]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancellation_that_func_has_handled_is_not_raised_again(*, fails: bool) -> None:
    """Rules 16 and 23: it has come after that of the receiver which has gone."""
    log: list[str] = []

    async def produce(_: Itemizer[int]) -> None:
        for _attempt in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        if fails:
            raise Broken

    async def run(feeding: Coroutine[object, object, None]) -> None:
        with suppress(Broken):
            await feeding
        await asyncio.sleep(0)
        log.append("went on")

    channel = Channel[int]()
    task = await begun(run(channel.feed(produce)))
    await channel.receiver.aclose()
    await turns()
    task.cancel()
    await asyncio.wait([task])
    assert log == ["went on"]
    assert task.cancelling() == 1


async def test_a_quiet_end_finds_no_cancellation_in_a_circle_of_errors() -> None:
    """Rules 11 and 23: of one that func has swallowed before, and of which nothing is left but the count."""

    async def produce(itemize: Itemizer[int]) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            await itemize(0)
        except ReceiverClosed as closed:
            other = ValueError()
            closed.__context__, other.__context__ = other, closed
            raise

    channel = Channel[int]()
    task = await begun(channel.feed(produce))
    task.cancel()
    await channel.receiver.aclose()
    await asyncio.wait([task])
    assert task.cancelled()


# No cleanup is interrupted.


@each_end
async def test_a_timeout_of_its_own_is_let_finish_and_then_func_is_cancelled(end: str) -> None:
    """Rule 23: no cancellation is added while that of the timeout is under way, and none is forgotten."""
    log: list[str] = []

    async def produce(_: Itemizer[int]) -> None:
        try:
            async with asyncio.timeout(0):
                try:
                    await asyncio.Event().wait()
                finally:
                    await feed.lose_receiver(end)
                    await turns(5)
                    log.append("cleaned")
        except TimeoutError:
            log.append("timeout")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    feed = Feed(produce)
    await asyncio.wait([feed.task])
    assert feed.task.exception() is None
    assert log == ["cleaned", "timeout", "cancelled"]
    assert feed.counts == [0]


async def test_a_run_that_has_ended_meanwhile_is_not_cancelled() -> None:
    """Rule 23: the cancellation that was put off finds it ended."""

    async def produce(_: Itemizer[int], receiver: Receiver[int]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                try:
                    await asyncio.Event().wait()
                finally:
                    await receiver.aclose()

    channel = Channel[int]()
    await channel.feed(produce, channel.receiver)
    await asyncio.sleep(0.05)  # longer than it is put off


async def test_the_failure_of_a_body_in_a_task_group_interrupts_no_cleanup() -> None:
    """Rule 23: the receiver is closed and the task is cancelled in one step."""
    log: list[str] = []
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            channel = Channel[int]()
            group.create_task(channel.feed(logged, log))
            async with channel.receiver as numbers:
                await anext(numbers)
                raise Broken
    assert [type(error) for error in caught.value.exceptions] == [Broken]
    assert log == ["CancelledError", "cleaned"]


async def test_a_run_that_is_closed_while_it_is_cancelled_awaits_nothing() -> None:
    """Rule 23: as at the end of a program. It can't wait to take the cancellation back, which stays."""
    channel = Channel[int]()
    feeding = channel.feed(in_itemize)

    async def close() -> None:
        feeding.send(None)
        await channel.receiver.aclose()
        feeding.close()

    task = asyncio.create_task(close())
    await asyncio.wait([task])
    assert task.cancelled()


# In a task group.


async def test_an_error_of_func_cancels_a_body_that_waits_for_something_else() -> None:
    """Rule 23: at once."""
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            channel = Channel[int]()
            group.create_task(channel.feed(fails))
            async with channel.receiver:
                await asyncio.Event().wait()
    assert [type(error) for error in caught.value.exceptions] == [Broken]


async def test_a_loop_that_is_left_inside_the_block_of_the_receiver_ends_func() -> None:
    """Rule 23: so the group can end."""
    async with asyncio.TaskGroup() as group:
        channel = Channel[int]()
        task = group.create_task(channel.feed(in_itemize))
        async with channel.receiver as numbers:
            async for _ in numbers:
                break
    assert not task.cancelled()
    assert task.exception() is None


# Scopes around and inside.

Scope: TypeAlias = Callable[[], AbstractAsyncContextManager[Callable[[], object]]]
"""A block around something, which gives what cancels it from outside."""


@asynccontextmanager
async def no_scope() -> AsyncIterator[Callable[[], object]]:
    yield lambda: None


@asynccontextmanager
async def a_timeout() -> AsyncIterator[Callable[[], object]]:
    with suppress(TimeoutError):
        async with asyncio.timeout(100) as timeout:
            yield lambda: timeout.reschedule(asyncio.get_running_loop().time())
    assert timeout.expired()


@asynccontextmanager
async def a_task_group() -> AsyncIterator[Callable[[], object]]:
    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            yield lambda: group.create_task(in_trouble())


async def in_trouble() -> None:
    raise Broken


@asynccontextmanager
async def an_anyio_scope() -> AsyncIterator[Callable[[], object]]:
    with anyio.CancelScope() as scope:
        yield scope.cancel
    assert scope.cancelled_caught


@asynccontextmanager
async def an_anyio_task_group() -> AsyncIterator[Callable[[], object]]:
    async with anyio.create_task_group() as group:
        group.start_soon(turns, 200)
        yield group.cancel_scope.cancel


SCOPES: Final[list[Scope]] = [a_timeout, a_task_group, an_anyio_scope, an_anyio_task_group]


@pytest.mark.parametrize("inside", WAITS)
@pytest.mark.parametrize("pause", [-1, pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("around", SCOPES)
async def test_a_scope_around_it_catches_its_own_cancellation(
    around: Scope, pause: int, inside: Callable[[Itemizer[int]], Coroutine[object, object, None]]
) -> None:
    """Rule 23: alone, or while the receiver is closed; and every count is what it was, so nothing else is cancelled by it."""
    channel = Channel[int]()
    cancels: list[Callable[[], object]] = []
    counts: list[int] = []

    async def run() -> None:
        task = this_task()
        async with around() as cancel:
            cancels.append(cancel)
            await channel.feed(inside)
            await asyncio.sleep(100)
        counts.append(task.cancelling())
        await turns(3)
        counts.append(task.cancelling())

    task = asyncio.create_task(run())
    await turns(20)
    if pause >= 0:
        await channel.receiver.aclose()
        await turns(pause)
    cancels[0]()
    await asyncio.wait([task])
    assert not task.cancelled()
    assert task.exception() is None
    assert counts == [0, 0]


@pytest.mark.parametrize("inside", WAITS)
@pytest.mark.parametrize("around", [no_scope, *SCOPES])
async def test_a_scope_around_it_notices_nothing_when_the_receiver_is_closed(
    around: Scope, inside: Callable[[Itemizer[int]], Coroutine[object, object, None]]
) -> None:
    """Rule 23: `feed` returns normally, and what comes after it in the scope goes on."""
    channel = Channel[int]()
    log: list[str] = []

    async def run() -> None:
        task = this_task()
        with suppress(AssertionError):  # the scope was not cancelled
            async with around():
                await channel.feed(inside)
                await turns(3)
                log.append(f"{task.cancelling()} cancellations")

    task = asyncio.create_task(run())
    await turns(20)
    await channel.receiver.aclose()
    await asyncio.wait([task])
    assert log == ["0 cancellations"]

"""Rule 17: a producer in a task of its own, that a block owns.

The cases of trio's `as_safe_channel` (src/trio/_tests/test_channel.py), the nearest relative, stand at the end.
"""

# ruff: noqa: PT012  what raises here is a block, which is more than one statement
from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import traceback
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import pytest

from chanstream import Channel, ChannelError, Itemizer, Receiver, ReceiverClosed, SenderClosed, SenderContext, SenderFailed, stream
from tests.loops import LOOPS, LoopFactory, turns
from tests.outcomes import collect, wait_for
from tests.producers import busy, count, logged

T = TypeVar("T")

either_mode = pytest.mark.parametrize("buffer", [0, 2], ids=["lock-step", "buffered"])


class ProducerError(Exception):
    """What a producer fails with."""


class BodyError(Exception):
    """What the body of a block fails with, for a reason of its own."""


class Halt(BaseException):
    """An error that is no Exception, as KeyboardInterrupt is."""


async def failing(itemize: Itemizer[int], error: BaseException, after: int = 1) -> None:
    await count(itemize, after)
    raise error


async def failing_cleanup(itemize: Itemizer[int], error: BaseException) -> None:
    try:
        await count(itemize, 1_000)
    finally:
        raise error


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
        got.append(row)  # noqa: PERF401  `got` has what came before an error


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


async def test_the_repr_of_a_block_tells_of_its_channel() -> None:
    channel = Channel[int]()
    assert repr(channel.fed_by(count, 1)) == f"<Feed of {channel!r}>"


@either_mode
async def test_the_block_gives_what_the_producer_passes_on_and_then_the_end(buffer: int) -> None:
    """Rule 17, and rule 6 for what comes after."""
    channel = Channel[int](buffer=buffer)
    async with channel.fed_by(count, 4) as rows:
        assert rows is channel.receiver
        assert await collect(rows) == [0, 1, 2, 3]
        assert await collect(rows) == []
    assert await collect(rows) == []


async def test_func_gets_its_arguments_of_whatever_name() -> None:
    """Rule 17: names that the library uses itself are free for func."""

    async def echo(itemize: Itemizer[object], first: int, /, second: int, *, func: int, self: int = 4) -> None:
        await itemize((first, second, func, self))

    async with Channel[object]().fed_by(echo, 1, second=2, func=3, self=6) as rows:
        assert await collect(rows) == [(1, 2, 3, 6)]


async def test_func_may_be_a_bound_method() -> None:
    """Rule 17."""

    class Table:
        rows = ("a", "b")

        async def read(self, itemize: Itemizer[str], *, times: int) -> None:
            for row in self.rows * times:
                await itemize(row)

    async with Channel[str]().fed_by(Table().read, times=2) as rows:
        assert await collect(rows) == ["a", "b", "a", "b"]


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
    assert await collect(rows) == []


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
        assert await collect(rows) == []


async def test_a_closed_receiver_ends_the_producer_before_the_block_is_left() -> None:
    """Rules 10, 11 and 17: the producer learns of it as any sender does, and its end is quiet."""
    log: list[str] = []
    async with Channel[int]().fed_by(logged, log) as rows:
        assert await anext(rows) == 0
        await rows.aclose()
        await turns()
        assert log == ["ReceiverClosed", "cleaned"]
        assert await collect(rows) == []


async def test_a_receiver_that_is_closed_already_ends_the_producer_at_its_first_item() -> None:
    """Rules 10 and 17."""
    log: list[str] = []
    channel = Channel[int]()
    await channel.receiver.aclose()
    async with channel.fed_by(logged, log) as rows:
        assert await collect(rows) == []
        await turns()
    assert log == ["ReceiverClosed", "cleaned"]


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


# Errors of the producer.


@either_mode
async def test_an_error_of_the_producer_leaves_the_block_as_itself(buffer: int) -> None:
    """Rule 17: the loop meets SenderFailed, out of the block comes what func raised, after any number of items."""
    for after in range(4):
        error = ProducerError()
        got: list[int] = []
        with pytest.raises(ProducerError) as raised:
            async with Channel[int](buffer=buffer).fed_by(failing, error, after) as rows:
                await into(got, rows)
        assert raised.value is error
        assert got == list(range(after))
        # And it stays so, without an error for those who come later: the receiver is closed.
        assert await collect(rows) == []


async def test_an_error_of_the_producer_keeps_its_own_traceback_cause_and_context() -> None:
    """Rule 17: as itself means what one would have seen without the channel."""
    cause, context = OSError("cause"), LookupError("context")

    async def deep(itemize: Itemizer[int]) -> None:
        await itemize(1)
        try:
            raise context
        except LookupError:
            raise ProducerError from cause

    for meet in True, False:
        with pytest.raises(ProducerError) as raised:
            async with Channel[int](buffer=1).fed_by(deep) as rows:
                await (collect(rows) if meet else turns())
        error = raised.value
        assert error.__cause__ is cause
        assert error.__context__ is context
        assert context.__context__ is None
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert frames[-1] == "deep"


async def test_an_error_of_the_producer_without_context_gets_none() -> None:
    """Rule 17: what told the body of the error is not shown as its origin."""
    with pytest.raises(ProducerError) as raised:
        async with Channel[int]().fed_by(failing, ProducerError()) as rows:
            await collect(rows)
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None


async def test_an_error_that_the_body_never_met_leaves_the_block_all_the_same() -> None:
    """Rule 17: whether or not the consumer came far enough."""
    error = ProducerError()
    with pytest.raises(ProducerError) as raised:
        async with Channel[int](buffer=5).fed_by(failing, error, 3) as rows:
            assert await anext(rows) == 0
            await turns()
    assert raised.value is error
    assert await collect(rows) == []


async def test_an_error_that_the_body_caught_leaves_the_block_all_the_same() -> None:
    """Rule 17: SenderFailed only reports. The error itself is nobody's to swallow but the block's owner's."""
    error = ProducerError()
    log: list[str] = []
    with pytest.raises(ProducerError) as raised:
        async with Channel[int]().fed_by(failing, error) as rows:
            for _ in range(2):  # it stays so
                with pytest.raises(SenderFailed) as failed:
                    await collect(rows)
                assert failed.value.__cause__ is error
            log.append("the body went on")
    assert raised.value is error
    assert log == ["the body went on"]


async def test_an_error_met_inside_a_loop_that_closes_its_receiver_leaves_the_block_as_itself() -> None:
    """Rules 9 and 17: `async with rows` and aclosing inside the block change nothing about whose error it is."""
    error = ProducerError()
    for closing in (lambda rows: rows), aclosing:
        with pytest.raises(ProducerError) as raised:
            async with Channel[int]().fed_by(failing, error) as rows, closing(rows):
                await collect(rows)
        assert raised.value is error
        assert raised.value.__context__ is None


@pytest.mark.parametrize("error", [ProducerError(), ExceptionGroup("a group", [ProducerError(), OSError()])], ids=["bare", "group"])
async def test_the_error_itself_raised_by_the_body_is_one_error(error: Exception) -> None:
    """Rule 17: once."""
    with pytest.raises(type(error)) as raised:
        async with Channel[int]().fed_by(failing, error) as rows:
            try:
                await collect(rows)
            except SenderFailed:
                raise error from None
    assert raised.value is error


@dataclass
class EqualError(Exception):
    """Errors that are equal and not the same."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "own_of",
    [
        lambda _: EqualError(),
        lambda _: ExceptionGroup("", [EqualError()]),
        lambda _: caused(SenderFailed(), EqualError()),
        lambda error: caused(BodyError(), error),
    ],
    ids=["its equal", "a group of its equal", "a report of its equal", "caused by it"],
)
async def test_only_the_error_itself_and_its_report_are_no_own_reason(own_of: Callable[[Exception], Exception]) -> None:
    """Rule 17: what an error says is not what it is."""
    error = EqualError()
    own = own_of(error)
    with pytest.raises(ExceptionGroup) as raised:
        async with Channel[int]().fed_by(failing, error, 0):
            await turns()
            raise own
    first, second = raised.value.exceptions
    assert first is own
    assert second is error


async def test_a_group_that_only_reports_the_error_is_one_error() -> None:
    """Rule 17: workers in a task group in the body meet the same end in one exception group."""
    error = ProducerError()
    with pytest.raises(ProducerError) as raised:
        async with Channel[int]().fed_by(failing, error) as rows, asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(collect(rows))
    assert raised.value is error
    assert raised.value.__context__ is None


async def test_a_report_of_the_report_is_one_error() -> None:
    """Rule 17: a stage in the body that reads the block and writes to another channel passes the failure on."""
    error = ProducerError()

    async def relay_to(sink: SenderContext[int], rows: AsyncIterator[int]) -> None:
        async with sink as itemize:
            async for row in rows:
                await itemize(row)

    channel = Channel[int]()
    with pytest.raises(ProducerError) as raised:
        async with Channel[int]().fed_by(failing, error) as rows, asyncio.TaskGroup() as group:
            group.create_task(relay_to(channel.sender, rows))
            await collect(channel.receiver)
    assert raised.value is error


@pytest.mark.parametrize(("workers", "stages"), [(8, 30), (1, 2000)], ids=["pools", "a long chain"])
async def test_a_report_of_many_stages_is_one_error(workers: int, stages: int) -> None:
    """Rule 17: each error of the chain is looked at once, and not by recursion."""
    error = ProducerError()
    report: Exception = caused(SenderFailed(), error)
    for _ in range(stages):
        report = caused(SenderFailed(), ExceptionGroup("", [caused(SenderFailed(), report) for _ in range(workers)]))
    with pytest.raises(ProducerError) as raised:
        async with Channel[int]().fed_by(failing, error, 0):
            await turns()
            raise report
    assert raised.value is error


async def test_a_chain_of_reports_that_goes_in_a_circle_is_an_own_reason() -> None:
    """Rule 17."""
    own = caused(SenderFailed(), SenderFailed())
    assert own.__cause__
    own.__cause__.__cause__ = own
    with pytest.raises(ExceptionGroup) as raised:
        async with Channel[int]().fed_by(failing, ProducerError(), 0):
            await turns()
            raise own
    assert raised.value.exceptions[0] is own
    own.__cause__.__cause__ = None


async def test_a_group_that_holds_an_own_reason_too_comes_beside_the_error() -> None:
    """Rule 17: the body's own error is neither replaced nor hidden, and its group keeps its form."""
    error, own = ProducerError(), BodyError()
    groups: list[ExceptionGroup[Exception]] = []
    with pytest.raises(ExceptionGroup) as raised:
        async with Channel[int]().fed_by(failing, error) as rows:
            try:
                await collect(rows)
            except SenderFailed as failed:
                groups.append(ExceptionGroup("of the body", [failed, own]))
                raise groups[0] from None
    (group,) = groups
    assert raised.value.exceptions == (group, error)
    assert [type(each) for each in group.exceptions] == [SenderFailed, BodyError]


async def test_an_own_reason_of_the_body_and_an_error_of_the_producer_come_in_a_group() -> None:
    """Rule 17: neither is lost, both keep what they had."""
    error, own = ProducerError(), BodyError()
    with pytest.raises(
        ExceptionGroup, match=r"^the fed_by block of <Channel .*> and its producer both failed: handle either with `except\*`"
    ) as raised:
        async with Channel[int]().fed_by(failing, error, 0):
            await turns()
            raise own
    assert raised.value.exceptions == (own, error)
    assert error.__context__ is None
    assert error.__cause__ is None
    assert own.__context__ is None


async def test_a_report_wrapped_by_the_body_is_an_own_reason() -> None:
    """Rule 17: `raise ... from failed` is an error of the body, and its chain leads to the producer's."""
    error = ProducerError()
    with pytest.raises(ExceptionGroup) as raised:
        async with Channel[int]().fed_by(failing, error) as rows:
            try:
                await collect(rows)
            except SenderFailed as failed:
                raise BodyError from failed
    own, other = raised.value.exceptions
    assert isinstance(own, BodyError)
    assert isinstance(own.__cause__, SenderFailed)
    assert own.__cause__.__cause__ is error
    assert other is error


async def test_a_report_about_another_channel_is_an_own_reason() -> None:
    """Rule 17."""
    error, elsewhere = ProducerError(), OSError()
    with pytest.raises(ExceptionGroup) as raised:
        async with Channel[int]().fed_by(failing, error) as rows:
            with pytest.raises(SenderFailed):
                await collect(rows)
            other = Channel[int]()
            with pytest.raises(OSError, match=r"^$"):
                async with other.sender:
                    raise elsewhere
            await anext(other.receiver)
    own, its = raised.value.exceptions
    assert isinstance(own, SenderFailed)
    assert own.__cause__ is elsewhere
    assert its is error


async def test_an_error_of_the_body_passes_the_block_without_a_stop() -> None:
    """Rule 17: it leaves the block unchanged, as if there were none."""
    own = BodyError()
    with pytest.raises(BodyError):
        async with Channel[int]().fed_by(count, 5) as rows:
            await anext(rows)
            raise own
    assert [frame.name for frame in traceback.extract_tb(own.__traceback__)] == [
        "test_an_error_of_the_body_passes_the_block_without_a_stop"
    ]


@pytest.mark.usefixtures("no_collector")
async def test_a_block_that_was_left_keeps_neither_its_task_nor_its_error() -> None:
    """Rule 7."""
    watches: list[weakref.ref[object]] = []

    async def fails(itemize: Itemizer[int]) -> None:
        task, error = asyncio.current_task(), ProducerError()
        watches.extend([weakref.ref(task), weakref.ref(error)])
        del task
        await itemize(1)
        try:
            raise error
        finally:
            del error

    block = Channel[int]().fed_by(fails)

    async def leave() -> None:
        with suppress(ProducerError):
            async with block as rows:
                await collect(rows)

    await leave()
    await turns(2)
    assert [watch() for watch in watches] == [None, None]


async def test_an_own_reason_of_the_body_leaves_a_quiet_producer_unchanged() -> None:
    """Rule 17: one error comes as itself, with its own traceback."""
    log: list[str] = []
    own = BodyError()
    with pytest.raises(BodyError) as raised:
        async with Channel[int]().fed_by(logged, log) as rows:
            await anext(rows)
            raise own
    assert raised.value is own
    assert own.__context__ is None
    assert log == ["CancelledError", "cleaned"]


async def test_an_error_of_the_cleanup_surfaces() -> None:
    """Rule 17: alone when the body left of its own will, beside the body's own error otherwise."""
    error, own = ProducerError(), BodyError()
    with pytest.raises(ProducerError) as raised:
        async with Channel[int]().fed_by(failing_cleanup, error) as rows:
            await anext(rows)
    assert raised.value is error
    assert isinstance(error.__context__, asyncio.CancelledError)
    error = ProducerError()
    with pytest.raises(ExceptionGroup) as group:
        async with Channel[int]().fed_by(failing_cleanup, error) as rows:
            await anext(rows)
            raise own
    assert group.value.exceptions == (own, error)


async def test_errors_that_are_no_exceptions_surface_likewise() -> None:
    """Rule 17: of the producer, of the body, and of both."""
    halt, other = Halt("producer"), Halt("body")
    with pytest.raises(Halt) as raised:
        async with Channel[int]().fed_by(failing, halt) as rows:
            await collect(rows)
    assert raised.value is halt
    with pytest.raises(Halt) as raised:
        async with Channel[int]().fed_by(count, 3) as rows:
            await anext(rows)
            raise other
    assert raised.value is other
    with pytest.raises(BaseExceptionGroup) as group:
        async with Channel[int]().fed_by(failing, halt, 0):
            await turns()
            raise other
    assert group.value.exceptions == (other, halt)


@pytest.mark.parametrize("new_loop", LOOPS.values(), ids=LOOPS)
def test_an_exit_of_the_program_in_the_producer_gets_out(new_loop: LoopFactory) -> None:
    """Rule 17: asyncio lets SystemExit through the running loop. The block ends as asyncio winds up."""
    log: list[str] = []

    async def leave(itemize: Itemizer[int]) -> None:
        await itemize(1)
        log.append("leaving")
        sys.exit(3)

    async def main() -> None:
        try:
            async with Channel[int]().fed_by(leave) as rows:
                await collect(rows)
        finally:
            log.append("left")

    with pytest.raises(SystemExit), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.get_loop().set_exception_handler(lambda *_: None)
        runner.run(main())
    assert log == ["leaving", "left"]


@pytest.mark.parametrize("stop", [StopIteration("x"), StopAsyncIteration("x"), GeneratorExit("x")], ids=repr)
async def test_an_error_that_means_an_end_elsewhere_is_an_error_here(stop: BaseException) -> None:
    """Rules 7 and 17: a truncated stream never looks complete."""
    with pytest.raises(BaseException) as raised:  # noqa: PT011  compared below
        async with Channel[int]().fed_by(failing, stop) as rows:
            await collect(rows)
    if isinstance(stop, StopIteration):  # no coroutine can raise it
        assert isinstance(raised.value, RuntimeError)
        assert raised.value.__cause__ is stop
    else:
        assert raised.value is stop


async def test_a_channel_error_of_the_producer_that_is_not_about_its_channel_surfaces() -> None:
    """Rules 11 and 17: only the producer's own ReceiverClosed is quiet."""
    other = Channel[int]()
    await other.receiver.aclose()

    async def write_elsewhere(itemize: Itemizer[int], elsewhere: Itemizer[int]) -> None:
        await itemize(1)
        await elsewhere(1)

    async with other.sender as elsewhere:
        with pytest.raises(ReceiverClosed):
            async with Channel[int]().fed_by(write_elsewhere, elsewhere) as rows:
                await collect(rows)
    error = SenderFailed("made elsewhere")
    with pytest.raises(SenderFailed) as raised:
        async with Channel[int]().fed_by(failing, error) as rows:
            await collect(rows)
    assert raised.value is error


async def test_a_producer_that_writes_from_a_task_group_ends_quietly_when_the_body_leaves() -> None:
    """Rules 11 and 17: its children's ReceiverClosed come in a group of nothing else."""

    async def spread(itemize: Itemizer[int]) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(count(itemize, 50))

    async with Channel[int]().fed_by(spread) as rows:
        for _ in range(7):
            await anext(rows)
        await rows.aclose()
        await turns()
    async with Channel[int]().fed_by(spread) as rows:
        await anext(rows)


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
    reader = asyncio.current_task()
    assert reader is not None
    assert not reader.cancelling()


async def test_a_cancelled_producer_is_told_of_when_the_body_caught_the_report_or_never_asked() -> None:
    """Rules 7 and 17: a truncated stream never looks complete, and SenderFailed surfaces as an error would."""

    async def cancel_itself(itemize: Itemizer[int]) -> None:
        await itemize(1)
        raise asyncio.CancelledError

    with pytest.raises(SenderFailed):
        async with Channel[int]().fed_by(cancel_itself) as rows:
            with pytest.raises(SenderFailed):
                await collect(rows)
    with pytest.raises(SenderFailed):
        async with Channel[int](buffer=2).fed_by(cancel_itself):
            await turns()
    with pytest.raises(ExceptionGroup) as raised:
        async with Channel[int](buffer=2).fed_by(cancel_itself):
            await turns()
            raise BodyError
    assert [type(each) for each in raised.value.exceptions] == [BodyError, SenderFailed]


async def test_a_cancelled_producer_has_nothing_to_tell_when_the_receiver_was_closed_before() -> None:
    """Rules 9 and 17: nobody misses the rest."""
    log: list[str] = []

    async def cancel_itself_when_closed(itemize: Itemizer[int]) -> None:
        try:
            await count(itemize, 10)
        except ReceiverClosed:
            log.append("closed")
            raise asyncio.CancelledError from None

    async with Channel[int]().fed_by(cancel_itself_when_closed) as rows:
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
    reader = asyncio.current_task()
    assert reader is not None
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


async def test_a_cancelled_body_waits_for_the_cleanup() -> None:
    """Rule 17: func is cancelled once, and its cleanup may take its time."""
    log: list[str] = []
    event = asyncio.Event()

    async def slow(itemize: Itemizer[int]) -> None:
        try:
            await count(itemize, 10)
        finally:
            await event.wait()
            log.append("cleaned")

    async def read() -> None:
        async with Channel[int]().fed_by(slow) as rows:
            await anext(rows)
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await turns()
    task.cancel()
    await turns()
    assert not task.done()
    event.set()
    await ended(task)
    assert task.cancelled()
    assert log == ["cleaned"]


async def leave_at_once() -> None:
    pass


async def forever() -> None:
    await asyncio.Event().wait()


async def leave_by_an_error() -> None:
    raise BodyError


@pytest.mark.parametrize("body", [leave_at_once, leave_by_an_error, forever], ids=["left", "failed", "busy"])
async def test_a_cancellation_that_an_error_takes_the_place_of_is_met_at_the_next_await(
    body: Callable[[], Awaitable[object]],
) -> None:
    """Rule 16: whoever handles the error does not go on for ever, as though nobody had cancelled him.

    As with asyncio.TaskGroup, from Python 3.13 on. If this failed, a timeout around the block would be used up and never strike.
    """
    released = asyncio.Event()

    async def slow(itemize: Itemizer[int]) -> None:
        try:
            await count(itemize, 10)
        finally:
            await released.wait()
            if body is not leave_by_an_error:
                raise ProducerError

    async def read() -> str:
        with suppress(ProducerError, BodyError):
            async with Channel[int]().fed_by(slow) as rows:
                await anext(rows)
                await body()
        await turns()
        return "went on"

    task = asyncio.create_task(read())
    await turns()
    task.cancel()
    await turns()
    released.set()
    await ended(task)
    if sys.version_info >= (3, 13):
        assert task.cancelled()
        assert task.cancelling() == 1
    else:
        assert task.result() == "went on"


async def test_a_timeout_that_an_error_takes_the_place_of_strikes_no_more() -> None:
    """Rule 17: what is cancelled again is taken back by the timeout that has cancelled."""
    error = ProducerError()
    with pytest.raises(ProducerError):
        async with asyncio.timeout(None) as limit, Channel[int]().fed_by(failing_cleanup, error) as rows:
            await anext(rows)
            limit.reschedule(0)
            await asyncio.Event().wait()
    assert limit.expired()
    await turns()


async def test_an_error_in_place_of_another_tasks_cancellation_cancels_nothing() -> None:
    """Rule 17: the body met that of a task that it waited for, and nobody has cancelled its own."""
    other = asyncio.create_task(asyncio.Event().wait())
    other.cancel()
    with pytest.raises(ProducerError):
        async with Channel[int]().fed_by(failing_cleanup, ProducerError()) as rows:
            await anext(rows)
            await other
    await turns()


async def test_an_error_of_a_block_in_the_cleanup_of_a_cancelled_task_cancels_nothing() -> None:
    """Rule 17: a cancellation that the block has not met is none of its business."""

    async def read() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with suppress(ProducerError):
                async with Channel[int]().fed_by(failing, ProducerError()) as rows:
                    await collect(rows)
        await turns()
        return "cleaned"

    task = asyncio.create_task(read())
    await turns()
    task.cancel()
    await ended(task)
    assert task.result() == "cleaned"


@pytest.mark.parametrize("own", [None, BodyError("x"), Halt("x"), SenderFailed("x")], ids=repr)
async def test_a_cancellation_while_leaving_does_not_cut_the_cleanup_short(own: BaseException | None) -> None:
    """Rule 17: nothing outlives the block, the producer is cancelled once, and the body's own error is not hidden."""
    log: list[str] = []
    released = asyncio.Event()

    async def slow(itemize: Itemizer[int]) -> None:
        try:
            await count(itemize, 10)
        finally:
            await released.wait()
            log.append("cleaned")

    async def read() -> None:
        async with Channel[int]().fed_by(slow) as rows:
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


async def test_a_body_that_is_cancelled_twice_ends_cancelled() -> None:
    """Rule 17: the second waits for the cleanup as well. No group is made of two cancellations."""
    log: list[str] = []

    async def read() -> None:
        async with Channel[int]().fed_by(logged, log) as rows:
            await anext(rows)
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await turns()
    task.cancel()
    await turns(2)
    task.cancel()
    await ended(task)
    assert task.cancelled()
    assert log == ["CancelledError", "cleaned"]


async def test_an_error_in_the_cleanup_of_a_cancelled_block_comes_as_itself() -> None:
    """Rule 17: to be cancelled is no reason of the body's own.

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
    reader = asyncio.current_task()
    assert reader is not None
    assert not reader.cancelling()


async def test_an_error_in_the_cleanup_of_a_block_in_a_closed_generator_comes_as_itself() -> None:
    """Rule 17: to be closed, as a generator around the block is, is no reason of the body's own."""
    error = ProducerError()

    async def generate() -> AsyncGenerator[int, None]:
        async with Channel[int]().fed_by(failing_cleanup, error) as rows:
            async for row in rows:
                yield row

    generator = generate()
    assert await anext(generator) == 0
    with pytest.raises(ProducerError) as raised:
        await generator.aclose()
    assert raised.value is error


async def test_a_generator_around_the_block_is_closed_as_any_other() -> None:
    """Rule 17: GeneratorExit leaves the block unchanged."""
    log: list[str] = []

    async def generate() -> AsyncGenerator[int, None]:
        async with Channel[int]().fed_by(logged, log) as rows:
            async for row in rows:
                yield row

    async with aclosing(generate()) as generator:
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

    async def generate() -> AsyncGenerator[int, None]:
        async with Channel[int]().fed_by(slow) as rows:
            async for row in rows:
                yield row

    async def read() -> None:
        generator = generate()
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


async def test_a_producer_that_goes_on_regardless_is_waited_for() -> None:
    """Rule 17: the block ends when the task does; meanwhile its itemizer says why nobody takes anything, every time."""
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


# The cases of trio's as_safe_channel. Those that the tests above tell already are left out: exhaust, close_before_iteration.


async def test_a_receiver_closed_by_the_body_makes_no_error_when_the_block_is_left() -> None:
    """Rules 9 and 17. trio, test_as_safe_channel_broken_resource: there, asking after the close raises ClosedResourceError."""
    async with Channel[int]().fed_by(count, 2) as rows:
        assert await anext(rows) == 0
        await rows.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(rows)


async def test_a_block_cancelled_before_anything_was_asked_for_ends() -> None:
    """Rule 17. trio, test_as_safe_channel_cancelled."""

    async def read() -> None:
        async with Channel[int]().fed_by(count, 2):
            reader = asyncio.current_task()
            assert reader is not None
            reader.cancel()

    # A cancellation that finds no await comes at the next, which is the leaving of the block.
    with pytest.raises(asyncio.CancelledError):
        await outcome(read())


async def test_an_error_right_after_an_item_is_not_raced_by_the_end() -> None:
    """Rules 7 and 17. trio, test_as_safe_channel_no_race (python-trio/trio #1559)."""
    with pytest.raises(ProducerError, match=r"^oae$"):
        async with Channel[int]().fed_by(failing, ProducerError("oae")) as rows:
            async for row in rows:
                assert row == 0


async def test_a_lock_step_producer_is_not_asked_for_more_than_the_body_asks() -> None:
    """Rules 2 and 17. trio, test_as_safe_channel_buffer_size_too_small and test_as_safe_channel_no_interleave."""

    async def overrun(itemize: Itemizer[int]) -> None:
        await itemize(1)
        pytest.fail("nobody asked for another")

    async with Channel[int]().fed_by(overrun) as rows:
        assert await anext(rows) == 1
        await turns()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit, Channel[int]().fed_by(overrun) as rows:
            async for row in rows:
                assert row == 1
                limit.reschedule(0)
                await asyncio.Event().wait()


async def test_an_error_of_the_cleanup_and_of_the_body_come_together() -> None:
    """Rule 17. trio, test_as_safe_channel_genexit_finally: there, the producer sees GeneratorExit, here it is cancelled."""
    log: list[str] = []
    bodys, producers = TypeError("body"), ValueError("producer")

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await itemize(1)
        except BaseException as error:
            log.append(repr(error))
            raise
        finally:
            log.append("finally")
            raise producers

    with pytest.raises(ExceptionGroup) as raised:
        async with Channel[int]().fed_by(produce) as rows:
            async for _ in rows:
                raise bodys
    assert raised.value.exceptions == (bodys, producers)
    assert log == ["CancelledError()", "finally"]


async def test_loops_over_blocks_nest() -> None:
    """Rule 17. trio, test_as_safe_channel_nested_loop."""
    pairs: list[tuple[int, int]] = []
    async with Channel[int]().fed_by(count, 2) as rows:
        async for row in rows:
            async with Channel[int]().fed_by(count, 2) as columns:
                pairs += [(row, column) async for column in columns]
    assert pairs == [(0, 0), (0, 1), (1, 0), (1, 1)]


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


async def test_a_group_of_the_bodys_own_errors_keeps_its_form() -> None:
    """Rule 17. trio, test_as_safe_channel_dont_unwrap_user_exceptiongroup."""
    own = ExceptionGroup("foo", [ValueError("bar")])
    with pytest.raises(ExceptionGroup, match="foo") as raised:
        async with Channel[int]().fed_by(count, 1):
            raise own
    assert raised.value is own


async def test_several_tasks_of_the_body_get_the_items_in_the_order_in_which_they_asked() -> None:
    """Rules 4 and 17. trio, test_as_safe_channel_multiple_receiver."""
    event = asyncio.Event()

    async def produce(itemize: Itemizer[int]) -> None:
        await event.wait()
        await count(itemize, 2)

    async with Channel[int]().fed_by(produce) as rows:
        asks = [asyncio.create_task(wait_for(anext(rows))) for _ in range(2)]
        await turns()
        event.set()
        assert await asyncio.gather(*asks) == [0, 1]


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

    task = asyncio.create_task(read())
    await turns()
    task.cancel()
    await ended(task)
    assert task.cancelled()
    assert log == ["body", "producer"]


async def test_a_producer_inside_a_task_group_ends_quietly() -> None:
    """Rule 17. trio, test_as_safe_channel_genexit_exception_group: the end of the producer is in no group at all here."""

    async def produce(itemize: Itemizer[int]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(turns(1_000))
            await count(itemize, 5)

    async with Channel[int]().fed_by(produce) as rows:
        async for _ in rows:
            break


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


async def test_a_receiver_closed_between_two_items_ends_the_loop() -> None:
    """Rules 9 and 17. trio, test_as_safe_channel_close_between_iteration: the loop raises ClosedResourceError there."""
    got: list[int] = []

    async def close(rows: Receiver[int]) -> None:
        await turns(4)
        await rows.aclose()

    async with Channel[int]().fed_by(count, 1_000_000) as rows, asyncio.TaskGroup() as group:
        group.create_task(close(rows))
        await into(got, rows)
    assert got == list(range(len(got)))


async def test_a_receiver_closed_by_the_producer_ends_the_loop() -> None:
    """Rules 9 to 11 and 17. trio, test_as_safe_channel_close_during_iteration."""
    channel = Channel[int]()

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)
        await channel.receiver.aclose()
        while True:
            await itemize(2)

    async with channel.fed_by(produce) as rows:
        assert await outcome(collect(rows)) == [1]
        await turns()


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

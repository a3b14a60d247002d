"""Rule 17: an error of a producer surfaces exactly once. What leaves a `fed_by` block whose producer, body or both have failed."""

from __future__ import annotations

import asyncio
import sys
import traceback
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from enum import Enum, auto

import pytest
from typing_extensions import override

from chanstream import Channel, Itemizer, Receiver, ReceiverClosed, SenderContext, SenderFailed, stream
from tests.garbage import is_gone
from tests.loops import LOOPS, LoopFactory, turns
from tests.outcomes import collect, cut_short
from tests.producers import BodyError, Halt, ProducerError, count, failing, failing_cleanup, logged

either_mode = pytest.mark.parametrize("buffer", [0, 2], ids=["lock-step", "buffered"])


class Leaves(Enum):
    """What leaves the block."""

    NOTHING = auto()
    THEIRS = auto()
    """The error of the producer, as itself."""
    OURS = auto()
    """That of the body."""
    BOTH = auto()


def is_of_producer(error: BaseException, raised: BaseException) -> bool:
    """Return whether `error` is how `raised` by a producer leaves its block."""
    match raised:
        case asyncio.CancelledError():
            return isinstance(error, SenderFailed) and error.__cause__ is raised
        case StopIteration() | StopAsyncIteration():
            return isinstance(error, RuntimeError) and error.__cause__ is raised
        case _:
            return error is raised


# Bodies.


async def collect_later(rows: Receiver[int]) -> None:
    await turns(1)  # eager tasks would ask before the next one is made
    await collect(rows)


async def never_asks(_: Receiver[int]) -> None:
    await turns()


async def never_asks_and_fails(_: Receiver[int]) -> None:
    await turns()
    raise BodyError


async def closes_without_asking(rows: Receiver[int]) -> None:
    await turns()
    await rows.aclose()


async def takes_what_is_ready(rows: Receiver[int]) -> None:
    await turns()
    rows.take_ready()
    assert rows.take_ready() == []


async def raises_it_on(rows: Receiver[int]) -> None:
    await collect(rows)


async def raises_it_on_while_it_closes(rows: Receiver[int]) -> None:
    async with aclosing(rows), rows:
        await collect(rows)


async def raises_it_on_in_a_group(rows: Receiver[int]) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(collect_later(rows))


async def raises_it_on_through_a_channel(rows: Receiver[int]) -> None:
    async def relay_to(sink: SenderContext[int]) -> None:
        async with sink as itemize:
            async for row in rows:
                await itemize(row)

    channel = Channel[int]()
    async with asyncio.TaskGroup() as group:
        group.create_task(relay_to(channel.sender))
        await collect(channel.receiver)


async def raises_its_cause(rows: Receiver[int]) -> None:
    try:
        await collect(rows)
    except SenderFailed as failed:
        if failed.__cause__ is None or isinstance(failed.__cause__, asyncio.CancelledError):
            raise  # its cause would cancel the body
        raise failed.__cause__  # noqa: B904  that would change it


async def handles_it(rows: Receiver[int]) -> None:
    for _ in range(2):  # it stays so
        with pytest.raises(SenderFailed):
            await collect(rows)
    await turns()


async def handles_it_in_a_task(rows: Receiver[int]) -> None:
    tasks = [asyncio.create_task(collect(rows)) for _ in range(2)]
    await asyncio.wait(tasks)
    assert all(isinstance(task.exception(), SenderFailed) for task in tasks)


async def handles_it_and_fails(rows: Receiver[int]) -> None:
    await handles_it(rows)
    raise BodyError


async def handles_it_and_raises_the_report_of_another(rows: Receiver[int]) -> None:
    await handles_it(rows)
    other = Channel[int]()
    with suppress(BodyError):
        async with other.sender:
            raise BodyError
    await anext(other.receiver)


async def translates_it(rows: Receiver[int]) -> None:
    try:
        await collect(rows)
    except SenderFailed as failed:
        raise BodyError from failed


async def raises_it_beside_its_own(rows: Receiver[int]) -> None:
    try:
        await collect(rows)
    except SenderFailed as failed:
        raise ExceptionGroup("", [failed, BodyError()]) from None  # noqa: EM101 - a group without a message


BODIES = {
    never_asks: Leaves.THEIRS,
    never_asks_and_fails: Leaves.BOTH,
    closes_without_asking: Leaves.THEIRS,
    takes_what_is_ready: Leaves.THEIRS,
    raises_it_on: Leaves.THEIRS,
    raises_it_on_while_it_closes: Leaves.THEIRS,
    raises_it_on_in_a_group: Leaves.THEIRS,
    raises_it_on_through_a_channel: Leaves.THEIRS,
    raises_its_cause: Leaves.THEIRS,
    handles_it: Leaves.NOTHING,
    handles_it_in_a_task: Leaves.NOTHING,
    handles_it_and_fails: Leaves.OURS,
    handles_it_and_raises_the_report_of_another: Leaves.OURS,
    translates_it: Leaves.OURS,
    raises_it_beside_its_own: Leaves.OURS,
}

ERRORS: dict[str, Callable[[], BaseException]] = {
    "an error": ProducerError,
    "no Exception": Halt,
    "a group": lambda: ExceptionGroup("a group", [ProducerError(), OSError()]),
    "a StopIteration": StopIteration,
    "a StopAsyncIteration": StopAsyncIteration,
    "a GeneratorExit": GeneratorExit,
    "a cancellation from elsewhere": asyncio.CancelledError,
}


@pytest.mark.parametrize("buffer", [0, pytest.param(2, marks=pytest.mark.slow)], ids=["lock-step", "buffered"])
@pytest.mark.parametrize("make_error", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize(("body", "leaves"), BODIES.items())
async def test_an_error_of_the_producer_surfaces_exactly_once(
    body: Callable[[Receiver[int]], Awaitable[None]], leaves: Leaves, make_error: Callable[[], BaseException], buffer: int
) -> None:
    """Rule 17: in an ask, or out of the block; and what the body does with what an ask has raised is its own affair."""
    theirs = make_error()
    ours: BaseException | None = None
    left: BaseException | None = None
    channel = Channel[int](buffer=buffer)
    try:
        async with channel.fed_by(failing, theirs, buffer) as rows:
            try:
                await body(rows)
            except BaseException as error:
                ours = error
                raise
    except BaseException as error:
        left = error
    match leaves:
        case Leaves.NOTHING:
            assert left is None
        case Leaves.OURS:
            assert left is ours
        case Leaves.THEIRS:
            assert left is not None
            assert is_of_producer(left, theirs)
            # What has reported it to the body is not shown as its origin.
            assert left.__context__ in (None, theirs) or body is raises_its_cause
        case Leaves.BOTH:
            assert isinstance(left, BaseExceptionGroup)
            assert left.message.startswith("the fed_by block of <Channel ")
            assert left.message.endswith("> and its producer both failed: handle either with `except*`")
            assert left.exceptions[0].__context__ is None
            assert left.exceptions[0] is ours
            assert is_of_producer(left.exceptions[1], theirs)
    cut_short(channel.receiver)


@either_mode
async def test_what_was_sent_before_an_error_is_delivered_first(buffer: int) -> None:
    """Rules 7 and 17."""
    for after in range(4):
        got: list[int] = []
        with pytest.raises(ProducerError):
            async with Channel[int](buffer=buffer).fed_by(failing, ProducerError(), after) as rows:
                async for row in rows:
                    got.append(row)
        assert got == list(range(after))


@either_mode
async def test_an_ask_that_is_cancelled_when_it_was_to_raise_the_error_has_not_raised_it(buffer: int) -> None:
    """Rules 14 and 17: one run for every turn of the loop in which the ask may be cancelled."""
    raised = cancelled = 0
    for turn in range(9):
        theirs = ProducerError()
        ask: asyncio.Task[object] | None = None
        left: BaseException | None = None
        try:
            async with Channel[int](buffer=buffer).fed_by(failing, theirs, 0) as rows:
                ask = asyncio.create_task(collect_later(rows))
                await turns(turn)
                ask.cancel()
                await asyncio.wait([ask])
                await turns()
        except ProducerError as error:
            left = error
        assert ask
        if ask.cancelled():
            cancelled += 1
            assert left is theirs
        else:
            raised += 1
            assert isinstance(ask.exception(), SenderFailed)
            assert left is None
    assert raised
    assert cancelled


async def test_one_ask_of_a_pool_that_has_raised_the_error_is_enough() -> None:
    """Rule 17: the others were cancelled before they could."""
    async with Channel[int]().fed_by(failing, ProducerError(), 0) as rows:
        asks = [asyncio.create_task(collect(rows)) for _ in range(3)]
        for ask in asks:
            ask.add_done_callback(lambda _: [each.cancel() for each in asks])
        await asyncio.wait(asks)
        assert [ask.cancelled() for ask in asks].count(False) >= 1


CAUSE, OTHER = ProducerError("the cause"), ProducerError("another")


def reported(cause: BaseException) -> SenderFailed:
    report = SenderFailed()
    report.__cause__ = cause
    return report


def group(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("", errors)


@pytest.mark.parametrize(
    ("ours", "theirs", "leaves"),
    [
        (CAUSE, CAUSE, Leaves.OURS),
        (CAUSE, group(CAUSE), Leaves.OURS),
        (group(CAUSE), CAUSE, Leaves.OURS),
        (group(CAUSE), group(CAUSE), Leaves.OURS),
        (group(CAUSE, OTHER), CAUSE, Leaves.OURS),
        (group(group(OTHER), group(CAUSE)), group(CAUSE, OTHER), Leaves.OURS),
        (reported(CAUSE), reported(CAUSE), Leaves.OURS),
        (reported(group(CAUSE)), CAUSE, Leaves.OURS),
        (CAUSE, group(CAUSE, OTHER), Leaves.THEIRS),
        (reported(CAUSE), group(OTHER, reported(CAUSE)), Leaves.THEIRS),
        (CAUSE, OTHER, Leaves.BOTH),
        (group(CAUSE, OSError()), group(CAUSE, OTHER), Leaves.BOTH),
        (SenderFailed(), SenderFailed(), Leaves.BOTH),
    ],
    ids=str,
)
async def test_an_error_that_reports_nothing_else_is_not_a_second_one(ours: Exception, theirs: Exception, leaves: Leaves) -> None:
    """Rule 17: items are tasks, for example, and the body awaits one that fails, which is an error of the producer's group too."""
    with pytest.raises(Exception) as left:
        async with Channel[int]().fed_by(failing, theirs, 0):
            await turns()
            raise ours
    match leaves:
        case Leaves.OURS:
            assert left.value is ours
        case Leaves.THEIRS:
            assert left.value is theirs
        case _:
            assert isinstance(left.value, ExceptionGroup)
            assert left.value.exceptions == (ours, theirs)
    for error in ours, theirs, CAUSE, OTHER:
        error.__traceback__ = None


@pytest.mark.parametrize("other", [None, OSError("of the body")], ids=["alone", "beside another"])
async def test_a_producer_cancelled_from_elsewhere_is_reported_once(other: Exception | None) -> None:
    """Rule 17: it wrote to another channel too, whose end the body raises."""

    async def produce(_: Itemizer[int], side: SenderContext[int]) -> None:
        async with side:
            tasks.append(asyncio.current_task())
            await asyncio.Event().wait()

    tasks: list[asyncio.Task[object] | None] = []
    side = Channel[int]()
    with pytest.raises((SenderFailed, ExceptionGroup)) as left:
        async with Channel[int]().fed_by(produce, side.sender):
            await turns()
            assert tasks[0]
            tasks[0].cancel()
            try:
                await anext(side.receiver)
            except SenderFailed as failed:
                ours = ExceptionGroup("", [failed, other]) if other else failed
                raise ours from failed.__cause__
    assert isinstance(left.value, ExceptionGroup if other else SenderFailed)
    assert left.value.__cause__ or other
    assert repr(side) in str(left.value) or other


@pytest.mark.parametrize("way", ["in an ask", "out of the block", "in a stream"])
async def test_an_error_of_the_producer_keeps_its_own_traceback_cause_and_context(way: str) -> None:
    """Rules 17 and 18: as itself means what one would have seen without the channel."""
    cause, context = OSError("cause"), LookupError("context")

    async def deep(itemize: Itemizer[int]) -> None:
        await itemize(1)
        try:
            raise context
        except LookupError:
            raise ProducerError from cause

    async def produce(itemize: Itemizer[int]) -> None:
        await deep(itemize)

    with pytest.raises(ProducerError) as raised:
        if way == "in a stream":
            await collect(stream(produce))
        async with Channel[int](buffer=1).fed_by(produce) as rows:
            await (collect(rows) if way == "in an ask" else turns())
    error = raised.value
    assert error.__cause__ is cause
    assert error.__context__ is context
    assert context.__context__ is None
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)][-2:] == ["produce", "deep"]


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
        lambda _: reported(EqualError()),
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


@pytest.mark.parametrize("raised_before", [False, True], ids=["never raised", "raised by an ask"])
@pytest.mark.parametrize(("workers", "stages"), [(8, 30), (1, 2000)], ids=["pools", "a long chain"])
async def test_a_report_of_many_stages_is_one_error(workers: int, stages: int, *, raised_before: bool) -> None:
    """Rule 17: each error of the chain is looked at once, and not by recursion."""
    error = ProducerError()
    report: Exception = reported(error)
    for _ in range(stages):
        report = reported(ExceptionGroup("", [reported(report) for _ in range(workers)]))
    with pytest.raises((ProducerError, SenderFailed)) as raised:
        async with Channel[int]().fed_by(failing, error, 0) as rows:
            await turns()
            if raised_before:
                with pytest.raises(SenderFailed):
                    await anext(rows)
            raise report
    assert raised.value is (error if raised_before else report)


async def test_a_chain_of_reports_that_goes_in_a_circle_is_an_own_reason() -> None:
    """Rule 17."""
    own = reported(SenderFailed())
    assert own.__cause__
    own.__cause__.__cause__ = own
    with pytest.raises(ExceptionGroup) as raised:
        async with Channel[int]().fed_by(failing, ProducerError(), 0):
            await turns()
            raise own
    assert raised.value.exceptions[0] is own
    own.__cause__.__cause__ = None


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
    assert [is_gone(watch) for watch in watches] == [True, True]


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


@pytest.mark.parametrize("asks", [True, False])
async def test_the_end_of_an_empty_source_ends_no_loop_around_the_block(*, asks: bool) -> None:
    """Rule 17: the StopAsyncIteration of an `anext` in a producer would make a class around it look complete."""

    async def first_of(itemize: Itemizer[int], source: AsyncIterator[int]) -> None:
        await itemize(await anext(source))

    class Firsts(AsyncIterator[int]):
        @override
        async def __anext__(self) -> int:
            source = Channel[int](buffer=1)
            async with source.sender:
                pass
            async with Channel[int]().fed_by(first_of, source.receiver) as rows:
                if asks:
                    return await anext(rows)
                await turns()
            return 0

    with pytest.raises(RuntimeError) as raised:
        await collect(Firsts())
    assert isinstance(raised.value.__cause__, StopAsyncIteration)


async def test_the_end_of_an_iterator_where_a_coroutine_is_made_is_an_error() -> None:
    """Rule 17: a function that isn't declared with `async def` can raise StopIteration, which no coroutine can."""

    def first_of(itemize: Itemizer[int], numbers: Iterator[int]) -> Coroutine[object, object, None]:
        return count(itemize, next(numbers))

    with pytest.raises(RuntimeError) as raised:
        async with Channel[int]().fed_by(first_of, iter(())) as rows:
            await collect(rows)
    assert isinstance(raised.value.__cause__, StopIteration)

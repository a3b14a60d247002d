"""Rules 2, 17 and 18: one producer and one consumer leave the same trace, whichever way the producer runs.

The ways are a native async generator, `stream`, both closed by `aclosing`, a lock-step `Channel.fed_by`, and a lock-step channel
whose sender block is in a task of its own. Producer and consumer are drawn as data, played by one interpreter each, and everything
that happens is written down in one log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanstream import Channel, Itemizer, ReceiverClosed, stream
from tests.drawn import examples
from tests.loops import LOOPS, LoopFactory, turns
from tests.producers import BodyError, ProducerError

Log: TypeAlias = list[str]


# Producers. Each is a block of steps.


@dataclass(frozen=True)
class Note:
    """Write a word down."""

    word: str


@dataclass(frozen=True)
class Turns:
    """Wait for the event loop."""

    count: int


@dataclass(frozen=True)
class Give:
    """Pass an item on."""

    item: int


@dataclass(frozen=True)
class Fail:
    """Raise a ProducerError."""

    message: str


@dataclass(frozen=True)
class Guarded:
    """Run `body`; if `catches`, handle an error that it raised; in any case run `cleanup`, in which nothing is given."""

    body: tuple[Step, ...]
    catches: bool
    cleanup: tuple[Note | Turns | Fail, ...]


Step: TypeAlias = Note | Turns | Give | Fail | Guarded


# Consumers.


@dataclass(frozen=True)
class Consumer:
    """Before each item some turns; after `leave_after` items, or at the end, it leaves, by itself or by an error of its own.

    It asks for one item at least: a task starts without being asked, the second thing that fed_by differs in by its nature.
    """

    pauses: tuple[int, ...]
    leave_after: int | None
    by_error: bool


words = st.sampled_from("abcd")
small: st.SearchStrategy[Note | Turns | Fail] = (
    st.builds(Note, words) | st.builds(Turns, st.integers(0, 3)) | st.builds(Fail, words)
)
quiet: st.SearchStrategy[Note | Turns | Fail] = st.builds(Note, words) | st.builds(Turns, st.integers(0, 3))
giving: st.SearchStrategy[Step] = st.builds(Give, st.integers(0, 9))
steps: st.SearchStrategy[Step] = st.recursive(
    giving | giving | giving | quiet | small,
    lambda inner: st.builds(
        Guarded,
        st.lists(giving | inner | inner, max_size=4).map(tuple),
        st.booleans(),
        st.lists(quiet | quiet | small, max_size=2).map(tuple),
    ),
    max_leaves=10,
)
producers: st.SearchStrategy[tuple[Step, ...]] = st.lists(steps, max_size=6).map(tuple)
consumers = st.builds(
    Consumer,
    st.lists(st.integers(0, 3), max_size=3).map(tuple),
    st.none() | st.integers(1, 4),
    st.booleans(),
)


# The producer, played with an itemizer and with `yield`.


STOPPED = "left by the wish of the consumer"


def left_by(error: BaseException) -> str:
    """What a block of the producer was left by.

    A generator that is closed gets a GeneratorExit, and so does a stream. The task of fed_by gets a cancellation, a sender block
    ReceiverClosed: the one thing that these differ in by their nature.
    """
    return STOPPED if isinstance(error, (GeneratorExit, asyncio.CancelledError, ReceiverClosed)) else f"left by {error!r}"


def may_go_on(error: BaseException, log: Log) -> bool:
    """A producer that has to stop stops, also when its cleanup fails. What happens to others has tests of its own."""
    return isinstance(error, ProducerError) and STOPPED not in log


async def with_itemizer(itemize: Itemizer[int], program: tuple[Step, ...], log: Log) -> None:
    for step in program:
        match step:
            case Give(item):
                log.append(f"giving {item}")
                await itemize(item)
                log.append(f"gave {item}")
            case Guarded(body, catches, cleanup):
                try:
                    await with_itemizer(itemize, body, log)
                except BaseException as error:
                    log.append(left_by(error))
                    if not (catches and may_go_on(error, log)):
                        raise
                finally:
                    log.append("cleaning")
                    for small_step in cleanup:
                        await play(small_step, log)
                    log.append("cleaned")
            case other:
                await play(other, log)


async def with_yield(program: tuple[Step, ...], log: Log) -> AsyncGenerator[int, None]:
    for step in program:
        match step:
            case Give(item):
                log.append(f"giving {item}")
                yield item
                log.append(f"gave {item}")
            case Guarded(body, catches, cleanup):
                try:
                    # A generator can't hand its `yield` to a function, nor has it a `yield from`.
                    async with aclosing(with_yield(body, log)) as inner:
                        async for item in inner:
                            yield item
                except BaseException as error:
                    log.append(left_by(error))
                    if not (catches and may_go_on(error, log)):
                        raise
                finally:
                    log.append("cleaning")
                    for small_step in cleanup:
                        await play(small_step, log)
                    log.append("cleaned")
            case other:
                await play(other, log)


async def play(step: Note | Turns | Fail, log: Log) -> None:
    match step:
        case Note(word):
            log.append(word)
        case Turns(count):
            await turns(count)
        case Fail(message):
            log.append(f"failing {message}")
            raise ProducerError(message)


Way: TypeAlias = Callable[[tuple[Step, ...], Log], AbstractAsyncContextManager[AsyncIterator[int]]]


def native(program: tuple[Step, ...], log: Log) -> AbstractAsyncContextManager[AsyncIterator[int]]:
    return aclosing(with_yield(program, log))


def streamed(program: tuple[Step, ...], log: Log) -> AbstractAsyncContextManager[AsyncIterator[int]]:
    return aclosing(stream(with_itemizer, program, log))


def fed(program: tuple[Step, ...], log: Log) -> AbstractAsyncContextManager[AsyncIterator[int]]:
    return Channel[int]().fed_by(with_itemizer, program, log)


@asynccontextmanager
async def in_two_tasks(program: tuple[Step, ...], log: Log) -> AsyncGenerator[AsyncIterator[int], None]:
    channel = Channel[int]()

    async def write() -> None:
        async with channel.sender as itemize:
            await with_itemizer(itemize, program, log)

    task = asyncio.create_task(write())
    try:
        async with channel.receiver as rows:
            yield rows
    finally:
        await task  # closing the receiver doesn't wait, closing a generator does


# The consumer.


async def consume(way: Way, program: tuple[Step, ...], consumer: Consumer, log: Log) -> None:
    log.append("start")
    try:
        async with way(program, log) as rows:
            await read(rows, consumer, log)
        log.append("went on after the block")
    except BaseException as error:
        log.append(f"the block raised {outcome(error)}")


async def read(rows: AsyncIterator[int], consumer: Consumer, log: Log) -> None:
    taken = 0
    while taken != consumer.leave_after:
        for pause in consumer.pauses[taken : taken + 1]:
            await turns(pause)
        if taken:
            log.append("asking again")
        async for item in rows:
            log.append(f"took {item}")
            taken += 1
            break  # and come back
        else:
            log.append("the loop ended")
            return
    log.append("leaving")
    if consumer.by_error:
        raise BodyError


def outcome(error: BaseException) -> str:
    """What came out of the block.

    Where the consumer fails and then the producer fails in its cleanup, aclosing lets the later error replace the earlier. fed_by
    raises both in a group, in that order: the third thing that it differs in, and is meant to.
    """
    if isinstance(error, BaseExceptionGroup):
        earlier, later = error.exceptions
        assert isinstance(earlier, BodyError)
        assert isinstance(later, ProducerError)
        return repr(later)
    return repr(error)


def trace(way: Way, program: tuple[Step, ...], consumer: Consumer, new_loop: LoopFactory) -> Log:
    """Everything that happened, in an event loop of its own, at the end of which nothing is left."""
    log: Log = []
    reports: list[object] = []
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: reports.append(context))

        async def main() -> None:
            await asyncio.create_task(consume(way, program, consumer, log))
            assert asyncio.all_tasks() == {asyncio.current_task()}

        runner.run(main())
    assert not reports
    return log


SIMPLE = (Give(0), Note("a"), Give(1))
CLEANING = (Guarded((Give(0), Turns(1), Give(1)), catches=False, cleanup=(Turns(2), Note("b"))),)
NESTED = (Guarded((*CLEANING, Give(2)), catches=True, cleanup=(Note("c"),)), Note("d"), *CLEANING)
FAILING = (Give(0), Guarded((Give(1), Fail("a")), catches=True, cleanup=(Note("b"),)), Give(2), Fail("c"))
FAILING_CLEANUP = (Guarded((Guarded(SIMPLE, catches=False, cleanup=(Fail("a"),)),), catches=True, cleanup=(Turns(1),)), Give(2))


@pytest.mark.parametrize("new_loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize(
    ("program", "consumer"),
    [
        (SIMPLE, Consumer((), None, by_error=False)),
        (CLEANING, Consumer((), None, by_error=True)),
        (CLEANING, Consumer((1, 0, 2), 1, by_error=False)),
        (NESTED, Consumer((), None, by_error=False)),
        (NESTED, Consumer((0, 1), 2, by_error=False)),
        (FAILING, Consumer((3, 3), None, by_error=False)),
        (FAILING_CLEANUP, Consumer((), 1, by_error=False)),
        (FAILING_CLEANUP, Consumer((), 2, by_error=True)),
    ],
)
def test_a_producer_leaves_the_same_trace_in_every_way(
    new_loop: LoopFactory, program: tuple[Step, ...], consumer: Consumer
) -> None:
    """Rules 2, 17, 18 and 20: items, turns, endings, cleanups and errors, in the same order."""
    right = trace(native, program, consumer, new_loop)
    assert trace(streamed, program, consumer, new_loop) == right
    assert trace(fed, program, consumer, new_loop) == right
    assert trace(in_two_tasks, program, consumer, new_loop) == right


@examples(250)
@given(producers, consumers, st.sampled_from(list(LOOPS)))
def test_any_producer_leaves_the_same_trace_in_every_way(program: tuple[Step, ...], consumer: Consumer, loop: str) -> None:
    """Rules 2, 17, 18 and 20: likewise."""
    test_a_producer_leaves_the_same_trace_in_every_way(LOOPS[loop], program, consumer)


def test_the_traces_show_what_they_are_meant_to_show() -> None:
    """So that equal traces are not just empty ones."""
    program = (Note("a"), *FAILING_CLEANUP)
    assert trace(native, program, Consumer((), 1, by_error=True), asyncio.new_event_loop) == [
        "start",
        "a",
        "giving 0",
        "took 0",
        "leaving",
        STOPPED,
        "cleaning",
        "failing a",
        "left by ProducerError('a')",
        "cleaning",
        "cleaned",
        "the block raised ProducerError('a')",
    ]

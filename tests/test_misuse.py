"""What each mistake gets, and that it changes nothing: rules 8, 19 and 21, and the surface.

The table is `MISTAKES`. The guide has the same rows, so that a user finds a mistake by what was written or by what came of it.
Some errors are Python's own: they name the object and the fact, and their remedy is in the guide alone.

The types refuse most of it before it runs: each `type: ignore` here is a mistake that mypy has found.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import re
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

import pytest

from chanstream import Channel, Itemizer, Receiver, ReceiverClosed, Sender, SenderClosed, SenderFailed, stream
from tests.garbage import let_go
from tests.loops import turns
from tests.outcomes import collect, done, settle
from tests.producers import count, write

GUIDE = Path(__file__).parent / "guide" / "errors.md"
HEADING = "## Mistakes and what they get"


class Moment(Enum):
    """When a mistake is made."""

    BEFORE = auto()
    """The sender has not been opened."""
    INSIDE = auto()
    """In the sender block, with one item in the buffer."""
    AFTER = auto()
    """The block has ended, with two items in the buffer."""
    CLOSED = auto()
    """Everything was taken, and the receiver closed."""


ALWAYS = frozenset(Moment)
OPENED = ALWAYS - {Moment.BEFORE}
ENDED = OPENED - {Moment.INSIDE}


@dataclass
class Scene:
    """What a mistake is made with: a channel of this event loop, which has waited before, and its itemizer once there is one."""

    channel: Channel[int]
    itemize: Itemizer[int] = field(init=False)

    @property
    def sender(self) -> Sender[int]:
        return self.channel.sender

    @property
    def receiver(self) -> Receiver[int]:
        return self.channel.receiver

    @property
    def block(self) -> AbstractAsyncContextManager[Receiver[int]]:
        return self.channel.fed_by(count, 1)


@dataclass(frozen=True)
class Try:
    """One way to make a mistake: as the user writes it, as a program, and the words that name the object and what it got."""

    written: str
    program: Callable[[Scene], object]
    names: str = ""
    at: frozenset[Moment] = ALWAYS
    got: str = ""


@dataclass(frozen=True)
class Mistake:
    """A row of the table. Without a `remedy`, the error is Python's own; without a `fact`, that is in the words of each try."""

    what: str
    gets: str
    error: type[BaseException] | None
    fact: str
    remedy: str
    tries: tuple[Try, ...]


# The programs that are more than an expression.


async def call_what_the_receiver_gives(_: Scene) -> None:
    async with Channel[int]().receiver as itemize:
        await itemize(1)  # type: ignore[operator]


async def send_one(sink: Sender[int]) -> None:
    async with sink as itemize:
        await itemize(1)


async def feed(scene: Scene) -> None:
    async with scene.block:
        pass


async def enter_a_block_again(_: Scene) -> None:
    block = Channel[int]().fed_by(count, 1)
    async with block as items:
        assert await collect(items) == [0]
    async with block:
        pass


async def await_when_the_block_has_ended(_: Scene) -> None:
    async def itemize_later(channel: Channel[int]) -> object:
        async with channel.sender as itemize:
            return itemize(1)
        return None

    later = await itemize_later(Channel[int](buffer=1))
    assert inspect.isawaitable(later)
    await later


async def return_an_itemize(_: Scene) -> None:
    async def produce(itemize: Itemizer[int]) -> object:
        return itemize(1)

    assert await collect(stream(produce)) == []  # type: ignore[arg-type]


async def send_on_to_a_closed_receiver(_: Scene) -> None:
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        await channel.receiver.aclose()
        with suppress(ReceiverClosed):
            await itemize(1)
        with pytest.raises(ReceiverClosed) as caught:
            await itemize(2)
    raise caught.value


async def loop_over_a_closed_receiver(_: Scene) -> None:
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        await itemize(1)
        await channel.receiver.aclose()
        await collect(channel.receiver)


async def loop_after_the_block(_: Scene) -> None:
    async with Channel[int]().fed_by(count, 1) as items:
        pass
    await collect(items)


async def leave_a_block_that_was_not_entered(_: Scene) -> None:
    await Channel[int]().fed_by(count, 1).__aexit__(None, None, None)


async def leave_a_block_twice(_: Scene) -> None:
    block = Channel[int]().fed_by(count, 1)
    async with block as items:
        assert await collect(items) == [0]
    await block.__aexit__(None, None, None)


async def leave_a_block_in_its_producer(_: Scene) -> None:
    stack = AsyncExitStack()

    async def produce(_: Itemizer[int]) -> None:
        await turns(1)  # an eager task starts before the stack has the block
        await stack.aclose()

    with pytest.raises(SenderFailed) as failed:
        await collect(await stack.enter_async_context(Channel[int]().fed_by(produce)))
    assert isinstance(failed.value.__cause__, RuntimeError)
    raise failed.value.__cause__


async def leave_a_loop_by_break(_: Scene) -> None:
    channel = Channel[int]()
    task = asyncio.create_task(write(channel.sender, (1, 2, 3)))
    async for _item in channel.receiver:
        break
    await turns()
    assert not task.done()
    assert await collect(channel.receiver) == [2, 3]
    await done(task)


async def leave_a_loop_by_an_error(_: Scene) -> None:
    channel = Channel[int]()
    receiver = channel.receiver
    task = asyncio.create_task(write(channel.sender, (1, 2, 3)))
    del channel
    with suppress(ValueError):
        async for _item in receiver:
            raise ValueError
    await turns()
    assert not task.done()
    del receiver
    let_go()
    await done(task)  # it was dropped, and so ends the block


async def loop_again(_: Scene) -> None:
    channel = Channel[int](buffer=1)
    await send_one(channel.sender)
    assert await collect(channel.receiver) == [1]
    assert await collect(channel.receiver) == []


async def make_a_block_and_leave_it_at_that(scene: Scene) -> None:
    tasks = asyncio.all_tasks()
    scene.channel.fed_by(count, 1)
    await turns()
    assert asyncio.all_tasks() == tasks


async def call_it_in_a_task(_: Scene) -> None:
    async def produce(itemize: Itemizer[int]) -> None:
        await asyncio.create_task(once(itemize))

    await collect(stream(produce))


async def once(itemize: Itemizer[int]) -> None:
    await itemize(1)


async def keep_and_call_it_later(_: Scene) -> None:
    kept: list[Itemizer[int]] = []

    async def produce(itemize: Itemizer[int]) -> None:
        kept.append(itemize)
        await itemize(1)

    assert await collect(stream(produce)) == [1]
    await kept[0](2)


async def iterate_a_stream_in_two_tasks(_: Scene) -> None:
    async def produce(itemize: Itemizer[int]) -> None:
        await turns(2)
        await itemize(1)

    items = stream(produce)
    first = asyncio.create_task(collect(items))
    await turns(1)
    try:
        await collect(items)
    finally:
        assert await done(first) == [1]


def plain(itemize: Itemizer[int]) -> None:
    del itemize


async def generator(itemize: Itemizer[int]) -> AsyncGenerator[int, None]:
    del itemize
    yield 1


def old_generator(itemize: Itemizer[int]) -> Generator[int, None, None]:
    del itemize
    yield 1


async def feed_by(func: object) -> None:
    async with Channel[int]().fed_by(func) as items:  # type: ignore[arg-type]
        await collect(items)


async def read_stream(func: object) -> None:
    items: AsyncGenerator[int, None] = stream(func)  # type: ignore[arg-type]
    try:
        await anext(items)
    finally:
        assert await collect(items) == []


async def feed_by_too_much(_: Scene) -> None:
    async with Channel[int]().fed_by(count, 1, 2) as items:  # type: ignore[call-arg]
        await collect(items)


async def double(numbers: AsyncIterable[int], itemize: Itemizer[int]) -> None:
    async for number in numbers:
        await itemize(2 * number)


async def feed_by_one_with_the_source_first(_: Scene) -> None:
    async with Channel[int]().fed_by(double, stream(count, 1)) as items:  # type: ignore[arg-type]
        await collect(items)


async def feed_by_one_that_opens_a_sender(_: Scene) -> None:
    async with Channel[int]().fed_by(send_one) as items:  # type: ignore[arg-type]
        await collect(items)


def with_coroutine(take: Callable[[object], object]) -> None:
    """Call `take` with a coroutine, as a caller of the producer would have made it, and close that."""

    async def ignore(_: int, /) -> None:
        pass

    coroutine = count(ignore, 1)
    try:
        take(coroutine)
    finally:
        coroutine.close()


def wrong_buffer(wrong: object) -> Try:
    got = f", not {type(wrong).__name__}"
    return Try(f"Channel[int](buffer={wrong!r})", lambda _: Channel[int](buffer=wrong), "Channel(buffer=...)", got=got)  # type: ignore[arg-type]


def pickled(written: str, part: Callable[[Scene], object], names: str) -> list[Try]:
    """With every protocol."""

    def by(protocol: int) -> Try:
        return Try(f"pickle.dumps({written}, {protocol})", lambda scene: pickle.dumps(part(scene), protocol), names)

    return [by(protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]


def subclass(*bases: type) -> object:
    return type("Own", bases, {})


def sets(part: str, name: str) -> Callable[[Scene], object]:
    return lambda scene: setattr(getattr(scene, part), name, None)


class Other:
    pass


def wait_without_a_loop(coroutine: Callable[[Channel[int]], object]) -> None:
    channel = Channel[int]()
    waiting = coroutine(channel)
    assert inspect.iscoroutine(waiting)
    waiting.send(None)


def elsewhere(coroutine: Callable[[Scene], Coroutine[object, object, object]]) -> Callable[[Scene], object]:
    return lambda scene: asyncio.to_thread(asyncio.run, coroutine(scene))


def use_two_loops() -> None:
    channel = Channel[int]()
    asyncio.run(settle(channel))
    asyncio.run(channel.receiver.aclose())


async def drop_the_channel(_: Scene) -> None:
    items = Channel[int]().receiver
    let_go()
    await collect(items)


async def drop_a_block(_: Scene) -> None:
    channel = Channel[int]()
    items = channel.receiver
    await channel.sender.__aenter__()
    del channel
    let_go()
    await collect(items)


# What Python says of its own accord differs from version to version.


def plain_with(what: object) -> None:
    with what:  # type: ignore[attr-defined]
        pass


async def async_with(what: object) -> None:
    async with what:  # type: ignore[attr-defined]
        pass


def plain_for(what: object) -> None:
    for _ in what:  # type: ignore[attr-defined]
        pass


async def async_for(what: object) -> None:
    async for _ in what:  # type: ignore[attr-defined]
        pass


def forget(_: object) -> None:
    """Let it go, instead of awaiting it."""


def says(kind: type[object], program: Callable[[object], object]) -> str:
    """What Python says to `program` of an object whose class has the name of `kind`, and its blocks."""
    blocks = {name: value for name, value in vars(kind).items() if name in {"__aenter__", "__aexit__"}}
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    with pytest.raises(TypeError) as refused:
        program(type(kind.__name__, (), names | blocks)())
    return str(refused.value)


NO_ASYNC_WITH = says(Channel, lambda what: async_with(what).send(None))
FINAL = "wrap it, or type against the protocols Itemizer and SenderContext"
NOT_COPIED = "pass on the one object, or make another Channel"
OPENED_ONCE = "a sender opens once: pass its itemizer on to other writers, or make another channel"

MISTAKES = (
    Mistake(
        "an itemizer called after its block, or its coroutine awaited there",
        "`SenderClosed`: let all tasks that use the itemizer end first",
        SenderClosed,
        "has ended, and its itemizer with it",
        "let all tasks that use the itemizer end first, for example in a task group inside the block",
        (
            Try("await itemize(3)", lambda scene: scene.itemize(3), "the sender block of <Channel buffer=2: ", ENDED),
            Try("return itemize(1)", await_when_the_block_has_ended, "the sender block of <Channel buffer=1: "),
        ),
    ),
    Mistake(
        "a sender opened twice, a channel fed twice, one `fed_by` block entered twice",
        "`SenderClosed`: pass its itemizer on, or make another channel",
        SenderClosed,
        "has been opened before",
        OPENED_ONCE,
        (
            Try("async with channel.sender:", lambda scene: write(scene.sender, [1]), "the sender of <Channel buffer=2: ", OPENED),
            Try("async with channel.fed_by(count, 1):", feed, "the sender of <Channel buffer=2: ", OPENED),
            Try("async with block:", enter_a_block_again, "the sender of <Channel lock-step: "),
        ),
    ),
    Mistake(
        "a sender dropped before its block was entered or left",
        "`SenderFailed`: keep a reference to the channel, use `async with`",
        SenderFailed,
        "",
        "keep a reference to the",
        (
            Try(
                "items = Channel[int]().receiver",
                drop_the_channel,
                "the sender of <Channel lock-step: ",
                got="was dropped before it was opened",
            ),
            Try("await sender.__aenter__()", drop_a_block, "the sender block of <Channel lock-step: ", got="was abandoned"),
        ),
    ),
    Mistake(
        "an item sent after `ReceiverClosed` was caught",
        "`ReceiverClosed`: let it leave the sender block, which then ends quietly",
        ReceiverClosed,
        "is closed, so no more items are taken",
        "let this error leave the sender block, which then ends quietly",
        (Try("except ReceiverClosed: continue", send_on_to_a_closed_receiver, "the receiver of <Channel buffer=1: "),),
    ),
    Mistake(
        "a new loop over a receiver that was closed before the stream had ended, by leaving its block for example",
        "`RuntimeError`: iterate inside the block",
        RuntimeError,
        "was closed before the stream had ended",
        "iterate inside the block that closes it",
        (
            Try("await receiver.aclose()", loop_over_a_closed_receiver, "the receiver of <Channel buffer=1: "),
            Try("return items", loop_after_the_block, "the receiver of <Channel lock-step: "),
        ),
    ),
    Mistake(
        "a `fed_by` block left twice, or before it was entered",
        "`RuntimeError`: use `async with`",
        RuntimeError,
        "was left before it was entered, or for a second time",
        "use `async with`, which does each once",
        (
            Try("await block.__aexit__(...)", leave_a_block_that_was_not_entered, "the fed_by block of <Channel lock-step: "),
            Try(
                "async with block: ...; await block.__aexit__(...)", leave_a_block_twice, "the fed_by block of <Channel lock-step: "
            ),
        ),
    ),
    Mistake(
        "a `fed_by` block left by its own producer",
        "`RuntimeError`: return from the producer",
        RuntimeError,
        "was left by its own producer, for whose end it has to wait",
        "return from the producer, and let the task that entered the block leave it",
        (Try("await stack.aclose()", leave_a_block_in_its_producer, "the fed_by block of <Channel lock-step: "),),
    ),
    Mistake(
        "a loop over a stream that has ended normally; `channel.fed_by(...)` that no `async with` enters",
        "no error: the loop ends at once, and nothing was started",
        None,
        "",
        "",
        (Try("async for ...: async for ...:", loop_again), Try("channel.fed_by(count, 1)", make_a_block_and_leave_it_at_that)),
    ),
    Mistake(
        "a loop left by `break` or an error, without `async with` around it",
        "no error: the sender waits for the next loop, as long as anything refers to the receiver",
        None,
        "",
        "",
        (Try("async for ...: break", leave_a_loop_by_break), Try("async for ...: raise", leave_a_loop_by_an_error)),
    ),
    Mistake(
        "a channel used in another event loop, or in a thread",
        "`RuntimeError`: feed it by `in_thread()`, read it by `asyncio.run_coroutine_threadsafe()`, or make one channel for each "
        "loop",
        RuntimeError,
        "belongs to the event loop in which it first had to wait, and that one isn't running here",
        "from another thread, feed it by in_thread() and read it by asyncio.run_coroutine_threadsafe(), or make one channel for "
        "each loop",
        (
            Try("loop.run_until_complete(channel ...)", lambda _: asyncio.to_thread(use_two_loops), "<Channel lock-step: "),
            Try(
                "asyncio.to_thread(asyncio.run, itemize(3))",
                elsewhere(lambda scene: scene.itemize(3)),
                "<Channel buffer=2: ",
                OPENED,
            ),
            Try(
                "asyncio.to_thread(asyncio.run, anext(receiver))",
                elsewhere(lambda scene: anext(scene.receiver)),
                "<Channel buffer=2: ",
            ),
            Try(
                "asyncio.to_thread(asyncio.run, receiver.aclose())",
                elsewhere(lambda scene: scene.receiver.aclose()),
                "<Channel buffer=2: ",
            ),
            Try(
                "asyncio.to_thread(asyncio.run, write(channel.sender))",
                elsewhere(lambda scene: send_one(scene.sender)),
                "<Channel buffer=2: ",
            ),
        ),
    ),
    Mistake(
        "a wait where no event loop runs",
        "`RuntimeError`: use it in a coroutine started by `asyncio.run()`",
        RuntimeError,
        "has to wait, and no asyncio event loop runs in this thread",
        "use it in a coroutine started by asyncio.run()",
        (
            Try(
                "anext(receiver).send(None)",
                lambda _: asyncio.to_thread(wait_without_a_loop, lambda channel: anext(channel.receiver)),
                "<Channel lock-step: ",
            ),
            Try(
                "write(sender).send(None)",
                lambda _: asyncio.to_thread(wait_without_a_loop, lambda channel: send_one(channel.sender)),
                "<Channel lock-step: ",
            ),
        ),
    ),
    Mistake(
        "the itemizer of a `stream` called by another task, or after its end",
        "`RuntimeError`: run the function with `Channel.fed_by`",
        RuntimeError,
        "was called outside of the body of its function, or by a task other than the consumer's",
        "to write from other tasks, run the function with Channel.fed_by",
        (
            Try("create_task(write(itemize))", call_it_in_a_task, "the itemizer of a stream()"),
            Try("kept.append(itemize)", keep_and_call_it_later, "the itemizer of a stream()"),
        ),
    ),
    Mistake(
        "a `stream` iterated by two tasks at once",
        "`RuntimeError` of Python: the generator is already running; several may iterate the receiver of a channel",
        RuntimeError,
        "already running",
        "",
        (Try("anext(items), anext(items)", iterate_a_stream_in_two_tasks, "asynchronous generator"),),
    ),
    Mistake(
        "`itemize(item)`, `anext(receiver)`, `receiver.aclose()` without `await`",
        "`RuntimeWarning` of Python, and nothing was done",
        RuntimeWarning,
        "was never awaited",
        "",
        (
            Try("itemize(3)", lambda scene: forget(scene.itemize(3)), "itemize'", OPENED),
            Try("anext(receiver)", lambda scene: forget(anext(scene.receiver)), "Receiver.__anext__'"),
            Try("receiver.aclose()", lambda scene: forget(scene.receiver.aclose()), "Receiver.aclose'"),
            Try("return itemize(1) in a producer", return_an_itemize, "itemize'"),
        ),
    ),
    Mistake(
        "`itemize()`, `itemize(1, 2)`, `itemize(item=1)`",
        "`TypeError` of Python: one item, positional",
        TypeError,
        "positional",
        "",
        (
            Try("itemize()", lambda scene: scene.itemize(), "itemize()", OPENED),  # type: ignore[call-arg]
            Try("itemize(1, 2)", lambda scene: scene.itemize(1, 2), "itemize()", OPENED),  # type: ignore[call-arg]
            Try("itemize(item=1)", lambda scene: scene.itemize(item=1), "itemize()", OPENED),  # type: ignore[call-arg]
        ),
    ),
    Mistake(
        "`Channel[int](buffer=...)` with anything but an int, or with a bool",
        "`TypeError`: an int, 0 for lock-step or the number of items to buffer",
        TypeError,
        "takes an int",
        "0 for lock-step or the number of items to buffer",
        tuple(wrong_buffer(wrong) for wrong in (None, "1", 1.0, float("inf"), [1], True, False, int)),
    ),
    Mistake(
        "`Channel[int](buffer=-1)`",
        "`ValueError`: 0 for lock-step or the number of items to buffer",
        ValueError,
        "takes",
        "0 for lock-step or the number of items to buffer",
        (
            Try("Channel[int](buffer=-1)", lambda _: Channel[int](buffer=-1), "Channel(buffer=...)", got=", not -1"),
            Try(
                "Channel[int](buffer=-(10**30))",
                lambda _: Channel[int](buffer=-(10**30)),
                "Channel(buffer=...)",
                got=f", not -{10**30}",
            ),
        ),
    ),
    Mistake(
        "`Channel[int](5)`, `Channel[int](maxsize=5)`",
        "`TypeError` of Python: write `buffer=5`",
        TypeError,
        "argument",
        "",
        (
            Try("Channel[int](5)", lambda _: Channel[int](5), "Channel.__init__()"),  # type: ignore[call-arg]
            Try("Channel[int](maxsize=5)", lambda _: Channel[int](maxsize=5), "'maxsize'"),  # type: ignore[call-arg]
        ),
    ),
    Mistake(
        "`fed_by` or `stream` with the coroutine `count(itemize, 3)`, or anything else that can't be called",
        "`TypeError`, at the call: pass the function, `count, 3`",
        TypeError,
        "takes",
        "an async function whose first parameter is an itemizer",
        (
            Try("channel.fed_by(count(...))", lambda scene: with_coroutine(scene.channel.fed_by), "func", got=", not coroutine"),  # type: ignore[arg-type]
            Try("channel.fed_by(None)", lambda scene: scene.channel.fed_by(None), "func", got=", not NoneType"),  # type: ignore[arg-type]
            Try(
                "channel.fed_by(generator())",
                lambda scene: scene.channel.fed_by(generator(scene.itemize)),  # type: ignore[arg-type]
                "func",
                OPENED,
                ", not async_generator",
            ),
            Try("stream(count(...))", lambda _: with_coroutine(stream), "func", got=", not coroutine"),  # type: ignore[arg-type]
            Try("stream('count')", lambda _: stream("count"), "func", got=", not str"),  # type: ignore[arg-type]
        ),
    ),
    Mistake(
        "`fed_by` or `stream` with a plain function, or one that yields",
        "`TypeError`, when it is run: declare it with `async def`, and pass items to the itemizer instead of yielding them; wrap "
        "one that blocks with `in_thread`",
        TypeError,
        "which returns a coroutine; <function",
        "declare it with `async def`, and pass items to the itemizer instead of yielding them; wrap one that blocks with "
        "in_thread()",
        (
            Try("fed_by(plain)", lambda _: feed_by(plain), "func takes an async function", got=" returned NoneType: "),
            Try(
                "fed_by(generator)", lambda _: feed_by(generator), "func takes an async function", got=" returned async_generator: "
            ),
            Try("fed_by(old)", lambda _: feed_by(old_generator), "func takes an async function", got=" returned generator: "),
            Try("stream(plain)", lambda _: read_stream(plain), "func takes an async function", got=" returned NoneType: "),
            Try(
                "stream(generator)",
                lambda _: read_stream(generator),
                "func takes an async function",
                got=" returned async_generator: ",
            ),
        ),
    ),
    Mistake(
        "`fed_by` or `stream` with arguments that the function does not take",
        "`TypeError` of Python, when it is run, which names the function",
        TypeError,
        "positional arguments",
        "",
        (
            Try("channel.fed_by(count, 1, 2)", feed_by_too_much, "count()"),
            Try("stream(count, 1, 2)", lambda _: anext(stream(count, 1, 2)), "count()"),  # type: ignore[call-arg]
        ),
    ),
    Mistake(
        "`fed_by` or `stream` with a function whose first parameter is not the itemizer, but a source or a `SenderContext`",
        "`TypeError` of Python, where it uses that: put `itemize` first, "
        "or pass `lambda itemize: stage(source, nullcontext(itemize))`",
        TypeError,
        "",
        "",
        (
            Try("fed_by(double, numbers)", feed_by_one_with_the_source_first, "__aiter__ method, got method"),
            Try("fed_by(write)", feed_by_one_that_opens_a_sender, "'method' object does not support the asynchronous context"),
            Try("stream(double, numbers)", lambda _: anext(stream(double, stream(count, 1))), "__aiter__ method, got method"),  # type: ignore[arg-type]
            Try(
                "stream(write)",
                lambda _: anext(stream(send_one)),  # type: ignore[arg-type]
                "'method' object does not support the asynchronous context",
            ),
        ),
    ),
    Mistake(
        "`for`, `with` or `next` instead of `async for`, `async with` or `anext`; "
        "a channel iterated or entered instead of its ends; an end called or awaited",
        "`TypeError` of Python, which names the object and what it is not",
        TypeError,
        "",
        "",
        (
            Try("for item in channel.receiver:", lambda scene: plain_for(scene.receiver), "'Receiver' object is not iterable"),
            Try("for item in stream(count, 1):", lambda _: plain_for(stream(count, 1)), "'async_generator' object is not iterable"),
            Try("next(receiver)", lambda scene: next(scene.receiver), "'Receiver' object is not an iterator"),  # type: ignore[call-overload]
            Try("with sender:", lambda scene: plain_with(scene.sender), says(Sender, plain_with)),
            Try("with receiver:", lambda scene: plain_with(scene.receiver), says(Receiver, plain_with)),
            Try(
                "with channel.fed_by(count):",
                lambda scene: plain_with(scene.block),
                says(type(Channel[int]().fed_by(count, 1)), plain_with),
            ),
            Try("async for item in channel:", lambda scene: async_for(scene.channel), "__aiter__ method, got Channel"),
            Try("async for item in channel.sender:", lambda scene: async_for(scene.sender), "__aiter__ method, got Sender"),
            Try("async for item in channel.fed_by(count):", lambda scene: async_for(scene.block), "__aiter__ method, got FedBlock"),
            Try("anext(channel)", lambda scene: anext(scene.channel), "'Channel' object is not an async iterator"),  # type: ignore[call-overload]
            Try("async with channel:", lambda scene: async_with(scene.channel), NO_ASYNC_WITH),
            Try("await write(channel)", lambda scene: write(scene.channel, [1]), NO_ASYNC_WITH),  # type: ignore[arg-type]
            Try(
                "async with stream(count):",
                lambda _: async_with(stream(count, 1)),
                "'async_generator' object does not support the asynchronous context",
            ),
            Try("await channel.sender(1)", lambda scene: scene.sender(1), "'Sender' object is not callable"),  # type: ignore[operator]
            Try("await channel.receiver()", lambda scene: scene.receiver(), "'Receiver' object is not callable"),  # type: ignore[operator]
            Try("async with channel.receiver as itemize:", call_what_the_receiver_gives, "'Receiver' object is not callable"),
            Try(
                "asyncio.create_task(itemize)",
                lambda scene: asyncio.create_task(scene.itemize),  # type: ignore[arg-type]
                "a coroutine was expected, got",
                OPENED,
            ),
            Try("await channel.receiver", lambda scene: wait_for(scene.receiver), "Receiver"),
            Try("await channel.sender", lambda scene: wait_for(scene.sender), "Sender"),
            Try("await channel.fed_by(count)", lambda scene: wait_for(scene.block), "FedBlock"),
        ),
    ),
    Mistake(
        "`channel.aclose()`, `channel.send(item)`, `receiver.get()`, another attribute, an end replaced",
        "`AttributeError` of Python, which names the object",
        AttributeError,
        "",
        "",
        (
            Try("await channel.aclose()", lambda scene: scene.channel.aclose(), "'Channel' object has no attribute 'aclose'"),  # type: ignore[attr-defined]
            Try("await channel.send(1)", lambda scene: scene.channel.send(1), "'Channel' object has no attribute 'send'"),  # type: ignore[attr-defined]
            Try("await sender.send(1)", lambda scene: scene.sender.send(1), "'Sender' object has no attribute 'send'"),  # type: ignore[attr-defined]
            Try("await receiver.get()", lambda scene: scene.receiver.get(), "'Receiver' object has no attribute 'get'"),  # type: ignore[attr-defined]
            Try("receiver.close()", lambda scene: scene.receiver.close(), "'Receiver' object has no attribute 'close'"),  # type: ignore[attr-defined]
            Try("channel.sender = ...", sets("channel", "sender"), "'sender' of 'Channel' object has no setter"),
            Try(
                "del channel.receiver",
                lambda scene: delattr(scene.channel, "receiver"),
                "'receiver' of 'Channel' object has no deleter",
            ),
            Try("channel.name = ...", sets("channel", "name"), "'Channel' object has no attribute 'name'"),
            Try("channel.receiver = ...", sets("channel", "receiver"), "'receiver' of 'Channel' object has no setter"),
            Try("receiver.name = ...", sets("receiver", "name"), "'Receiver' object has no attribute 'name'"),
            Try("sender.name = ...", sets("sender", "name"), "'Sender' object has no attribute 'name'"),
        ),
    ),
    Mistake(
        "a copy or a pickle of a channel or an end; a deep copy or a pickle of an itemizer",
        "`TypeError`: pass on the one object, or make another Channel",
        TypeError,
        "can't be copied or pickled",
        NOT_COPIED,
        (
            Try("copy.copy(channel)", lambda scene: copy.copy(scene.channel), "a Channel"),
            Try("copy.copy(sender)", lambda scene: copy.copy(scene.sender), "a Sender"),
            Try("copy.copy(receiver)", lambda scene: copy.copy(scene.receiver), "a Receiver"),
            Try("copy.copy(block)", lambda scene: copy.copy(scene.block), "a FedBlock"),
            Try("copy.deepcopy(channel)", lambda scene: copy.deepcopy(scene.channel), "a Channel"),
            Try("copy.deepcopy([sender])", lambda scene: copy.deepcopy([scene.sender]), "a Sender"),
            Try("copy.deepcopy({1: receiver})", lambda scene: copy.deepcopy({1: scene.receiver}), "a Receiver"),
            Try("copy.deepcopy(itemize)", lambda scene: copy.deepcopy(scene.itemize), "a Sender", OPENED),
            Try("pickle.dumps(itemize)", lambda scene: pickle.dumps(scene.itemize), "a Sender", OPENED),
            *pickled("channel", lambda scene: scene.channel, "a Channel"),
            *pickled("sender", lambda scene: scene.sender, "a Sender"),
            *pickled("receiver", lambda scene: scene.receiver, "a Receiver"),
        ),
    ),
    Mistake(
        "a subclass of `Channel`, `Sender` or `Receiver`",
        "`TypeError`: wrap it, or type against the protocols",
        TypeError,
        "is final",
        FINAL,
        (
            Try("class Own(Channel):", lambda _: subclass(Channel), "Channel"),
            Try("class Own(Sender):", lambda _: subclass(Sender), "Sender"),
            Try("class Own(Receiver):", lambda _: subclass(Receiver), "Receiver"),
            Try("class Own(Other, Channel):", lambda _: subclass(Other, Channel), "Channel"),
        ),
    ),
)


@pytest.mark.parametrize(
    ("mistake", "attempt"),
    [pytest.param(mistake, attempt, id=attempt.written) for mistake in MISTAKES for attempt in mistake.tries],
)
async def test_a_mistake_gets_its_error_and_changes_nothing(mistake: Mistake, attempt: Try) -> None:
    """Rule 21: the error names the object, the fact and the remedy, whenever the mistake is made; and the channel goes on."""
    scene = Scene(Channel[int](buffer=2))
    await settle(scene.channel)  # now it belongs to this loop

    async def make_it(moment: Moment) -> None:
        if moment in attempt.at:
            state = repr(scene.channel)
            await gets(mistake, attempt, scene)
            assert repr(scene.channel) == state

    await make_it(Moment.BEFORE)
    async with scene.sender as scene.itemize:
        await scene.itemize(1)
        await make_it(Moment.INSIDE)
        await scene.itemize(2)
    await make_it(Moment.AFTER)
    assert await collect(scene.receiver) == [1, 2]
    await scene.receiver.aclose()
    await make_it(Moment.CLOSED)


async def gets(mistake: Mistake, attempt: Try, scene: Scene) -> None:
    """Run `attempt`, and look at what comes of it."""
    if mistake.error is None:
        await run(attempt, scene)
        return
    if issubclass(mistake.error, Warning):
        with pytest.warns(mistake.error) as warned:
            await run(attempt, scene)
        assert len(warned) == 1
        message = str(warned[0].message)
    else:
        with pytest.raises(mistake.error) as caught:
            await run(attempt, scene)
        assert type(caught.value) is mistake.error
        message = str(caught.value)
    for words in (attempt.names, mistake.fact, mistake.remedy, attempt.got):
        assert words in message
    if mistake.remedy:
        assert message.index(attempt.names) <= message.index(mistake.fact) <= message.index(mistake.remedy)


async def run(attempt: Try, scene: Scene) -> None:
    result = attempt.program(scene)
    if inspect.isawaitable(result):
        await result
    del result
    let_go()  # that a coroutine was not awaited is noticed when it goes


async def wait_for(what: object) -> None:
    await what  # type: ignore[misc]


def test_the_guide_has_the_same_mistakes() -> None:
    """What it says of each begins with the error, so both columns are compared."""
    _, heading, section = GUIDE.read_text(encoding="utf-8").partition(f"\n{HEADING}\n")
    assert heading, f"the guide has no heading {HEADING!r}"
    table = re.search(r"(?:^\|.*\|\n)+", section, re.MULTILINE)
    assert table
    assert table[0].splitlines()[2:] == [f"| {mistake.what} | {mistake.gets} |" for mistake in MISTAKES]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_what_the_guide_says_names_the_error_and_whose_it_is(mistake: Mistake) -> None:
    """An error without a remedy of its own is Python's."""
    if mistake.error is None:
        assert mistake.gets.startswith("no error: ")
    else:
        assert mistake.gets.startswith(f"`{mistake.error.__name__}`" + ("" if mistake.remedy else " of Python"))

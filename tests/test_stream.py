"""Rule 18: a producer as an async generator, in the task of its consumer.

Where an async generator says what is right, the test asks one: `as_generator` makes it of the same function.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import aclosing, asynccontextmanager, suppress
from types import AsyncGeneratorType, FrameType, TracebackType
from typing import TypeVar

import pytest
from typing_extensions import override

from chanstream import Channel, Itemizer, stream
from tests.garbage import is_gone
from tests.loops import this_task, turns
from tests.outcomes import begun, collect, wait_for
from tests.producers import BodyError, Halt, as_generator, busy, count, logged

T = TypeVar("T")

FOREIGN = r"^the itemizer of a stream\(\) was called outside of the body .* or by a task other than .*Channel\.fed_by$"


class Thrown(Exception):
    """What the consumer throws in."""


class Item:
    """An item that can be watched."""


class Bare:
    """An awaitable of the lowest level: two turns and a result, without a future."""

    def __await__(self) -> Generator[None, None, str]:
        yield
        yield
        return "bare"


async def told(awaitable: Awaitable[T]) -> T | str:
    """Its result, or a text if it is an error: with where it came from, but without the names of things."""
    try:
        return await awaitable
    except BaseException as error:
        return f"{error!r}, cause {error.__cause__!r}, context {error.__context__!r}".replace(
            "coroutine raised", "async generator raised"
        )


def depth(frame: FrameType | None) -> int:
    return 0 if frame is None else 1 + depth(frame.f_back)


def has_ended(generator: AsyncGenerator[T, None]) -> bool:
    return isinstance(generator, AsyncGeneratorType) and generator.ag_frame is None


# What it is.


async def test_a_stream_is_an_async_generator_object() -> None:
    """Rule 18: so that whatever knows async generators knows what to do with it."""
    rows = stream(count, 3)
    assert inspect.isasyncgen(rows)
    assert aiter(rows) is rows
    assert await collect(rows) == [0, 1, 2]
    for _ in range(2):  # and it stays so
        with pytest.raises(StopAsyncIteration):
            await anext(rows)
        assert await anext(rows, "default") == "default"
    await rows.aclose()


async def test_func_starts_with_the_first_ask() -> None:
    """Rule 18: it is not even called before. A stream that is never asked leaves nothing, not even a warning."""
    log: list[str] = []
    rows = stream(logged, log)
    await turns()
    assert log == []
    await rows.aclose()
    assert await collect(rows) == []
    unasked = stream(logged, log)
    del unasked
    gc.collect()
    await turns()
    assert log == []


async def test_func_runs_only_while_it_is_asked() -> None:
    """Rule 18: `await itemize(x)` is its `yield`, line for line, and no other task gets a turn."""
    log: list[str] = []

    async def produce(itemize: Itemizer[str]) -> None:
        for item in "ab":
            log.append(f"give {item}")
            await itemize(item)
            log.append(f"given {item}")

    async def someone_else() -> None:
        log.append("a turn of another task")

    async with aclosing(stream(produce)) as rows:
        other = asyncio.create_task(someone_else())
        log.clear()  # an eager task has run already
        await rest_of(rows, log)
        assert log == ["give a", "a", "given a", "give b", "b", "given b"]
    await other


async def test_func_runs_in_the_task_that_asks() -> None:
    """Rule 18: which may change from item to item, as with a generator."""

    async def tell(itemize: Itemizer[asyncio.Task[object] | None]) -> None:
        while True:
            await itemize(asyncio.current_task())

    async with aclosing(stream(tell)) as rows:
        before = asyncio.all_tasks()
        assert await anext(rows) is asyncio.current_task()
        assert asyncio.all_tasks() == before
        task = asyncio.create_task(wait_for(anext(rows)))
        assert await task is task
        assert await anext(rows) is asyncio.current_task()


async def test_a_stream_needs_no_event_loop() -> None:
    """Rule 18: the loop is not involved in passing an item, so anything that can drive a coroutine can drive a stream."""
    got: list[int] = []
    rows = stream(count, 3)
    ended: list[bool] = []

    def drive() -> None:
        # In a thread that has no loop.
        with pytest.raises(StopIteration):
            rest_of(rows, got).send(None)
        ended.append(has_ended(rows))

    thread = threading.Thread(target=drive)
    thread.start()
    thread.join()
    assert got == [0, 1, 2]
    assert ended == [True]


async def rest_of(rows: AsyncIterator[T], got: list[T]) -> None:
    async for row in rows:
        got.append(row)


async def test_any_object_is_an_item() -> None:
    """Rules 5 and 18."""
    items: list[object] = [
        None,
        StopAsyncIteration(),
        StopIteration(1),
        GeneratorExit(),
        Halt(),
        asyncio.CancelledError(),
        [],
        Bare(),
    ]

    async def produce(itemize: Itemizer[object]) -> None:
        for item in items:
            await itemize(item)
        # Also what the library itself passes around.
        await itemize(itemize)

    got = await collect(stream(produce))
    assert all(one is other for one, other in zip(items, got, strict=False))
    assert len(got) == len(items) + 1


# What it takes.


class Foreign(Coroutine[object, object, None]):
    """A coroutine that is no CoroutineType, as compilers of Python have them: it has the methods and nothing else."""

    def __init__(self, inner: Coroutine[object, object, None]) -> None:
        self.inner = inner

    @override
    def __await__(self) -> Generator[object, None, None]:
        return self.inner.__await__()

    @override
    def send(self, value: object, /) -> object:
        return self.inner.send(value)

    @override
    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> object:
        assert isinstance(typ, BaseException)
        return self.inner.throw(typ)

    @override
    def close(self) -> None:
        self.inner.close()


async def test_func_may_return_a_coroutine_of_another_make() -> None:
    """Rule 18: run to its end, closed, and with an error thrown in by the consumer and by the event loop."""

    def produce(itemize: Itemizer[int], log: list[str], up_to: int) -> Coroutine[object, object, None]:
        return Foreign(logged(itemize, log, up_to))

    log: list[str] = []
    assert await collect(stream(produce, log, 2)) == [0, 1]
    assert log == ["end", "cleaned"]
    log.clear()
    async with aclosing(stream(produce, log, 2)) as rows:
        assert await anext(rows) == 0
    assert log == ["GeneratorExit", "cleaned"]
    log.clear()
    rows = stream(produce, log, 2)
    assert await anext(rows) == 0
    with pytest.raises(Thrown):
        await rows.athrow(Thrown)
    assert log == ["Thrown", "cleaned"]

    def wait(itemize: Itemizer[int]) -> Coroutine[object, object, None]:
        del itemize
        return Foreign(turns(1_000))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await anext(stream(wait))


# What func may await.


async def test_func_may_await_everything() -> None:
    """Rule 18: futures, turns, sleep, tasks, groups, timeouts, threads, other streams, generators, channels and bare awaitables."""

    async def produce(itemize: Itemizer[object]) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        loop.call_soon(future.set_result, "future")
        await itemize(await future)
        await itemize(await asyncio.sleep(0, "turn"))
        await itemize(await asyncio.sleep(1e-6, "sleep"))  # unlike a turn, this sets a timer
        await itemize(await asyncio.create_task(asyncio.sleep(0, "task")))
        await itemize(await asyncio.gather(asyncio.sleep(0, "both"), awaited()))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, name)) for name in "ab"]
        await itemize([task.result() for task in tasks])
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            await itemize("timeout")
        await itemize(await asyncio.to_thread(str, "thread"))
        async for row in stream(count, 2):
            await itemize(row)
        async for row in as_generator(count)(2):
            await itemize(row)
        async with Channel[int]().fed_by(count, 2) as rows:
            async for row in rows:
                await itemize(row)
        await itemize(await Bare())
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)
        await itemize("end")

    async def awaited() -> str:
        return await Bare()

    assert await collect(stream(produce)) == [
        *("future", "turn", "sleep", "task", ["both", "bare"], ["a", "b"], "timeout", "thread"),
        *(0, 1, 0, 1, 0, 1),
        *("bare", "end"),
    ]


async def test_the_outer_itemizer_may_be_used_inside_an_inner_stream() -> None:
    """Rule 18: an inner producer runs in the same task, so its items and those that it passes out keep their order."""

    async def inner(inwards: Itemizer[str], outwards: Itemizer[str]) -> None:
        await outwards("out 1")
        await inwards("in 1")
        await outwards("out 2")

    async def outer(itemize: Itemizer[str]) -> None:
        async for row in stream(inner, itemize):
            await itemize(f"through {row}")
        await itemize("end")

    assert await collect(stream(outer)) == ["out 1", "through in 1", "out 2", "end"]


async def test_streams_nest_deeply() -> None:
    """Rule 18."""

    async def again(itemize: Itemizer[int], depth: int) -> None:
        rows = stream(again, depth - 1) if depth else stream(count, 3)
        async for row in rows:
            await itemize(row + 1)

    assert await collect(stream(again, 20)) == [21, 22, 23]


async def test_context_variables_are_those_of_a_generator() -> None:
    """Rule 18: the body runs in the context of the task that asks, and both see what the other sets."""
    variable = contextvars.ContextVar("variable", default="default")

    async def produce(itemize: Itemizer[str]) -> None:
        variable.set("of the body")
        await itemize(variable.get())
        await itemize(variable.get())
        await asyncio.sleep(0)
        await itemize(variable.get())

    async def seen(rows: AsyncGenerator[str, None]) -> list[str]:
        seen = [variable.get(), await anext(rows), variable.get()]
        variable.set("of the consumer")
        seen += [await anext(rows), await asyncio.create_task(wait_for(anext(rows))), variable.get()]
        await rows.aclose()
        return seen

    native = await asyncio.create_task(seen(as_generator(produce)()))
    assert await asyncio.create_task(seen(stream(produce))) == native
    assert native == ["default", "of the body", "of the body", "of the consumer", "of the consumer", "of the consumer"]


# Errors of func.


async def test_an_error_of_func_is_that_of_a_generator() -> None:
    """Rule 18: raised at the ask under way, before the first item too, and then it has ended. Ends are errors here."""

    async def produce(itemize: Itemizer[int], error: BaseException, after: int) -> None:
        for number in range(after):
            await itemize(number)
        raise error

    generate = as_generator(produce)
    for kind in BodyError, Halt, GeneratorExit, asyncio.CancelledError, StopAsyncIteration, StopIteration:
        for after in range(3):
            generator, rows = generate(kind("x"), after), stream(produce, kind("x"), after)
            for _ in range(after + 2):
                right = await told(anext(generator))
                assert await told(anext(rows)) == right, (kind, after)
            for ended in generator, rows:  # and it stays so
                assert await collect(ended) == []


# What the consumer throws in.


HANDLERS = ["passes on", "swallows", "gives another", "replaces", "gives in the cleanup"]


async def handling(itemize: Itemizer[str], handles: str, log: list[str]) -> None:
    try:
        await itemize("first")
    except BaseException as error:
        log.append(repr(error))
        if handles == "passes on":
            raise
        if handles == "gives another":
            await itemize("another")
        if handles == "replaces":
            raise BodyError from error
    finally:
        await asyncio.sleep(0)
        log.append("cleaned")
        if handles == "gives in the cleanup":
            await itemize("cleanup")
    await itemize("last")


async def helped(itemize: Itemizer[str], handles: str, log: list[str]) -> None:
    await handling(itemize, handles, log)


native = as_generator(handling)


@pytest.mark.parametrize("func", [handling, helped])
async def test_what_is_thrown_in_does_what_it_does_to_a_generator(
    func: Callable[[Itemizer[str], str, list[str]], Coroutine[object, object, None]],
) -> None:
    """Rule 18: athrow, and with None aclose, each followed by further asks; in a helper function it is no different."""

    async def trace(rows: AsyncGenerator[str, None], kind: type[BaseException] | None, log: list[str]) -> list[str]:
        seen = [await anext(rows), str(await told(rows.aclose() if kind is None else rows.athrow(kind("x"))))]
        for _ in range(4):
            seen.append(str(await told(anext(rows))))
        await rows.aclose()
        return seen + log

    for handles in HANDLERS:
        for kind in Thrown, Halt, StopAsyncIteration, asyncio.CancelledError, GeneratorExit, None:
            log: list[str] = []
            right = await trace(native(handles, log), kind, log)
            log = []
            assert await trace(stream(func, handles, log), kind, log) == right, (handles, kind)


async def test_a_generator_that_ignores_its_end_gets_an_error() -> None:
    """Rule 18: a body that swallows GeneratorExit and gives another item gets what a generator gets."""

    async def produce(itemize: Itemizer[int]) -> None:
        for number in range(3):
            with suppress(GeneratorExit):
                await itemize(number)

    rows = stream(produce)
    assert await anext(rows) == 0
    with pytest.raises(RuntimeError, match=r"^async generator ignored GeneratorExit$"):
        await rows.aclose()
    # It is where a generator would be: suspended at its second item.
    assert await anext(rows) == 2
    assert await collect(rows) == []


async def test_a_sent_value_goes_nowhere_and_before_the_start_it_is_refused() -> None:
    """Rule 18: an itemizer returns None. `asend` is otherwise `anext`."""
    returned: list[object] = []

    async def produce(itemize: Itemizer[int]) -> None:
        for number in range(3):
            answer: object = await itemize(number)  # type: ignore[func-returns-value]
            returned.append(answer)

    rows = stream(produce)
    with pytest.raises(TypeError, match="can't send non-None value to a just-started async generator"):
        await rows.asend("value")  # type: ignore[arg-type]
    assert returned == []
    assert await rows.asend(None) == 0
    assert await rows.asend("value") == 1  # type: ignore[arg-type]
    assert await anext(rows) == 2
    assert await collect(rows) == []
    assert returned == [None] * 3


async def test_an_error_thrown_in_before_the_start_ends_it() -> None:
    """Rule 18: func is never called."""
    log: list[str] = []
    rows = stream(logged, log)
    with pytest.raises(Thrown):
        await rows.athrow(Thrown)
    assert await collect(rows) == []
    assert log == []


async def test_what_is_thrown_in_is_not_the_context_of_later_errors() -> None:
    """Rule 18: a handled error is done with."""

    async def produce(itemize: Itemizer[int]) -> None:
        with suppress(Thrown):
            await itemize(1)
        await itemize(2)
        raise BodyError

    rows = stream(produce)
    await anext(rows)
    assert await rows.athrow(Thrown) == 2
    with pytest.raises(BodyError) as raised:
        await anext(rows)
    assert raised.value.__context__ is None


def fail(error: Exception) -> None:
    raise error


def contexts(error: BaseException | None) -> list[str]:
    """The error, what it was raised in the handling of, and so on."""
    chain: list[str] = []
    while error is not None:
        chain.append(type(error).__name__)
        error = error.__context__
    return chain


async def plain(itemize: Itemizer[int], log: list[list[str]]) -> None:
    try:
        await itemize(1)
    except BaseException as error:
        log.append(contexts(error))
        raise


async def gives_while_handling(itemize: Itemizer[int], _: list[list[str]]) -> None:
    try:
        fail(LookupError())
    except LookupError:
        await itemize(1)


async def fails_in_the_end(itemize: Itemizer[int], _: list[list[str]]) -> None:
    try:
        await itemize(1)
    finally:
        raise BodyError


def closes(rows: AsyncGenerator[int, None]) -> Awaitable[object]:
    return rows.aclose()


def throws(rows: AsyncGenerator[int, None]) -> Awaitable[object]:
    return rows.athrow(Thrown())


def throws_what_has_a_context(rows: AsyncGenerator[int, None]) -> Awaitable[object]:
    error = Thrown()
    error.__context__ = OSError()
    return rows.athrow(error)


@pytest.mark.parametrize("ends", [closes, throws, throws_what_has_a_context])
@pytest.mark.parametrize("body", [plain, pytest.param(gives_while_handling, marks=pytest.mark.cpython), fails_in_the_end])
async def test_what_is_thrown_in_by_a_handler_has_the_context_that_a_generator_gives(
    body: Callable[[Itemizer[int], list[list[str]]], Coroutine[object, object, None]],
    ends: Callable[[AsyncGenerator[int, None]], Awaitable[object]],
) -> None:
    """Rule 18: that of what func is handling, and not of what its consumer is.

    On PyPy, what is thrown into a generator gets that of its consumer first, and the two can't be told apart.
    """

    async def met(make: Callable[[list[list[str]]], AsyncGenerator[int, None]]) -> list[list[str]]:
        log: list[list[str]] = []
        rows = make(log)
        assert await anext(rows) == 1
        try:
            fail(KeyError())
        except KeyError:
            try:
                await ends(rows)
            except (Thrown, BodyError) as error:
                log.append(contexts(error))
        return log

    assert await met(lambda log: stream(body, log)) == await met(as_generator(body))


async def test_a_stream_closed_at_any_item_is_cleaned_up() -> None:
    """Rule 18: `aclosing` waits for the cleanup of func, and closing twice is fine."""
    for taken in range(4):
        log: list[str] = []
        async with aclosing(stream(logged, log)) as rows:
            assert [await anext(rows) for _ in range(taken)] == list(range(taken))
        assert log == (["GeneratorExit", "cleaned"] if taken else [])
        await rows.aclose()
        assert await collect(rows) == []


async def test_a_cleanup_in_a_helper_is_waited_for_too() -> None:
    """Rule 18: an itemizer goes wherever a callback goes, and GeneratorExit reaches every function on the way back.

    If this failed, only what func does itself could have a cleanup that awaits: Python closes, without waiting, the coroutines
    below the one that GeneratorExit is thrown into.
    """
    log: list[str] = []

    async def helper(itemize: Itemizer[int]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(turns(3))
            await logged(itemize, log)

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            await helper(itemize)
        except BaseException as error:
            log.append(type(error).__name__)
            raise

    async def generate() -> AsyncGenerator[int, None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(turns(3))
            yield 0

    assert (met := await closed(generate())) in ("GeneratorExit", "BaseExceptionGroup")  # the second until Python 3.14
    assert await closed(stream(produce)) == met
    assert log == ["GeneratorExit", "cleaned", met]


async def closed(rows: AsyncGenerator[int, None]) -> str:
    """Close `rows` after an item; the kind of error that left them, which is silent if it is a GeneratorExit alone."""
    assert await anext(rows) == 0
    group: BaseExceptionGroup[BaseException] | None = None
    try:
        await rows.aclose()
    except BaseExceptionGroup as error:
        group = error
    if group is None:
        return "GeneratorExit"
    assert [type(each) for each in group.exceptions] == [GeneratorExit]
    return type(group).__name__


async def test_the_itemizer_may_be_passed_on_to_any_depth_and_the_stream_can_be_closed_there() -> None:
    """Rule 18: into a context manager, a timeout around it, a generator that a helper function awaits."""
    log: list[str] = []

    @asynccontextmanager
    async def framed(itemize: Itemizer[str]) -> AsyncGenerator[None, None]:
        try:
            await itemize("entering")
            yield
            await itemize("leaving")
        finally:
            await turns(1)
            log.append("frame cleaned")

    async def speaking(itemize: Itemizer[str]) -> AsyncGenerator[str, None]:
        try:
            await itemize("in a generator")
            yield "by a generator"
            await itemize("in it again")
        finally:
            await turns(1)
            log.append("generator cleaned")

    async def helper(itemize: Itemizer[str]) -> None:
        async with framed(itemize), asyncio.timeout(100), aclosing(speaking(itemize)) as words:
            async for word in words:
                await itemize(word)

    async def produce(itemize: Itemizer[str]) -> None:
        try:
            await helper(itemize)
            await itemize("last")
        finally:
            await turns(1)
            log.append("cleaned")

    in_the_generator = ["generator cleaned", "frame cleaned", "cleaned"]
    cleaned = {
        "entering": ["frame cleaned", "cleaned"],
        "in a generator": in_the_generator,
        "by a generator": in_the_generator,
        "in it again": in_the_generator,
        "leaving": ["frame cleaned", "cleaned"],
        "last": ["cleaned"],
    }
    assert await collect(stream(produce)) == list(cleaned)
    for item, right in cleaned.items():
        async with aclosing(stream(produce)) as rows:
            while await anext(rows) != item:
                pass
            log.clear()
        assert log == right, item


async def test_a_stream_can_be_closed_through_an_awaitable_that_knows_only_of_iteration() -> None:
    """Rule 18: an event loop never sends anything but None, and adapters rely on that.

    If this failed, an adapter on the way to the itemizer would turn the end of a stream into one more item that is lost.
    """
    log: list[str] = []

    class Iterating:
        def __init__(self, coroutine: Coroutine[object, object, None]) -> None:
            self.coroutine = coroutine

        def __await__(self) -> Generator[object, None, None]:
            for signal in self.coroutine.__await__():  # noqa: UP028  `yield from` would pass on what is sent
                yield signal

    async def produce(itemize: Itemizer[int]) -> None:
        await Iterating(logged(itemize, log))

    async with aclosing(stream(produce)) as rows:
        assert [await anext(rows) for _ in range(3)] == [0, 1, 2]
    assert log == ["GeneratorExit", "cleaned"]


async def test_closing_a_stream_closes_the_streams_inside_it() -> None:
    """Rule 18: at an item of the inner one that was passed out directly, and at one that the outer one passed on."""

    async def inner(inwards: Itemizer[int], outwards: Itemizer[int], log: list[str]) -> None:
        try:
            await outwards(0)
            await inwards(1)
        finally:
            await turns(2)
            log.append("inner cleaned")

    async def outer(itemize: Itemizer[int], log: list[str]) -> None:
        try:
            async with aclosing(stream(inner, itemize, log)) as rows:
                async for row in rows:
                    await itemize(row)
        finally:
            log.append("outer cleaned")

    for taken in 1, 2:
        log: list[str] = []
        async with aclosing(stream(outer, log)) as rows:
            assert [await anext(rows) for _ in range(taken)] == list(range(taken))
        assert log == ["inner cleaned", "outer cleaned"]


# Cancellation.


async def test_a_cancellation_at_any_turn_does_what_it_does_to_a_generator() -> None:
    """Rules 16 and 18: one run for every turn of the loop, with the cancellation in that turn."""

    async def read(make: Callable[[list[str], asyncio.Event], AsyncGenerator[str, None]], log: list[str]) -> None:
        event = asyncio.Event()
        async with aclosing(make(log, event)) as rows:
            async for row in rows:
                log.append(row)
                await asyncio.sleep(0)
                if row == "1":
                    event.set()

    def streamed(log: list[str], event: asyncio.Event) -> AsyncGenerator[str, None]:
        return stream(busy, log, event)

    ends: set[bool] = set()
    for turn in range(40):
        traces: list[list[object]] = []
        for make in as_generator(busy), streamed:
            log: list[str] = []
            task = asyncio.create_task(read(make, log))
            await turns(turn)
            task.cancel()
            await asyncio.wait([task])
            ends.add(task.cancelled())
            traces.append([*log, task.cancelled()])
        assert traces[0] == traces[1], turn
    assert ends == {True, False}


async def test_a_cancellation_reaches_func_where_it_awaits_and_can_be_handled_there() -> None:
    """Rule 18."""

    async def produce(itemize: Itemizer[str]) -> None:
        await itemize("before")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            await itemize(f"cancelled {error}")
        await itemize("after")

    task = await begun(collect(stream(produce)))
    task.cancel("by the test")
    assert await task == ["before", "cancelled by the test", "after"]


async def test_a_timeout_of_the_consumer_reaches_func_and_ends_it() -> None:
    """Rule 18: no item is lost, since none was under way."""
    log: list[str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)
        try:
            await asyncio.Event().wait()
        finally:
            log.append("cleaned")

    rows = stream(produce)
    assert await anext(rows) == 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await anext(rows)
    assert log == ["cleaned"]
    assert await collect(rows) == []


@pytest.mark.parametrize(
    "again",
    [
        anext,
        # PyPy refuses neither, of any async generator.
        pytest.param(lambda rows: rows.aclose(), id="aclose", marks=pytest.mark.cpython),
        pytest.param(lambda rows: rows.athrow(Thrown), id="athrow", marks=pytest.mark.cpython),
    ],
)
async def test_a_stream_that_is_asked_twice_at_once_refuses_the_second(
    again: Callable[[AsyncGenerator[int, None]], Awaitable[object]],
) -> None:
    """Rule 18: one task at a time iterates, as with any async generator; the first is unharmed."""
    event = asyncio.Event()

    async def produce(itemize: Itemizer[int]) -> None:
        await event.wait()
        await count(itemize, 2)

    rows = stream(produce)
    first = await begun(wait_for(anext(rows)))
    with pytest.raises(RuntimeError, match="already running"):
        await again(rows)
    event.set()
    assert await first == 0
    assert await collect(rows) == [1]


async def test_a_body_that_asks_its_own_stream_is_refused() -> None:
    """Rule 18."""
    mine: list[AsyncGenerator[str, None]] = []

    async def produce(itemize: Itemizer[str]) -> None:
        await itemize("first")
        with pytest.raises(RuntimeError, match="already running"):
            await anext(mine[0])
        await itemize("last")

    mine.append(stream(produce))
    assert await collect(mine[0]) == ["first", "last"]


# Garbage and shutdown.


async def test_an_unfinished_stream_that_is_dropped_is_cleaned_up_by_the_loop() -> None:
    """Rule 18: the finalizer hook closes it, in a task of its own, as it does with a generator."""
    log: list[str] = []

    async def leave_early() -> None:
        async for row in stream(logged, log):
            assert row == 0
            break

    await leave_early()
    gc.collect()
    await turns()
    assert log == ["GeneratorExit", "cleaned"]


async def test_an_unfinished_stream_that_its_own_producer_refers_to_is_cleaned_up_once() -> None:
    """Rule 18: an object that has its stream as an attribute is a cycle, which the garbage collector takes apart in any order.

    The cleanup has no `await`: it may be run by the collector, which can't wait.
    """
    log: list[str] = []

    class Table:
        rows: AsyncGenerator[int, None]

        def __init__(self) -> None:
            self.rows = stream(self.read)

        async def read(self, itemize: Itemizer[int]) -> None:
            try:
                await count(itemize, 3)
            except GeneratorExit:
                log.append("closed")
                raise
            finally:
                log.append("cleaned")

    table = Table()
    assert await anext(table.rows) == 0
    watch = weakref.ref(table)
    del table
    gc.collect()
    await turns()
    gc.collect()
    assert log == ["closed", "cleaned"]
    assert is_gone(watch)


@pytest.mark.cpython
async def test_a_stream_in_a_cycle_has_one_await_of_its_cleanup_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 18: the collector closes the body as well, which can't wait then. What is around that `await` is cleaned up and may."""
    reports: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)
    log: list[str] = []

    async def produce(itemize: Itemizer[int]) -> None:
        try:
            try:
                await itemize(0)
            finally:
                try:
                    await asyncio.sleep(0)
                except BaseException as error:
                    log.append(type(error).__name__)
                    raise
        finally:
            await turns(3)
            log.append("cleaned")

    numbers = stream(produce)
    assert await anext(numbers) == 0
    cycle: list[object] = [numbers]
    cycle.append(cycle)
    del numbers, cycle
    gc.collect()
    await turns()
    assert log == ["GeneratorExit", "cleaned"]
    assert len(reports) == 1


def test_the_end_of_the_loop_closes_what_is_unfinished() -> None:
    """Rule 18: asyncio.run closes every generator that it knows of."""
    log: list[str] = []
    kept: list[AsyncGenerator[int, None]] = []

    async def main() -> None:
        kept.append(stream(logged, log))
        await anext(kept[0])

    asyncio.run(main())
    assert log == ["GeneratorExit", "cleaned"]
    assert has_ended(kept[0])


# The itemizer elsewhere.


async def test_the_itemizer_of_another_task_is_refused_and_names_the_way_out() -> None:
    """Rule 18: also in a task that starts at once; the stream is unharmed and the item is not passed on."""
    refused: list[str] = []

    async def try_it(itemize: Itemizer[str], item: str) -> None:
        with pytest.raises(RuntimeError, match=FOREIGN) as raised:
            await itemize(item)
        assert raised.value.__cause__ is None
        refused.append(item)

    async def produce(itemize: Itemizer[str]) -> None:
        await itemize("first")
        await asyncio.create_task(try_it(itemize, "by a child"))
        task = asyncio.create_task(wait_for(itemize("by a task that goes on")))
        await itemize("second")
        with pytest.raises(RuntimeError, match=FOREIGN):
            await task
        with pytest.raises(ExceptionGroup) as group:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(wait_for(itemize("by a group")))
        assert [type(each) for each in group.value.exceptions] == [RuntimeError]
        await itemize("last")

    assert await collect(stream(produce)) == ["first", "second", "last"]
    assert refused == ["by a child"]


async def test_the_itemizers_of_several_other_tasks_are_each_refused() -> None:
    """Rule 18: each task that made the mistake gets the error."""
    told: list[BaseException | None] = []

    async def produce(itemize: Itemizer[int]) -> None:
        told.extend(await asyncio.gather(*(wait_for(itemize(number)) for number in range(3)), return_exceptions=True))
        await itemize(3)

    assert await collect(stream(produce)) == [3]
    for error in told:
        with pytest.raises(RuntimeError, match=FOREIGN):
            raise error or AssertionError


async def test_the_itemizer_in_a_thread_is_refused() -> None:
    """Rules 18 and 19: brought back to its loop, it is called by another task."""

    async def produce(itemize: Itemizer[int]) -> None:
        loop = asyncio.get_running_loop()

        def write() -> None:
            asyncio.run_coroutine_threadsafe(wait_for(itemize(1)), loop).result(10)

        with pytest.raises(RuntimeError, match=FOREIGN):
            await asyncio.to_thread(write)
        with pytest.raises(RuntimeError, match=FOREIGN):
            await asyncio.to_thread(asyncio.run, wait_for(itemize(2)))
        await itemize(3)

    assert await collect(stream(produce)) == [3]


async def test_the_itemizer_of_another_task_that_is_cancelled_leaves_no_trace() -> None:
    """Rule 18: its item is not kept, and errors that come later are what they are."""
    watch: list[weakref.ref[Item]] = []

    async def produce(itemize: Itemizer[Item | str]) -> None:
        item = Item()
        watch.append(weakref.ref(item))
        task = asyncio.create_task(wait_for(itemize(item)))
        await turns(1)
        task.cancel()
        await asyncio.wait([task])
        del item, task
        try:
            await itemize("first")
        except RuntimeError as error:
            await itemize(str(error))

    rows = stream(produce)
    assert await anext(rows) == "first"
    gc.collect()
    assert is_gone(watch[0])
    assert await rows.athrow(RuntimeError("of the consumer")) == "of the consumer"
    assert await collect(rows) == []


async def test_the_itemizer_that_is_driven_by_hand_raises_what_is_thrown_in() -> None:
    """Rule 18: the task that drives it gets the error, and the item is not kept."""

    async def produce(itemize: Itemizer[int]) -> None:
        driven = wait_for(itemize(1))
        driven.send(None)
        with pytest.raises(Thrown):
            driven.throw(Thrown())
        await itemize(2)

    assert await collect(stream(produce)) == [2]


async def test_the_itemizer_between_two_items_and_after_the_end_is_refused() -> None:
    """Rule 18: by the consumer itself, by another task, and by the body of another stream, before and after the end."""
    kept: list[Itemizer[int]] = []

    async def produce(itemize: Itemizer[int]) -> None:
        kept.append(itemize)
        await count(itemize, 2)

    async def misuse(itemize: Itemizer[str]) -> None:
        with pytest.raises(RuntimeError, match=FOREIGN):
            await kept[-1](9)
        await itemize("refused")

    async def try_all() -> None:
        for _ in range(2):
            with pytest.raises(RuntimeError, match=FOREIGN):
                await kept[-1](9)
            with pytest.raises(RuntimeError, match=FOREIGN):
                await asyncio.create_task(wait_for(kept[-1](9)))
            assert await collect(stream(misuse)) == ["refused"]

    rows = stream(produce)
    assert await anext(rows) == 0
    await try_all()
    assert await collect(rows) == [1]
    await try_all()
    assert await collect(rows) == []
    async with aclosing(stream(produce)) as rows:
        await anext(rows)
    await try_all()


async def test_the_itemizer_of_the_consumers_source_is_refused_inside_another_stream() -> None:
    """Rule 18: the consumer may be a producer itself; what it writes to the wrong itemizer goes to neither stream."""
    kept: list[Itemizer[int]] = []

    async def produce(itemize: Itemizer[int]) -> None:
        kept.append(itemize)
        await count(itemize, 2)

    async def consume(itemize: Itemizer[int]) -> None:
        async for row in stream(produce):
            with pytest.raises(RuntimeError, match=FOREIGN):
                await kept[0](9)
            await itemize(row)

    assert await collect(stream(consume)) == [0, 1]


async def test_an_itemizer_whose_coroutine_is_never_awaited_warns() -> None:
    """Rule 18: a forgotten `await` passes nothing on, and is not silent."""

    async def produce(itemize: Itemizer[int]) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            itemize(1)  # type: ignore[unused-coroutine]
            gc.collect()
        assert any("itemize" in str(warning.message) and "was never awaited" in str(warning.message) for warning in caught)
        await itemize(2)

    assert await collect(stream(produce)) == [2]


async def test_the_order_is_that_of_the_awaits() -> None:
    """Rule 18: to call the itemizer is nothing yet."""

    async def produce(itemize: Itemizer[str]) -> None:
        one, other = itemize("called first"), itemize("called second")
        await other
        await one

    assert await collect(stream(produce)) == ["called second", "called first"]


# What it keeps.


@pytest.mark.usefixtures("no_collector")
async def test_a_consumed_item_is_free_at_once() -> None:
    """Rules 18 and 22: as soon as the consumer lets go of it, while the stream goes on."""
    watch: list[weakref.ref[Item]] = []

    async def produce(itemize: Itemizer[Item]) -> None:
        for _ in range(3):
            await itemize(Item())

    async for item in stream(produce):
        watch.append(weakref.ref(item))
        del item
        assert is_gone(watch[-1])
    assert len(watch) == 3


@pytest.mark.usefixtures("no_collector")
async def test_an_error_that_was_handled_is_free_at_once() -> None:
    """Rules 18 and 22: neither what func raised nor what was thrown in stays in a cycle of the library."""
    watch: list[weakref.ref[BaseException]] = []

    async def produce(itemize: Itemizer[int]) -> None:
        with suppress(Thrown):
            await itemize(1)
        await itemize(2)
        raise BodyError

    rows = stream(produce)
    await anext(rows)
    error: BaseException = Thrown()
    watch.append(weakref.ref(error))
    await rows.athrow(error)
    del error
    assert is_gone(watch[0])
    try:
        await anext(rows)
    except BodyError as raised:
        watch.append(weakref.ref(raised))
    assert is_gone(watch[1])


@pytest.mark.usefixtures("no_collector")
async def test_a_cancellation_that_func_handled_is_free_in_the_next_turn() -> None:
    """Rules 18 and 22: what the event loop threw in is not kept while the stream goes on."""
    watch: list[weakref.ref[BaseException]] = []

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)
        try:
            await Bare()
        except asyncio.CancelledError as error:
            watch.append(weakref.ref(error))
        await itemize(2)

    rows = stream(produce)
    assert await anext(rows) == 1
    asyncio.get_running_loop().call_soon(this_task().cancel)
    assert await anext(rows) == 2
    await turns(1)  # until then the task itself holds it
    assert is_gone(watch[0])
    this_task().uncancel()
    await rows.aclose()


async def test_a_finished_stream_keeps_nothing() -> None:
    """Rules 18 and 22: the arguments of func go with its end, even if a reference to the generator and its itemizer is kept."""
    kept: list[Itemizer[Item]] = []

    async def produce(itemize: Itemizer[Item], item: Item) -> None:
        kept.append(itemize)
        await itemize(item)

    item = Item()
    watch = weakref.ref(item)
    rows = stream(produce, item)
    del item
    async for each in rows:
        assert each is watch()
        del each
    gc.collect()
    assert is_gone(watch)
    assert has_ended(rows)


async def test_an_endless_stream_needs_no_stack() -> None:
    """Rule 18: the depth is the same at every item."""

    async def produce(itemize: Itemizer[int]) -> None:
        for _ in range(3 * sys.getrecursionlimit()):
            await itemize(depth(inspect.currentframe()))

    assert len(set(await collect(stream(produce)))) == 1

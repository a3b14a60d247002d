"""`Channel.fed_by` and `stream`: a producer, its arguments and its item type."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from functools import partial
from typing import Generic, TypeVar, assert_type

from chanstream import Channel, Itemizer, Receiver, SenderContext, stream

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


# Producers.


async def plain(itemize: Itemizer[int]) -> None: ...
async def one(itemize: Itemizer[int], start: int) -> None: ...
async def many(itemize: Itemizer[str], start: int, stop: int = 3, *, step: int = 1, label: str) -> None: ...
async def open_ended(itemize: Itemizer[int], /, *starts: int, **labels: str) -> None: ...
async def open_ended_by_name(itemize: Itemizer[int], **labels: str) -> None: ...
async def renamed(source: Itemizer[int], name: str, /) -> None: ...
async def repeat(itemize: Itemizer[T], item: T, times: int) -> None: ...
async def pick(itemize: Itemizer[T], items: list[T]) -> None: ...
async def chained(itemize: Itemizer[T], source: AsyncIterable[T]) -> None: ...


class Reader:
    async def rows(self, itemize: Itemizer[int], limit: int = 3) -> None: ...

    @classmethod
    async def class_rows(cls, itemize: Itemizer[int], limit: int = 3) -> None: ...

    @staticmethod
    async def static_rows(itemize: Itemizer[int], limit: int = 3) -> None: ...

    async def __call__(self, itemize: Itemizer[int], limit: int = 3) -> None: ...


class Table(Generic[K, V]):
    async def write_keys(self, itemize: Itemizer[K], limit: int) -> None: ...

    async def write_items(self, itemize: Itemizer[tuple[K, V]]) -> None: ...

    def keys(self, limit: int) -> AsyncGenerator[K, None]:
        return stream(self.write_keys, limit)

    def items(self) -> AsyncGenerator[tuple[K, V], None]:
        return stream(self.write_items)

    def inferred(self) -> None:
        assert_type(stream(self.write_keys, 3), AsyncGenerator[K, None])
        assert_type(stream(self.write_items), AsyncGenerator[tuple[K, V], None])

    def wrong_items(self) -> AsyncGenerator[V, None]:
        return stream(self.write_keys, 3)  # type: ignore[arg-type]


# What can't be a producer.


def synchronous(itemize: Itemizer[int]) -> None: ...
async def without_itemizer() -> None: ...
async def of_a_number(number: int) -> None: ...
async def with_a_result(itemize: Itemizer[int]) -> int:
    raise NotImplementedError


async def by_keyword(*, itemize: Itemizer[int] | None = None) -> None: ...
async def of_a_sender(sender: SenderContext[int]) -> None: ...
async def generator(itemize: Itemizer[int]) -> AsyncIterator[int]:
    yield 1


# stream: item type, result.


async def streamed() -> None:
    assert_type(stream(plain), AsyncGenerator[int, None])
    assert_type(stream(one, 1), AsyncGenerator[int, None])
    assert_type(stream(one, start=1), AsyncGenerator[int, None])
    assert_type(stream(many, 1, label="a"), AsyncGenerator[str, None])
    assert_type(stream(many, 1, 2, step=3, label="a"), AsyncGenerator[str, None])
    assert_type(stream(many, label="a", start=1), AsyncGenerator[str, None])
    assert_type(stream(open_ended, 1, 2, 3, a="b"), AsyncGenerator[int, None])
    assert_type(stream(renamed, "a"), AsyncGenerator[int, None])
    assert_type([item async for item in stream(plain)], list[int])
    assert_type(await anext(stream(many, 1, label="a")), str)
    async with aclosing(stream(plain)) as closing:
        assert_type(closing, AsyncGenerator[int, None])


async def streamed_methods(reader: Reader, table: Table[str, int], itemize: Itemizer[int]) -> None:
    assert_type(stream(reader.rows), AsyncGenerator[int, None])
    assert_type(stream(reader.rows, limit=3), AsyncGenerator[int, None])
    assert_type(stream(reader.class_rows, 3), AsyncGenerator[int, None])
    assert_type(stream(Reader.class_rows, 3), AsyncGenerator[int, None])
    assert_type(stream(reader.static_rows, 3), AsyncGenerator[int, None])
    assert_type(stream(Reader.static_rows, 3), AsyncGenerator[int, None])
    assert_type(stream(reader, 3), AsyncGenerator[int, None])
    assert_type(stream(partial(one, start=1)), AsyncGenerator[int, None])  # type: ignore[assert-type]
    assert_type(stream(table.write_keys, 3), AsyncGenerator[str, None])
    assert_type(stream(table.write_items), AsyncGenerator[tuple[str, int], None])
    assert_type(table.keys(3), AsyncGenerator[str, None])
    assert_type(table.items(), AsyncGenerator[tuple[str, int], None])
    stream(Reader.rows, itemize)  # type: ignore[arg-type]
    stream(reader.rows, "3")  # type: ignore[arg-type]
    stream(reader.rows, 3, 4)  # type: ignore[call-arg]
    stream(reader.class_rows, limit="3")  # type: ignore[arg-type]
    stream(table.write_keys)  # type: ignore[call-arg]
    stream(table.write_keys, "3")  # type: ignore[arg-type]


async def streamed_generics(source: AsyncIterator[str]) -> None:
    assert_type(stream(repeat, "a", 3), AsyncGenerator[str, None])
    assert_type(stream(pick, [1, 2]), AsyncGenerator[int, None])
    assert_type(stream(chained, source), AsyncGenerator[str, None])
    assert_type(stream(chained, stream(plain)), AsyncGenerator[int, None])
    stream(repeat, "a", "3")  # type: ignore[arg-type]
    stream(repeat, "a")  # type: ignore[arg-type]
    stream(pick, 1)  # type: ignore[arg-type]


async def streamed_wrongly() -> None:
    stream()  # type: ignore[call-arg]
    stream(one)  # type: ignore[call-arg]
    stream(one, "1")  # type: ignore[arg-type]
    stream(one, 1, 2)  # type: ignore[call-arg]
    stream(one, stop=1)  # type: ignore[call-arg]
    stream(one, start="1")  # type: ignore[arg-type]
    stream(many, 1)  # type: ignore[call-arg]
    stream(many, 1, label=2)  # type: ignore[arg-type]
    stream(many, 1, 2, 3, label="a")  # type: ignore[call-arg]
    stream(open_ended_by_name, a="b")  # type: ignore[arg-type]
    stream(open_ended, "1")  # type: ignore[arg-type]
    stream(open_ended, a=1)  # type: ignore[arg-type]
    stream(renamed, name="a")  # type: ignore[call-arg]
    stream(func=plain)  # type: ignore[call-arg]
    stream(plain(print))  # type: ignore[arg-type]
    stream(synchronous)  # type: ignore[arg-type]
    stream(without_itemizer)  # type: ignore[arg-type]
    stream(of_a_number)  # type: ignore[arg-type]
    stream(with_a_result)  # type: ignore[arg-type]
    stream(by_keyword)  # type: ignore[arg-type]
    stream(of_a_sender)  # type: ignore[arg-type]
    stream(generator)  # type: ignore[arg-type]
    async with stream(plain):  # type: ignore[attr-defined]
        pass
    for _ in stream(plain):  # type: ignore[attr-defined]
        pass
    await stream(plain)  # type: ignore[misc]


def streamed_to(_: AsyncIterable[str]) -> None: ...


def passed_on() -> AsyncIterator[object]:
    streamed_to(stream(many, 1, label="a"))
    streamed_to(stream(plain))  # type: ignore[arg-type]
    return stream(plain)


# fed_by: the same, with the item type of the channel.


def feeds(channel: Channel[int]) -> AbstractAsyncContextManager[Receiver[int]]:
    return channel.fed_by(plain)


async def fed(ints: Channel[int], strs: Channel[str], stack: AsyncExitStack) -> None:
    async with ints.fed_by(plain) as receiver:
        assert_type(receiver, Receiver[int])
        assert_type([item async for item in receiver], list[int])
    async with strs.fed_by(many, 1, 2, step=3, label="a") as letters:
        assert_type(letters, Receiver[str])
    async with ints.fed_by(one, start=1), ints.fed_by(renamed, "a"), ints.fed_by(open_ended, 1, 2, a="b"):
        pass
    assert_type(await stack.enter_async_context(ints.fed_by(one, 1)), Receiver[int])


async def fed_of_another_type(objects: Channel[object], bools: Channel[bool]) -> None:
    objects.fed_by(plain)
    bools.fed_by(plain)  # type: ignore[arg-type]


async def fed_methods(
    ints: Channel[int], strs: Channel[str], reader: Reader, table: Table[str, int], itemize: Itemizer[int]
) -> None:
    ints.fed_by(reader.rows)
    ints.fed_by(reader.rows, limit=3)
    ints.fed_by(reader.class_rows, 3)
    ints.fed_by(Reader.static_rows, 3)
    ints.fed_by(reader, 3)
    ints.fed_by(partial(one, start=1))
    strs.fed_by(table.write_keys, 3)
    ints.fed_by(table.write_keys, 3)  # type: ignore[arg-type]
    ints.fed_by(Reader.rows, itemize)  # type: ignore[arg-type]
    ints.fed_by(reader.rows, "3")  # type: ignore[arg-type]
    ints.fed_by(reader.rows, 3, 4)  # type: ignore[call-arg]
    strs.fed_by(table.write_keys)  # type: ignore[call-arg]


async def fed_generics(ints: Channel[int], strs: Channel[str], source: AsyncIterator[str]) -> None:
    ints.fed_by(repeat, 1, 3)
    ints.fed_by(pick, [1, 2])
    strs.fed_by(chained, source)
    ints.fed_by(repeat, 1, "3")  # type: ignore[arg-type]
    ints.fed_by(repeat, 1)  # type: ignore[arg-type]
    ints.fed_by(repeat, "a", 3)  # type: ignore[arg-type]
    ints.fed_by(chained, source)  # type: ignore[arg-type]


async def fed_generically(channel: Channel[T], item: T) -> None:
    async with channel.fed_by(repeat, item, 3) as receiver:
        assert_type(receiver, Receiver[T])


async def fed_wrongly(ints: Channel[int], strs: Channel[str]) -> None:
    ints.fed_by()  # type: ignore[call-arg]
    ints.fed_by(one)  # type: ignore[call-arg]
    ints.fed_by(one, "1")  # type: ignore[arg-type]
    ints.fed_by(one, 1, 2)  # type: ignore[call-arg]
    ints.fed_by(one, stop=1)  # type: ignore[call-arg]
    ints.fed_by(one, start="1")  # type: ignore[arg-type]
    strs.fed_by(one, 1)  # type: ignore[arg-type]
    strs.fed_by(many, 1)  # type: ignore[call-arg]
    strs.fed_by(many, 1, label=2)  # type: ignore[arg-type]
    strs.fed_by(many, 1, 2, 3, label="a")  # type: ignore[call-arg]
    ints.fed_by(open_ended_by_name, a="b")  # type: ignore[arg-type]
    ints.fed_by(open_ended, "1")  # type: ignore[arg-type]
    ints.fed_by(renamed, name="a")  # type: ignore[call-arg]
    ints.fed_by(func=plain)  # type: ignore[call-arg]
    ints.fed_by(plain(print))  # type: ignore[arg-type]
    ints.fed_by(synchronous)  # type: ignore[arg-type]
    ints.fed_by(without_itemizer)  # type: ignore[arg-type]
    ints.fed_by(of_a_number)  # type: ignore[arg-type]
    ints.fed_by(with_a_result)  # type: ignore[arg-type]
    ints.fed_by(by_keyword)  # type: ignore[arg-type]
    ints.fed_by(of_a_sender)  # type: ignore[arg-type]
    ints.fed_by(generator)  # type: ignore[arg-type]
    with ints.fed_by(plain):  # type: ignore[attr-defined]
        pass
    async for _ in ints.fed_by(plain):  # type: ignore[attr-defined]
        pass
    await ints.fed_by(plain)  # type: ignore[misc]


# Producers as values.


def as_values(
    ints: Channel[int],
    coroutine: Callable[[Itemizer[int]], Coroutine[object, object, None]],
    awaitable: Callable[[Itemizer[int]], Awaitable[None]],
) -> None:
    assert_type(stream(coroutine), AsyncGenerator[int, None])
    ints.fed_by(coroutine)
    stream(awaitable)  # type: ignore[arg-type]
    ints.fed_by(awaitable)  # type: ignore[arg-type]

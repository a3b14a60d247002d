"""`in_thread`: a blocking function, its arguments and its item type, as a producer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Generic, TypeVar, assert_type

from chanstream import BlockingItemizer, Channel, Itemizer, Producer, Receiver, in_thread, stream

T = TypeVar("T")
K = TypeVar("K")


# Blocking functions.


def plain(itemize: BlockingItemizer[int]) -> None: ...
def one(itemize: BlockingItemizer[int], start: int) -> None: ...
def many(itemize: BlockingItemizer[str], start: int, stop: int = 3, *, step: int = 1, label: str) -> None: ...
def pick(itemize: BlockingItemizer[T], items: Iterable[T]) -> None: ...
def by_callback(on_line: Callable[[str], None], path: str) -> None: ...
def any_result(on_line: Callable[[str], object]) -> None: ...


class Reader:
    def rows(self, itemize: BlockingItemizer[int], limit: int = 3) -> None: ...

    def stop(self) -> None: ...

    async def aclose(self) -> None: ...


class Table(Generic[K]):
    def keys(self, itemize: BlockingItemizer[K], limit: int) -> None: ...


# What can't be run in a thread.


async def asynchronous(itemize: BlockingItemizer[int]) -> None: ...
async def producer(itemize: Itemizer[int]) -> None: ...
def of_an_itemizer(itemize: Itemizer[int]) -> None: ...
def of_a_number(number: int) -> None: ...
def without_itemizer() -> None: ...
def by_keyword(*, itemize: BlockingItemizer[int] | None = None) -> None: ...
def generator(itemize: BlockingItemizer[int]) -> Iterator[int]:
    yield 1


async def async_generator(itemize: BlockingItemizer[int]) -> AsyncIterator[int]:
    yield 1


# A producer of the same arguments.


def made(reader: Reader) -> None:
    assert_type(in_thread(plain), Callable[[Itemizer[int]], Coroutine[object, object, None]])
    in_thread(plain, ahead=64)
    in_thread(plain, stop=reader.stop)
    in_thread(reader.rows, ahead=64, stop=reader.stop)
    in_thread(plain, stop=lambda: None)
    in_thread(plain, stop=None)


def given_on(found: list[Producer[int, []]], other: list[Producer[int, [int]]]) -> None:
    found.append(in_thread(plain))
    other.append(in_thread(one))
    found.append(in_thread(one))  # type: ignore[arg-type]
    other.append(in_thread(plain))  # type: ignore[arg-type]


async def fed(ints: Channel[int], strs: Channel[str], reader: Reader, table: Table[str]) -> None:
    async with ints.fed_by(in_thread(plain)) as receiver:
        assert_type(receiver, Receiver[int])
    ints.fed_by(in_thread(one, ahead=64), 1)
    ints.fed_by(in_thread(one), start=1)
    strs.fed_by(in_thread(many), 1, 2, step=3, label="a")
    strs.fed_by(in_thread(by_callback), "path")
    strs.fed_by(in_thread(any_result))
    ints.fed_by(in_thread(reader.rows), limit=3)
    ints.fed_by(in_thread(partial(one, start=1)))
    strs.fed_by(in_thread(table.keys), 3)
    ints.fed_by(in_thread(pick), [1, 2])
    await ints.feed(in_thread(one), 1)


async def fed_wrongly(ints: Channel[int], strs: Channel[str], reader: Reader, table: Table[str]) -> None:
    strs.fed_by(in_thread(plain))  # type: ignore[arg-type]
    ints.fed_by(in_thread(one))  # type: ignore[call-arg]
    ints.fed_by(in_thread(one), "1")  # type: ignore[arg-type]
    ints.fed_by(in_thread(one), 1, 2)  # type: ignore[call-arg]
    ints.fed_by(in_thread(one), stop=1)  # type: ignore[call-arg]
    strs.fed_by(in_thread(many), 1)  # type: ignore[call-arg]
    strs.fed_by(in_thread(many), 1, label=2)  # type: ignore[arg-type]
    ints.fed_by(in_thread(by_callback), "path")  # type: ignore[arg-type]
    ints.fed_by(in_thread(reader.rows), "3")  # type: ignore[arg-type]
    ints.fed_by(in_thread(table.keys), 3)  # type: ignore[arg-type]
    ints.fed_by(plain)  # type: ignore[arg-type]
    await ints.feed(in_thread(one), "1")  # type: ignore[arg-type]


async def streamed(table: Table[str]) -> None:
    assert_type(stream(in_thread(plain)), AsyncGenerator[int, None])
    assert_type(stream(in_thread(one), 1), AsyncGenerator[int, None])
    assert_type(stream(in_thread(many, ahead=3), 1, label="a"), AsyncGenerator[str, None])
    assert_type(stream(in_thread(table.keys), 3), AsyncGenerator[str, None])
    assert_type(stream(in_thread(by_callback), "path"), AsyncGenerator[str, None])
    stream(in_thread(one))  # type: ignore[call-arg]
    stream(in_thread(one), "1")  # type: ignore[arg-type]


def made_wrongly(reader: Reader) -> None:
    in_thread()  # type: ignore[call-arg]
    in_thread(func=plain)  # type: ignore[call-arg]
    in_thread(plain, 64)  # type: ignore[call-arg]
    in_thread(plain, ahead="64")  # type: ignore[arg-type]
    in_thread(plain, ahead=None)  # type: ignore[arg-type]
    in_thread(plain, stop=1)  # type: ignore[arg-type]
    in_thread(plain, stop=reader)  # type: ignore[arg-type]
    in_thread(plain, stop=reader.rows)  # type: ignore[arg-type]
    in_thread(one, 1)  # type: ignore[call-arg]
    in_thread(asynchronous)  # type: ignore[arg-type]
    in_thread(producer)  # type: ignore[arg-type]
    in_thread(of_an_itemizer)  # type: ignore[arg-type]
    in_thread(of_a_number)  # type: ignore[arg-type]
    in_thread(without_itemizer)  # type: ignore[arg-type]
    in_thread(by_keyword)  # type: ignore[arg-type]
    in_thread(generator)  # type: ignore[arg-type]
    in_thread(async_generator)  # type: ignore[arg-type]
    in_thread(reader.aclose)  # type: ignore[arg-type]


# The blocking itemizer.


def used(itemize: BlockingItemizer[int], objects: BlockingItemizer[object], bools: BlockingItemizer[bool]) -> None:
    itemize(1)
    itemize(True)
    itemize("1")  # type: ignore[arg-type]
    itemize()  # type: ignore[call-arg]
    itemize(1, 2)  # type: ignore[call-arg]
    itemize(item=1)  # type: ignore[call-arg]
    plain(objects)
    plain(bools)  # type: ignore[arg-type]
    plain(print)
    plain([1].append)
    plain(lambda item: None)
    plain(["a"].append)  # type: ignore[arg-type]


def is_no_itemizer(itemize: BlockingItemizer[int], waits: Itemizer[int]) -> tuple[Itemizer[int], BlockingItemizer[int]]:
    return itemize, waits  # type: ignore[return-value]

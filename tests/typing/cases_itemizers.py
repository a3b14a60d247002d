"""Which callables are itemizers, and what a caller may do with one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import assert_type

from typing_extensions import override

from chanstream import Itemizer


def wants(_: Itemizer[int]) -> None: ...


# Functions.


async def exact(item: int, /) -> None: ...
async def named_otherwise(number: int) -> None: ...
async def wider(item: object) -> None: ...
async def wider_by_a_union(item: int | str) -> None: ...
async def with_a_default(item: int, tag: str = "") -> None: ...
async def with_an_option(item: int, *, tag: str = "") -> None: ...
async def of_any_number(*items: int) -> None: ...
async def of_anything(*items: object, **options: object) -> None: ...


def functions_that_are() -> None:
    wants(exact)
    wants(named_otherwise)
    wants(wider)
    wants(wider_by_a_union)
    wants(with_a_default)
    wants(with_an_option)
    wants(of_any_number)
    wants(of_anything)


def synchronous(item: int) -> None: ...
async def with_a_result(item: int) -> int:
    raise NotImplementedError


async def narrower(item: bool) -> None: ...
async def of_strings(item: str) -> None: ...
async def by_keyword(*, item: int) -> None: ...
async def of_nothing() -> None: ...
async def of_two(item: int, tag: str) -> None: ...
async def generator(item: int) -> AsyncIterator[int]:
    yield item


def future(item: int) -> asyncio.Future[None]:
    raise NotImplementedError


def awaitable(item: int) -> Awaitable[None]:
    raise NotImplementedError


def functions_that_are_not() -> None:
    wants(synchronous)  # type: ignore[arg-type]
    wants(with_a_result)  # type: ignore[arg-type]
    wants(narrower)  # type: ignore[arg-type]
    wants(of_strings)  # type: ignore[arg-type]
    wants(by_keyword)  # type: ignore[arg-type]
    wants(of_nothing)  # type: ignore[arg-type]
    wants(of_two)  # type: ignore[arg-type]
    wants(generator)  # type: ignore[arg-type]
    wants(future)  # type: ignore[arg-type]
    wants(awaitable)  # type: ignore[arg-type]
    wants(exact(1))  # type: ignore[arg-type]
    wants(print)  # type: ignore[arg-type]
    wants(None)  # type: ignore[arg-type]


# Methods and objects.


class Store:
    def __init__(self) -> None:
        self.items: list[int] = []

    async def add(self, item: int) -> None:
        self.items.append(item)

    def add_at_once(self, item: int) -> None:
        self.items.append(item)

    @classmethod
    async def check(cls, item: int) -> None: ...

    @staticmethod
    async def log(item: int) -> None: ...


class Fake:
    """An itemizer for a test, that keeps what it is given."""

    def __init__(self) -> None:
        self.items: list[int] = []

    async def __call__(self, item: int, /) -> None:
        self.items.append(item)


class FakeByInheritance(Itemizer[int]):
    def __init__(self) -> None:
        self.items: list[int] = []

    @override
    async def __call__(self, item: int, /) -> None:
        self.items.append(item)


class Synchronous:
    def __call__(self, item: int, /) -> None: ...


def methods_and_objects(store: Store, queue: asyncio.Queue[int], itemize: Itemizer[object]) -> None:
    wants(store.add)
    wants(store.check)
    wants(store.log)
    wants(Store.log)
    wants(Store.check)
    wants(Fake())
    wants(FakeByInheritance())
    wants(queue.put)
    wants(itemize)
    wants(itemize.__call__)
    wants(Store.add)  # type: ignore[arg-type]
    wants(store.add_at_once)  # type: ignore[arg-type]
    wants(store.items.append)  # type: ignore[arg-type]
    wants(Fake)  # type: ignore[arg-type]
    wants(Synchronous())  # type: ignore[arg-type]
    wants(queue.put_nowait)  # type: ignore[arg-type]
    wants(queue)  # type: ignore[arg-type]


# Functions made of functions.


async def tagged(tag: str, item: int) -> None: ...


def made(call: Callable[[int], Coroutine[object, object, None]], later: Callable[[int], Awaitable[None]]) -> None:
    wants(partial(tagged, "a"))
    wants(lambda item: exact(item))
    wants(lambda item: tagged("a", item))
    wants(partial(tagged))
    wants(partial(exact, 1))
    wants(partial(synchronous))  # type: ignore[arg-type]
    wants(partial(tagged, tag="a"))
    wants(lambda item: synchronous(item))  # type: ignore[arg-type]
    wants(lambda item: None)  # type: ignore[arg-type]
    wants(lambda item: of_strings(item))
    wants(lambda: exact(1))  # type: ignore[arg-type]
    wants(call)
    wants(later)  # type: ignore[arg-type]


# What a caller does with an itemizer.


async def awaited(itemize: Itemizer[int]) -> None:
    assert_type(await itemize(1), None)
    await itemize(True)
    await itemize("1")  # type: ignore[arg-type]
    await itemize(None)  # type: ignore[arg-type]
    await itemize([1])  # type: ignore[arg-type]
    await itemize()  # type: ignore[call-arg]
    await itemize(1, 2)  # type: ignore[call-arg]
    await itemize(item=1)  # type: ignore[call-arg]


async def forgotten(itemize: Itemizer[int]) -> None:
    itemize(1)  # type: ignore[unused-coroutine]


async def scheduled(itemize: Itemizer[int], group: asyncio.TaskGroup) -> asyncio.Task[None]:
    await asyncio.wait_for(itemize(1), 1)
    await asyncio.gather(itemize(1), itemize(2))
    await asyncio.shield(itemize(1))
    await asyncio.ensure_future(itemize(1))
    await group.create_task(itemize(1))
    return asyncio.create_task(itemize(1))


def blocking(itemize: Itemizer[int]) -> None:
    asyncio.run(itemize(1))


def threaded(itemize: Itemizer[int], loop: asyncio.AbstractEventLoop) -> None:
    asyncio.run_coroutine_threadsafe(itemize(1), loop).result()


def wrapped(call: Callable[[int], Awaitable[None]]) -> Itemizer[int]:
    """How a value typed as a `Callable` becomes an itemizer."""

    async def itemize(item: int) -> None:
        await call(item)

    return itemize

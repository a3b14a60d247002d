"""Stages written against the protocols alone, and what stands in for a channel in their tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from types import TracebackType
from typing import TypeVar, assert_type

from chanstream import Channel, Itemizer, Sender, SenderContext

A = TypeVar("A")
B = TypeVar("B")


# Stages.


async def count(sink: SenderContext[int]) -> None:
    async with sink as itemize:
        for number in range(3):
            await itemize(number)


async def to_str(source: AsyncIterable[int], sink: SenderContext[str]) -> None:
    async with sink as itemize:
        async for item in source:
            await itemize(str(item))


async def collect(source: AsyncIterable[A]) -> list[A]:
    return [item async for item in source]


async def mapped(source: AsyncIterable[A], sink: SenderContext[B], function: Callable[[A], B]) -> None:
    async with sink as itemize:
        async for item in source:
            await itemize(function(item))


async def awaited(source: AsyncIterable[A], sink: SenderContext[B], function: Callable[[A], Awaitable[B]]) -> None:
    async with sink as itemize:
        async for item in source:
            await itemize(await function(item))


async def tee(source: AsyncIterable[A], *sinks: SenderContext[A]) -> None:
    for sink in sinks:
        async with sink as itemize:
            async for item in source:
                await itemize(item)


async def merged(itemize: Itemizer[A | B], first: AsyncIterable[A], second: AsyncIterable[B]) -> None:
    async for a in first:
        await itemize(a)
    async for b in second:
        await itemize(b)


# Mistakes inside a stage.


async def wrong_items(source: AsyncIterable[int], sink: SenderContext[str]) -> None:
    async with sink as itemize:
        async for item in source:
            await itemize(item)  # type: ignore[arg-type]


async def unbound(sink: SenderContext[int]) -> None:
    async with sink:
        await sink(1)  # type: ignore[operator]


async def not_async(sink: SenderContext[int]) -> None:
    with sink:  # type: ignore[attr-defined]
        pass


async def forgotten(source: AsyncIterable[int], sink: SenderContext[int]) -> None:
    async with sink as itemize:
        async for item in source:
            itemize(item)  # type: ignore[unused-coroutine]


async def forgotten_stage(source: AsyncIterable[int], sink: SenderContext[str]) -> None:
    to_str(source, sink)  # type: ignore[unused-coroutine]


# Stages joined by channels.


def name(item: int) -> str:
    raise NotImplementedError


def any_name(item: object) -> str:
    raise NotImplementedError


async def name_later(item: int) -> str:
    raise NotImplementedError


async def joined(ints: Channel[int], strs: Channel[str], objects: Channel[object], bools: Channel[bool]) -> None:
    await count(ints.sender)
    await count(objects.sender)
    await count(strs.sender)  # type: ignore[arg-type]
    await count(bools.sender)  # type: ignore[arg-type]
    await count(ints)  # type: ignore[arg-type]
    await count(ints.receiver)  # type: ignore[arg-type]
    await to_str(ints.receiver, strs.sender)
    await to_str(bools.receiver, objects.sender)
    await to_str(strs.receiver, ints.sender)  # type: ignore[arg-type]
    await to_str(ints.receiver, ints.sender)  # type: ignore[arg-type]
    await to_str(objects.receiver, strs.sender)  # type: ignore[arg-type]
    assert_type(await collect(ints.receiver), list[int])
    assert_type(await collect(strs.receiver), list[str])
    await mapped(ints.receiver, strs.sender, name)
    await mapped(ints.receiver, strs.sender, any_name)
    await mapped(bools.receiver, objects.sender, name)
    await mapped(ints.receiver, strs.sender, lambda item: str(item + 1))
    await mapped(ints.receiver, ints.sender, name)  # type: ignore[arg-type]
    await mapped(strs.receiver, strs.sender, name)  # type: ignore[arg-type]
    await mapped(ints.receiver, strs.sender, name_later)  # type: ignore[arg-type]
    await mapped(ints.receiver, strs.sender, lambda item: item + 1)  # type: ignore[arg-type, return-value]
    await awaited(ints.receiver, strs.sender, name_later)
    await awaited(ints.receiver, strs.sender, name)  # type: ignore[arg-type]
    await tee(ints.receiver, ints.sender, objects.sender)
    await tee(ints.receiver, ints.sender, strs.sender)  # type: ignore[misc]
    async with objects.sender as itemize:
        await merged(itemize, ints.receiver, strs.receiver)
    async with ints.sender as itemize_int:
        await merged(itemize_int, ints.receiver, strs.receiver)  # type: ignore[misc]


# Sources that stand in for a receiver.


async def numbers() -> AsyncGenerator[int, None]:
    yield 1


async def letters() -> AsyncIterator[str]:
    yield "a"


async def sources(strs: Channel[str]) -> None:
    await to_str(numbers(), strs.sender)
    await to_str(letters(), strs.sender)  # type: ignore[arg-type]
    await to_str(numbers, strs.sender)  # type: ignore[arg-type]
    await to_str([1, 2], strs.sender)  # type: ignore[arg-type]


# Sinks that stand in for a sender.


class Collected:
    def __init__(self) -> None:
        self.items: list[str] = []

    async def __call__(self, item: str, /) -> None:
        self.items.append(item)


@asynccontextmanager
async def generated(fake: Itemizer[str]) -> AsyncGenerator[Itemizer[str], None]:
    yield fake


@asynccontextmanager
async def generated_from_collected() -> AsyncGenerator[Collected, None]:
    yield Collected()


@asynccontextmanager
async def generated_from_list() -> AsyncGenerator[list[str], None]:
    yield []


class Context:
    async def __aenter__(self) -> Itemizer[str]:
        return Collected()

    async def __aexit__(self, *_: object) -> None: ...


class ContextThatMayEndEarly:
    async def __aenter__(self) -> Itemizer[str]:
        return Collected()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        return False


class SynchronousContext:
    def __enter__(self) -> Itemizer[str]:
        return Collected()

    def __exit__(self, *_: object) -> None: ...


class EntersWithout:
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *_: object) -> None: ...


async def fakes(collected: Collected) -> None:
    await to_str(numbers(), generated(collected))
    await to_str(numbers(), generated_from_collected())
    await to_str(numbers(), nullcontext(collected))
    await to_str(numbers(), nullcontext(collected.__call__))
    await to_str(numbers(), Context())
    await to_str(numbers(), ContextThatMayEndEarly())
    await count(nullcontext(collected))  # type: ignore[arg-type]
    await count(generated(collected))  # type: ignore[arg-type]
    await to_str(numbers(), collected)  # type: ignore[arg-type]
    await to_str(numbers(), generated_from_collected)  # type: ignore[arg-type]
    await to_str(numbers(), generated_from_list())  # type: ignore[arg-type]
    await to_str(numbers(), nullcontext(collected.items.append))  # type: ignore[arg-type]
    await to_str(numbers(), nullcontext())  # type: ignore[arg-type]
    await to_str(numbers(), SynchronousContext())  # type: ignore[arg-type]
    await to_str(numbers(), EntersWithout())  # type: ignore[arg-type]


# A sink made of another: a stage may wrap what it is given.


@asynccontextmanager
async def doubling(sink: SenderContext[int]) -> AsyncGenerator[Itemizer[int], None]:
    async with sink as itemize:

        async def twice(item: int) -> None:
            await itemize(item)
            await itemize(item)

        yield twice


async def wraps(sender: Sender[int], sink: SenderContext[str]) -> None:
    await count(doubling(sender))
    await count(doubling(doubling(sender)))
    await count(doubling(sink))  # type: ignore[arg-type]

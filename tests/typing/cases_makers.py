"""Producers that `chanstream.stages` makes: the item types go through function, source and itemizer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Generic, TypeVar, assert_type

from chanstream import Channel, Itemizer, Receiver, stream
from chanstream.stages import batched, in_pool, kept_alive, mapped, merged

A = TypeVar("A")
B = TypeVar("B")
K = TypeVar("K")


async def fetch(url: str) -> bytes:
    raise NotImplementedError


async def fetch_from(host: str, url: str, tries: int = 1) -> bytes:
    raise NotImplementedError


async def same(item: A) -> A:
    raise NotImplementedError


async def first(items: Sequence[A]) -> A:
    raise NotImplementedError


def blocking(url: str) -> bytes:
    raise NotImplementedError


def awaitable(url: str) -> Awaitable[bytes]:
    raise NotImplementedError


class Client(Generic[K]):
    async def get(self, key: K) -> int:
        raise NotImplementedError

    async def __call__(self, key: K) -> int:
        raise NotImplementedError


class Word(str):
    __slots__ = ()


async def numbers() -> AsyncGenerator[int, None]:
    yield 1


# mapped.


async def maps(urls: Receiver[str], words: AsyncIterable[Word], lists: Receiver[list[int]], client: Client[str]) -> None:
    assert_type(stream(mapped(urls, fetch, limit=4)), AsyncGenerator[bytes, None])
    assert_type(stream(mapped(words, fetch, limit=4, ordered=False)), AsyncGenerator[bytes, None])
    assert_type(stream(mapped(urls, awaitable, limit=4)), AsyncGenerator[bytes, None])
    assert_type(stream(mapped(urls, partial(fetch_from, "host"), limit=4)), AsyncGenerator[bytes, None])
    assert_type(stream(mapped(urls, partial(fetch_from, "host", tries=2), limit=4)), AsyncGenerator[bytes, None])
    assert_type(stream(mapped(urls, client.get, limit=4)), AsyncGenerator[int, None])
    assert_type(stream(mapped(urls, client, limit=4)), AsyncGenerator[int, None])
    assert_type(stream(mapped(urls, same, limit=4)), AsyncGenerator[str, None])
    assert_type(stream(mapped(lists, first, limit=4)), AsyncGenerator[int, None])
    assert_type(stream(mapped(urls, lambda url: fetch(url), limit=4)), AsyncGenerator[bytes, None])
    assert_type(stream(mapped(urls, lambda url: fetch_from("host", url), limit=4)), AsyncGenerator[bytes, None])
    assert_type(stream(mapped(numbers(), lambda number: fetch(str(number)), limit=4)), AsyncGenerator[bytes, None])
    mapped(urls, fetch)  # type: ignore[call-arg]
    mapped(urls, fetch, 4)  # type: ignore[call-arg]
    mapped(urls, fetch, limit="4")  # type: ignore[arg-type]
    mapped(urls, fetch, limit=4, ordered=None)  # type: ignore[arg-type]
    mapped(numbers(), fetch, limit=4)  # type: ignore[arg-type]
    mapped(["url"], fetch, limit=4)  # type: ignore[arg-type]
    mapped(numbers, fetch, limit=4)  # type: ignore[arg-type]
    mapped(urls, blocking, limit=4)  # type: ignore[arg-type]
    mapped(urls, fetch_from, limit=4)  # type: ignore[arg-type]
    mapped(urls, partial(fetch_from, 1), limit=4)  # type: ignore[arg-type]
    mapped(numbers(), client.get, limit=4)  # type: ignore[arg-type]
    mapped(urls, lambda url: blocking(url), limit=4)  # type: ignore[arg-type, return-value]


async def feeds(urls: Receiver[str], results: Channel[bytes], objects: Channel[object], strs: Channel[str]) -> None:
    await results.feed(mapped(urls, fetch, limit=4))
    await objects.feed(mapped(urls, fetch, limit=4))
    await strs.feed(mapped(urls, fetch, limit=4))  # type: ignore[arg-type]
    async with Channel[bytes]().fed_by(mapped(urls, fetch, limit=4)) as received:
        assert_type(received, Receiver[bytes])
    results.fed_by(mapped(urls, fetch, limit=4), 1)  # type: ignore[call-arg]


def in_pools(pool: ProcessPoolExecutor, urls: Receiver[str]) -> None:
    assert_type(stream(mapped(urls, in_pool(pool, blocking), limit=4)), AsyncGenerator[bytes, None])
    assert_type(stream(mapped(urls, in_pool(pool, len), limit=4)), AsyncGenerator[int, None])
    mapped(numbers(), in_pool(pool, blocking), limit=4)  # type: ignore[arg-type]
    in_pool(blocking, pool)  # type: ignore[arg-type]
    in_pool(pool)  # type: ignore[call-arg]


# batched.


async def batches(urls: Receiver[str], lists: Channel[list[str]], strs: Channel[str]) -> None:
    assert_type(stream(batched(urls, size=3)), AsyncGenerator[list[str], None])
    assert_type(stream(batched(numbers(), size=3, seconds=0.5)), AsyncGenerator[list[int], None])
    await lists.feed(batched(urls, size=3))
    await strs.feed(batched(urls, size=3))  # type: ignore[arg-type]
    batched(urls)  # type: ignore[call-arg]
    batched(urls, 3)  # type: ignore[call-arg]
    batched(urls, size=3.5)  # type: ignore[arg-type]
    batched(urls, size=3, seconds="1")  # type: ignore[arg-type]
    batched([1], size=3)  # type: ignore[arg-type]


# merged.


async def merges(urls: Receiver[str], blobs: Receiver[bytes], floats: Receiver[float], many: list[Receiver[str]]) -> None:
    assert_type(stream(merged(urls)), AsyncGenerator[str, None])
    assert_type(stream(merged(urls, urls)), AsyncGenerator[str, None])
    assert_type(stream(merged(urls, numbers())), AsyncGenerator[str | int, None])
    assert_type(stream(merged(urls, numbers(), blobs)), AsyncGenerator[str | int | bytes, None])
    assert_type(stream(merged(urls, numbers(), blobs, floats)), AsyncGenerator[str | int | bytes | float, None])
    assert_type(stream(merged(urls, numbers(), blobs, floats, many[0])), AsyncGenerator[str | int | bytes | float, None])
    assert_type(stream(merged(*many)), AsyncGenerator[str, None])
    assert_type(stream(merged(urls, urls, urls, urls, urls, urls)), AsyncGenerator[str, None])
    merged(urls, [1])  # type: ignore[call-overload]
    merged(urls, numbers)  # type: ignore[call-overload]


async def merges_into(urls: Receiver[str], both: Channel[str | int], objects: Channel[object], strs: Channel[str]) -> None:
    await both.feed(merged(urls, numbers()))
    await both.feed(merged(urls))
    await objects.feed(merged(urls, numbers()))
    await strs.feed(merged(urls, numbers()))  # type: ignore[arg-type]


# kept_alive.


def beat() -> str:
    raise NotImplementedError


async def keeps_alive(urls: Receiver[str], strs: Channel[str]) -> None:
    assert_type(stream(kept_alive(urls, seconds=15, beat=beat)), AsyncGenerator[str, None])
    assert_type(stream(kept_alive(urls, seconds=15, beat=lambda: ": beat")), AsyncGenerator[str, None])
    assert_type(stream(kept_alive(numbers(), seconds=0.5, beat=beat)), AsyncGenerator[int | str, None])
    assert_type(stream(kept_alive(numbers(), seconds=0.5, beat=lambda: None)), AsyncGenerator[int | None, None])
    await strs.feed(kept_alive(urls, seconds=15, beat=beat))
    await strs.feed(kept_alive(numbers(), seconds=15, beat=beat))  # type: ignore[arg-type]
    kept_alive(urls, seconds=15)  # type: ignore[call-arg]
    kept_alive(urls, beat=beat)  # type: ignore[call-arg]
    kept_alive(urls, seconds=15, beat=": beat")  # type: ignore[arg-type]
    kept_alive(urls, 15, beat)  # type: ignore[call-arg]


# Stages of their own, and pipelines.


async def mine(itemize: Itemizer[B], source: AsyncIterable[A], func: Callable[[A], Awaitable[B]]) -> None:
    await mapped(source, func, limit=4)(itemize)
    await batched(source, size=4)(itemize)  # type: ignore[arg-type]


async def pipeline(urls: Receiver[str]) -> None:
    async with (
        Channel[bytes]().fed_by(mapped(urls, fetch, limit=4)) as pages,
        Channel[list[bytes]]().fed_by(batched(pages, size=10)) as groups,
        Channel[list[bytes] | None]().fed_by(kept_alive(groups, seconds=15, beat=lambda: None)) as kept,
        Channel[list[str]]().fed_by(batched(pages, size=10)) as _,  # type: ignore[arg-type]
    ):
        assert_type([group async for group in kept], list[list[bytes] | None])

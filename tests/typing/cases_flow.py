"""Flow: `feed`, `offer`, `drop_oldest` and `on_drop`, `take_ready`, statistics, and producers in signatures of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Literal, ParamSpec, TypeVar, assert_never, assert_type

from chanstream import Channel, ChannelStatistics, Itemizer, Producer, Receiver, Sender, offer, stream

T = TypeVar("T")
P = ParamSpec("P")


class Animal: ...


class Dog(Animal): ...


async def plain(itemize: Itemizer[int]) -> None: ...
async def one(itemize: Itemizer[int], start: int) -> None: ...
async def many(itemize: Itemizer[str], start: int, stop: int = 3, *, step: int = 1, label: str) -> None: ...
async def with_a_result(itemize: Itemizer[int]) -> int:
    raise NotImplementedError


def synchronous(itemize: Itemizer[int]) -> None: ...


class Reader:
    async def rows(self, itemize: Itemizer[int], limit: int = 3) -> None: ...


# feed: a coroutine with the arguments of func.


async def feeds(ints: Channel[int]) -> None:
    assert_type(await ints.feed(plain), None)
    await ints.feed(one, start=1)
    await asyncio.wait_for(ints.feed(plain), 1)


def in_a_task(ints: Channel[int]) -> asyncio.Task[None]:
    return asyncio.create_task(ints.feed(one, 1))


def in_a_group(ints: Channel[int], strs: Channel[str], reader: Reader, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
    tasks.create_task(ints.feed(reader.rows, limit=3))
    return tasks.create_task(strs.feed(many, 1, 2, step=3, label="a"))


def as_coroutine(ints: Channel[int]) -> Coroutine[object, object, None]:
    return ints.feed(plain)


def runs(ints: Channel[int]) -> None:
    asyncio.run(ints.feed(plain))


async def feeds_of_another_type(objects: Channel[object], bools: Channel[bool]) -> None:
    await objects.feed(plain)
    await bools.feed(plain)  # type: ignore[arg-type]


async def feeds_wrongly(ints: Channel[int], strs: Channel[str], reader: Reader) -> None:
    await ints.feed()  # type: ignore[call-arg]
    await ints.feed(one)  # type: ignore[call-arg]
    await ints.feed(one, "1")  # type: ignore[arg-type]
    await ints.feed(one, 1, 2)  # type: ignore[call-arg]
    await ints.feed(one, stop=1)  # type: ignore[call-arg]
    await strs.feed(one, 1)  # type: ignore[arg-type]
    await strs.feed(many, 1, label=2)  # type: ignore[arg-type]
    await strs.feed(many, 1)  # type: ignore[call-arg]
    await ints.feed(func=plain)  # type: ignore[call-arg]
    await ints.feed(plain(print))  # type: ignore[arg-type]
    await ints.feed(synchronous)  # type: ignore[arg-type]
    await ints.feed(with_a_result)  # type: ignore[arg-type]
    await ints.feed(reader.rows, "3")  # type: ignore[arg-type]
    ints.feed(plain)  # type: ignore[unused-coroutine]
    async with ints.feed(plain):  # type: ignore[attr-defined]
        pass


# offer: no coroutine, and what the itemizer takes.


def offers(of_animals: Itemizer[Animal], of_dogs: Itemizer[Dog], animal: Animal, dog: Dog) -> None:
    assert_type(offer(of_animals, animal), bool)
    assert_type(offer(of_animals, dog), bool)
    assert_type(offer(of_dogs, dog), bool)
    if not offer(of_dogs, dog):
        return


async def keeps(_: Animal, /) -> None: ...
async def keeps_by_name(animal: Animal) -> None: ...
def keeps_at_once(_: Animal, /) -> None: ...
def keeps_later(_: Animal, /) -> Awaitable[None]:
    raise NotImplementedError


async def offers_to_others(channel: Channel[Animal], animal: Animal, dog: Dog) -> None:
    async with channel.sender as itemize:
        assert_type(offer(itemize, dog), bool)
        asyncio.get_running_loop().call_soon_threadsafe(offer, itemize, dog)
    offer(keeps, dog)
    offer(keeps_by_name, animal)


async def offers_wrongly(channel: Channel[Dog], of_dogs: Itemizer[Dog], animal: Animal, dog: Dog) -> None:
    offer(of_dogs, animal)  # type: ignore[misc]
    offer(of_dogs)  # type: ignore[call-arg]
    offer(of_dogs, dog, dog)  # type: ignore[call-arg]
    offer(of_dogs, item=dog)  # type: ignore[call-arg]
    offer(channel.sender, dog)  # type: ignore[arg-type]
    offer(channel, dog)  # type: ignore[arg-type]
    offer(keeps_at_once, dog)  # type: ignore[arg-type]
    offer(keeps_later, dog)  # type: ignore[arg-type]
    await offer(of_dogs, dog)  # type: ignore[misc]
    channel.offer(dog)  # type: ignore[attr-defined]


# drop_oldest and on_drop.


def lost_animal(_: Animal) -> None: ...
def lost_dog(_: Dog) -> None: ...
async def lost_later(_: Dog) -> None: ...
def lost_nothing() -> None: ...


def dropping(dogs: list[Dog]) -> None:
    assert_type(Channel[Dog](buffer=1, drop_oldest=True), Channel[Dog])
    assert_type(Channel(buffer=1, drop_oldest=True, on_drop=lost_dog), Channel[Dog])
    Channel[Dog](buffer=1, on_drop=lost_dog)
    Channel[Dog](buffer=1, on_drop=lost_animal)
    Channel[Dog](buffer=1, on_drop=dogs.append)
    Channel[Dog](on_drop=print)
    Channel[Dog](on_drop=None)


def dropping_wrongly() -> None:
    Channel[Animal](buffer=1, on_drop=lost_dog)  # type: ignore[arg-type]
    Channel[Dog](buffer=1, on_drop=lost_later)  # type: ignore[arg-type]
    Channel[Dog](buffer=1, on_drop=lost_nothing)  # type: ignore[arg-type]
    Channel[Dog](buffer=1, on_drop=1)  # type: ignore[arg-type]
    Channel[Dog](buffer=1, drop_oldest="yes")  # type: ignore[arg-type]
    Channel[Dog](1, True)  # type: ignore[call-arg]


# take_ready: covariant as the receiver.


def ready(of_animals: Receiver[Animal], of_dogs: Receiver[Dog]) -> list[Dog]:
    assert_type(of_animals.take_ready(), list[Animal])
    assert_type(of_dogs.take_ready(3), list[Dog])
    assert_type(of_dogs.take_ready(limit=None), list[Dog])
    return of_dogs.take_ready()


def ready_animals(receiver: Receiver[Animal]) -> list[Animal]:
    return receiver.take_ready(3)


async def batches(of_dogs: Receiver[Dog]) -> None:
    ready_animals(of_dogs)
    async for first in of_dogs:
        assert_type([first, *of_dogs.take_ready(63)], list[Dog])


async def ready_wrongly(of_animals: Receiver[Animal], of_dogs: Receiver[Dog]) -> list[Dog]:
    of_dogs.take_ready("3")  # type: ignore[arg-type]
    of_dogs.take_ready(1.5)  # type: ignore[arg-type]
    of_dogs.take_ready(1, 2)  # type: ignore[call-arg]
    await of_dogs.take_ready()  # type: ignore[misc]
    return of_animals.take_ready()  # type: ignore[return-value]


# Statistics.


def statistics(channel: Channel[Dog], receiver: Receiver[Dog]) -> None:
    now = channel.statistics()
    assert_type(now, ChannelStatistics)
    assert_type(receiver.statistics(), ChannelStatistics)
    assert_type((now.buffer, now.buffered, now.pending), tuple[int, int, int])
    assert_type((now.itemizing, now.asking, now.dropped), tuple[int, int, int])
    assert_type(now.sender, Literal["unopened", "open", "finished", "failed", "dropped unopened", "abandoned"])
    assert_type(now.receiver, Literal["open", "closed"])


def phase(now: ChannelStatistics) -> str:
    if now.receiver == "open":
        return now.sender
    if now.receiver == "closed":
        return "closed"
    assert_never(now.receiver)


def statistics_wrongly(channel: Channel[Dog], sender: Sender[Dog], now: ChannelStatistics) -> None:
    now.buffered = 0  # type: ignore[misc]
    print(now.items)  # type: ignore[attr-defined]
    sender.statistics()  # type: ignore[attr-defined]
    channel.statistics().buffered()  # type: ignore[operator]


# Producers in signatures of one's own.


def logged(func: Producer[T, P]) -> Producer[T, P]:
    async def run(itemize: Itemizer[T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        await func(itemize, *args, **kwargs)

    return run


def started(tasks: asyncio.TaskGroup, func: Producer[T, P], /, *args: P.args, **kwargs: P.kwargs) -> Receiver[T]:
    channel = Channel[T]()
    tasks.create_task(channel.feed(func, *args, **kwargs))
    return channel.receiver


def of_one_row(read: Callable[P, Awaitable[T]]) -> Producer[T, P]:
    async def run(itemize: Itemizer[T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        await itemize(await read(*args, **kwargs))

    return run


async def read_row(number: int) -> str:
    raise NotImplementedError


@logged
async def decorated(itemize: Itemizer[int], start: int) -> None: ...


async def producers(ints: Channel[int], strs: Channel[str], tasks: asyncio.TaskGroup) -> None:
    await ints.feed(decorated, 1)
    await strs.feed(of_one_row(read_row), 1)
    assert_type(started(tasks, one, 1), Receiver[int])
    assert_type(started(tasks, many, 1, label="a"), Receiver[str])
    assert_type([row async for row in stream(of_one_row(read_row), 1)], list[str])
    await ints.feed(decorated, "1")  # type: ignore[arg-type]
    await ints.feed(of_one_row(read_row), 1)  # type: ignore[arg-type]
    started(tasks, one)  # type: ignore[call-arg]
    started(tasks, one, "1")  # type: ignore[arg-type]


def as_values(exact: Callable[[Itemizer[int], int], Coroutine[object, object, None]]) -> Producer[int, [int]]:
    assert_type(exact, Producer[int, [int]])
    return exact


def taken(_: Producer[int, []]) -> None: ...


def given() -> None:
    taken(plain)
    taken(one)  # type: ignore[arg-type]
    taken(synchronous)  # type: ignore[arg-type]

"""The channel: how it is made, its two ends, and mistakes made with them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import TypeAlias, TypeVar, assert_type

from chanstream import Channel, ChannelError, Itemizer, Receiver, ReceiverClosed, Sender, SenderContext, SenderFailed

T = TypeVar("T")

IntChannel: TypeAlias = Channel[int]


class Item: ...


def wants_int(_: int) -> None: ...
def wants_channel(_: Channel[Item]) -> None: ...


# Construction.


def subscripted() -> None:
    assert_type(Channel[Item](), Channel[Item])
    assert_type(Channel[int | None](), Channel[int | None])
    assert_type(Channel[Item](buffer=3), Channel[Item])
    assert_type(Channel[tuple[int, str]](buffer=3), Channel[tuple[int, str]])
    assert_type(IntChannel(), Channel[int])
    Channel[Item](3)  # type: ignore[call-arg]
    Channel[Item](buffer="3")  # type: ignore[arg-type]
    Channel[Item](buffer=None)  # type: ignore[arg-type]
    Channel[Item](buffer=1.5)  # type: ignore[arg-type]
    Channel[Item](size=3)  # type: ignore[call-arg]
    Channel[Item, Item]()  # type: ignore[misc]


def by_context() -> Channel[Item]:
    wants_channel(Channel())
    wants_channel(Channel(buffer=3))
    return Channel()


def generic(item: T) -> Channel[T]:
    channel = Channel[T]()
    assert_type(channel.receiver, Receiver[T])
    return channel


def of_generic() -> None:
    assert_type(generic("a"), Channel[str])


def without_item_type() -> None:
    channel = Channel()  # type: ignore[var-annotated]


def annotated_without_item_type(channel: Channel) -> None: ...  # type: ignore[type-arg]
def receiver_without_item_type(receiver: Receiver) -> None: ...  # type: ignore[type-arg]
def itemizer_without_item_type(itemize: Itemizer) -> None: ...  # type: ignore[type-arg]


# The ends: what they are.


async def ends(channel: Channel[Item]) -> None:
    assert_type(channel.sender, Sender[Item])
    assert_type(channel.receiver, Receiver[Item])
    async with channel.sender as itemize:
        assert_type(itemize, Itemizer[Item])
    async with channel.receiver as receiver:
        assert_type(receiver, Receiver[Item])
    async with aclosing(channel.receiver) as closing:
        assert_type(closing, Receiver[Item])


async def iteration(receiver: Receiver[Item]) -> None:
    async for item in receiver:
        assert_type(item, Item)
    assert_type([item async for item in receiver], list[Item])
    assert_type({index: item async for index, item in counted(receiver)}, dict[int, Item])
    assert_type(aiter(receiver), Receiver[Item])
    assert_type(await anext(receiver), Item)
    assert_type(await anext(receiver, None), Item | None)
    assert_type(await receiver.__anext__(), Item)
    assert_type(await receiver.aclose(), None)


async def counted(items: AsyncIterable[T]) -> AsyncIterator[tuple[int, T]]:
    index = 0
    async for item in items:
        yield index, item
        index += 1


async def stacked(channel: Channel[Item], stack: AsyncExitStack) -> None:
    assert_type(await stack.enter_async_context(channel.sender), Itemizer[Item])
    assert_type(await stack.enter_async_context(channel.receiver), Receiver[Item])
    stack.push_async_callback(channel.receiver.aclose)
    stack.push_async_exit(channel.sender)


# The ends are read-only.


def assigned(channel: Channel[Item], other: Channel[Item]) -> None:
    channel.sender = other.sender  # type: ignore[misc]
    channel.receiver = other.receiver  # type: ignore[misc]
    channel.buffer = 3  # type: ignore[attr-defined]
    channel.name = "a"  # type: ignore[attr-defined]
    channel.sender.name = "a"  # type: ignore[attr-defined]
    channel.receiver.name = "a"  # type: ignore[attr-defined]
    del channel.sender
    del channel.receiver


# Final classes.


class MyChannel(Channel[Item]): ...  # type: ignore[misc]


class MySender(Sender[Item]): ...  # type: ignore[misc]


class MyReceiver(Receiver[Item]): ...  # type: ignore[misc]


class MyError(ChannelError): ...


class MyFailure(SenderFailed): ...


# The wrong end, the wrong statement.


async def wrong_statement(channel: Channel[Item]) -> None:
    async for _ in channel:  # type: ignore[attr-defined]
        pass
    async for _ in channel.sender:  # type: ignore[attr-defined]
        pass
    for _ in channel.receiver:  # type: ignore[attr-defined]
        pass
    async with channel:  # type: ignore[attr-defined]
        pass
    with channel.sender:  # type: ignore[attr-defined]
        pass
    with channel.receiver:  # type: ignore[attr-defined]
        pass
    channel.close()  # type: ignore[attr-defined]
    await channel.send(Item())  # type: ignore[attr-defined]
    await channel.sender  # type: ignore[misc]
    await channel.receiver  # type: ignore[misc]
    await channel.sender(Item())  # type: ignore[operator]
    await channel.sender.send(Item())  # type: ignore[attr-defined]
    await channel.receiver.asend(None)  # type: ignore[attr-defined]
    next(channel.receiver)  # type: ignore[call-overload]
    iter(channel.receiver)  # type: ignore[call-overload]
    await anext(channel.sender)  # type: ignore[call-overload]


async def context_called(sink: SenderContext[Item]) -> None:
    await sink(Item())  # type: ignore[operator]
    sink.close()  # type: ignore[attr-defined]


# Forgotten awaits.


async def forgotten(channel: Channel[Item], receiver: Receiver[int]) -> None:
    receiver.aclose()  # type: ignore[unused-coroutine]
    receiver.__anext__()  # type: ignore[unused-coroutine]
    anext(receiver)  # type: ignore[unused-coroutine]
    wants_int(anext(receiver))  # type: ignore[arg-type]
    wants_int(receiver.__anext__())  # type: ignore[arg-type]
    async with channel.sender as itemize:
        itemize(Item())  # type: ignore[unused-coroutine]


# Errors are made of a message.


def made_by_hand() -> ReceiverClosed:
    return ReceiverClosed("the fake is closed")

"""The surface: what there is, what it takes, and what its errors say: rule 21 and the table of names.

What a mistake gets is in test_misuse.py.
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from types import ModuleType

import pytest
from typing_extensions import override

import chanstream
from chanstream import Channel, ChannelError, Itemizer, Receiver, ReceiverClosed, Sender, SenderClosed, SenderContext, SenderFailed
from tests.garbage import let_go
from tests.loops import turns
from tests.outcomes import done

# Names.


def test_all_names_what_there_is() -> None:
    """Surface: `__all__` is complete, sorted, and has nothing private but the version."""
    public = {name for name, value in vars(chanstream).items() if name[0] != "_" and not isinstance(value, ModuleType)}
    assert public | {"__version__"} == set(chanstream.__all__)
    assert sorted(chanstream.__all__) == list(chanstream.__all__)


@pytest.mark.parametrize("name", sorted(set(chanstream.__all__) - {"Producer", "__version__"}))
def test_everything_public_says_what_it_is(name: str) -> None:
    """Surface: each name has a docstring, and so has each public method of a class. A type alias and a field can't have one."""
    value: object = getattr(chanstream, name)
    assert inspect.getdoc(value)
    if isinstance(value, type):
        for attribute, member in vars(value).items():
            if attribute[0] != "_" and attribute not in getattr(value, "__dataclass_fields__", ()):
                assert inspect.getdoc(member), attribute


def test_errors_are_sorted_by_who_caused_them() -> None:
    """Surface: one base, three errors that are not kinds of each other; ReceiverClosed is no Exception, as is GeneratorExit."""
    assert ChannelError.__bases__ == (BaseException,)
    for error in (SenderFailed, SenderClosed):
        assert error.__bases__ == (ChannelError, Exception)
    assert ReceiverClosed.__bases__ == (ChannelError,)


# The ends.


def test_the_ends_are_always_the_same_objects() -> None:
    """Surface: and each of its own kind."""
    channel = Channel[int]()
    assert channel.sender is channel.sender
    assert channel.receiver is channel.receiver
    assert isinstance(channel.sender, Sender)
    assert isinstance(channel.receiver, Receiver)


async def test_a_receiver_is_an_async_iterator() -> None:
    """Surface: it works with `aiter` and `anext`, and iterating it again goes on with the same stream."""
    channel = Channel[int](buffer=3)
    assert isinstance(channel.receiver, AsyncIterator)
    assert aiter(channel.receiver) is channel.receiver
    async with channel.sender as itemize:
        for item in range(3):
            await itemize(item)
    assert [await anext(aiter(channel.receiver)) for _ in range(3)] == [0, 1, 2]
    assert await anext(channel.receiver, -1) == -1


async def test_an_itemizer_is_a_coroutine_function() -> None:
    """Surface: so a framework that asks whether to await what it returns gets the right answer."""
    async with Channel[int]().sender as itemize:
        assert inspect.iscoroutinefunction(itemize)


async def test_a_stage_takes_any_sender_context() -> None:
    """Surface: a sender, an `asynccontextmanager` function and `nullcontext(fake)` fit."""

    async def stage(sink: SenderContext[int]) -> None:
        async with sink as itemize:
            await itemize(1)

    taken: list[int] = []

    async def fake(item: int, /) -> None:
        taken.append(item)

    class Fake:
        async def __call__(self, item: int, /) -> None:
            taken.append(item)

    @asynccontextmanager
    async def increased(sink: SenderContext[int]) -> AsyncIterator[Itemizer[int]]:
        async with sink as itemize:

            async def increase(item: int, /) -> None:
                await itemize(item + 1)

            yield increase

    await stage(nullcontext(fake))
    await stage(nullcontext(Fake()))
    assert taken == [1, 1]
    channel = Channel[int](buffer=1)
    await stage(increased(channel.sender))
    assert [item + 1 async for item in channel.receiver] == [3]


# What it looks like.


class Secret:
    """Would be seen in a log."""

    @override
    def __repr__(self) -> str:
        raise AssertionError


async def test_a_repr_shows_the_state_and_the_counts_and_no_item() -> None:
    """Surface: one line, whatever state the channel is in."""
    channel = Channel[Secret](buffer=1)
    told: list[str] = []

    def tell() -> str:
        line = repr(channel)
        assert repr(channel.sender) == f"<Sender of {line}>"
        assert repr(channel.receiver) == f"<Receiver of {line}>"
        assert len(line.splitlines()) == 1
        told.append(line)
        return re.sub(", made at .*(?=>)", "", line)  # in debug mode

    expected = "<Channel buffer=1: sender {}, receiver {}, {} to be taken, {} waiting in itemize, {} waiting for an item>"
    assert tell() == expected.format("unopened", "open", 0, 0, 0)
    asks = [asyncio.create_task(anext(channel.receiver)) for _ in range(2)]
    await turns()
    assert tell() == expected.format("unopened", "open", 0, 0, 2)
    async with channel.sender as itemize:
        assert tell() == expected.format("open", "open", 0, 0, 2)
        await itemize(Secret())
        assert tell() == expected.format("open", "open", 1, 0, 2)
        await turns()
        assert tell() == expected.format("open", "open", 0, 0, 1)
        children = [asyncio.create_task(itemize(Secret())) for _ in range(4)]
        await done(asks[1])
        assert tell() == expected.format("open", "open", 3, 2, 0)
    assert tell() == expected.format("finished", "open", 3, 2, 0)
    await anext(channel.receiver)
    await turns()
    assert tell() == expected.format("finished", "open", 2, 1, 0)
    await channel.receiver.aclose()
    assert tell() == expected.format("finished", "closed", 0, 0, 0)[:-1] + ", 1 dropped>"
    assert len(set(told)) == len(told)
    with pytest.raises(ReceiverClosed):
        await done(children[-1])


async def test_a_repr_shows_how_the_sender_ended() -> None:
    """Surface: every phase of the sending side has its words, in lock-step as in a buffered channel."""
    words: dict[str, str] = {}

    def tell(key: str, end: Channel[int] | Receiver[int]) -> None:
        words[key] = repr(end).partition("<Channel ")[2].partition(", receiver")[0]

    channel = Channel[int]()
    tell("new", channel)
    await channel.sender.__aenter__()
    tell("opened", channel)
    await channel.sender.__aexit__(None, None, None)
    tell("left", channel)
    channel = Channel[int]()
    await channel.sender.__aenter__()
    await channel.sender.__aexit__(ValueError, ValueError(), None)
    tell("left by an error", channel)
    receiver = Channel[int]().receiver
    let_go()
    tell("dropped", receiver)
    channel = Channel[int]()
    receiver = channel.receiver
    await channel.sender.__aenter__()
    del channel
    let_go()
    tell("dropped in its block", receiver)
    assert words == {
        "new": "lock-step: sender unopened",
        "opened": "lock-step: sender open",
        "left": "lock-step: sender finished",
        "left by an error": "lock-step: sender failed",
        "dropped": "lock-step: sender dropped unopened",
        "dropped in its block": "lock-step: sender abandoned",
    }


async def test_a_repr_counts_the_itemizer_whose_item_was_taken() -> None:
    """Surface: in lock-step it waits on, although nothing is left to be taken."""
    channel = Channel[Secret]()
    async with channel.sender as itemize:
        child = asyncio.create_task(itemize(Secret()))
        await turns()
        assert ", 1 to be taken, 1 waiting in itemize, 0 waiting for an item" in repr(channel)
        await anext(channel.receiver)
        assert ", 0 to be taken, 1 waiting in itemize, 0 waiting for an item" in repr(channel)
        await channel.receiver.aclose()
        await turns()
    assert isinstance(child.exception(), ReceiverClosed)


# Arguments.


async def test_any_int_is_a_buffer() -> None:
    """Rule 21: what is accepted works, a subclass of int and a number that no memory holds too."""

    class Number(int):
        __slots__ = ()

    for buffer in (0, 1, Number(0), Number(2), 10**30):
        channel = Channel[int](buffer=buffer)
        async with channel.sender as itemize:
            for item in range(min(buffer, 3)):
                await itemize(item)
        assert [item async for item in channel.receiver] == list(range(min(buffer, 3)))


# What the errors say.


async def closed_receiver() -> tuple[Channel[int], BaseException]:
    channel = Channel[int]()
    itemize = await channel.sender.__aenter__()
    await channel.receiver.aclose()
    with pytest.raises(ReceiverClosed) as caught:
        await itemize(1)
    return channel, caught.value


async def opened_twice() -> tuple[Channel[int], BaseException]:
    channel = Channel[int]()
    await channel.sender.__aenter__()
    with pytest.raises(SenderClosed) as caught:
        await channel.sender.__aenter__()
    return channel, caught.value


async def failed_block() -> tuple[Channel[int], BaseException]:
    channel = Channel[int]()
    await channel.sender.__aenter__()
    await channel.sender.__aexit__(LookupError, LookupError("why"), None)
    with pytest.raises(SenderFailed) as caught:
        await anext(channel.receiver)
    return channel, caught.value


@pytest.mark.parametrize(
    ("raising", "fact", "remedy"),
    [
        (closed_receiver, "is closed, so no more items are taken", "let this error leave the sender block"),
        (failed_block, "ended by LookupError", "see __cause__ for the reason, and fix that"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_an_error_names_the_object_the_fact_and_the_remedy(
    raising: Callable[[], Awaitable[tuple[Channel[int], BaseException]]], fact: str, remedy: str
) -> None:
    """Rule 21: a reader of a log learns which channel it was, what happened, and what to do."""
    where, error = await raising()
    message = str(error)
    channel = repr(where)
    channel = channel[channel.index("<Channel") : channel.index(">") + 1]
    assert channel in message
    assert message.index(channel) < message.index(fact) < message.index(remedy)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("raising", [closed_receiver, opened_twice, failed_block])
async def test_an_error_survives_pickling(
    raising: Callable[[], Awaitable[tuple[Channel[int], ChannelError]]], protocol: int
) -> None:
    """Surface: a channel can't be pickled, what it has to say can, ReceiverClosed in particular, which knows its channel."""
    _, error = await raising()
    again: object = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is type(error)
    assert str(again) == str(error)


async def test_a_copied_closing_is_that_of_no_channel() -> None:
    """Surface, with rule 11: what came out of a pickle does not end a block quietly."""
    channel = Channel[int]()

    async def send() -> None:
        async with channel.sender as itemize:
            await channel.receiver.aclose()
            with pytest.raises(ReceiverClosed) as caught:
                await itemize(1)
            again: ReceiverClosed = pickle.loads(pickle.dumps(caught.value))
            raise again

    with pytest.raises(ReceiverClosed):
        await send()

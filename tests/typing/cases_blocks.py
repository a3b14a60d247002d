"""What comes after a sender block that can end early, and the errors of a channel in an ``except`` clause."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import assert_type

from chanstream import Channel, ChannelError, Itemizer, Receiver, ReceiverClosed, Sender, SenderClosed, SenderContext, SenderFailed


async def total(itemize: Itemizer[int]) -> int:
    raise NotImplementedError


# The block of a Sender ends quietly when the receiver is gone, so a `return` in it is not the only way out.


async def return_in_the_block(sender: Sender[int]) -> int:  # type: ignore[return]
    async with sender as itemize:
        return await total(itemize)


async def return_after_the_block(sender: Sender[int]) -> int:
    async with sender as itemize:
        await itemize(1)
    return 1


async def return_in_and_after_the_block(sender: Sender[int]) -> int | None:
    async with sender as itemize:
        return await total(itemize)
    return None


async def raise_in_the_block(sender: Sender[int]) -> int:  # type: ignore[return]
    async with sender:
        raise ValueError


async def code_after_a_raise_is_reached(sender: Sender[int]) -> int:
    async with sender:
        raise ValueError
    return 1


async def bound_in_the_block(sender: Sender[int]) -> int:
    async with sender as itemize:
        perhaps_unbound = await total(itemize)
    return perhaps_unbound


async def bound_before_the_block(sender: Sender[int]) -> int:
    result = 0
    async with sender as itemize:
        result = await total(itemize)
    return result


# A stage sees the protocol only, for which a fake may stand. There the checkers assume that the block never ends early.


async def return_in_the_block_of_a_context(sink: SenderContext[int]) -> int:
    async with sink as itemize:
        return await total(itemize)


async def bound_in_the_block_of_a_context(sink: SenderContext[int]) -> int:
    async with sink as itemize:
        result = await total(itemize)
    return result


# Blocks of the receiver and of fed_by swallow nothing.


async def return_in_the_block_of_a_receiver(receiver: Receiver[int]) -> int:
    async with receiver:
        return await anext(receiver)


async def produce(itemize: Itemizer[int]) -> None: ...


async def return_in_the_block_of_fed_by(channel: Channel[int]) -> int:
    async with channel.fed_by(produce) as receiver:
        return await anext(receiver)


async def bound_in_the_block_of_fed_by(channel: Channel[int]) -> list[int]:
    async with channel.fed_by(produce) as receiver:
        result = [item async for item in receiver]
    return result


# A loop over the receiver may have no turn.


async def return_in_the_loop(items: AsyncIterable[int]) -> int:  # type: ignore[return]
    async for item in items:
        return item


# Errors.


async def narrowed(receiver: Receiver[int], itemize: Itemizer[int]) -> None:
    try:
        await itemize(await anext(receiver))
    except SenderFailed as error:
        assert_type(error, SenderFailed)
        assert_type(error.__cause__, BaseException | None)
    except (ReceiverClosed, SenderClosed) as error:
        assert_type(error, ReceiverClosed | SenderClosed)
    except ChannelError as error:
        assert_type(error, ChannelError)


async def narrowed_in_a_group(itemize: Itemizer[int]) -> None:
    try:
        await itemize(1)
    except* ReceiverClosed as group:
        assert_type(group, BaseExceptionGroup[ReceiverClosed])
    except* (SenderClosed, SenderFailed) as group:
        assert_type(group, ExceptionGroup[SenderClosed | SenderFailed])


async def narrowed_by_isinstance(error: BaseException) -> None:
    if isinstance(error, ChannelError):
        assert_type(error, ChannelError)
    if isinstance(error, SenderFailed) and error.__cause__ is not None:
        assert_type(error.__cause__, BaseException)


def wants_channel_error(_: ChannelError) -> None: ...
def wants_exception(_: Exception) -> None: ...
def wants_failure(_: SenderFailed) -> None: ...
def wants_receiver_closed(_: ReceiverClosed) -> None: ...
def wants_sender_closed(_: SenderClosed) -> None: ...


def hierarchy(base: ChannelError, failed: SenderFailed, receiver: ReceiverClosed, sender: SenderClosed) -> None:
    wants_exception(base)  # type: ignore[arg-type]
    wants_exception(receiver)  # type: ignore[arg-type]
    wants_exception(failed)
    wants_exception(sender)
    wants_channel_error(failed)
    wants_channel_error(receiver)
    wants_channel_error(sender)
    wants_failure(base)  # type: ignore[arg-type]
    wants_failure(receiver)  # type: ignore[arg-type]
    wants_failure(sender)  # type: ignore[arg-type]
    wants_receiver_closed(base)  # type: ignore[arg-type]
    wants_receiver_closed(failed)  # type: ignore[arg-type]
    wants_receiver_closed(sender)  # type: ignore[arg-type]
    wants_sender_closed(base)  # type: ignore[arg-type]
    wants_sender_closed(failed)  # type: ignore[arg-type]
    wants_sender_closed(receiver)  # type: ignore[arg-type]

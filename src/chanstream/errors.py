"""The errors, sorted by who caused them. All wording is here.

- The other side failed: `SenderFailed`. It went away: `ReceiverClosed`.
- The caller made a mistake: `SenderClosed`, and the built-in RuntimeError, TypeError and ValueError.
- The normal end of a stream is no error.

Every message names the object, the fact and the remedy. The functions take the channel as its `repr` tells it.
"""

from __future__ import annotations

__all__ = ["ChannelError", "ReceiverClosed", "SenderClosed", "SenderFailed"]


class ChannelError(Exception):
    """Base of the errors that a channel raises about its own state."""


class SenderFailed(ChannelError):
    """Raised by the receiver: the sending side ended by an error or was abandoned, so the stream is not complete.

    ``__cause__`` is the error that ended the sender block. It is None if there was none: the sender was dropped.
    """


class ReceiverClosed(ChannelError):
    """Raised by an itemizer: the receiving side was closed or dropped, so nobody takes items any more.

    Let it leave the sender block, which then ends quietly. Only the block of its own channel does that.
    """

    # The core of the channel that raised it; None for one made elsewhere, by a fake itemizer for example. In a slot, which pickle
    # passes over: an error can be pickled, a channel can't.
    __slots__ = ("_source",)

    _source: object

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._source = None


class SenderClosed(ChannelError):
    """Raised by an itemizer used outside its block, and by opening a sender twice: a mistake of the caller."""


def sender_failed(channel: str, error: BaseException) -> SenderFailed:
    failed = SenderFailed(
        f"the sender block of {channel} ended by {type(error).__name__}: what was sent before has been delivered, the rest is "
        "missing; see __cause__ for the reason and mend it there"
    )
    failed.__cause__ = error
    return failed


def sender_never_opened(channel: str) -> SenderFailed:
    return SenderFailed(
        f"the sender of {channel} was dropped before anybody opened it: keep a reference to the channel or to its sender "
        "until `async with channel.sender` runs"
    )


def sender_abandoned(channel: str) -> SenderFailed:
    return SenderFailed(
        f"the sender block of {channel} was abandoned, nothing refers to it any more: use `async with`, and keep a reference "
        "to the task that runs the block"
    )


def receiver_closed(channel: str, source: object) -> ReceiverClosed:
    closed = ReceiverClosed(
        f"the receiver of {channel} is closed, nobody takes items any more: let this error leave the sender block, which "
        "then ends quietly"
    )
    closed._source = source
    return closed


def is_closing(error: BaseException, source: object) -> bool:
    """Whether `error` is the `ReceiverClosed` of `source`, bare or in an exception group of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_closing(each, source) for each in error.exceptions)
    return isinstance(error, ReceiverClosed) and error._source is source


def is_report(error: BaseException, cause: BaseException | None) -> bool:
    """Whether `error` only tells of `cause`: it is `cause`, a `SenderFailed` from it or from such a report, or a group of those."""
    # Each error is looked at once: the reports of a pool of workers all have one cause.
    open_, seen, met = [error], set[int](), False
    while open_:
        each = open_.pop()
        if each is cause:
            met = True
        elif id(each) not in seen:
            seen.add(id(each))
            if isinstance(each, BaseExceptionGroup):
                open_ += each.exceptions
            elif isinstance(each, SenderFailed) and each.__cause__ is not None:
                open_.append(each.__cause__)
            else:
                return False
    return met


def opened_twice(channel: str) -> SenderClosed:
    return SenderClosed(
        f"the sender of {channel} has been opened before: a sender is opened once; hand its itemizer to whoever else writes, "
        "or make another channel"
    )


def used_after_block(channel: str) -> SenderClosed:
    return SenderClosed(
        f"the sender block of {channel} has ended, and its itemizer with it: let whoever uses the itemizer end first, in a "
        "task group inside the block for example"
    )


def stranded(channel: str) -> str:
    return (
        f"the receiver of {channel} was dropped and not closed, while somebody waits in itemize: read it to its end, or close it "
        "with `async with channel.receiver`"
    )


def foreign_loop(channel: str) -> RuntimeError:
    return RuntimeError(
        f"{channel} belongs to the event loop in which it first had to wait, and that one doesn't run here: reach it from another "
        "thread with asyncio.run_coroutine_threadsafe(), or make one channel for each loop"
    )


def no_loop(channel: str) -> RuntimeError:
    return RuntimeError(
        f"{channel} has to wait, and no asyncio event loop runs in this thread: use it in a coroutine started by asyncio.run()"
    )


def both_failed(channel: str, failed: list[BaseException]) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup(f"the fed_by block of {channel} and its producer both failed: handle either with `except*`", failed)


def foreign_itemizer() -> RuntimeError:
    return RuntimeError(
        "the itemizer of a stream() was called outside of the body of its function, or by a task other than the consumer's: to "
        "write from other tasks, run the function with Channel.fed_by"
    )


def not_a_producer(func: object) -> TypeError:
    return TypeError(
        f"func takes an async function whose first parameter is an itemizer, not {type(func).__name__}: pass the function itself, "
        "and its other arguments after it"
    )


def not_a_production(func: object, result: object) -> TypeError:
    return TypeError(
        f"func takes an async function, which returns a coroutine; {func!r} returned {type(result).__name__}: declare it with "
        "`async def`, and pass items to the itemizer instead of yielding them"
    )


def not_copyable(name: str) -> TypeError:
    return TypeError(f"a {name} can't be copied or pickled: pass on the one object, or make another Channel")


def not_extensible(name: str) -> TypeError:
    return TypeError(f"{name} is final: wrap it, or type against the protocols Itemizer and SenderContext")


def not_a_buffer(buffer: object) -> TypeError:
    return TypeError(
        f"Channel(buffer=...) takes an int, 0 for lock-step or the number of items to buffer, not {type(buffer).__name__}"
    )


def negative_buffer(buffer: int) -> ValueError:
    return ValueError(f"Channel(buffer=...) takes 0 for lock-step or the number of items to buffer, not {buffer}")

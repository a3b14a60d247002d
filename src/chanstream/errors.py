"""The errors, sorted by which side caused them, and all of their wording but that of `stages` and `nats`.

- The other side failed: `SenderFailed`. It went away: `ReceiverClosed`.
- The caller made a mistake: `SenderClosed`, and the built-in RuntimeError, TypeError and ValueError.
- The normal end of a stream is no error.

Every message names the object, the fact and the remedy. The functions take the `repr` of the channel.
"""

from __future__ import annotations

__all__ = ["ChannelError", "ReceiverClosed", "SenderClosed", "SenderFailed"]


class ChannelError(BaseException):
    """Base of the errors that a channel raises about its own state.

    A BaseException, because `ReceiverClosed` is not an Exception. Code that has to go on whatever a channel does catches this.
    """


class SenderFailed(ChannelError, Exception):
    """Raised by the receiver: the sending side ended by an error or was abandoned, so the stream is not complete.

    ``__cause__`` is the error that ended the sender block. It is None if there was none: the sender was dropped.
    """


class ReceiverClosed(ChannelError):
    """Raised by an itemizer: the receiving side was closed or dropped, so no more items are taken.

    Let it leave the sender block, which then ends quietly. Only the block of its own channel does that. Like GeneratorExit it is
    not an Exception: an ``except Exception`` in a producer would keep that running for nothing.
    """

    # The state of the channel that raised it; None for one made elsewhere, by a fake itemizer for example. It is in a slot, which
    # pickle ignores: an error can be pickled, a channel can't.
    __slots__ = ("_source",)

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._source: object = None


class SenderClosed(ChannelError, Exception):
    """Raised by an itemizer used outside its block, and by opening a sender twice: a mistake of the caller."""


def sender_failed(channel: str, error: BaseException) -> SenderFailed:
    failed = SenderFailed(
        f"the sender block of {channel} ended by {type(error).__name__}: what was sent before has been delivered, the rest is "
        "missing; see __cause__ for the reason, and fix that"
    )
    failed.__cause__ = error
    return failed


def sender_never_opened(channel: str) -> SenderFailed:
    return SenderFailed(
        f"the sender of {channel} was dropped before it was opened: keep a reference to the channel or to its sender until "
        "`async with channel.sender` runs"
    )


def sender_abandoned(channel: str) -> SenderFailed:
    return SenderFailed(
        f"the sender block of {channel} was abandoned, nothing refers to it any more: use `async with`, and keep a reference "
        "to the task that runs the block"
    )


def receiver_closed(channel: str, source: object) -> ReceiverClosed:
    closed = ReceiverClosed(
        f"the receiver of {channel} is closed, so no more items are taken: let this error leave the sender block, which then ends "
        "quietly"
    )
    closed._source = source
    return closed


def cut_short(channel: str) -> RuntimeError:
    return RuntimeError(
        f"the receiver of {channel} was closed before the stream had ended, so a new loop would take a part for the whole: iterate "
        "inside the block that closes it"
    )


def opened_twice(channel: str) -> SenderClosed:
    return SenderClosed(
        f"the sender of {channel} has been opened before, and a sender opens once: pass its itemizer on to other writers, or make "
        "another channel"
    )


def used_after_block(channel: str) -> SenderClosed:
    return SenderClosed(
        f"the sender block of {channel} has ended, and its itemizer with it: let all tasks that use the itemizer end first, for "
        "example in a task group inside the block"
    )


def stranded(channel: str) -> str:
    return (
        f"the receiver of {channel} was dropped and not closed, while an itemizer waits: read it to its end, leave its `fed_by` "
        "block, or close it with `async with channel.receiver`"
    )


def foreign_loop(channel: str) -> RuntimeError:
    return RuntimeError(
        f"{channel} belongs to the event loop in which it first had to wait, and that one isn't running here: from another "
        "thread, feed it by in_thread() and read it by asyncio.run_coroutine_threadsafe(), or make one channel for each loop"
    )


def no_loop(channel: str) -> RuntimeError:
    return RuntimeError(
        f"{channel} has to wait, and no asyncio event loop runs in this thread: use it in a coroutine started by asyncio.run()"
    )


def no_task(channel: str) -> RuntimeError:
    return RuntimeError(f"feed() of {channel} was called outside of an asyncio task: await it in one, or give it to create_task()")


def producer_stopped(error: BaseException) -> RuntimeError:
    stopped = RuntimeError(
        f"the producer raised {type(error).__name__}, which would end a loop that it knows nothing of: catch it, for example with "
        "`async for` in place of anext()"
    )
    stopped.__cause__ = error
    return stopped


def not_entered(channel: str) -> RuntimeError:
    return RuntimeError(
        f"the fed_by block of {channel} was left before it was entered, or for a second time: use `async with`, which does each "
        "once"
    )


def left_by_its_producer(channel: str) -> RuntimeError:
    return RuntimeError(
        f"the fed_by block of {channel} was left by its own producer, for whose end it has to wait: return from the producer, and "
        "let the task that entered the block leave it"
    )


def both_failed(channel: str, failed: list[BaseException]) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup(f"the fed_by block of {channel} and its producer both failed: handle either with `except*`", failed)


def offered_to_stream() -> RuntimeError:
    return RuntimeError("offer() was given the itemizer of a stream(), which has no room: use it with the itemizer of a Channel")


def not_an_itemizer(itemize: object) -> TypeError:
    return TypeError(
        f"offer(itemize, item) takes the itemizer that `async with channel.sender as itemize` binds, not {type(itemize).__name__}"
    )


def itemizes_nothing(itemize: object, result: object) -> TypeError:
    return TypeError(
        f"offer(itemize, item) takes an async function of an item, which returns a coroutine; {itemize!r} returned "
        f"{type(result).__name__}: declare it with `async def`"
    )


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


def returns_no_coroutine(func: object, result: object) -> TypeError:
    return TypeError(
        f"func takes an async function, which returns a coroutine; {func!r} returned {type(result).__name__}: declare it with "
        "`async def`, and pass items to the itemizer instead of yielding them; wrap one that blocks with in_thread()"
    )


def on_loop_thread() -> RuntimeError:
    return RuntimeError(
        "the blocking itemizer of in_thread() was called in the thread of its event loop, where it would wait for itself: call it "
        "in another thread, or use offer() with the itemizer of a channel"
    )


def used_after_function() -> SenderClosed:
    return SenderClosed(
        "the function that was given to in_thread() has returned, and its itemizer has ended with it: let all threads that use the "
        "itemizer end first"
    )


def refused_in_thread() -> ReceiverClosed:
    return ReceiverClosed(
        "the producer that in_thread() made has ended, so no more items are taken: let this error end the thread that calls the "
        "itemizer"
    )


def loop_closed() -> ReceiverClosed:
    return ReceiverClosed(
        "the event loop was closed before the function that was given to in_thread() had returned, so no more items are taken: let "
        "this error leave the function"
    )


def function_and_stop_failed(failed: list[BaseException]) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup(
        "the function that was given to in_thread() and its stop() both failed: handle either with `except*`", failed
    )


def no_loop_for_thread() -> RuntimeError:
    return RuntimeError(
        "a producer made by in_thread() passes its items on in an asyncio event loop, and none runs in this thread: use it in a "
        "coroutine started by asyncio.run()"
    )


def not_a_blocking_function(func: object) -> TypeError:
    return TypeError(
        f"in_thread(func) takes a function that blocks and whose first parameter is a blocking itemizer, not {func!r}: pass the "
        "function itself; an async function needs no thread"
    )


def returned_in_thread(result: object) -> TypeError:
    return TypeError(
        f"in_thread(func) takes a function that blocks, and this one has returned a {type(result).__name__}, which nothing runs: "
        "pass items to the itemizer instead of yielding them; an async function needs no thread"
    )


def not_a_stop(stop: object) -> TypeError:
    return TypeError(f"in_thread(stop=...) takes a plain function without parameters, or None, not {stop!r}")


def not_copyable(name: str) -> TypeError:
    return TypeError(f"a {name} can't be copied or pickled: pass on the one object, or make another Channel")


def not_extensible(name: str) -> TypeError:
    return TypeError(f"{name} is final: wrap it, or type against the protocols Itemizer and SenderContext")


def not_an_int(parameter: str, meaning: str, count: object) -> TypeError:
    return TypeError(f"{parameter} takes an int, {meaning}, not {type(count).__name__}")


def negative(parameter: str, meaning: str, count: int) -> ValueError:
    return ValueError(f"{parameter} takes {meaning}, not {count}")


def not_a_bool(value: object) -> TypeError:
    return TypeError(f"Channel(drop_oldest=...) takes True or False, not {type(value).__name__}")


def not_an_on_drop(value: object) -> TypeError:
    return TypeError(f"Channel(on_drop=...) takes a plain function of an item, or None, not {value!r}")


def nothing_to_drop() -> ValueError:
    return ValueError("Channel(drop_oldest=True) needs a buffer whose oldest item it can lose: give it buffer=1 or more")


def cannot_look() -> RuntimeError:
    return RuntimeError("chanstream.diagnosis needs a Python that counts references, as CPython does; this one does not")


def no_rich() -> ImportError:
    return ImportError("profile(live=True) needs rich, which is not installed: pip install 'chanstream[diagnosis]'")


def deadline_without_task() -> RuntimeError:
    return RuntimeError("a deadline can only be set in a task: it is the task that is cancelled")


def too_late(seconds: float, report: str) -> TimeoutError:
    return TimeoutError(f"the block has taken longer than {seconds:g} seconds. This is where it stood:\n\n{report}")

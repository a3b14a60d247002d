"""The types that the stages of a pipeline are written against.

This is the contract page: to write an itemizer or a sender context of your own, such as a fake for a test, you need nothing else.
`Sender` and `Receiver` say only what they add.

The variance states the roles: what takes any ``Animal`` also takes a ``Dog``, so an ``Itemizer[Animal]`` can be used where an
``Itemizer[Dog]`` is expected.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, runtime_checkable

__all__ = ["BlockingItemizer", "Itemizer", "Producer", "SenderContext"]

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
P = ParamSpec("P")


@runtime_checkable
class Itemizer(Protocol[T_contra]):
    """An async callback that does what ``yield`` does in a generator.

    It is an ``async def``, not a function that returns an awaitable: only then does every type checker report a forgotten
    ``await``, which would silently lose an item.

    At run time ``isinstance`` sees only that an object can be called, so every function and every class passes.
    """

    __slots__ = ()

    async def __call__(self, item: T_contra, /) -> None:
        """Pass `item` to the loop on the other side.

        Any object is an item, None and exceptions included. Items are taken in the order in which the itemizer was called,
        whichever task called it.

        **Waits**, in lock-step, until `item` has been taken and a further item has been asked for. With a buffer it waits while
        that is full; while there is room it returns at once, but gives other tasks a turn first when the buffer has grown by 512
        items without one.

        **The wait ends** when the consumer comes back (or another one is waiting already), when there is room in the buffer, or
        when the receiving side goes away. A sender block that ends normally does not end it: `item` is still delivered.

        **Cancelled**, it withdraws `item` if that has not been taken, and `item` is then never delivered. If `item` has been taken,
        it has been delivered: after a cancellation the caller cannot tell which.

        **Raises** `ReceiverClosed` when the other side closed or dropped the receiver, whether or not `item` had been taken before:
        let it leave the sender block, which it ends quietly. It is not an Exception, so that an ``except Exception`` doesn't keep
        a producer running for nothing. Raises `SenderClosed` when the caller uses the itemizer after its block (`ReceiverClosed`
        if the receiver had gone before), and RuntimeError when the caller uses it in another event loop or thread.

        **Order of service**: several tasks may call one itemizer; first come, first served.
        """
        ...


@runtime_checkable
class BlockingItemizer(Protocol[T_contra]):
    """A plain callback that does what ``yield`` does in a generator, for code that blocks: what `in_thread` passes to its function.

    At run time ``isinstance`` sees only that an object can be called, so every function and every class passes.
    """

    __slots__ = ()

    def __call__(self, item: T_contra, /) -> None:
        """Pass `item` to the event loop, from any thread but that of the loop.

        Any object is an item. Items are passed on in the order in which this was called, whichever thread called it.

        **Waits**, with ``ahead=0``, until the producer's own itemizer has returned for `item`: in a lock-step channel, until `item`
        has been taken and a further item has been asked for. With ``ahead=n`` it waits while more than n items, `item` included,
        are on their way to that itemizer.

        **The wait ends** when there is room, or when the producer is cancelled or fails. The end of the function does not end it:
        `item` is still delivered.

        **Interrupted**, by Ctrl-C in the main thread for example, it leaves `item` on its way.

        **Raises** the error that ended the producer, if that was cancelled or its own itemizer raised: an
        ``asyncio.CancelledError``, `ReceiverClosed`, or in a `stream` a GeneratorExit. None of these is an Exception, so an
        ``except Exception`` does not keep the thread running; let it leave the function. An Exception of the producer's own
        itemizer, such as one that wraps another, is raised once: with ``ahead=0`` by the call that passed the item, and the
        function may go on; otherwise by the next call, and it may not. Raises `ReceiverClosed` also when the event loop was closed;
        `SenderClosed` when the function had returned before; RuntimeError at once in the thread of the event loop, where it would
        wait for itself.

        **Order of service**: several threads may call it; first come, first served.
        """
        ...


@runtime_checkable
class SenderContext(Protocol[T_contra]):
    """The sending side as a stage sees it: a context that is opened once and gives an `Itemizer`.

    An ``@asynccontextmanager`` function that yields an itemizer fits, and so does ``contextlib.nullcontext(fake)``.

    At run time ``isinstance`` sees only that an object has the two methods, so every asynchronous context manager passes.
    """

    __slots__ = ()

    async def __aenter__(self) -> Itemizer[T_contra]:
        """Open the sending side and return its itemizer. Does not wait, so it can't be cancelled half-way.

        **Raises** what the sending side refuses; `Sender` says what.
        """
        ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None:
        """End the stream: normally without `exc`, as failed with it, its cancellation included.

        Does not wait for the consumer, so it can't be cancelled half-way: what was accepted is still delivered.

        Returns true to end the block quietly. That happens only when the block is left by the `ReceiverClosed` of its own channel,
        bare or in an exception group of nothing else, such as a task group in the block raises. Any other error propagates,
        including that of another channel and a group that holds anything else.
        """
        ...


# An async function whose first parameter is an itemizer: what `Channel.fed_by`, `Channel.feed` and `stream` run.
Producer: TypeAlias = Callable[Concatenate[Itemizer[T], P], Coroutine[object, object, None]]

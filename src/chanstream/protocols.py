"""What a stage of a pipeline is typed against.

This is the contract page. Somebody who writes an itemizer or a sender context of their own, a fake for a test for example, needs
nothing else; `Sender` and `Receiver` say only what they add.

The variance is written out, because the roles are in it: whoever takes any ``Animal`` also takes a ``Dog``, so an
``Itemizer[Animal]`` goes where an ``Itemizer[Dog]`` is wanted.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, TypeVar

__all__ = ["Itemizer", "SenderContext"]

T_contra = TypeVar("T_contra", contravariant=True)


class Itemizer(Protocol[T_contra]):
    """An async callback that does what ``yield`` does in a generator.

    It is an ``async def`` and not a function that returns an awaitable: only so does every type checker report a forgotten
    ``await``, which would lose an item without a word.
    """

    __slots__ = ()

    async def __call__(self, item: T_contra, /) -> None:
        """Pass `item` to whoever iterates the other side.

        Any object is an item, None and exceptions included. Items are taken in the order in which the itemizer was called,
        whoever called it.

        **Waits**, in lock-step, until `item` has been taken and a further item has been asked for. In a buffered channel it waits
        while more accepted items than the buffer holds stand before and with `item`; while there is room it returns at once and
        gives no other task a turn.

        **The wait ends** when the consumer comes back (or another consumer is waiting already), when there is room in the buffer,
        or when the receiving side goes away. A sender block that ends normally does not end it: `item` is still delivered.

        **Cancelled**, it withdraws `item` if that has not been taken, and `item` is then never delivered. If `item` has been taken,
        it has been delivered: after a cancellation the caller cannot tell which.

        **Raises** `ReceiverClosed` when the other side closed or dropped the receiver, whether or not `item` had been taken before:
        let it leave the sender block, which it ends quietly. Raises `SenderClosed` when the caller uses the itemizer outside its
        block, and RuntimeError when the caller uses it in another event loop or thread.

        **Order of service**: several tasks may call one itemizer; first come, first served.
        """
        ...


class SenderContext(Protocol[T_contra]):
    """The sending side as a stage sees it: a context that is opened once and gives an `Itemizer`.

    An ``@asynccontextmanager`` function that yields an itemizer fits, and so does ``contextlib.nullcontext(fake)``.
    """

    __slots__ = ()

    async def __aenter__(self) -> Itemizer[T_contra]:
        """Open the sending side and return its itemizer. Does not wait, so it can't be cancelled half-way.

        **Raises** what the sending side refuses; a `Sender` tells.
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
        bare or in an exception group of nothing else, such as a task group in the block raises. Any other error goes on, that of
        another channel and a group with anything else in it included.
        """
        ...

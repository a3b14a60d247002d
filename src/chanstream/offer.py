"""A send that never waits, for plain callbacks: `offer`."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Final, Protocol, TypeGuard, TypeVar

from . import errors
from .protocols import Itemizer
from .sender import Sender, caller, offering
from .stream import Handover, is_closed

__all__ = ["offer"]

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


def offer(itemize: Itemizer[T], item: T, /) -> bool:
    """Pass `item` to the other side if that can be done at once. Return whether it was accepted.

    A plain function: call it from plain callbacks, as many times as you like in one step. From a thread other than the event
    loop's, use ``loop.call_soon_threadsafe(offer, itemize, item)``.

    Refused, `item` is never delivered: there was no room for it, or the receiver has gone. In a buffered channel there is room
    while the buffer isn't full; in lock-step, while more asks wait than there are items for them. If such an ask is cancelled
    before it runs, the item goes to the next one. With ``drop_oldest`` there is always room.

    An itemizer that wraps one of a channel works too, as long as it passes on one item and awaits nothing before.

    **Doesn't wait**, and gives no other task a turn.

    **Raises** `SenderClosed` when the block of the itemizer ended before its receiver had gone; RuntimeError in an event loop or
    thread that is not the channel's, and for the itemizer of a `stream`, which has no room.
    """
    if is_own(itemize):
        return itemize.__self__._offer(item)
    return offer_through(itemize, item)


AWAITS: Final = 100
"""At how many places the cleanup of a wrapper is cut off, before it counts as one that can't be ended."""


class OwnItemizer(Protocol[T_contra]):
    """The itemizer of a channel, seen as the bound method that it is."""

    @property
    def __self__(self) -> Sender[T_contra]: ...


def is_own(itemize: Itemizer[T]) -> TypeGuard[OwnItemizer[T]]:
    owner: object = getattr(itemize, "__self__", None)
    return type(owner) is Sender


def offer_through(itemize: Itemizer[T], item: T) -> bool:
    """Run an itemizer that wraps another, up to its first wait. Return whether a channel has accepted the item."""
    check_itemizer(itemize)
    call = itemize(item)
    check_coroutine(itemize, call)
    through = caller()
    is_nested, around = through in offering, offering.get(through)
    offering[through] = None
    try:
        signal: object = call.send(None)
    except StopIteration:
        return offering[through] is not False  # which it may have caught
    except errors.ReceiverClosed:
        return False
    finally:
        accepted = offering.pop(through)
        if is_nested:
            offering[through] = around
    # It waits, in the itemizer that it wraps or for something else, so it is ended here.
    close(call)
    if isinstance(signal, Handover):
        raise errors.offered_to_stream()
    return accepted is True


def close(call: Coroutine[object, object, None]) -> None:
    """End `call` at once. A cleanup that awaits is cut off there, since `offer` can't wait."""
    for _ in range(AWAITS):
        try:
            call.close()
        except RuntimeError:
            if is_closed(call):
                raise  # an error of its own
        else:
            return
    call.close()


def check_itemizer(itemize: object) -> None:
    if not callable(itemize):
        raise errors.not_an_itemizer(itemize)


def check_coroutine(itemize: object, result: object) -> None:
    if not isinstance(result, Coroutine):
        raise errors.itemizes_nothing(itemize, result)

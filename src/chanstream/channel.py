"""The channel: its two ends, and nothing else of its own."""

from __future__ import annotations

from types import GenericAlias
from typing import Generic, ParamSpec, TypeVar, final

from . import errors
from ._feed import Feed
from ._origin import is_debugging, origin
from ._override import override
from ._pinned import Pinned
from ._producer import Producer, Production, check_producer, produce
from ._waiting import Home
from .protocols import Itemizer
from .receiver import Receiver
from .sender import Sender

__all__ = ["Channel"]

T = TypeVar("T")
P = ParamSpec("P")


@final
class Channel(Pinned, Generic[T]):
    """A stream of objects from one sender block to the loops over one receiver.

    `buffer` is how many accepted items may wait to be taken while their itemizers have returned. With 0, the default, sender and
    receiver go in lock-step, as a generator and its consumer do.

    It can be made anywhere, also where no event loop runs. It keeps to the event loop in which it first has to wait.

    Raises TypeError if `buffer` is not an int, ValueError if it is negative.
    """

    # `Channel[int]()` notes its type argument on the object. Without the first slot that is an error, raised and caught. With it,
    # and with the alias that asyncio.Queue has in place of that of `typing`, it costs a third.
    __slots__ = ("__orig_class__", "__weakref__", "_home", "_receiver", "_sender")

    __orig_class__: object
    _home: Home[T]
    _receiver: Receiver[T]
    _sender: Sender[T]

    def __init__(self, *, buffer: int = 0) -> None:
        if type(buffer) is not int or buffer < 0:
            check_buffer(buffer)
        home: Home[T] = Home(buffer, origin() if is_debugging() else None)
        self._home = home
        self._sender = Sender(home)
        self._receiver = Receiver(home)

    def __class_getitem__(cls, item: object, /) -> GenericAlias:
        return GenericAlias(cls, item)

    @override
    def __repr__(self) -> str:
        return repr(self._home)

    @property
    def sender(self) -> Sender[T]:
        """The sending end, always the same object. It can be opened once."""
        return self._sender

    @property
    def receiver(self) -> Receiver[T]:
        """The receiving end, always the same object."""
        return self._receiver

    def fed_by(self, func: Producer[T, P], /, *args: P.args, **kwargs: P.kwargs) -> Feed[T]:
        """Run ``func(itemize, *args, **kwargs)`` in a task of its own for as long as a block lasts.

        `func` is an async function that takes the itemizer as its first positional argument and opens no sender itself.
        ``async with channel.fed_by(func, ...) as receiver:`` opens the sender, starts the task and binds the receiver. Leaving
        the block closes the receiver, cancels what is left of the task and waits for it: no task outlives its block, whatever
        happens in or around it. The idea is trio's ``as_safe_channel`` and Kotlin's ``produce``.

        **Waits**, on leaving, until the task has ended. Entering doesn't wait.

        **The wait ends** with the task. `func` is cancelled once; one that goes on regardless is waited for.

        **Cancelled** while it waits, it still waits, and then raises the cancellation. If an error takes its place, the next
        ``await`` raises it, as after an asyncio.TaskGroup; before Python 3.13 it is lost, as there.

        **Raises** an error of `func` once, out of the block, as itself and with its own traceback, whether or not the consumer
        came far enough to meet it as `SenderFailed`. An error of the body leaves the block unchanged; if `func` failed too, and
        the body for a reason of its own, both leave it in an exception group. To be cancelled is no such reason. A `func` that
        was cancelled from elsewhere raises `SenderFailed`. Entering raises `SenderClosed` if the sender has been opened before;
        calling, TypeError if `func` is not callable; the block, RuntimeError in an event loop that is not the channel's. A `func`
        that returns no coroutine is an error of `func`.

        **Order of service**: blocks nest into pipelines; leaving one ends its own task, and the block around it ends what is
        upstream.
        """
        check_producer(func)

        def start(itemize: Itemizer[T]) -> Production:
            return produce(func, itemize, *args, **kwargs)

        return Feed(self._home, self._sender, self._receiver, start)


def check_buffer(buffer: object) -> None:
    if not isinstance(buffer, int) or isinstance(buffer, bool):
        raise errors.not_a_buffer(buffer)
    if buffer < 0:
        raise errors.negative_buffer(buffer)

"""`Channel`: it makes the state and the two ends that share it, and has producers run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from types import GenericAlias
from typing import Generic, ParamSpec, TypeVar, final

from . import errors
from ._arguments import check_count
from ._dropping import DropOldestState, DroppingState
from ._fed_block import FedBlock
from ._feed import Feeding, ProducerRun
from ._origin import is_debugging, origin
from ._override import override
from ._pinned import Pinned
from ._producer import call_producer, check_producer, name_of
from ._statistics import ChannelStatistics
from ._waiting import BoundState
from .protocols import Itemizer, Producer
from .receiver import Receiver
from .sender import Sender

__all__ = ["Channel"]

T = TypeVar("T")
P = ParamSpec("P")


@final
class Channel(Pinned, Generic[T]):
    """A stream of objects from one sender block to the loops over one receiver.

    `buffer` is how many items a sender may be ahead of the receiver. With 0, the default, sender and receiver go in lock-step, as a
    generator and its consumer do.

    With `drop_oldest` a full buffer loses its oldest item for the new one, so no itemizer waits for room. `on_drop` is called once
    for each item that nothing will take although its itemizer, or `offer`, had returned: pushed out by `drop_oldest`, or left
    behind when the receiver was closed or dropped. It is called in the channel's event loop, to which such a channel is bound when
    its sender opens, and as the last action of a step, so it may use the channel. Its errors go to the exception handler of the
    loop.

    A channel can be made anywhere, also where no event loop runs. It is bound to the event loop in which it first has to wait, or
    in which `fed_by` or `feed` runs its producer.

    Raises TypeError if `buffer` is not an int, `drop_oldest` not a bool or `on_drop` no plain function; ValueError if `buffer` is
    negative, or if it is 0 with `drop_oldest`.
    """

    # `Channel[int]()` sets its type argument on the object. Without the first slot that raises an error, which is caught. With the
    # slot, and with the alias that asyncio.Queue uses in place of the one of `typing`, it costs a third.
    __slots__ = ("__orig_class__", "__weakref__", "_receiver", "_sender", "_state")

    __orig_class__: object

    def __init__(self, *, buffer: int = 0, drop_oldest: bool = False, on_drop: Callable[[T], None] | None = None) -> None:
        if type(buffer) is not int or buffer < 0:
            check_count("Channel(buffer=...)", "0 for lock-step or the number of items to buffer", buffer)
        made_at = origin() if is_debugging() else None
        state: BoundState[T]
        if drop_oldest is False and on_drop is None:
            state = BoundState(buffer, made_at)
        else:
            check_dropping(buffer, drop_oldest, on_drop)
            state = (DropOldestState if drop_oldest else DroppingState)(buffer, made_at, on_drop)
        self._state = state
        self._sender = Sender(state)
        self._receiver = Receiver(state)

    def __class_getitem__(cls, item: object, /) -> GenericAlias:
        return GenericAlias(cls, item)

    @override
    def __repr__(self) -> str:
        return repr(self._state)

    @property
    def sender(self) -> Sender[T]:
        """The sending end, always the same object. It can be opened once."""
        return self._sender

    @property
    def receiver(self) -> Receiver[T]:
        """The receiving end, always the same object."""
        return self._receiver

    def statistics(self) -> ChannelStatistics:
        """Return the counts and phases of the channel at this moment. Doesn't wait, and may be called in any thread."""
        return self._state.statistics()

    def feed(self, func: Producer[T, P], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[object, object, None]:
        """Run ``func(itemize, *args, **kwargs)`` inside the channel's sender block, in the calling task.

        ``tasks.create_task(channel.feed(func, ...))`` is the whole of a task of your own. Let the consumer read inside
        ``async with channel.receiver``, so that leaving its loop stops `func`. The idea is Kotlin's ``produce`` and its scope.

        **Waits** until `func` has ended.

        **The wait ends** with `func`. When the receiver is closed or dropped, `func` is cancelled once, wherever it waits, and
        `feed` then returns normally; if that was before the first step, `func` isn't started. No cancellation is added while
        another one is under way, so no cleanup is interrupted. The ``cancelling()`` count of the task is afterwards what it was.

        **Cancelled**, it cancels `func`, and the stream fails, also if it is cancelled or thrown away before its first step.

        **Raises** an error of `func` as itself; so a task group cancels its other tasks, the consumer included, at once. To have
        what was sent before delivered first, use `fed_by`. Raises `SenderClosed` if the sender has been opened before; calling it
        raises TypeError if `func` is not callable; RuntimeError in an event loop that is not the channel's.

        **Order of service**: one run for one channel.
        """
        return Feeding(self._run(func, *args, **kwargs))

    def fed_by(self, func: Producer[T, P], /, *args: P.args, **kwargs: P.kwargs) -> FedBlock[T]:
        """Run ``func(itemize, *args, **kwargs)`` in a task of its own for as long as a block lasts.

        `func` is an async function that takes the itemizer as its first positional argument and opens no sender itself. ``async
        with channel.fed_by(func, ...) as receiver:`` opens the sender, starts the task and binds the receiver. Leaving the block
        closes the receiver, cancels what is left of the task and waits for it: no task outlives its block, whatever happens in or
        around it. The idea is trio's ``as_safe_channel`` and Kotlin's ``produce``.

        **Waits**, on leaving, until the task has ended. Entering doesn't wait.

        **The wait ends** with the task. `func` is cancelled once; one that goes on regardless is waited for.

        **Cancelled** while it waits, it still waits, and then raises the cancellation. If an error takes its place, the next
        ``await`` raises it, as after an asyncio.TaskGroup; before Python 3.13 it is lost, as there. A block whose coroutine is
        thrown away cancels its producer as soon as that is noticed, and the cleanup of the producer runs to its end while its loop
        runs.

        **Raises** an error of `func` once. If the loop has raised it, as `SenderFailed`, the body decides: handled there, it is
        handled; if the body re-raises it, the error itself leaves the block; if the body raises another error in its place, that
        one leaves the block alone. If the loop has not raised it, it leaves the block as itself, or in a group with an error that
        the body raised for a reason of its own. A cancellation is no such reason. A `func` that was cancelled from elsewhere raises
        `SenderFailed`. Entering raises `SenderClosed` if the sender has been opened before; calling, TypeError if `func` is not
        callable; the block, RuntimeError in an event loop that is not the channel's, if its own producer leaves it, and if it is
        left twice. A `func` that returns no coroutine is an error of `func`.

        **Order of service**: blocks nest into pipelines; leaving one ends its own task, and the block around it ends what is
        upstream. It doesn't cancel a body that waits for something other than its items: for that, use `feed` in a task group.
        """
        return FedBlock(self._state, self._receiver, self._run(func, *args, **kwargs), name_of(func))

    def _run(self, func: Producer[T, P], /, *args: P.args, **kwargs: P.kwargs) -> ProducerRun[T]:
        check_producer(func)

        def call(itemize: Itemizer[T]) -> Coroutine[object, object, None]:
            return call_producer(func, itemize, *args, **kwargs)

        return ProducerRun(self._state, self._sender, call)


def check_dropping(buffer: int, drop_oldest: object, on_drop: object) -> None:
    if not isinstance(drop_oldest, bool):
        raise errors.not_a_bool(drop_oldest)
    if on_drop is not None and (not callable(on_drop) or iscoroutinefunction(on_drop)):
        raise errors.not_an_on_drop(on_drop)
    if drop_oldest and not buffer:
        raise errors.nothing_to_drop()

"""How a producer runs in a sender block, and is cancelled when the receiver is gone: `ProducerRun`, and the coroutine of `feed`.

A `ProducerRun` runs in the task that awaits `Channel.feed`, or in the one that a `Channel.fed_by` block owns (`_fed_block`). It
cancels its own task, so it has to distinguish that cancellation, which it takes back, from those of others, which it passes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import CodeType, CoroutineType, FrameType, TracebackType
from typing import Final, Generic, TypeVar, final

from . import errors
from ._cancellation import cancel_again, current_task, replaced_cancellation
from ._ends import UNOPENED
from ._override import override
from ._waiting import BoundState, turn
from .protocols import Itemizer
from .sender import Sender

__all__ = ["Feeding", "ProducerRun"]

T = TypeVar("T")

PATIENCE: Final = 0.02
"""Seconds until a run looks again whether the cancellation under way was one of the producer's own, a timeout for example."""


class ProducerRun(Generic[T]):
    """One run of a producer. It is cancelled once when the receiver is gone, unless another cancellation is under way."""

    __slots__ = ("_call", "_cancelling", "_has_cancelled", "_sender", "_state", "_task")

    _state: BoundState[T]
    _sender: Sender[T]
    _call: Callable[[Itemizer[T]], Coroutine[object, object, None]]
    _task: asyncio.Task[object] | None
    """The task it runs in, while it runs."""
    _cancelling: int
    """The `cancelling()` count of that task when the run began."""
    _has_cancelled: bool
    """Whether this run has cancelled it."""

    def __init__(
        self, state: BoundState[T], sender: Sender[T], call: Callable[[Itemizer[T]], Coroutine[object, object, None]]
    ) -> None:
        self._state = state
        self._sender = sender
        self._call = call
        self._task = None
        self._has_cancelled = False

    def open(self) -> Itemizer[T]:
        """Open the sender. From now on a receiver that is dropped in any thread is noticed."""
        if self._state.sending is UNOPENED:
            self._state.bind_loop()  # first, since it may be refused
        return self._sender._open()

    async def in_block(self, itemize: Itemizer[T] | None = None, name: str | None = None) -> None:
        """Run the producer, and end the sender block as it ended. It is not started if the receiver has gone before.

        Opens the sender, unless that was done for `itemize`. `name` is for the task, if it was made for this run alone.
        """
        task = current_task()
        if task is None:
            raise errors.no_task(repr(self._state))
        if itemize is None:
            itemize = self.open()
        self._task = task
        if name is not None and task.get_name() != name:
            task.set_name(name)  # a task factory need not name a task, or not before its first step
        self._cancelling = task.cancelling()
        self._state.on_receiver_gone = self.receiver_gone
        failure: BaseException | None = None
        try:
            if not self._state.closed:
                await self._call(itemize)
        except (StopIteration, StopAsyncIteration) as error:
            failure = errors.producer_stopped(error)
        except BaseException as error:
            failure = error
        try:
            if failure is None and not self._has_cancelled:
                self._state.on_receiver_gone = None
                self._state.end_block(None)
            else:
                await self._end(task, failure)
        finally:
            self._task = self._state.on_receiver_gone = None
            del failure, task  # what is raised refers to this frame, and should be free without the garbage collector

    async def _end(self, task: asyncio.Task[object], failure: BaseException | None) -> None:
        """Raise what the producer failed by, and any cancellation from elsewhere. The one that this run requested is taken back."""
        try:
            quiet = self._state.end_block(failure)
            pending = await self._take_back(task) if self._has_cancelled and not isinstance(failure, GeneratorExit) else None
            from_elsewhere = task.cancelling() > self._cancelling
            if failure is None or quiet:
                if from_elsewhere and (quiet or pending is not None):
                    # It came together with the end. The same object is raised, since anyio recognizes its own by the message.
                    raise pending or replaced_cancellation(failure)
            elif not isinstance(failure, asyncio.CancelledError):
                if pending is not None:
                    cancel_again(self._cancelling, pending)
                raise failure
            elif from_elsewhere or not self._has_cancelled:
                raise pending or failure
        finally:
            del failure, task

    async def _take_back(self, task: asyncio.Task[object]) -> asyncio.CancelledError | None:
        """Take back the cancellation that this run has requested. Return the one that was still pending, if any."""
        if task.cancelling() > self._cancelling:  # otherwise the producer has taken it back itself
            task.uncancel()
        try:
            await turn()
        except asyncio.CancelledError as cancellation:
            return cancellation
        return None

    def receiver_gone(self) -> None:
        """Cancel the producer, unless another cancellation is under way. A second one would interrupt its cleanup."""
        task = self._task
        if task is None or self._has_cancelled:
            return
        if task.cancelling() > self._cancelling:
            # The other one may be a timeout of the producer's own, after which it goes on. Nothing signals when that is taken back.
            task.get_loop().call_later(PATIENCE, self.receiver_gone)
        else:
            self.cancel(task)

    def cancel(self, task: asyncio.Task[object]) -> None:
        """Cancel the producer, if that was not done before."""
        if not self._has_cancelled:
            self._has_cancelled = True
            task.cancel()

    def end_unbegun(self, error: BaseException) -> None:
        """End the stream of a run that was cancelled or closed before its first step."""
        try:
            self._state.open()
        except errors.SenderClosed:
            return  # the block is that of another run
        self._state.end_block(error)

    def drop_unbegun(self) -> None:
        """Drop the sender of a run that was thrown away before its first step."""
        state = self._state
        if state.sending is UNOPENED and state.drop_sender() and state.loop is not None:
            state.notify_end_in_loop()


@final
class Feeding(Coroutine[object, object, None]):
    """The coroutine of `Channel.feed`.

    An ``async def`` that is cancelled or thrown away before its first step runs nothing; this coroutine then fails the stream. It
    refers to no receiver, so a receiver that is dropped meanwhile is noticed.
    """

    __slots__ = ("__name__", "__weakref__", "_begun", "_drop_unbegun", "_end_unbegun", "_inner")

    def __init__(self, run: ProducerRun[T]) -> None:
        inner = run.in_block()
        assert isinstance(inner, CoroutineType)
        self.__name__ = inner.__qualname__ = inner.__name__ = "Channel.feed"  # as the repr of a task shows it
        self._begun = False
        self._inner: CoroutineType[object, object, None] = inner
        self._end_unbegun = run.end_unbegun
        self._drop_unbegun = run.drop_unbegun

    @override
    def __await__(self) -> Generator[object, None, None]:
        self._begun = True
        return self._inner.__await__()

    @override
    def send(self, value: object, /) -> object:
        self._begun = True
        return self._inner.send(value)

    @override
    def throw(self, typ: type[BaseException] | BaseException, val: object = None, _: TracebackType | None = None, /) -> object:
        error = typ if isinstance(typ, BaseException) else val if isinstance(val, BaseException) else typ()
        self._ends_by(error)
        return self._inner.throw(error)

    @override
    def close(self) -> None:
        self._ends_by(GeneratorExit())
        self._inner.close()

    def _ends_by(self, error: BaseException) -> None:
        if not self._begun:
            self._begun = True
            self._end_unbegun(error)

    def __del__(self) -> None:
        # Runs in any thread, between any two steps of other code.
        if not self._begun:
            self._drop_unbegun()

    # The attributes that asyncio, debuggers and call graphs read from a coroutine.

    @property
    def cr_await(self) -> object | None:
        return self._inner.cr_await

    @property
    def cr_code(self) -> CodeType:
        return self._inner.cr_code

    @property
    def cr_frame(self) -> FrameType | None:
        return self._inner.cr_frame

    @property
    def cr_running(self) -> bool:
        return self._inner.cr_running

"""A producer run in a task of its own, owned by a block: what `Channel.fed_by` returns."""

from __future__ import annotations

import asyncio
import inspect
from asyncio import _get_running_loop
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Final, Generic, TypeVar, final
from weakref import ref

from . import errors
from ._call_graph import HAS_CALL_GRAPH, Edges
from ._cancellation import cancel_again, current_task
from ._ends import FAILED, OPEN, UNHEARD
from ._failures import raise_failures, what_failed
from ._feed import ProducerRun
from ._finish import finish
from ._override import override
from ._pinned import Pinned
from ._waiting import BoundState
from .protocols import Itemizer
from .receiver import Receiver

__all__ = ["FedBlock"]

T = TypeVar("T")

# The producers that are running. This keeps each alive until it ends, even if its block is lost with the task that had entered it.
running: Final[set[asyncio.Task[object]]] = set()

# The marks of the blocks whose producers run in this context: in the producer's own task, and in the tasks that it has made.
own_blocks: Final[ContextVar[tuple[object, ...]]] = ContextVar("own_blocks", default=())


@final
class FedBlock(Pinned, Generic[T]):
    """A block that owns the task of a producer. The docstring of `Channel.fed_by` says what it promises."""

    __slots__ = ("_cancelling", "_consumer", "_mark", "_name", "_receiver", "_run", "_state", "_task")

    _state: BoundState[T]
    _receiver: Receiver[T]
    _run: ProducerRun[T]
    _name: str
    _mark: object
    """Represents this block in the context of its producer, which must not refer to the block itself."""
    _cancelling: int
    """The `cancelling()` count of the task when it entered the block."""
    _consumer: Callable[[], asyncio.Task[object] | None]
    """Returns the task that entered the block, while there is one."""
    _task: asyncio.Task[None] | None
    """The task of the producer. None before the block is entered, and once it is left."""

    def __init__(self, state: BoundState[T], receiver: Receiver[T], run: ProducerRun[T], name: str, /) -> None:
        self._task = None
        self._consumer = no_task
        self._state = state
        self._receiver = receiver
        self._run = run
        self._name = name
        self._mark = object()

    @override
    def __repr__(self) -> str:
        return f"<FedBlock of {self._state!r}>"

    async def __aenter__(self) -> Receiver[T]:
        # Opened here and not in the task, so that the second block of a channel raises on entering.
        itemize = self._run.open()
        consumer = current_task()
        self._cancelling = 0 if consumer is None else consumer.cancelling()
        # What the task runs refers neither to the receiver nor to this block, so that the loss of either is noticed.
        on_end = partial(ended, self._state)
        alone = run_alone(self._run, itemize, self._name, self._mark, on_end)
        try:
            self._task = task = asyncio.create_task(alone, name=self._name)
        except BaseException as error:  # of a task factory, or because the stack has run out
            alone.close()
            finish(self._state.end_sending, error)
            raise
        keep(task)
        task.add_done_callback(on_end)
        if consumer is not None:
            self._consumer = ref(consumer)
            if HAS_CALL_GRAPH:
                edges = Edges(task, consumer)
                if consumer in running:
                    edges.add()
                else:
                    self._receiver._show(edges)
        return self._receiver

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        task = self._leave(exc)
        if task is None:
            await self._receiver.__aexit__(exc_type, exc, traceback)
            return
        lost, surfaced = self._state.error, self._state.surfaced
        await self._receiver.aclose()
        self._run.cancel(task)
        interruption = await outlast(task)
        if exc is None and interruption is None and not task.cancelled() and task.exception() is None:
            return
        producer = failure_of(task)
        if isinstance(producer, asyncio.CancelledError):
            # If the stream had not failed before, it came after the receiver was closed, and nothing was lost by it.
            producer = (lost or producer) if self._state.sending is FAILED else None
        try:
            self._raise(exc, producer, interruption, surfaced=surfaced)
        finally:
            # What is raised refers to this frame, and should be free without the garbage collector.
            del exc, traceback, task, lost, interruption, producer

    def _raise(
        self, body: BaseException | None, producer: BaseException | None, interruption: BaseException | None, *, surfaced: bool
    ) -> None:
        """Raise what has to leave the block: errors, or else `interruption`, a cancellation that came while it was left."""
        failed: list[BaseException] = []
        try:
            failed = what_failed(self._state, body, producer, surfaced=surfaced)
            if failed and (interruption is not None or isinstance(body, asyncio.CancelledError)):
                cancel_again(self._cancelling, interruption or body)
            raise_failures(self._state, body, failed)
            if interruption is not None and not failed:
                raise interruption
        finally:
            del body, producer, interruption, failed  # likewise

    def _leave(self, error: BaseException | None) -> asyncio.Task[None] | None:
        """Give up the task of the producer, and return it to be waited for; None if it can't be."""
        task = self._task
        if task is None:
            raise errors.not_entered(repr(self._state))
        within = self._mark in own_blocks.get()
        collected = self._is_collected(error)
        if within and (not collected or current_task() is task):
            raise errors.left_by_its_producer(repr(self._state))
        # A coroutine that the garbage collector closes can't wait, and may be closed in any thread. An async generator can: that is
        # closed in a task of its own. But it runs in the context of the task in which it was found: often the producer, or a child
        # task of it, which must not wait for it.
        can_wait = task.done() or not collected or (closes_generator(error) and not within)
        elsewhere = task.get_loop() is not _get_running_loop()
        if elsewhere and not isinstance(error, GeneratorExit):
            return None  # it is refused, or the error propagates; in its own loop the block can still be left
        if elsewhere or not can_wait:
            self._lose(task)
            task = None
        self._task = None
        return task

    def _is_collected(self, error: BaseException | None) -> bool:
        """Return whether the garbage collector closes the body, which may be during a step of any task."""
        consumer = self._consumer()
        return isinstance(error, GeneratorExit) and (consumer is None or consumer is not current_task())

    def _lose(self, task: asyncio.Task[None]) -> None:
        """Have the loop of `task` cancel it, from any thread. By then the task has begun, since it was scheduled before."""
        if task.done():
            if self._state.surfaced and not task.cancelled():
                task.exception()  # so that asyncio doesn't report it as lost
            return
        try:
            task.get_loop().call_soon_threadsafe(self._run.receiver_gone)
        except RuntimeError:  # the loop is closed, so it can't go on
            running.discard(task)

    def __del__(self) -> None:
        # Runs in any thread, between any two steps of other code.
        if self._task is not None:  # the block was entered and never left
            self._lose(self._task)


async def run_alone(
    run: ProducerRun[T], itemize: Itemizer[T], name: str, mark: object, on_end: Callable[[asyncio.Task[object]], None]
) -> None:
    """What the task of a producer runs. A normal end removes `on_end`, which saves a callback of the event loop."""
    own_blocks.set((*own_blocks.get(), mark))
    await run.in_block(itemize, name)
    task = current_task()
    assert task is not None
    running.discard(task)
    task.remove_done_callback(on_end)


def no_task() -> None:
    """Return None: a block that was entered outside of a task has no consumer."""


def closes_generator(error: BaseException | None) -> bool:
    """Return whether `error` was raised in an async generator, which may wait while it is closed, and not in a coroutine."""
    traceback = None if error is None else error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and bool(traceback.tb_frame.f_code.co_flags & inspect.CO_ASYNC_GENERATOR)


def keep(task: asyncio.Task[object]) -> None:
    """Keep `task` alive until it ends."""
    running.add(task)
    try:
        # It is destroyed only when its loop is closed or the interpreter shuts down. asyncio then reports the consumer, which
        # should have left the block, and need not report the producer.
        setattr(task, "_log_destroy_pending", False)
    except AttributeError:  # a task of another library
        pass


def failure_of(task: asyncio.Task[object]) -> BaseException | None:
    """Return the error that `task` ended by. A cancellation is one like any other."""
    try:
        return task.exception()
    except asyncio.CancelledError as cancellation:
        return cancellation


def ended(state: BoundState[T], task: asyncio.Task[object]) -> None:
    """Let go of `task`, which has ended, and end the stream if it has not."""
    running.discard(task)
    if state.surfaced:
        failure_of(task)  # so that asyncio doesn't report it as lost, if the block is never left
    if state.sending is OPEN or state.sending is UNHEARD:
        # It was cancelled before its first step, or an exception struck in this library's own code.
        state.end_block(failure_of(task))


async def outlast(task: asyncio.Task[None]) -> asyncio.CancelledError | None:
    """Wait until `task` has ended. Return a cancellation that came meanwhile."""
    interruption: asyncio.CancelledError | None = None
    try:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as cancellation:
                # It goes on waiting, for no task may outlive the block. The cancellation is not passed on, nor does
                # asyncio.TaskGroup: the producer has been cancelled, and a second cancellation would interrupt its cleanup.
                interruption = cancellation
        return interruption
    finally:
        del interruption

"""A producer run in a task of its own, owned by a block: what `Channel.fed_by` returns."""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Generic, TypeVar, final

from . import errors
from ._cancel_again import cancel_again
from ._override import override
from ._pinned import Pinned
from ._producer import Production
from ._waiting import Home
from .protocols import Itemizer
from .receiver import Receiver
from .sender import Sender

__all__ = ["Feed"]

T = TypeVar("T")


@final
class Feed(Pinned, Generic[T]):
    """A block that owns the task of a producer. `Channel.fed_by` makes it and tells what it promises."""

    __slots__ = ("_home", "_receiver", "_sender", "_start", "_task")

    _home: Home[T]
    _receiver: Receiver[T]
    _sender: Sender[T]
    _start: Callable[[Itemizer[T]], Production]
    _task: asyncio.Task[None]

    def __init__(
        self, home: Home[T], sender: Sender[T], receiver: Receiver[T], start: Callable[[Itemizer[T]], Production], /
    ) -> None:
        self._home = home
        self._sender = sender
        self._receiver = receiver
        self._start = start

    @override
    def __repr__(self) -> str:
        return f"<Feed of {self._home!r}>"

    async def __aenter__(self) -> Receiver[T]:
        # Opened here and not in the task, so that a second block fails where it stands.
        itemize = await self._sender.__aenter__()
        self._task = asyncio.create_task(self._run(itemize))
        self._task.add_done_callback(self._ran)
        return self._receiver

    async def _run(self, itemize: Itemizer[T]) -> None:
        try:
            await self._start(itemize)
            self._home.end_block(None)
        except BaseException as error:
            if not self._home.end_block(error):
                raise

    def _ran(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            # Perhaps before its first step, so that `_run` never ended the stream.
            self._home.end_block(asyncio.CancelledError())

    def _cancel(self) -> None:
        self._task.cancel()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        loop = self._task.get_loop()
        if loop is not _get_running_loop():
            # A coroutine that is closed where its loop doesn't run, by the garbage collector for example. Nothing can wait there.
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._cancel)
            await self._receiver.__aexit__(exc_type, exc, traceback)
            return
        # To be cancelled or closed is no failure of the body. It goes on if nothing has failed.
        stopped = isinstance(exc, asyncio.CancelledError | GeneratorExit)
        task, met = self._task, self._home.error
        refusal: RuntimeError | None = None
        try:
            await self._receiver.aclose()
        except RuntimeError as refused:  # the channel is in use in another event loop, but this task runs here
            refusal = refused
        task.cancel()
        interruption: BaseException | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as cancellation:
                # Still waits, for no task may outlive the block. It is not passed on, as asyncio.TaskGroup doesn't either: the
                # producer has been cancelled, and a second cancellation would cut its cleanup short.
                interruption = cancellation
        del self._task
        if not task.cancelled():
            error = met = task.exception()
        elif met is not None and not stopped:
            # Cancelled before this block was left. Nobody else would learn that the stream is not complete.
            error = errors.sender_failed(repr(self._home), met)
        else:
            error = None
        if exc is None and error is None:
            error = refusal
        failed = not (exc is None or stopped or errors.is_report(exc, met))
        if (failed or error is not None) and (interruption is not None or isinstance(exc, asyncio.CancelledError)):
            cancel_again()
        try:
            surface(repr(self._home), exc, exc if failed else None, error)
            if interruption is not None and not failed:
                raise interruption
        finally:
            # What is raised refers to this frame, and should be free without the garbage collector.
            del exc, traceback, task, met, error, refusal, interruption


def surface(channel: str, leaving: BaseException | None, *failures: BaseException | None) -> None:
    """Let `leaving` go on if it is all that failed. Otherwise raise what failed: one error as itself, several in a group."""
    failed = [failure for failure in failures if failure is not None]
    del failures
    if len(failed) > 1:
        raise errors.both_failed(channel, failed) from None
    if failed and failed[0] is not leaving:
        only = failed.pop()
        context = only.__context__
        try:
            raise only
        finally:
            # Raising has made `leaving` the context of the very error that caused it.
            only.__context__ = context
            del only, context, leaving

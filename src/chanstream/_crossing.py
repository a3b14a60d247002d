"""How items cross from threads to an event loop: in order, in batches, and no more of them at a time than is allowed.

The blocking function of a producer, and every thread that it lets call its itemizer, is on one side (`put`, `run`), the producer in
the event loop on the other (`pump`, `refuse`, `outlast`). The producer waits on a future, which is completed once for a batch; a
thread waits on a lock of its own.
"""

from __future__ import annotations

import asyncio
from _thread import LockType, allocate_lock
from asyncio import CancelledError
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from threading import RLock, get_ident
from typing import Final, Generic, TypeVar

from . import errors
from .protocols import Itemizer

__all__ = ["Crossing"]

T = TypeVar("T")

PATIENCE: Final = 0.2
"""Seconds after which a thread that waits looks whether the event loop was closed, since nothing wakes it then."""


class Caller:
    """A call of `put` that waits until `goal` items have passed."""

    __slots__ = ("error", "goal", "lock")

    goal: int
    lock: LockType
    """Released when the call may go on."""
    error: BaseException | None
    """What the call then raises, if the itemizer of the producer raised something for its item."""

    def __init__(self, goal: int) -> None:
        self.goal = goal
        self.lock = allocate_lock()
        self.lock.acquire()
        self.error = None


class Crossing(Generic[T]):
    """The way from one run of a blocking function to the itemizer of its producer.

    What several threads change is changed under the lock. That is reentrant, because the garbage collector may throw the producer
    away in a thread that holds it. No code of the user's runs under it.
    """

    __slots__ = (
        "_abandoned",
        "_ahead",
        "_finished",
        "_items",
        "_lock",
        "_loop",
        "_loop_thread",
        "_outcome",
        "_passed",
        "_refusals",
        "_refused",
        "_sent",
        "_waiters",
        "_wake_up",
    )

    _lock: RLock
    _loop: asyncio.AbstractEventLoop
    _loop_thread: int
    """Ident of the thread in which the event loop was last seen running."""
    _ahead: int
    _items: deque[T]
    """The items that the event loop has not fetched yet."""
    _sent: int
    """How many items were put."""
    _passed: int
    """How many of them the producer's own itemizer has returned for. Only the event loop changes it, and not under the lock."""
    _waiters: deque[Caller]
    """First come, first served, so their goals ascend."""
    _wake_up: asyncio.Future[None] | None
    """What the producer waits for in the event loop. None while it doesn't wait, and once its wake-up is under way."""
    _refused: bool
    """True once the producer has ended before the function: no more items are taken."""
    _refusals: list[BaseException]
    """What calls of `put` raise because of that: from now on, the last of these. Cleared when the function has ended."""
    _finished: bool
    """Whether the function has ended."""
    _outcome: BaseException | None
    """What the function has ended by, until that was raised."""
    _abandoned: bool
    """Whether the producer was thrown away and can't ask any more."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ahead: int) -> None:
        self._lock = RLock()
        self._loop = loop
        self._loop_thread = get_ident()
        self._ahead = ahead
        self._items = deque()
        self._sent = self._passed = 0
        self._waiters = deque()
        self._wake_up = self._outcome = None
        self._refusals = []
        self._refused = self._finished = self._abandoned = False

    # In threads.

    def put(self, item: T, /) -> None:
        """The blocking itemizer."""
        if get_ident() == self._loop_thread:
            raise errors.on_loop_thread()
        waiter: Caller | None = None
        with self._lock:
            if self._refused or self._finished:
                raise self._error()
            self._items.append(item)
            del item  # the consumer decides how long it lives
            self._sent = sent = self._sent + 1
            goal = sent - self._ahead
            if self._passed < goal:
                waiter = Caller(goal)
                self._waiters.append(waiter)
                self._release()  # an item that has passed just before has not released it
        if self._wake_up is not None and not self._wake_loop():
            raise self._error()
        if waiter is not None:
            self._wait(waiter)

    def _wait(self, waiter: Caller) -> None:
        while not waiter.lock.acquire(timeout=PATIENCE):
            if self._refused:
                break  # the garbage collector threw the producer away before the waiter was queued
            if self._loop.is_closed():
                self.refuse(errors.loop_closed())
        try:
            if waiter.error is not None:
                raise waiter.error
        finally:
            waiter.error = None  # its traceback refers to this frame
        if self._refused:
            raise self._error()

    def run(self, function: Callable[[], object]) -> None:
        """What the thread of the function runs."""
        outcome: BaseException | None = None
        try:
            check_result(function())
        except BaseException as error:
            outcome = error
        with self._lock:
            self._finished = True
            # An event loop that the function runs may raise another CancelledError in place of the one that it got.
            if self._refused and (isinstance(outcome, CancelledError) or any(outcome is each for each in self._refusals)):
                outcome = None
            self._outcome = outcome
            self._refusals.clear()
        self._wake_loop()
        try:
            if self._abandoned or self._loop.is_closed():
                self.raise_outcome()  # where `threading.excepthook` reports it
        finally:
            del outcome

    def _error(self) -> BaseException:
        with self._lock:
            if not self._refused:
                return errors.used_after_function()
            if not self._refusals:
                return errors.refused_in_thread()
            refusal = self._refusals[-1]
            if isinstance(refusal, Exception):
                # Later calls raise one that an `except Exception` doesn't catch.
                self._refusals.append(errors.refused_in_thread())
            return refusal.with_traceback(None)  # the traceback would grow with every call

    def _wake_loop(self) -> bool:
        """Wake the producer in the event loop, if it waits. Return false if the loop was closed."""
        wake_up = self._wake_up
        if wake_up is None:
            return True
        try:
            self._loop.call_soon_threadsafe(complete, wake_up)
        except RuntimeError:
            if not self._loop.is_closed():
                raise  # a RecursionError perhaps; the next call tries again
            self.refuse(errors.loop_closed())
            return False
        with self._lock:
            if self._wake_up is wake_up:  # otherwise the producer has made another one since
                self._wake_up = None
        return True

    # In the event loop.

    @property
    def finished(self) -> bool:
        """Return whether the function has ended."""
        return self._finished

    async def pump(self, itemize: Itemizer[T]) -> None:
        """Pass all items on to `itemize`, until the function has ended."""
        batch: deque[T] = deque()
        try:
            while True:
                with self._lock:
                    batch, self._items = self._items, batch
                    if not batch and self._finished:
                        return
                    wake_up = None if batch else self._new_wake_up()
                if wake_up is not None:
                    await wake_up
                while batch:
                    try:
                        await itemize(batch.popleft())
                    except Exception as error:
                        if not self._pass_back(error):
                            raise
                    self._passed += 1
                    if self._waiters:  # read after the count was written, as `put` reads the count after queuing its waiter
                        self._release()
        finally:
            batch.clear()  # the error that ends this refers to its frame

    def _pass_back(self, error: Exception) -> bool:
        """Have the call of `put` that waits for its item to pass raise `error`. Return whether there is one."""
        with self._lock:
            if self._ahead or not self._waiters:
                return False
            self._waiters[0].error = error
        return True

    def refuse(self, error: BaseException) -> None:
        """Take no more items, drop those that are on their way, and have every call of `put` raise `error`."""
        with self._lock:
            self._refused = True
            if not self._finished:
                self._refusals.append(error)
            dropped, self._items = self._items, deque()
            waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            waiter.lock.release()
        del dropped  # not under the lock

    async def outlast(self) -> CancelledError | None:
        """Wait until the function has ended. Return a cancellation that came meanwhile: a thread can't be cancelled."""
        interruption: CancelledError | None = None
        try:
            while True:
                with self._lock:
                    if self._finished:
                        return interruption
                    wake_up = self._new_wake_up()
                try:
                    await wake_up
                except CancelledError as cancellation:
                    interruption = cancellation
        finally:
            del interruption

    def abandon(self) -> None:
        """Leave an error of the function to its thread, which reports it."""
        self._abandoned = True

    def raise_outcome(self) -> None:
        """Raise what the function has ended by, once, if that is an error of its own."""
        with self._lock:
            outcome, self._outcome = self._outcome, None
        try:
            if outcome is not None:
                raise outcome
        finally:
            del outcome

    def _new_wake_up(self) -> asyncio.Future[None]:
        """Make the future on which the producer waits next, in the thread in which its event loop runs now."""
        self._loop_thread = get_ident()
        wake_up: asyncio.Future[None] = self._loop.create_future()
        self._wake_up = wake_up
        return wake_up

    # In either.

    def _release(self) -> None:
        """Let the calls of `put` return for which there is room."""
        with self._lock:
            waiters = self._waiters
            while waiters and waiters[0].goal <= self._passed:
                waiters.popleft().lock.release()


def check_result(result: object) -> None:
    if isinstance(result, Coroutine):
        result.close()  # so that it isn't reported as never awaited
    elif not isinstance(result, Generator) and not isinstance(result, AsyncGenerator):
        return
    raise errors.returned_in_thread(result)


def complete(wake_up: asyncio.Future[None]) -> None:
    if not wake_up.done():
        wake_up.set_result(None)

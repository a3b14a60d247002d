"""A producer run as an async generator, in its consumer's own task: `stream`. It uses no channel, no task and no event loop.

The generator drives the producer by hand. What the producer waits for is yielded by its `send` as a signal:

- its `Handover`: an item was passed to the itemizer, and the generator yields it. What the consumer throws in is put into the
  `Handover`, which raises it at the very ``await itemize(item)``. Throwing it into the producer would not do: a GeneratorExit that
  is thrown into a coroutine closes what that awaits, and a nested function of the producer could not await in its cleanup.
- anything else is for the event loop, which gets the signal. What the event loop throws in is thrown into the producer.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Coroutine, Generator
from inspect import CORO_CLOSED, getcoroutinestate
from types import coroutine
from typing import Generic, ParamSpec, TypeVar

from . import errors
from ._producer import call_producer, check_producer
from .protocols import Producer

__all__ = ["stream"]

T = TypeVar("T")
P = ParamSpec("P")


def stream(func: Producer[T, P], /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
    """Iterate over what ``func(itemize, *args, **kwargs)`` passes to its itemizer.

    `func` is an async function that takes the itemizer as its first positional argument and opens no sender itself.
    Returns an async generator object. `func` starts with the first ``anext``, runs in the task that iterates, in its context, and
    ``await itemize(item)`` is its ``yield``. It may await anything else in between. The idea is Kotlin's ``flow { emit(...) }``.

    **Waits** only for what `func` itself awaits. Passing an item on gives no other task a turn.

    **The wait ends** with an item, or with the end of `func`.

    **Cancelled** while `func` awaits something, the cancellation reaches `func` at that ``await``. If `func` doesn't handle it,
    the generator has ended; no item is lost, since none was under way.

    **Raises** what `func` raises, from the ``anext`` under way; RuntimeError, from the itemizer, when that is called by another
    task, after the end or outside of `func`; TypeError if `func` is not callable or doesn't return a coroutine. ``aclose``,
    ``athrow`` and garbage collection do what they do to a generator: the exception is raised at the ``await itemize(item)`` at
    which `func` is suspended.

    **Order of service**: one task at a time iterates, as with any async generator.

    The hazards of async generators remain, since it is one. A timeout, a task group or another context that is held open across
    ``await itemize(item)`` also covers what the consumer does before it comes back, and may cancel it there (PEP 789). A loop that
    is left early leaves `func` suspended until ``aclose``: use ``contextlib.aclosing``. One more than a generator has: when the
    garbage collector finds an unfinished one in a reference cycle, the first ``await`` in the cleanup of `func` is cut off by a
    GeneratorExit. `Channel.fed_by` has none of these.
    """
    check_producer(func)
    return drive(func, *args, **kwargs)


async def drive(func: Producer[T, P], /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
    handover: Handover[T] = Handover()
    items = handover.items
    body = call_producer(func, handover.itemize, *args, **kwargs)
    try:
        signal = body.send(None)
        while True:
            answer: object = None
            try:
                if signal is handover:
                    yield items.pop()
                else:
                    answer = await passed_on(signal)
            except BaseException as error:
                thrown = error
            else:
                signal = body.send(answer)
                continue
            # Outside of the except clause: inside, `thrown` would be the context of whatever the body raises from now on.
            if is_closed(body):
                return  # by the garbage collector, which found body and generator in one cycle and finalized both
            try:
                if signal is handover and not handover.left:
                    handover.thrown, handover.outside = thrown, sys.exception()
                    signal = body.send(None)
                else:
                    signal = body.throw(thrown)
            finally:
                del thrown
    except StopIteration:
        return


def is_closed(body: Coroutine[object, object, None]) -> bool:
    try:
        return getcoroutinestate(body) == CORO_CLOSED
    except AttributeError:
        return False  # the coroutine of another library, of which this can't be known


class Handover(Generic[T]):
    """The itemizer of a stream, and the signal to `drive` that an item is there."""

    __slots__ = ("items", "left", "outside", "thrown")

    items: list[T]
    left: bool
    """Whether the collector has closed the body, which awaits something in its cleanup now, of which `drive` knows nothing."""
    thrown: BaseException | None
    outside: BaseException | None
    """What the consumer was handling when it threw that in."""

    def __init__(self) -> None:
        self.left = False
        self.items = []  # holds one item, from the call of the itemizer until `drive` yields it
        self.thrown = None
        self.outside = None

    async def itemize(self, item: T, /) -> None:
        self.items.append(item)
        del item  # the consumer decides how long it lives
        await handed_over(self)


@coroutine
def handed_over(handover: Handover[T]) -> Generator[object, None, None]:
    """Signal that an item is there, and wait until the consumer comes back."""
    try:
        yield handover
    except BaseException as error:
        # `drive` never throws here. Either the itemizer was awaited outside of it, and the event loop rejects the unknown signal:
        # asyncio with a RuntimeError, trio with a TypeError. Or the garbage collector closes the body.
        handover.items.clear()
        handover.left = isinstance(error, GeneratorExit)
        if isinstance(error, RuntimeError | TypeError):
            raise errors.foreign_itemizer() from None
        raise
    thrown, outside = handover.thrown, handover.outside
    if thrown is not None:
        handover.thrown = handover.outside = None
        context = thrown.__context__
        try:
            raise thrown
        finally:
            # In a generator, the context of what is thrown in is the error that the generator handles, not one of its consumer.
            if outside is not None and thrown.__context__ is outside:
                thrown.__context__ = context
            del thrown, outside, context


@coroutine
def passed_on(signal: object) -> Generator[object, object, object]:
    """Yield `signal` to what runs this task, and return its answer. asyncio sends none: a future holds its own result."""
    return (yield signal)

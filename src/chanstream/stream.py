"""A producer run as an async generator, in its consumer's own task: `stream`. No channel, task or event loop has a part in it.

The generator drives the producer by hand. Whatever the producer awaits comes out of `send` as a signal:

- its `Handover`: an item was passed to the itemizer, and is now yielded. What the consumer throws in goes back in the `Handover`,
  which raises it at the very ``await itemize(item)``. To throw it would not do: a GeneratorExit that is thrown into a coroutine
  closes what that awaits, and a helper of the producer could not await anything in its cleanup.
- anything else is for the event loop. It gets the signal, and what it throws in is thrown on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from inspect import CORO_CLOSED, getcoroutinestate
from types import coroutine
from typing import Generic, ParamSpec, TypeVar

from . import errors
from ._producer import Producer, Production, check_producer, produce

__all__ = ["stream"]

T = TypeVar("T")
P = ParamSpec("P")


def stream(func: Producer[T, P], /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
    """Iterate over what ``func(itemize, *args, **kwargs)`` passes to its itemizer.

    `func` is an async function that takes the itemizer as its first positional argument and opens no sender itself.
    Returns an async generator object. `func` starts with the first ``anext``, runs in the task of whoever iterates, in its
    context, and ``await itemize(item)`` is its ``yield``. It may await anything else meanwhile. The idea is Kotlin's ``flow {
    emit(...) }``.

    **Waits** only for what `func` itself awaits. Passing an item on gives no other task a turn.

    **The wait ends** with an item, or with the end of `func`.

    **Cancelled** while `func` awaits something, the cancellation reaches `func` at that ``await``. If `func` doesn't handle it,
    the generator has ended; no item is lost, since none was under way.

    **Raises** what `func` raises, at the ``anext`` that met it; RuntimeError, from the itemizer, when that is called by another
    task, after the end or outside of `func`; TypeError if `func` is not callable or doesn't return a coroutine. ``aclose``,
    ``athrow`` and garbage collection do what they do to a generator: the exception is raised at the ``await itemize(item)``
    where `func` stands.

    **Order of service**: one task at a time iterates, as with any async generator.

    The hazards of async generators remain, since it is one. A timeout, a task group or another context that is held open across
    ``await itemize(item)`` also covers what the consumer does before it comes back, and may cancel it there (PEP 789). A loop that
    is left early leaves `func` suspended until ``aclose``: use ``contextlib.aclosing``. An unfinished one that the collector finds
    in a cycle with `func` itself can't await in its cleanup. `Channel.fed_by` has none of these.
    """
    check_producer(func)
    return drive(func, *args, **kwargs)


async def drive(func: Producer[T, P], /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
    handover: Handover[T] = Handover()
    items = handover.items
    body = produce(func, handover.itemize, *args, **kwargs)
    try:
        signal = body.send(None)
        while True:
            try:
                if signal is handover:
                    yield items.pop()
                else:
                    await passed_on(signal)
            except BaseException as error:
                thrown = error
            else:
                signal = body.send(None)
                continue
            # Not in the except clause: there, `thrown` would be the context of whatever the body raises from now on.
            if is_closed(body):
                return  # by the garbage collector, which found body and generator in one cycle and finalized both
            try:
                if signal is handover:
                    handover.thrown = thrown
                    signal = body.send(None)
                else:
                    signal = body.throw(thrown)
            finally:
                del thrown
    except StopIteration:
        return


def is_closed(body: Production) -> bool:
    try:
        return getcoroutinestate(body) == CORO_CLOSED
    except AttributeError:
        return False  # a coroutine of another make, which does not tell


class Handover(Generic[T]):
    """The itemizer of a stream, and the signal that tells its driver of an item."""

    __slots__ = ("items", "thrown")

    items: list[T]
    thrown: BaseException | None

    def __init__(self) -> None:
        self.items = []  # empty but for the moment between the itemizer and the driver
        self.thrown = None

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
        # The driver throws nothing in here, so the signal went to somebody else. A task answers it with a RuntimeError.
        handover.items.clear()
        if isinstance(error, RuntimeError):
            raise errors.foreign_itemizer() from None
        raise
    thrown = handover.thrown
    if thrown is not None:
        handover.thrown = None
        try:
            raise thrown
        finally:
            del thrown


@coroutine
def passed_on(signal: object) -> Generator[object, None, None]:
    """Pass a signal on to whoever drives this task. Nobody answers with a value: a future keeps its result itself."""
    yield signal

"""A blocking function as a producer: `in_thread`. Like any producer it uses only its itemizer, and knows no channel."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from threading import Thread
from typing import Concatenate, ParamSpec, TypeVar

from . import errors
from ._arguments import check_count
from ._crossing import Crossing
from ._finish import finish
from ._producer import name_of
from .protocols import BlockingItemizer, Itemizer, Producer

__all__ = ["in_thread"]

T = TypeVar("T")
P = ParamSpec("P")


def in_thread(
    func: Callable[Concatenate[BlockingItemizer[T], P], None], /, *, ahead: int = 0, stop: Callable[[], object] | None = None
) -> Producer[T, P]:
    """Make a producer of a function that blocks, for `Channel.fed_by`, `Channel.feed` and `stream`.

    ``channel.fed_by(in_thread(read), path)`` calls ``read(itemize, path)`` in a thread of its own, not of a pool, with the context
    variables of the producer. Its `BlockingItemizer` may be called in any thread but that of the event loop, for as long as `read`
    runs. A client that calls back in a thread of its own therefore needs a function that starts it and waits for its end.

    With ``ahead=0`` the blocking ``itemize(item)`` is `yield`: it returns when the producer's own itemizer has returned, and raises
    an Exception that this one raises, after which `func` may go on. With ``ahead=n`` at most n items are on their way between the
    two, and cross in batches, many times faster. The buffer of the channel comes on top of that.

    **Waits**, in the event loop, until `func` has returned and all its items have been passed on.

    **The wait ends** with `func`. A thread can't be cancelled, so when the producer is cancelled, the next call of the blocking
    itemizer raises the error that the producer got, and the producer waits for `func` to end by it. Pass `stop` if `func` may not
    call for long: a plain function that ends whatever `func` waits for, by closing a socket for example. It is called in the thread
    of the event loop, once the itemizer refuses every call, so it may itself wait for threads that are in one. It isn't called when
    `func` has ended before.

    **Cancelled**, the items on their way are dropped. Further cancellations wait until `func` has ended, too.

    **Raises** an error of `func` as itself, one of `stop` likewise, and both in a group. RuntimeError where no asyncio event loop
    runs. Making it raises TypeError if `func` is not callable, or is asynchronous or a generator function; if `ahead` is not an int
    or `stop` is no plain function; ValueError if `ahead` is negative.

    **Order of service**: one thread for each run; a producer may be run many times.

    The thread is a daemon, so one that never calls its itemizer and has no `stop` doesn't keep the interpreter from exiting. A
    producer that is thrown away, in a loop that was closed for example, can't wait: it has the itemizer refuse every call, calls
    `stop`, and leaves an error that `func` raises later to ``threading.excepthook``.
    """
    check_function(func)
    if type(ahead) is not int or ahead < 0:
        check_count("in_thread(ahead=...)", "0 for lock-step or the number of items on their way", ahead)
    if stop is not None:
        check_stop(stop)
    name = f"in_thread({name_of(func)})"

    async def produce(itemize: Itemizer[T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        loop = _get_running_loop()
        if loop is None:
            raise errors.no_loop_for_thread()
        crossing = Crossing[T](loop, ahead)
        work = partial(copy_context().run, func, crossing.put, *args, **kwargs)
        thread = Thread(target=crossing.run, args=(work,), name=name, daemon=True)
        del work
        try:
            thread.start()
            await crossing.pump(itemize)
        except BaseException as error:
            try:
                await end(crossing, thread, stop, error)
            finally:
                del error
        thread.join()  # it has nothing left to do
        crossing.raise_outcome()

    produce.__name__ = produce.__qualname__ = name
    return produce


async def end(crossing: Crossing[T], thread: Thread, stop: Callable[[], object] | None, error: BaseException) -> None:
    """End the thread of a producer that has ended by `error`, and raise the error that the producer ends by."""
    traceback = error.__traceback__
    # When a coroutine is closed, the GeneratorExit is raised in its own frame and not in one that it awaits, and it must not await
    # any more. A GeneratorExit that an itemizer raises, as in a stream, is an error like others.
    is_closed = isinstance(error, GeneratorExit) and (traceback is None or traceback.tb_next is None)
    interruption: BaseException | None = None
    failed: list[BaseException] = []
    try:
        finish(crossing.refuse, error)
        if stop is not None and not crossing.finished:
            try:
                stop()
            except BaseException as failure:
                failed.append(failure)
        if is_closed:
            crossing.abandon()
        elif thread.is_alive():  # otherwise it has not even started
            interruption = await crossing.outlast()
            thread.join()
        try:
            crossing.raise_outcome()
        except BaseException as failure:
            failed.append(failure)
        if len(failed) > 1:
            raise errors.function_and_stop_failed(failed)
        if failed:
            raise failed.pop()
        raise interruption or error.with_traceback(traceback)
    finally:
        # What is raised refers to this frame, and should be free without the garbage collector.
        del error, traceback, interruption, failed


def check_function(func: object) -> None:
    if not callable(func) or iscoroutinefunction(func) or isgeneratorfunction(func) or isasyncgenfunction(func):
        raise errors.not_a_blocking_function(func)


def check_stop(stop: object) -> None:
    if not callable(stop) or iscoroutinefunction(stop):
        raise errors.not_a_stop(stop)

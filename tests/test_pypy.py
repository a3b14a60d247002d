"""What PyPy does otherwise than CPython by itself: a program each, none of which uses chanstream.

They run on both. One that fails on PyPy tells that PyPy has come round there, and that what was made for the difference can go.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import signal
import subprocess
import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from typing import Final, TypeVar

import pytest

from tests.garbage import let_go
from tests.loops import turns

PYPY: Final = sys.implementation.name == "pypy"

T = TypeVar("T")


class Box(list[T]):
    """Remembers the file of who made it. A box of a type is called through a `types.GenericAlias`, as a channel is."""

    def __init__(self) -> None:
        self.made_in = sys._getframe(1).f_code.co_filename


def fail() -> None:
    raise OSError


async def test_what_is_dropped_is_gone_only_when_garbage_is_collected() -> None:
    """So a dropped end is noticed late, and `chanstream.diagnosis` is refused: it asks who refers to what."""
    box = Box[int]()
    watched = weakref.ref(box)
    del box
    assert (watched() is None) is not PYPY
    let_go()
    assert watched() is None


async def test_a_coroutine_that_is_collected_is_not_closed() -> None:
    """So the `finally` of a producer that is thrown away does not run. That of a generator does."""
    log: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            log.append("coroutine")

    def gives() -> Generator[int]:
        try:
            yield 1
        finally:
            log.append("generator")

    thrown_away = waits()
    thrown_away.send(None)
    given = gives()
    next(given)
    del thrown_away, given
    let_go()
    assert log == (["generator"] if PYPY else ["coroutine", "generator"])


def close(rows: AsyncGenerator[int, None]) -> Awaitable[object]:
    return rows.aclose()


def throw(rows: AsyncGenerator[int, None]) -> Awaitable[object]:
    return rows.athrow(KeyError())


@pytest.mark.parametrize("end", [close, throw])
async def test_a_running_async_generator_may_be_closed(end: Callable[[AsyncGenerator[int, None]], Awaitable[object]]) -> None:
    """Whoever waits for its next item then waits for ever. So it is with `stream`."""
    event = asyncio.Event()

    async def gives() -> AsyncGenerator[int, None]:
        await event.wait()
        yield 1

    rows = gives()
    first = asyncio.create_task(anext_of(rows))
    await turns()
    with pytest.raises(KeyError if end is throw else EndedError) if PYPY else pytest.raises(RuntimeError, match="already running"):
        await end(rows)
        raise EndedError
    event.set()
    await turns()
    assert first.done() is not PYPY
    first.cancel()
    await asyncio.wait([first])


class EndedError(Exception):
    """It was not refused."""


async def anext_of(rows: AsyncIterator[T]) -> T:
    return await anext(rows)


class InASlot:
    __slots__ = ("__anext__",)

    def __init__(self) -> None:
        async def give() -> int:
            return 1

        self.__anext__ = give

    def __aiter__(self) -> InASlot:
        return self


async def test_anext_wants_a_method_that_is_no_slot() -> None:
    """So `anext` fails for some iterators of asyncstdlib 3.14, which `async for` takes."""
    async for item in InASlot():
        assert item == 1
        break
    if PYPY:
        with pytest.raises(TypeError, match="not callable"):
            await anext(InASlot())
    else:
        assert await anext(InASlot()) == 1


async def test_what_is_thrown_into_a_generator_has_the_context_of_who_throws_it() -> None:
    """So an error that ends a stream may have one more error as its context."""

    def gives() -> Generator[int]:
        yield 1

    rows = gives()
    next(rows)
    try:
        fail()
    except OSError:
        with pytest.raises(ValueError, match="thrown") as raised:
            rows.throw(ValueError("thrown"))
        assert isinstance(raised.value.__context__, OSError) is PYPY


async def test_what_is_thrown_in_far_below_has_no_context() -> None:
    """So a cancelled producer's CancelledError does not tell what the producer was handling."""

    async def handles() -> None:
        try:
            fail()
        except OSError:
            await asyncio.Event().wait()

    task = asyncio.create_task(handles())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert isinstance(raised.value.__context__, OSError) is not PYPY


async def test_a_class_with_its_item_type_is_called_from_a_file_of_pythons_own() -> None:
    """So what tells where a channel was made looks one call further."""
    assert Box[int]().made_in.startswith("<builtin>") is PYPY
    assert Box().made_in == __file__


TURNS: Final = """
import asyncio
import sys

async def main() -> None:
    for _ in range(3_000):
        await asyncio.sleep(0)
    {inside}

sys.setprofile(lambda *_: None)
asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("inside", ["pass", "sys.setprofile(None)"])
def test_a_profile_function_that_is_removed_in_a_task_ends_the_interpreter(inside: str) -> None:
    """One that stays does not."""
    program = TURNS.format(inside=inside)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ended.returncode == (-signal.SIGSEGV if PYPY and inside != "pass" else 0)


async def test_some_modules_and_functions_are_not_there() -> None:
    """They are about memory, as CPython has it."""
    assert hasattr(gc, "freeze") is not PYPY
    assert (importlib.util.find_spec("_tracemalloc") is None) is PYPY

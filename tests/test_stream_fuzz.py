"""Rule 18, by chance: a random function as an async generator and as the producer of a `stream`, and what a random consumer sees.

A program is the text of a function, in which an item is given by ``yield`` or by ``await itemize``, and the steps of a consumer
that drives either by hand: it asks, throws in, closes, also from inside ``except`` blocks, and interrupts what the function awaits.
"""

from __future__ import annotations

import gc
import sys
import textwrap
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from itertools import zip_longest
from types import AsyncGeneratorType, coroutine
from typing import Final, TypeAlias

import pytest

from chanstream import Itemizer, stream
from tests.explorer.explore import chance
from tests.producers import BodyError

# A generator of PyPy has its consumer's context first in what is thrown into it, and leaves more for the collector to complain of.
pytestmark = pytest.mark.cpython

ALLOWED: Final = 0.003
"""The part of the programs that may differ."""

Function: TypeAlias = Callable[[], AsyncGenerator[int, None]]
Produce: TypeAlias = Callable[[Itemizer[int]], Coroutine[object, object, None]]
AsStream: TypeAlias = Callable[[Produce], AsyncGenerator[int, None]]


class Thrown(Exception):
    """What the consumer throws in."""


class Outer(Exception):
    """What the consumer handles meanwhile."""


class Interrupt(BaseException):
    """What the driver throws in in place of an answer, as a cancellation is."""


CAUGHT: Final = ("Thrown", "BodyError", "(Thrown, BodyError)", "Exception", "GeneratorExit", "BaseException")

VARIABLE: Final[ContextVar[int]] = ContextVar("VARIABLE", default=0)


class Log:
    """What happens inside, in words."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, text: object) -> None:
        self.lines.append(str(text))

    def handled(self) -> None:
        """Write down what is being handled here."""
        self(f"handling {told(sys.exception())}")

    @contextmanager
    def plain(self, number: int, *, swallows: bool) -> Iterator[None]:
        self(f"enter {number}")
        try:
            yield
        except (Thrown, BodyError) as error:
            self(f"leave {number} by {told(error)}")
            if not swallows:
                raise
        finally:
            self(f"left {number}")

    @asynccontextmanager
    async def turning(self, number: int, *, swallows: bool) -> AsyncIterator[None]:
        await turns(1)
        with self.plain(number, swallows=swallows):
            try:
                yield
            finally:
                await turns(1)


@coroutine
def turns(count: int) -> Generator[object, object, list[object]]:
    """Give turns, and return what the driver answers."""
    answers: list[object] = []
    for number in range(count):
        answers = [*answers, (yield number)]
    return answers


def told(error: BaseException | None, depth: int = 6) -> str:
    """Return `error` in words, with what it comes from."""
    if error is None:
        return "nothing"
    if not depth:
        return "..."
    name = repr(error).replace("coroutine raised", "async generator raised")
    parts = [name]
    if error.__cause__ is not None:
        parts.append(f"from {told(error.__cause__, depth - 1)}")
    if error.__context__ is not None:
        parts.append(f"{'hiding' if error.__suppress_context__ else 'after'} {told(error.__context__, depth - 1)}")
    return f"({' '.join(parts)})"


# The function.


class Writer:
    """Writes the text of a function."""

    def __init__(self, seed: int) -> None:
        self.chance = chance(seed)
        self.numbers = 0

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def function(self) -> str:
        return textwrap.indent("".join(self.block(3, handling=False, looping=False)), "    ")

    def block(self, depth: int, *, handling: bool, looping: bool) -> list[str]:
        count = self.chance.choice((1, 2, 2, 3, 4))
        return [self.statement(depth, handling=handling, looping=looping) for _ in range(count)]

    def inner(self, depth: int, *, handling: bool, looping: bool) -> str:
        return textwrap.indent("".join(self.block(depth - 1, handling=handling, looping=looping)), "    ")

    def statement(self, depth: int, *, handling: bool, looping: bool) -> str:
        if depth and self.chance.random() < 0.45:
            return self.compound(depth, handling=handling, looping=looping)
        return self.simple(handling=handling, looping=looping)

    def simple(self, *, handling: bool, looping: bool) -> str:
        number = self.number()
        if self.chance.random() < 0.45:
            return f"GIVE({number})\n"
        simple = [
            f"log(await turns({self.chance.randint(1, 2)}))\n",
            f"log({number})\n",
            "log.handled()\n",
            "log.handled()\n",
            f"VARIABLE.set({number})\n",
            "log(VARIABLE.get())\n",
            f"if log.lines.count('{number}') < 1:\n    log({number})\nelse:\n    return\n",
        ]
        if self.chance.random() < 0.07:
            return f"raise BodyError({number})\n"
        if handling:
            simple += ["raise\n", f"raise BodyError({number}) from None\n", f"raise BodyError({number}) from sys.exception()\n"]
        if looping:
            simple += ["break\n", "continue\n"]
        if self.chance.random() < 0.03:
            simple = ["raise StopIteration\n", "raise StopAsyncIteration\n", "raise GeneratorExit\n", "raise Interrupt\n"]
        return self.chance.choice(simple)

    def compound(self, depth: int, *, handling: bool, looping: bool) -> str:
        body = self.inner(depth, handling=handling, looping=looping)
        match self.chance.randrange(6):
            case 0 | 1:
                caught = self.chance.choice(CAUGHT)
                text = f"try:\n{body}except {caught}:\n{self.inner(depth, handling=True, looping=looping)}"
                if self.chance.random() < 0.3:
                    text += f"else:\n{self.inner(depth, handling=handling, looping=looping)}"
                if self.chance.random() < 0.3:
                    text += f"finally:\n{self.inner(depth, handling=handling, looping=False)}"
                return text
            case 2:
                return f"try:\n{body}finally:\n{self.inner(depth, handling=False, looping=False)}"
            case 3:
                count = self.chance.randint(1, 3)
                return f"for _ in range({count}):\n{self.inner(depth, handling=handling, looping=True)}"
            case 4:
                return f"with log.plain({self.number()}, swallows={self.chance.random() < 0.4}):\n{body}"
            case _:
                return f"async with log.turning({self.number()}, swallows={self.chance.random() < 0.4}):\n{body}"


def functions_of(text: str, log: Log, as_stream: AsStream) -> tuple[Function, Function]:
    """Return the function whose text it is, as an async generator function and as one that makes a stream."""
    names = {**globals(), "log": log}
    generator = f"async def generate():\n{text.replace('GIVE(', 'yield (')}    if False:\n        yield 0\n"
    producer = f"async def produce(itemize):\n{text.replace('GIVE(', 'await itemize(')}"
    with warnings.catch_warnings(action="ignore"):  # a `return` in a `finally` block, from Python 3.14 on
        exec(compile(generator + producer, "<a random function>", "exec"), names)  # noqa: S102 - it is what this is about
    generate: Function = names["generate"]
    produce: Produce = names["produce"]
    return generate, lambda: as_stream(produce)


# The consumer.


def drive(awaited: Coroutine[object, object, object], interrupt_at: int) -> object:
    """Run a coroutine to its end, and interrupt it at one of its turns."""
    try:
        signal = awaited.send(None)
        for turn in range(200):
            signal = awaited.throw(Interrupt()) if turn == interrupt_at else awaited.send((turn, signal))
    except StopIteration as end:
        return end.value
    message = "it goes on for ever"
    raise AssertionError(message)


async def asked(items: AsyncGenerator[int, None], what: str, number: int) -> object:
    match what:
        case "ask":
            return await anext(items)
        case "throw":
            return await items.athrow(Thrown(number))
        case "throw the end":
            return await items.athrow(GeneratorExit())
        case _:
            await items.aclose()
            return "closed"


async def handling(items: AsyncGenerator[int, None], what: str, number: int) -> object:
    """The same, from inside an ``except`` block."""
    try:
        raise Outer(number)  # noqa: TRY301 - to handle it is the point
    except Outer:
        return await asked(items, what, number)


def transcript(function: Function, log: Log, seed: int) -> list[str]:
    choice = chance(seed).choice
    log.lines.clear()
    VARIABLE.set(0)
    items = function()
    for number in range(8):
        what = choice(("ask", "ask", "ask", "ask", "throw", "throw", "throw the end", "close")) if number else "ask"
        ask = choice((asked, asked, handling))
        interrupt_at = choice((-1, -1, -1, 0, 1))
        try:
            log(f"{number} {what}: {drive(ask(items, what, number), interrupt_at)}")
        except BaseException as error:
            log(f"{number} {what}: {told(error)}")
    for number in range(30):  # a function may refuse to end more than once
        try:
            drive(asked(items, "close", number), -1)
        except BaseException as error:
            log(f"close: {told(error)}")
        else:
            break
    assert isinstance(items, AsyncGeneratorType)
    log("ended" if items.ag_frame is None else "not ended")
    return list(log.lines)


def differences(seeds: range, as_stream: AsStream = stream) -> list[str]:
    """Return the programs of those numbers whose two transcripts differ, with both from where they do."""
    found: list[str] = []
    for seed in seeds:
        text = Writer(seed).function()
        log = Log()
        generate, streamed = functions_of(text, log, as_stream)
        native, ours = transcript(generate, log, seed), transcript(streamed, log, seed)
        if native != ours:
            at = next(place for place, (one, other) in enumerate(zip_longest(native, ours)) if one != other)
            found.append(f"program {seed}:\n{text}generator: {native[at:]}\nstream: {ours[at:]}")
    return found


@pytest.fixture(autouse=True)
def _no_word_of_functions_that_refuse_to_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What such a one does is compared; here the garbage collector reports it."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    yield
    gc.collect()


@pytest.mark.parametrize("count", [100, pytest.param(5_000, marks=pytest.mark.slow)])
def test_random_functions_are_as_streams_what_they_are_as_generators(count: int) -> None:
    """Rule 18: items, errors with their causes and contexts, what is handled meanwhile, context variables, and the end."""
    different = differences(range(count))
    assert len(different) <= ALLOWED * count, f"{len(different)} of {count} differ\n" + "\n".join(different)


def test_the_comparison_sees_what_a_loop_around_a_stream_does_not_pass_on() -> None:
    """Such a generator does not pass on what is thrown in, so many programs differ."""

    async def loop_around(produce: Produce) -> AsyncGenerator[int, None]:
        async for item in stream(produce):
            yield item

    assert len(differences(range(100), loop_around)) > 20

"""Producers, which know nothing but their itemizer, and the ways to run one that takes nothing else."""

from __future__ import annotations

import ast
import asyncio
import inspect
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from textwrap import dedent
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

from typing_extensions import override

from chanstream import Channel, Itemizer, SenderContext, stream
from tests.loops import turns

__all__ = [
    "BodyError",
    "Halt",
    "ProducerError",
    "Stage",
    "Way",
    "as_generator",
    "busy",
    "count",
    "failing",
    "failing_cleanup",
    "fed",
    "fed_ahead",
    "feeding",
    "in_a_generator",
    "logged",
    "streamed",
    "write",
]

T = TypeVar("T")
P = ParamSpec("P")

Stage: TypeAlias = Callable[[Itemizer[T]], Coroutine[object, object, None]]


class ProducerError(Exception):
    """What a producer fails with."""


class BodyError(Exception):
    """What the body of a block fails with, for a reason of its own."""


class Halt(BaseException):
    """An error that is no Exception, as KeyboardInterrupt is."""


async def count(itemize: Itemizer[int], up_to: int) -> None:
    for number in range(up_to):
        await itemize(number)


async def failing(itemize: Itemizer[int], error: BaseException, after: int = 1) -> None:
    await count(itemize, after)
    raise error


async def failing_cleanup(itemize: Itemizer[int], error: BaseException) -> None:
    try:
        await count(itemize, 1_000)
    finally:
        raise error


async def write(sink: SenderContext[T], items: Iterable[T], error: BaseException | None = None) -> None:
    """Pass `items` on in a block of `sink`, and fail by `error`."""
    async with sink as itemize:
        for item in items:
            await itemize(item)
        if error is not None:
            raise error


async def logged(itemize: Itemizer[int], log: list[str], up_to: int = 1_000) -> None:
    """Count, and log the end and the cleanup, which takes a few turns."""
    try:
        await count(itemize, up_to)
        log.append("end")
    except BaseException as error:
        log.append(type(error).__name__)
        raise
    finally:
        await turns(2)
        log.append("cleaned")


async def in_a_generator(block: AbstractAsyncContextManager[AsyncIterator[T]]) -> AsyncGenerator[T, None]:
    async with block as rows:
        async for row in rows:
            yield row


async def busy(itemize: Itemizer[str], log: list[str], event: asyncio.Event) -> None:
    """A producer with every kind of await: its itemizer, a turn, an event, a task, a channel, and in its cleanup."""
    log.append("start")
    try:
        await itemize("first")
        await asyncio.sleep(0)
        await asyncio.create_task(turns(1))
        async with Channel[int](buffer=1).fed_by(count, 2) as numbers:
            async for number in numbers:
                await itemize(str(number))
        await event.wait()
        async with asyncio.timeout(100):
            await itemize("last")
    finally:
        log.append("clean")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log.append("cleaned")


# A producer as what it is meant to be like.


class Yielding(ast.NodeTransformer):
    @override
    def visit_Await(self, node: ast.Await) -> ast.AST:
        match node.value:
            case ast.Call(func=ast.Name(id="itemize"), args=[item]):
                return ast.Yield(item)
            case _:
                return self.generic_visit(node)


def as_generator(
    produce: Callable[Concatenate[Itemizer[T], P], Coroutine[object, object, None]],
) -> Callable[P, AsyncGenerator[T, None]]:
    """The same function as an async generator, without its first parameter, and with `yield x` for every `await itemize(x)`."""
    module = ast.parse(dedent(inspect.getsource(produce)))
    [function] = module.body
    assert isinstance(function, ast.AsyncFunctionDef)
    del function.args.args[0]
    names: dict[str, Callable[P, AsyncGenerator[T, None]]] = {
        **vars(sys.modules[produce.__module__]),
        **inspect.getclosurevars(produce).nonlocals,
    }
    exec(compile(ast.fix_missing_locations(Yielding().visit(module)), "<as a generator>", "exec"), names)  # noqa: S102 - made of this very source
    return names[function.name]


# The ways to run a producer, each as a block that binds what it gives.

Way: TypeAlias = Callable[[Stage[T]], AbstractAsyncContextManager[AsyncIterator[T]]]


def fed(stage: Stage[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]:
    return Channel[T]().fed_by(stage)


def fed_ahead(stage: Stage[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]:
    return Channel[T](buffer=3).fed_by(stage)


@asynccontextmanager
async def feeding(stage: Stage[T]) -> AsyncGenerator[AsyncIterator[T], None]:
    channel = Channel[T]()
    task = asyncio.create_task(channel.feed(stage))
    try:
        async with channel.receiver as items:
            yield items
    finally:
        await task


def streamed(stage: Stage[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]:
    return aclosing(stream(stage))

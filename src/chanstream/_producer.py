"""What `stream` and `Channel.fed_by` take: a function of an itemizer, called as late as possible.

``async def read_rows(itemize: Itemizer[Row], path: Path) -> None`` knows nothing but its itemizer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

from . import errors
from .protocols import Itemizer

__all__ = ["Producer", "Production", "check_producer", "produce"]

T = TypeVar("T")
P = ParamSpec("P")

# What a producer returns when it is called, and the producer itself.
Production: TypeAlias = Coroutine[object, None, None]
Producer: TypeAlias = Callable[Concatenate[Itemizer[T], P], Production]


def check_producer(func: object) -> None:
    if not callable(func):
        raise errors.not_a_producer(func)


def produce(func: Producer[T, P], itemize: Itemizer[T], /, *args: P.args, **kwargs: P.kwargs) -> Production:
    """Call `func`. A plain function or an async generator function would otherwise fail much later, in words of the interpreter."""
    production = func(itemize, *args, **kwargs)
    check_production(func, production)
    return production


def check_production(func: object, production: object) -> None:
    if not isinstance(production, Coroutine):
        raise errors.not_a_production(func, production)

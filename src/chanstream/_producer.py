"""How `stream`, `Channel.feed` and `Channel.fed_by` check, call and name the producer function that they are given."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import ParamSpec, TypeVar

from . import errors
from .protocols import Itemizer, Producer

__all__ = ["call_producer", "check_producer", "name_of"]

T = TypeVar("T")
P = ParamSpec("P")


def check_producer(func: object) -> None:
    if not callable(func):
        raise errors.not_a_producer(func)


def call_producer(
    func: Producer[T, P], itemize: Itemizer[T], /, *args: P.args, **kwargs: P.kwargs
) -> Coroutine[object, object, None]:
    """Call `func`, and raise at once if it returns no coroutine, as a plain function or an async generator function does."""
    coroutine = func(itemize, *args, **kwargs)
    check_coroutine(func, coroutine)
    return coroutine


def check_coroutine(func: object, result: object) -> None:
    if not isinstance(result, Coroutine):
        raise errors.returns_no_coroutine(func, result)


def name_of(func: object) -> str:
    """Return the name of `func`, for its task."""
    inner: object = getattr(func, "func", func)  # of a functools.partial; one of a mock has an inner one without end
    for each in (func, inner):
        name: object = getattr(each, "__qualname__", None)
        if isinstance(name, str):
            return name.replace("<locals>.", "")
    return type(inner).__qualname__

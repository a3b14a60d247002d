"""Checks of the arguments of the stages, with the wording of their errors."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable
from concurrent.futures import Executor
from inspect import iscoroutinefunction
from math import inf

__all__ = [
    "check_awaitable",
    "check_bool",
    "check_count",
    "check_function",
    "check_plain_function",
    "check_pool",
    "check_seconds",
    "check_source",
]


def check_source(source: object) -> None:
    if not isinstance(source, AsyncIterable):
        message = (
            f"a source is an async iterable, such as a receiver or an async generator, not {type(source).__name__}: of an async "
            "generator function, pass what it returns"
        )
        raise TypeError(message)


def check_function(name: str, func: object) -> None:
    if not callable(func):
        message = f"{name} takes a function, not {type(func).__name__}"
        raise TypeError(message)


def check_plain_function(name: str, func: object) -> None:
    if not callable(func) or iscoroutinefunction(func):
        message = f"{name} takes a plain function, not {func!r}"
        raise TypeError(message)


def check_awaitable(func: object, result: object) -> None:
    if not isinstance(result, Awaitable):
        message = (
            f"mapped(func) takes an async function, and {func!r} returned {type(result).__name__}: declare it with `async def`, or "
            "run a blocking function with in_pool()"
        )
        raise TypeError(message)


def check_count(name: str, count: object) -> None:
    if not isinstance(count, int) or isinstance(count, bool):
        message = f"{name} takes an int, not {type(count).__name__}"
        raise TypeError(message)
    if count < 1:
        message = f"{name} takes a number from 1 on, not {count}"
        raise ValueError(message)


def check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        message = f"{name} takes True or False, not {type(value).__name__}"
        raise TypeError(message)


def check_seconds(name: str, seconds: object) -> None:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        message = f"{name} takes a number of seconds, not {type(seconds).__name__}"
        raise TypeError(message)
    if not 0 < seconds < inf:
        message = f"{name} takes a number of seconds, more than 0 and finite, not {seconds}"
        raise ValueError(message)


def check_pool(pool: object) -> None:
    if not isinstance(pool, Executor):
        message = f"in_pool(pool) takes an executor of concurrent.futures, such as ProcessPoolExecutor(), not {type(pool).__name__}"
        raise TypeError(message)

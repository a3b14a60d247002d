"""The check of a number of items, as `Channel`, `take_ready` and `in_thread` take one."""

from __future__ import annotations

from . import errors

__all__ = ["check_count"]


def check_count(parameter: str, meaning: str, count: object) -> None:
    """Raise unless `count` is an int from 0 on. The message says that `parameter` takes `meaning`."""
    if not isinstance(count, int) or isinstance(count, bool):
        raise errors.not_an_int(parameter, meaning, count)
    if count < 0:
        raise errors.negative(parameter, meaning, count)

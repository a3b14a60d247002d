"""A step that has to be finished although an exception strikes in it: a RecursionError, or one that a signal handler raises."""

from __future__ import annotations

from collections.abc import Callable
from sys import getrecursionlimit, setrecursionlimit
from typing import Final, ParamSpec

__all__ = ["finish"]

P = ParamSpec("P")

HEADROOM: Final = 64
"""By how many frames the stack may exceed its limit during the second attempt. Waking a task takes ten."""


def finish(step: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Call `step`, which has to be idempotent. If an exception strikes in it, call it again, and then raise that exception."""
    limit = getrecursionlimit()
    try:
        step(*args, **kwargs)
    except BaseException:
        setrecursionlimit(limit + HEADROOM)
        try:
            step(*args, **kwargs)
        finally:
            setrecursionlimit(limit)
        raise

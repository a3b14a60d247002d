"""Where a channel was made. Shown in debug mode only, since finding out costs as much as making the channel."""

from __future__ import annotations

import sys
from collections.abc import Callable
from sys import get_coroutine_origin_tracking_depth
from typing import Final

__all__ = ["is_debugging", "origin"]

# Files with frames between the caller and here: those of this package, and on PyPy one of Python, which calls `Channel[int]()`.
BETWEEN = (__file__.removesuffix("_origin.py"), "<builtin>")

# Returns true in Python's development mode and in asyncio's debug mode. An event loop in debug mode has the origin of coroutines
# tracked while it runs, so no loop has to be asked.
is_debugging: Final[Callable[[], int]] = (lambda: 1) if sys.flags.dev_mode else get_coroutine_origin_tracking_depth


def origin() -> str:
    """Return the file and line that make a channel."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(BETWEEN):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"

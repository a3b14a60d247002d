"""Where a channel was made. Told in debug mode only, since to find out costs as much as to make the channel."""

from __future__ import annotations

import sys
from sys import get_coroutine_origin_tracking_depth
from typing import Final

__all__ = ["is_debugging", "origin"]

DEVELOPING: Final = sys.flags.dev_mode

# This package, which stands between the caller and here.
OWN = __file__.removesuffix("_origin.py")


def is_debugging() -> bool:
    """Whether this is Python's development mode or asyncio's debug mode.

    Every event loop in debug mode has the origin of coroutines tracked while it runs, and so can be recognised without asking it.
    """
    return DEVELOPING or get_coroutine_origin_tracking_depth() > 0


def origin() -> str:
    """The file and line that make a channel."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(OWN):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"

"""When an object is gone that nothing refers to any more: at once where Python counts references, else when it collects garbage.

Rules 13 and 22 promise no more than that. A test that drops something calls `let_go` before it looks for what came of it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

__all__ = ["COUNTED", "is_gone", "let_go"]

COUNTED = sys.implementation.name == "cpython"
"""Whether references are counted. PyPy counts none."""


def let_go() -> None:
    """Have what the test has dropped be gone. Where references are counted, it is already."""
    if not COUNTED:
        # The first calls finalizers, the next frees what those objects referred to, and each further one the next link of a chain.
        for _ in range(4):
            gc.collect()


def is_gone(watched: Callable[[], object]) -> bool:
    """Return whether nothing refers any more to what a weak reference watches."""
    let_go()
    return watched() is None

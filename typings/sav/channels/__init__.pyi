from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Never, TypeVar

_A = TypeVar("_A")
_B = TypeVar("_B")
_G = TypeVar("_G", bound=AsyncGenerator[object, Never])

# What is sent into one is yielded by the other. The None that starts a generator is sent too.
def create() -> tuple[AsyncGenerator[_A, _B], AsyncGenerator[_B, _A]]: ...
def open(ag: _G, *, start: bool = True, clear: bool = True, close: bool = True) -> AbstractAsyncContextManager[_G]: ...

"""What CPython shows of objects, references and frames. To look calls no code of the program's, and leaves nothing behind.

The interpreter's own functions are typed with Any; here everything is an `object`, and `is_a` narrows it. `is_a` asks for the true
type: `isinstance` also asks the object for its ``__class__``, and a proxy answers that with code of its own.
"""

from __future__ import annotations

import gc
import sys
import sysconfig
from collections.abc import Callable
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType, GetSetDescriptorType
from typing import Final, TypeGuard, TypeVar

__all__ = [
    "COUNTS",
    "COUNTS_EXACTLY",
    "attribute",
    "attributes",
    "code_of",
    "frame_of",
    "getrefcount",
    "is_a",
    "local_names",
    "referents",
    "waits_for",
]

T = TypeVar("T")

COUNTS: Final = sys.implementation.name == "cpython"
"""Whether this Python counts references. PyPy doesn't."""

COUNTS_EXACTLY: Final = COUNTS and not sysconfig.get_config_var("Py_GIL_DISABLED")
"""Whether a count is that of the references. A free-threaded Python defers some."""

FUNCTION_LOCALS: Final = 0x1 | 0x2
"""Flags of code whose local variables are those of a call, and not the names of a module or a class."""

getrefcount: Final[Callable[[object], int]] = getattr(sys, "getrefcount", lambda _: 0)

KEEPS_LOCALS: Final = sys.version_info < (3, 13)
"""Whether asking a frame for its local variables leaves a dict in it, which keeps them alive."""


def is_a(thing: object, kind: type[T]) -> TypeGuard[T]:
    """Return whether the type of `thing` is `kind` or derived from it."""
    return issubclass(type(thing), kind)


def referents(thing: object) -> list[object]:
    """Return what `thing` refers to directly, once for each reference."""
    return gc.get_referents(thing)


def attribute(thing: object, name: str) -> object:
    """Return an attribute of an object whose type is known to run no code for that; None if it has none."""
    return getattr(thing, name, None)


def attributes(thing: object) -> list[tuple[str, object]]:
    """Return the attributes that an object has of its own, but for slots. Its class is not asked: that could run its code."""
    for base in type.mro(type(thing)):
        descriptor: object = type.__getattribute__(base, "__dict__").get("__dict__")
        if type(descriptor) is GetSetDescriptorType:
            own: object = descriptor.__get__(thing)
            return list[tuple[str, object]](own.items()) if is_a(own, dict) else []
    return []


# How each kind of coroutine calls its frame, what it awaits, and its code.
KINDS: Final[tuple[tuple[type, str, str, str], ...]] = (
    (CoroutineType, "cr_frame", "cr_await", "cr_code"),
    (GeneratorType, "gi_frame", "gi_yieldfrom", "gi_code"),
    (AsyncGeneratorType, "ag_frame", "ag_await", "ag_code"),
)


def frame_of(coroutine: object) -> FrameType | None:
    """Return the frame of a coroutine or a generator; None once it has ended, and for anything else."""
    found = next((attribute(coroutine, frame) for kind, frame, _, _ in KINDS if issubclass(type(coroutine), kind)), None)
    return found if is_a(found, FrameType) else None


def code_of(coroutine: object) -> CodeType | None:
    """Return the code of a coroutine or a generator; None for anything else."""
    found = next((attribute(coroutine, code) for kind, _, _, code in KINDS if issubclass(type(coroutine), kind)), None)
    return found if is_a(found, CodeType) else None


def waits_for(coroutine: object) -> object:
    """Return what a coroutine or generator awaits, or None if that can't be seen."""
    for kind, _, awaited, _ in KINDS:
        if issubclass(type(coroutine), kind):
            return attribute(coroutine, awaited)
    # What `await` makes of an object: a coroutine_wrapper, an async_generator_asend, the iterator of a future.
    for inner in referents(coroutine):
        if issubclass(type(inner), (CoroutineType, GeneratorType, AsyncGeneratorType)):
            return inner
    return None


def local_names(frame: FrameType) -> list[tuple[str, object]]:
    """Return the local variables of a call, with their values."""
    if frame.f_code.co_flags & FUNCTION_LOCALS != FUNCTION_LOCALS:
        return []
    local = frame.f_locals
    found: list[tuple[str, object]] = list(local.items())
    if KEEPS_LOCALS and is_only_the_frames(local):
        local.clear()
    return found


def is_only_the_frames(local: dict[str, object]) -> bool:
    """Return whether nothing but its frame, and the two calls here, refers to what ``f_locals`` or ``locals()`` has given."""
    return getrefcount(local) <= UNSHARED


def unshared() -> int:
    def measure(local: dict[str, object]) -> int:
        return getrefcount(local)

    frame = sys._getframe()
    local = frame.f_locals
    return measure(local)


UNSHARED: Final = unshared()

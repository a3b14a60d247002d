"""Objects that can be neither copied, nor pickled, nor subclassed.

A copy of an end would be a second owner of the same side, and collecting the copy would close the side for the original.
"""

from __future__ import annotations

from typing import Never, SupportsIndex

from . import errors
from ._override import override

__all__ = ["Pinned"]


class Pinned:
    __slots__ = ()

    @override
    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for base in cls.__mro__[1:]:
            if issubclass(base, Pinned) and base is not Pinned:
                raise errors.not_extensible(base.__name__)

    @override
    def __reduce_ex__(self, protocol: SupportsIndex, /) -> Never:
        raise errors.not_copyable(type(self).__name__)

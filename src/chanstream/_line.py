"""A line: first come, first served, and anybody may leave from anywhere at the same cost.

Both sides of a channel queue in one of these. Most of the time one task stands in it, or none, and it needs no container.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Line", "Ticket"]

T = TypeVar("T")


class Ticket(Generic[T]):
    """A place in a line. Who brings an item keeps it in `item` until it is taken, and may go when `done`."""

    __slots__ = ("done", "item")

    item: T
    done: bool

    def __init__(self) -> None:
        self.done = False

    def wake(self) -> None:
        """Tell the owner to look again. May come twice, and in vain."""


class Line(Generic[T]):
    __slots__ = ("_others", "first")

    first: Ticket[T] | None
    _others: OrderedDict[Ticket[T], None] | None

    def __init__(self) -> None:
        self.first = None
        self._others = None

    def __len__(self) -> int:
        return (self.first is not None) + len(self._others or ())

    def __iter__(self) -> Iterator[Ticket[T]]:
        if self.first is not None:
            yield self.first
            yield from self._others or ()

    def join(self, ticket: Ticket[T]) -> None:
        """Stand behind the last."""
        if self.first is None:
            self.first = ticket
        else:
            if self._others is None:
                self._others = OrderedDict()
            self._others[ticket] = None

    def leave(self, ticket: Ticket[T]) -> None:
        """Go, from wherever in the line."""
        others = self._others
        if self.first is not ticket:
            assert others is not None
            del others[ticket]
        elif others:
            self.first, _ = others.popitem(last=False)
        else:
            self.first = None

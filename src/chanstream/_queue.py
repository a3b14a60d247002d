"""The queues in which calls wait, first come, first served. A ticket is a place in one, and may leave from anywhere at one cost."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, Generic, Never, TypeVar

__all__ = ["EMPTY", "Ticket", "WaitQueue"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Ticket(Generic[T]):
    """A place in a queue. That of a sender carries its `item` until it is taken; its itemizer may return once it is `done`."""

    __slots__ = ("done", "item")

    item: T
    done: bool

    def __init__(self) -> None:
        self.done = False

    def wake(self) -> None:
        """Have the task that is parked on this ticket look again. May be called twice, and in vain. Here none can be parked."""


class WaitQueue(Generic[T_co]):
    """The `first` ticket, and those `behind` it, in order.

    Most of the time one task waits, or none. So the container is made when a second one comes. It is an OrderedDict: in a deque,
    ten thousand tickets that leave from the middle cost quadratic time.
    """

    __slots__ = ("behind", "first")

    first: Ticket[T_co] | None
    behind: OrderedDict[Ticket[T_co], None] | None

    def __init__(self) -> None:
        self.first = None
        self.behind = None

    def append(self, ticket: Ticket[T_co]) -> None:
        if self.first is None:
            self.first = ticket
        else:
            if self.behind is None:
                self.behind = OrderedDict()
            self.behind[ticket] = None

    def popleft(self) -> Ticket[T_co]:
        """Take the first ticket out, and return it."""
        first, behind = self.first, self.behind
        assert first is not None
        self.first = behind.popitem(last=False)[0] if behind else None
        return first

    def remove(self, ticket: Ticket[T_co]) -> bool:
        """Take `ticket` out, from wherever it is. Return whether it was there."""
        behind = self.behind
        if self.first is ticket:
            self.popleft()
            return True
        if not behind or ticket not in behind:
            return False
        del behind[ticket]
        return True

    def clear(self) -> list[Ticket[T_co]]:
        """Take all tickets out, and return them."""
        tickets = list(self)
        self.first = self.behind = None
        return tickets

    def __len__(self) -> int:
        # Does not iterate, so it may be called in any thread.
        return (self.first is not None) + len(self.behind or ())

    def __iter__(self) -> Iterator[Ticket[T_co]]:
        if self.first is not None:
            yield self.first
            yield from self.behind or ()


# The queue of every end at which nothing has waited yet. It stays empty. Without a container of its own, a channel takes a tenth
# less time to make.
EMPTY: Final = WaitQueue[Never]()

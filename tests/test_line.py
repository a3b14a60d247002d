"""The line in which both sides of a channel wait: rule 4, and the cost that rule 15 promises."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest
from typing_extensions import override

from chanstream._line import Behind, Ticket, joined, walk, without


class Line:
    """A line as the core keeps it."""

    def __init__(self) -> None:
        self.first: Ticket[int] | None = None
        self.behind: Behind[int] | None = None

    def __iter__(self) -> Iterator[Ticket[int]]:
        return walk(self.first, self.behind)

    def join(self, ticket: Ticket[int]) -> None:
        if self.first is None:
            self.first = ticket
        else:
            self.behind = joined(self.behind, ticket)

    def leave(self, ticket: Ticket[int]) -> None:
        self.first = without(ticket, self.first, self.behind)


def line_of(size: int) -> tuple[Line, list[Ticket[int]]]:
    line = Line()
    tickets = [Ticket[int]() for _ in range(size)]
    for ticket in tickets:
        line.join(ticket)
    return line, tickets


def check(line: Line, tickets: list[Ticket[int]]) -> None:
    """`tickets` stand in `line`, in this order, and nobody else."""
    assert list(line) == tickets
    assert line.first is (tickets[0] if tickets else None)


def test_a_new_line_is_empty() -> None:
    """Rule 4: nobody is first."""
    check(Line(), [])


@pytest.mark.parametrize("size", range(6))
def test_who_joins_stands_behind_the_last(size: int) -> None:
    """Rule 4: first come, first served."""
    line = Line()
    tickets: list[Ticket[int]] = []
    for _ in range(size):
        tickets.append(Ticket())
        line.join(tickets[-1])
        check(line, tickets)


@pytest.mark.parametrize(("size", "place"), [(size, place) for size in range(1, 6) for place in range(size)])
def test_who_leaves_may_stand_anywhere(size: int, place: int) -> None:
    """Rule 15: the first, any in the middle, the last, and the only one; the others keep their order."""
    line, tickets = line_of(size)
    line.leave(tickets.pop(place))
    check(line, tickets)
    for _ in range(2):
        tickets.append(Ticket())
        line.join(tickets[-1])
        check(line, tickets)


def test_a_line_empties_in_any_order() -> None:
    """Rule 15: and can be used again."""
    for order in permutations(range(4)):
        line, tickets = line_of(4)
        gone = [tickets[place] for place in order]
        for ticket in gone:
            tickets.remove(ticket)
            line.leave(ticket)
            check(line, tickets)
        for ticket in gone:  # the same tickets, since an end uses its ticket again
            line.join(ticket)
        check(line, gone)


def test_the_first_may_leave_while_the_line_is_walked() -> None:
    """Rule 10: a channel that closes sends everybody away."""
    line, tickets = line_of(4)
    gone: list[Ticket[int]] = []
    while (first := line.first) is not None:
        gone.append(first)
        line.leave(first)
    assert gone == tickets
    check(line, [])


def test_a_ticket_is_new_until_it_is_done() -> None:
    """Rule 2: whoever waits behind an item may go when it is done; waking changes nothing of that."""
    ticket = Ticket[int]()
    ticket.wake()
    assert not ticket.done


class Counted(Ticket[int]):
    """Counts how often a container looks at a ticket."""

    __slots__ = ()

    looks = 0

    @override
    def __eq__(self, other: object) -> bool:
        Counted.looks += 1
        return self is other

    @override
    def __hash__(self) -> int:
        Counted.looks += 1
        return id(self) >> 4


def looks_when_all_leave(size: int, order: str) -> int:
    line = Line()
    tickets = [Counted() for _ in range(size)]
    for ticket in tickets:
        line.join(ticket)
    middle = size // 2
    leaving = {"first": tickets, "middle": tickets[middle:] + tickets[:middle], "last": tickets[::-1]}[order]
    before = Counted.looks
    for ticket in leaving:
        line.leave(ticket)
    assert line.first is None
    return Counted.looks - before


@pytest.mark.parametrize("order", ["first", "middle", "last"])
def test_leaving_costs_the_same_however_many_stand_there(order: str) -> None:
    """Rule 15: where it has to be searched for, each who leaves is compared with all who stand before; here with next to nobody."""
    for size in (10, 100, 2000):
        # Looks at others are rare: tickets whose hashes happen to fall into the same place.
        assert looks_when_all_leave(size, order) <= 6 * size

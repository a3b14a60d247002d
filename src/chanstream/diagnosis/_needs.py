"""Which tasks could end the wait of another, since they hold what it takes: the itemizer, the receiver, an event."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from chanstream._ends import UNOPENED
from chanstream._fed_block import FedBlock
from chanstream._waiting import BoundState, SpinPolicy, Waiter
from chanstream.channel import Channel
from chanstream.receiver import Receiver
from chanstream.sender import Sender

from ._heap import Heap
from ._python import is_a
from ._tasks import Sleeper, Wait

__all__ = ["Hope", "Needs", "state_of"]


@dataclass(slots=True)
class Hope:
    """What could end one wait."""

    tasks: list[int] = field(default_factory=list)
    """Those that hold what it takes, or are waited for."""
    by_channel: set[int] = field(default_factory=set)
    """Those of them that hold the channel, but neither of its ends: they may never use it."""
    way: set[int] = field(default_factory=set)
    """The objects by which they hold it."""


class Needs:
    """Looks for what refers to something, from there backwards."""

    __slots__ = ("heap", "owner", "referrers")

    heap: Heap
    referrers: list[list[int]]
    owner: dict[int, int]
    """The task that runs a coroutine."""

    def __init__(self, heap: Heap, sleepers: Iterable[Sleeper]) -> None:
        self.heap = heap
        self.referrers = heap.referrers()
        self.owner = {holder: each.task for each in sleepers for holder in each.chain}

    def of(self, sleeper: Sleeper) -> Hope:
        """Return what could end the wait of a task."""
        hope = Hope()
        if sleeper.wait is Wait.TASK or sleeper.wait is Wait.ALL:
            hope.tasks = list(sleeper.members or [sleeper.wanted])
        elif sleeper.wait is Wait.FUTURE:
            self.add_holders(hope, [sleeper.wanted], ())
        elif sleeper.wait is not Wait.NOTHING:
            state = state_of(self.heap, sleeper)
            if sleeper.wait is Wait.ITEMIZE:
                self.add_holders(hope, self.ends(sleeper.wanted, Receiver), ())
            else:
                # Neither a channel nor the block of a consumer gives the itemizer of a sender that is open.
                hidden = () if state.sending is UNOPENED else (Channel, FedBlock)
                self.add_holders(hope, self.ends(sleeper.wanted, Sender), hidden)
        hope.tasks = [each for each in hope.tasks if each != sleeper.task]
        hope.by_channel.discard(sleeper.task)
        return hope

    def ends(self, state: int, kind: type[Sender[object] | Receiver[object]]) -> list[int]:
        return [each for each in self.referrers[state] if is_a(self.heap.objects[each], kind)]

    def add_holders(self, hope: Hope, things: list[int], hidden: tuple[type, ...]) -> None:
        """Add the tasks that hold one of `things`: first without, then by way of a channel."""
        direct = self.holders(things, (*hidden, Channel), hope.way)
        every = direct if Channel in hidden else self.holders(things, hidden, hope.way)
        hope.tasks = [*direct, *(each for each in every if each not in direct)]
        hope.by_channel = set(every) - set(direct)

    def holders(self, things: list[int], hidden: tuple[type, ...], way: set[int]) -> list[int]:
        objects, owner = self.heap.objects, self.owner
        found: dict[int, None] = {}
        seen = set(things)
        for number in (fresh := list(things)):  # which grows meanwhile
            task = owner.get(number)
            if task is not None:
                found[task] = None
                continue
            if is_a(objects[number], asyncio.Task):
                found[number] = None  # a callback of its end
                continue
            way.add(number)
            for each in self.referrers[number]:
                if each not in seen and not issubclass(type(objects[each]), (*NO_WAY, *hidden)):
                    seen.add(each)
                    fresh.append(each)
        return list(found)


NO_WAY = BoundState, SpinPolicy, Waiter


def state_of(heap: Heap, sleeper: Sleeper) -> BoundState[object]:
    """Return the state of the channel that a task waits in."""
    state = heap.objects[sleeper.wanted]
    assert is_a(state, BoundState)
    return state

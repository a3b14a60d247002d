"""The processes that ask `serve`: who is served next, what each was answered, and when all have gone. Synchronous.

    greet ──> ask ──> answer_first ──> ask ...    each ask acknowledges the answer before it
                                        leave     gives back the item that was not passed on
                                        doubt     finds that one has died, since it is silent and the broker doesn't know it

The time is an argument, and nothing is sent here: what a method returns is for `_serving` to do.
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias, final

from ._wire import AGAIN, PATIENCE, SILENT

__all__ = ["Answer", "Asker", "Askers"]

Answer: TypeAlias = tuple[bytes, dict[str, str] | None]
"""The payload and the headers. An answer without headers is an item."""


@final
class Asker:
    """What `serve` knows of one `ask_for`."""

    __slots__ = ("again", "answer", "answered", "heard", "number", "refusals", "reply", "sent")

    number: int
    """Of its last ask. -1 before the first one."""
    reply: str
    """Where that ask is to be answered."""
    heard: float
    """When it last asked."""
    answered: int
    """The number of the ask that `answer` answers."""
    answer: Answer
    """Kept until the next ask, which acknowledges it."""
    sent: float
    """When the answer was sent."""
    again: float
    """From when on the answer is sent again to an ask that is repeated."""
    refusals: int
    """How many times in a row the broker has reported that it isn't there."""

    def __init__(self) -> None:
        self.number = self.answered = -1
        self.reply = ""
        self.answer = b"", None
        self.heard = self.sent = self.again = 0.0
        self.refusals = 0

    def doubt(self, *, is_gone: bool) -> None:
        """Record whether the broker knows this process, which was silent."""
        self.refusals = self.refusals + 1 if is_gone else 0


@final
class Askers:
    """All processes that ask one call of `serve`."""

    __slots__ = ("by_name", "last", "one_has_left", "returned", "waiting")

    by_name: dict[str, Asker]
    """Until they leave."""
    waiting: dict[str, Asker]
    """Those whose ask waits for an item, in the order of their asks."""
    returned: deque[Answer]
    """Items that processes which left have not passed on."""
    last: Answer | None
    """The end or the failure, once the stream is over."""
    one_has_left: bool
    """Whether a process has left. Then the stream ends with the last one."""

    def __init__(self) -> None:
        self.by_name = {}
        self.waiting = {}
        self.returned = deque()
        self.last = None
        self.one_has_left = False

    def greet(self, name: str) -> None:
        """Record a process that begins to ask."""
        self.by_name.setdefault(name, Asker())

    def ask(self, name: str, number: int, reply: str, now: float) -> Asker | None:
        """Record an ask. Return the process if that is to get the answer again that it has had."""
        asker = self.by_name.setdefault(name, Asker())
        asker.number, asker.reply = max((asker.number, asker.reply), (number, reply))
        asker.refusals = 0
        asker.heard = now
        if asker.number > asker.answered:
            self.waiting.setdefault(name, asker)
            return None
        if now < asker.again:
            return None
        # The answer was lost, or is large and slow: then repeating it often would make it slower.
        asker.again = now + (now - asker.sent)
        return asker

    def leave(self, name: str, number: int) -> None:
        """Remove a process that has passed on the items before `number`."""
        self.waiting.pop(name, None)
        asker = self.by_name.pop(name, None)
        if asker is None:  # it reads another stream of this subject, or its message was repeated
            return
        self.one_has_left = self.one_has_left or asker.number >= 0  # otherwise it has not asked yet
        if asker.answered >= number and asker.answer[1] is None:
            self.returned.append(asker.answer)

    def one_waits(self, now: float) -> bool:
        """Return whether an ask waits. Processes that were silent for long are passed over until they ask again."""
        while self.waiting:
            name, asker = next(iter(self.waiting.items()))
            if now - asker.heard < SILENT:
                return True
            del self.waiting[name]
        return False

    def answer_first(self, answer: Answer, now: float) -> Asker:
        """Record that the first ask that waits is answered. Return the process."""
        asker = self.waiting.pop(next(iter(self.waiting)))
        asker.answered, asker.answer = asker.number, answer
        asker.sent = now
        asker.again = now + AGAIN
        return asker

    def answer_returned(self, now: float) -> Asker | None:
        """Answer the first ask with an item that was given back, if there are both. Return the process."""
        return self.answer_first(self.returned.popleft(), now) if self.returned and self.one_waits(now) else None

    @property
    def is_closing(self) -> bool:
        """Return whether no further processes are waited for."""
        return self.one_has_left or self.last is not None

    @property
    def have_gone(self) -> bool:
        """Return whether all processes have left or died, and no others are waited for."""
        return self.is_closing and not any(asker.refusals * AGAIN < PATIENCE for asker in self.by_name.values())

    def silent(self, now: float) -> list[tuple[str, Asker]]:
        """Return those that may have died, with their names."""
        return [(name, asker) for name, asker in self.by_name.items() if now - asker.heard >= SILENT]

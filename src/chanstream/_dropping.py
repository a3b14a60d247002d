"""Channels that lose items on purpose, or say which ones were lost: `Channel(drop_oldest=True)` and `Channel(on_drop=...)`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from ._ends import MOST_WITHOUT_TURN, OPEN, UNOPENED
from ._override import override
from ._queue import Ticket
from ._waiting import BoundState

__all__ = ["DropOldestState", "DroppingState"]

T = TypeVar("T")


class DroppingState(BoundState[T]):
    """Calls `on_drop` for each item that is left behind although its itemizer had returned."""

    __slots__ = ("on_drop",)

    on_drop: Callable[[T], None] | None

    def __init__(self, buffer: int, origin: str | None, on_drop: Callable[[T], None] | None) -> None:
        BoundState.__init__(self, buffer, origin)
        self.on_drop = on_drop

    @override
    def open(self) -> None:
        if self.on_drop is not None and self.sending is UNOPENED:
            self.bind_loop()  # in which `on_drop` is called, whatever thread drops an end; first, since it may be refused
        super().open()

    @override
    def drop_receiver(self) -> bool:
        if self.on_drop is None or self.closed:
            return super().drop_receiver()
        # The items are left for the loop, in which `on_drop` is called.
        self.stop_receiving()
        self.error = None
        return True

    @override
    def drop_all(self) -> None:
        lost = list[T]()
        if self.on_drop is not None:
            lost.extend(self.items or lost)
            lost.extend(sender.item for sender in self.senders if sender.done)
        super().drop_all()
        for item in lost:
            self.lose(item)

    def lose(self, item: T) -> None:
        """Call `on_drop`. The last action of a step, since it may use the channel again."""
        loop = self.loop
        if self.on_drop is None or loop is None or loop.is_closed():
            return
        try:
            self.on_drop(item)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            context: dict[str, object] = {"message": f"on_drop of {self!r} failed", "exception": error}
            loop.call_exception_handler(context)
            del context  # the traceback of the error refers to this frame


class DropOldestState(DroppingState[T]):
    """Loses the oldest item of a full buffer for the new one, so that no itemizer waits for room."""

    __slots__ = ("since_turn",)

    since_turn: int
    """How many items went into a full buffer since other tasks had a turn."""

    def __init__(self, buffer: int, origin: str | None, on_drop: Callable[[T], None] | None) -> None:
        DroppingState.__init__(self, buffer, origin, on_drop)
        self.since_turn = 0

    @property
    @override
    def has_room(self) -> bool:
        return True

    @override
    def try_put(self, item: T) -> bool:
        assert self.items is not None
        level = len(self.items)
        turn_is_due = self.high <= level < self.buffer or self.since_turn >= MOST_WITHOUT_TURN
        if turn_is_due or self.senders.first is not None or self.sending is not OPEN:
            return False
        self.put(item)
        return True

    @override
    def try_offer(self, item: T) -> bool:
        if self.sending is not OPEN or self.senders.first is None:
            return super().try_offer(item)
        # It goes behind itemizers that wait for a turn. What was accepted for good is never more than the buffer holds: so none of
        # it is pushed out only when they leave the queue, in the middle of taking an item for example.
        items = self.items
        assert items is not None
        oldest: Ticket[T] | None = None
        if len(items) + self.offered >= self.buffer:
            oldest = self.push_out(items)
        self.queue_offer(item)
        if oldest is not None:
            self.lose(oldest.item)
        return True

    def push_out(self, items: deque[T]) -> Ticket[T]:
        """Take out the oldest item that was accepted for good."""
        if items:
            oldest = Ticket[T]()
            oldest.item = items.popleft()
        else:
            oldest = next(sender for sender in self.senders if sender.done)
            self.senders.remove(oldest)
            self.offered -= 1
        self.dropped += 1
        return oldest

    @override
    def put(self, item: T) -> None:
        items = self.items
        assert items is not None
        if len(items) < self.buffer:
            BoundState.put(self, item)  # super() would take a tenth of the time on Python 3.11
            return
        oldest = items.popleft()
        items.append(item)
        self.dropped += 1
        self.since_turn += 1
        if self.parked:
            self.advance()  # for the itemizer behind the one whose item this is
        if self.on_drop is not None:
            self.lose(oldest)

    @override
    def took_turn(self) -> None:
        super().took_turn()
        self.since_turn = 0

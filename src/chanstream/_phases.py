"""How far each side of a channel has got: two phases, which only move forward. Their values are the words of the `repr`."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["ABANDONED", "CLOSED", "FAILED", "FINISHED", "NEVER_OPENED", "OPEN", "RECEIVING", "UNOPENED", "Receiving", "Sending"]


class Sending(Enum):
    """The phases of the sending side, in the order in which they may follow."""

    UNOPENED = "unopened"
    """Nobody has entered the sender block."""
    OPEN = "open"
    """The sender block runs and the itemizer works."""
    FINISHED = "finished"
    """The block ended normally."""
    FAILED = "failed"
    """The block ended by an error."""
    NEVER_OPENED = "never opened"
    """Nothing refers to the sender any more, and nobody had opened it."""
    ABANDONED = "abandoned"
    """Nothing refers to the sender any more, and nobody had left its block."""


class Receiving(Enum):
    """The phases of the receiving side, in their order."""

    OPEN = "open"
    """Items may be asked for."""
    CLOSED = "closed"
    """The receiver was closed, or nothing refers to it any more."""


# Names of the module: looking a member up in its class costs more than the comparison.
UNOPENED: Final = Sending.UNOPENED
OPEN: Final = Sending.OPEN
FINISHED: Final = Sending.FINISHED
FAILED: Final = Sending.FAILED
NEVER_OPENED: Final = Sending.NEVER_OPENED
ABANDONED: Final = Sending.ABANDONED
RECEIVING: Final = Receiving.OPEN
CLOSED: Final = Receiving.CLOSED

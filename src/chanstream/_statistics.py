"""The state of a channel for its users: counts and phases, never an item."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["ChannelStatistics", "ReceiverPhase", "SenderPhase"]

SenderPhase: TypeAlias = Literal["unopened", "open", "finished", "failed", "dropped unopened", "abandoned"]
ReceiverPhase: TypeAlias = Literal["open", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStatistics:
    """A channel at one moment, as `Channel.statistics` and `Receiver.statistics` return it. The idea is anyio's and trio's.

    What was accepted adds up: accepted = taken + withdrawn + `dropped` + `pending`.
    """

    buffer: int
    """How many items a sender may be ahead of the receiver; 0 in lock-step."""
    buffered: int
    """Accepted items whose itemizer, or `offer`, has returned, and that were not taken yet."""
    pending: int
    """Accepted items that were not taken yet: those buffered, and those whose itemizer waits."""
    itemizing: int
    """Calls that wait in an itemizer. In lock-step the one whose item was taken last is among them."""
    asking: int
    """Calls that wait for an item."""
    dropped: int
    """Accepted items that are lost, although their itemizer had returned: pushed out by `drop_oldest`, or left behind by a receiver
    that was closed or dropped."""
    sender: SenderPhase
    """How far the sending side has come."""
    receiver: ReceiverPhase
    """Whether the receiver is open; one that was dropped is closed."""

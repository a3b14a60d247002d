"""Stream objects between coroutines: `Channel` joins a sender block and an ``async for`` loop. See `protocols` for the contract."""

from .channel import Channel
from .errors import ChannelError, ReceiverClosed, SenderClosed, SenderFailed
from .protocols import Itemizer, SenderContext
from .receiver import Receiver
from .sender import Sender
from .stream import stream

__all__ = [
    "Channel",
    "ChannelError",
    "Itemizer",
    "Receiver",
    "ReceiverClosed",
    "Sender",
    "SenderClosed",
    "SenderContext",
    "SenderFailed",
    "__version__",
    "stream",
]

__version__ = "0.1.0"

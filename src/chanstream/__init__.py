"""Stream objects between coroutines: `Channel` joins a sender block and an ``async for`` loop. See `protocols` for the contract."""

from ._statistics import ChannelStatistics
from .channel import Channel
from .errors import ChannelError, ReceiverClosed, SenderClosed, SenderFailed
from .in_thread import in_thread
from .offer import offer
from .protocols import BlockingItemizer, Itemizer, Producer, SenderContext
from .receiver import Receiver
from .sender import Sender
from .stream import stream

__all__ = [
    "BlockingItemizer",
    "Channel",
    "ChannelError",
    "ChannelStatistics",
    "Itemizer",
    "Producer",
    "Receiver",
    "ReceiverClosed",
    "Sender",
    "SenderClosed",
    "SenderContext",
    "SenderFailed",
    "__version__",
    "in_thread",
    "offer",
    "stream",
]

__version__ = "0.1.0"

# Python's own messages, tracebacks for example, so name what users import and not the module behind it.
for _public in (
    *(Channel, Receiver, Sender, Itemizer, BlockingItemizer, SenderContext, ChannelStatistics),
    *(ChannelError, ReceiverClosed, SenderClosed, SenderFailed),
    *(in_thread, offer, stream),
):
    _public.__module__ = __name__

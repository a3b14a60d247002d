"""The channel: its two ends, and nothing else of its own."""

from __future__ import annotations

from typing import Generic, TypeVar, final

from typing_extensions import override

from . import errors
from ._core import Core
from ._pinned import Pinned
from ._waiting import Home
from .receiver import Receiver
from .sender import Sender

__all__ = ["Channel"]

T = TypeVar("T")


@final
class Channel(Pinned, Generic[T]):
    """A stream of objects from one sender block to the loops over one receiver.

    `buffer` is how many accepted items may wait to be taken while their itemizers have returned. With 0, the default, sender and
    receiver go in lock-step, as a generator and its consumer do.

    It can be made anywhere, also where no event loop runs. It keeps to the event loop in which it first has to wait.

    Raises TypeError if `buffer` is not an int, ValueError if it is negative.
    """

    __slots__ = ("__weakref__", "_core", "_receiver", "_sender")

    _core: Core[T]
    _receiver: Receiver[T]
    _sender: Sender[T]

    def __init__(self, *, buffer: int = 0) -> None:
        home = Home()
        self._core = Core(checked(buffer))
        self._sender = Sender(self._core, home)
        self._receiver = Receiver(self._core, home)

    @override
    def __repr__(self) -> str:
        return repr(self._core)

    @property
    def sender(self) -> Sender[T]:
        """The sending end, always the same object. It can be opened once."""
        return self._sender

    @property
    def receiver(self) -> Receiver[T]:
        """The receiving end, always the same object."""
        return self._receiver


def checked(buffer: object) -> int:
    if not isinstance(buffer, int) or isinstance(buffer, bool):
        raise errors.not_a_buffer(buffer)
    if buffer < 0:
        raise errors.negative_buffer(buffer)
    return buffer

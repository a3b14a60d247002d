from asyncio import Future
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

class Client:
    stats: dict[str, int]

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...
    @property
    def is_closed(self) -> bool: ...
    @property
    def is_connected(self) -> bool: ...
    @property
    def is_connecting(self) -> bool: ...
    @property
    def is_reconnecting(self) -> bool: ...
    @property
    def max_payload(self) -> int: ...
    def new_inbox(self) -> str: ...
    async def publish(self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None) -> None: ...
    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, str] | None = None,
    ) -> Msg: ...
    async def subscribe(
        self,
        subject: str,
        queue: str = "",
        cb: Callable[[Msg], Awaitable[None]] | None = None,
        future: Future[Msg] | None = None,
        max_msgs: int = 0,
        pending_msgs_limit: int = 524288,
        pending_bytes_limit: int = 134217728,
    ) -> Subscription: ...
    async def flush(self, timeout: float = 10) -> None: ...
    async def drain(self) -> None: ...
    async def close(self) -> None: ...

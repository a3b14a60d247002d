from asyncio import Future
from collections.abc import Awaitable, Callable

from nats.aio.client import Client
from nats.aio.msg import Msg

class Subscription:
    def __init__(
        self,
        conn: Client,
        id: int = 0,
        subject: str = "",
        queue: str = "",
        cb: Callable[[Msg], Awaitable[None]] | None = None,
        future: Future[Msg] | None = None,
        max_msgs: int = 0,
        pending_msgs_limit: int = 524288,
        pending_bytes_limit: int = 134217728,
    ) -> None: ...
    async def next_msg(self, timeout: float | None = 1.0) -> Msg: ...
    async def unsubscribe(self, limit: int = 0) -> None: ...

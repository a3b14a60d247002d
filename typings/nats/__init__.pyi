from collections.abc import Awaitable, Callable
from typing import TypeAlias

from nats.aio.client import Client

_Callback: TypeAlias = Callable[[], Awaitable[None]]
_ErrorCallback: TypeAlias = Callable[[Exception], Awaitable[None]]

async def connect(
    servers: str | list[str] = "nats://localhost:4222",
    *,
    error_cb: _ErrorCallback = ...,
    disconnected_cb: _Callback | None = None,
    closed_cb: _Callback | None = None,
    reconnected_cb: _Callback | None = None,
    name: str | None = None,
    allow_reconnect: bool = True,
    connect_timeout: float = 2,
    reconnect_time_wait: float = 2,
    max_reconnect_attempts: int = 60,
    ping_interval: float = 120,
    max_outstanding_pings: int = 2,
    pending_size: int = 2097152,
    flush_timeout: float | None = None,
) -> Client: ...

"""What the two sides have to agree on: times, words and headers; and how both publish."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.errors import Error

from chanstream._cancellation import cancelling

__all__ = [
    "ADDRESS",
    "AGAIN",
    "ALIVE",
    "END",
    "FAILED",
    "GREETING",
    "KIND",
    "LEAVE",
    "PATIENCE",
    "SILENT",
    "SOON",
    "briefly",
    "send",
]

AGAIN: Final = 0.5
"""Seconds after which an ask without an answer is repeated."""
SOON: Final = 0.02
"""Seconds after which it is repeated if no process was there. They double each time, up to half of AGAIN."""
SILENT: Final = 4 * AGAIN
"""Seconds after which a process that hasn't repeated its ask is passed over: it may have died."""
PATIENCE: Final = 7 * AGAIN
"""Seconds of "no responders" after which a process counts as dead. A client needs two to connect again after a lost connection."""

GREETING: Final = "greeting"
"""In place of the number of an ask: asks for the address of a `serve`."""
ALIVE: Final = "alive"
"""In place of the number of an answer: asks whether this process is there."""
LEAVE: Final = "leave"
"""After the number of an ask: neither this one nor any later one will be made."""

KIND: Final = "Chanstream"
"""The header of an answer that is no item. Its value is one of these. An item has the address of `serve` as its reply subject."""
ADDRESS: Final = "address"
END: Final = "end"
FAILED: Final = "failed"


async def send(client: Client, subject: str, payload: bytes, *, reply: str = "", headers: dict[str, str] | None = None) -> None:
    """Publish. A cancellation that reaches nats-py while it waits for the broker is dropped there, and raised here."""
    before = cancelling()
    await client.publish(subject, payload, reply, headers)
    if cancelling() > before:
        raise asyncio.CancelledError


async def briefly(last: Coroutine[object, object, object]) -> None:
    """Await `last` for a second at most, and ignore that it failed: nats-py may wait for a broker that has stopped.

    To know that a message has arrived, make it a request. A ``client.flush()`` that is cancelled, or too late, ends the client's
    reading.
    """
    with suppress(Error, TimeoutError):
        async with asyncio.timeout(1):
            await last

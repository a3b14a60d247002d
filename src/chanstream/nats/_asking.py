"""The side that asks: `ask_for`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TypeVar, final

from nats.aio.client import Client
from nats.aio.msg import Msg

from chanstream.protocols import Itemizer

from . import _errors as errors
from ._checks import check, check_patience
from ._wire import AGAIN, END, FAILED, GREETING, KIND, LEAVE, PATIENCE, SOON, briefly, send

__all__ = ["ask_for"]

T = TypeVar("T")


async def ask_for(
    itemize: Itemizer[T], client: Client, subject: str, decode: Callable[[bytes], T], *, patience: float = PATIENCE
) -> None:
    """Ask the process that serves `subject` for items, and pass on ``decode(answer)`` of each: a producer, for ``fed_by``.

    Under ``fed_by`` it asks for the first item at once. With ``Channel(buffer=n)`` it asks ahead, up to n items.

    **Waits** for answers, and in `itemize`. The next ask is made when `itemize` has returned, which makes it lock-step.

    **The wait ends** with the stream. It goes on while the broker is not there, for as long as `client` tries to connect again.

    **Cancelled**, it leaves the stream: an item that it has not passed to `itemize` goes to another process. If it is the last that
    asks, `serve` returns. Leaving takes a second or two if the broker is not there.

    **Raises** `RemoteFailed` if the stream failed on the serving machine. Raises `RemoteGone` when the broker has reported for
    `patience` seconds, which may be 0 or math.inf, that there is no such process: it has died or was stopped, or has not been
    started yet. Raises what `decode` raises, which leaves the stream; TypeError and ValueError for wrong arguments;
    ConnectionClosedError of nats-py if `client` is closed, or stops trying to connect again.

    **Order of service**: that of `serve`.
    """
    check(client, subject, "decode", decode)
    check_patience(patience)
    asking = Asking(client, subject, patience)
    inbox = await client.subscribe(f"{asking.name}.*", cb=asking.hear)
    try:
        await asking.greet()
        while (data := await asking.ask()) is not None:
            await itemize(decode(data))
    finally:
        await briefly(asking.leave())
        await briefly(inbox.unsubscribe())


@final
class Asking:
    """One call of `ask_for`: a stream of numbered asks, one at a time."""

    __slots__ = ("address", "answer", "client", "expected", "name", "number", "patience", "refusal", "subject")

    client: Client
    subject: str
    patience: float
    name: str
    """The subject on which this process is answered."""
    address: str
    """That of the call of `serve` which it asks, once it is known."""
    number: int
    """Of the first item that was not passed on."""
    expected: str
    """The token of the ask under way, which its answer has too."""
    answer: asyncio.Future[Msg]
    """Done when that ask is answered."""
    refusal: asyncio.Future[Msg]
    """Done when the broker reports that there is no such process."""

    def __init__(self, client: Client, subject: str, patience: float) -> None:
        self.client = client
        self.subject = subject
        self.patience = patience
        self.name = client.new_inbox()
        self.address = self.expected = ""
        self.number = 0
        self.answer = asyncio.get_running_loop().create_future()
        self.refusal = asyncio.get_running_loop().create_future()

    async def hear(self, message: Msg) -> None:
        """Handle a message to this process. Called by the client."""
        if message.reply not in {"", self.address}:
            await send(self.client, message.reply, self.address.encode())  # to say that this process is there, and what it reads
        if message.subject.rpartition(".")[2] != self.expected:  # a second answer to an ask that was repeated
            return
        headers = message.headers or {}
        if headers.get("Status") == "503":
            settle(self.refusal, message)
        elif KIND in headers or message.reply == self.address != "":  # otherwise of another subscriber, JetStream for example
            settle(self.answer, message)

    async def greet(self) -> None:
        """Get the address of one call of `serve`. Other calls, and later ones, have other addresses and never see these asks."""
        self.address = (await self.request(self.subject, GREETING)).data.decode()

    async def ask(self) -> bytes | None:
        """Return the next item, encoded, or None at the end."""
        answer = await self.request(self.address, str(self.number))
        self.number += 1
        kind = answer.headers.get(KIND) if answer.headers else None
        if kind == END:
            return None
        if kind == FAILED:
            raise errors.remote_failed(self.subject, answer.data.decode(errors="replace"))
        return answer.data

    async def request(self, address: str, token: str) -> Msg:
        """Ask until there is an answer, or until the broker has said for long enough that there is no such process."""
        loop = asyncio.get_running_loop()
        self.expected = token
        self.answer = loop.create_future()
        pause, refused_since = SOON, math.inf
        while True:
            self.refusal = loop.create_future()
            if not (self.client.is_reconnecting or self.client.is_connecting):  # the client would keep every repetition to send
                await send(self.client, address, f"{self.name} {token}".encode(), reply=f"{self.name}.{token}")
            await asyncio.wait((self.answer, self.refusal), timeout=AGAIN, return_when=asyncio.FIRST_COMPLETED)
            if self.refusal.done() and not self.answer.done():
                refused_since = min(refused_since, loop.time())
                if loop.time() - refused_since >= self.patience:
                    raise errors.remote_gone(self.subject) if self.address else errors.not_served(self.subject, self.patience)
                await asyncio.wait((self.answer,), timeout=pause)
                pause = min(2 * pause, AGAIN / 2)
            else:
                refused_since = math.inf
            if self.answer.done():
                return self.answer.result()

    async def leave(self) -> None:
        if not self.address and self.client.is_connected:  # a greeting may be on its way, to a `serve` that then waits for asks
            await asyncio.wait((self.answer, self.refusal), return_when=asyncio.FIRST_COMPLETED)
            if self.answer.done():
                self.address = self.answer.result().data.decode()
        if self.address:
            await self.client.request(self.address, f"{self.name} {self.number} {LEAVE}".encode(), timeout=1)


def settle(future: asyncio.Future[Msg], message: Msg) -> None:
    if not future.done():
        future.set_result(message)

"""The side that is asked: `serve`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import suppress
from typing import Final, TypeVar, final
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, Error, NoRespondersError, OutboundBufferLimitError

from chanstream.errors import SenderFailed

from ._askers import Answer, Asker, Askers
from ._checks import check, check_payload
from ._wire import ADDRESS, AGAIN, ALIVE, END, FAILED, KIND, briefly, send

__all__ = ["serve"]

T = TypeVar("T")
REASON: Final = 2000
"""Bytes of the text of an error that cross at most."""


async def serve(items: AsyncIterable[T], client: Client, subject: str, encode: Callable[[T], bytes]) -> None:
    """Take an item of `items` for each ask that other processes make for `subject`, and answer with ``encode(item)``.

    Several processes that ask share the stream: each item goes to one of them. Several calls of `serve` for one subject share the
    processes: each reads one of the streams, which the broker chooses.

    **Waits** for asks, for items, and after the end until each process that asked has been notified.

    **The wait ends** with the stream, or when the last process that asked has left. A process that has died is not waited for. If
    all have died and none has left, others are waited for. The items are read in the calling task, and a wait for one is
    cancelled when the last process leaves.

    **Cancelled**, it fails the stream for the processes that ask: those that wait get `RemoteFailed` at once, others `RemoteGone`
    when they come back. An item that was not yet sent is lost.

    **Raises** what `items` or `encode` raises, after the processes have been notified. Raises ValueError for an item that is larger
    than the broker takes, which fails the stream; TypeError and ValueError for wrong arguments; ConnectionClosedError of nats-py if
    `client` is closed, or stops trying to connect again.

    **Order of service**: the processes are served in the order in which their asks arrive.
    """
    check(client, subject, "encode", encode)
    serving = Serving(client, subject)
    source = aiter(items)
    asks = await client.subscribe(serving.address, cb=serving.hear)
    greetings = await client.subscribe(subject, queue="chanstream", cb=serving.greet)
    watching = asyncio.create_task(serving.watch(), name=f"serve {subject}")
    try:
        await serving.run(source, encode)
    except asyncio.CancelledError as error:
        await serving.report_cancelled(error)
        raise
    finally:
        watching.cancel()
        await asyncio.gather(briefly(greetings.unsubscribe()), briefly(asks.unsubscribe()))
        await asyncio.wait((watching,))


@final
class Serving:
    """One call of `serve`: it reads the source, and does what `Askers` decides."""

    __slots__ = ("address", "asked", "askers", "client", "error", "stopped", "subject", "time", "until_stopped")

    client: Client
    subject: str
    address: str
    """The subject on which this call alone is asked."""
    askers: Askers
    asked: asyncio.Event
    """Set when an ask has come, or `run` has to stop."""
    error: Exception | None
    """What `serve` raises in the end."""
    stopped: bool
    """Whether `run` has ended, or is to end."""
    until_stopped: asyncio.Timeout
    """Around `run`: ends whatever that waits for."""
    time: Callable[[], float]

    def __init__(self, client: Client, subject: str) -> None:
        self.client = client
        self.subject = subject
        self.address = f"{subject}.{uuid4().hex}"
        self.askers = Askers()
        self.asked = asyncio.Event()
        self.error = None
        self.stopped = False
        self.until_stopped = asyncio.timeout(None)
        self.time = asyncio.get_running_loop().time

    # Called by the client, when a message has come.

    async def greet(self, greeting: Msg) -> None:
        """Give a process that begins to ask the address of this call."""
        name, _ = greeting.data.decode().split()
        self.askers.greet(name)
        await send(self.client, greeting.reply, self.address.encode(), headers={KIND: ADDRESS})

    async def hear(self, ask: Msg) -> None:
        """Handle an ask, or the message that a process leaves."""
        if not ask.data:  # the broker reports that an answer reached no process
            return
        name, number, *leaves = ask.data.decode().split()
        if leaves:
            await self.dismiss(name, int(number))
            await send(self.client, ask.reply, b"")
        elif (repeated := self.askers.ask(name, int(number), ask.reply, self.time())) is not None:
            await self.send(repeated)
        else:
            self.asked.set()
            await self.give_returned()

    async def dismiss(self, name: str, number: int) -> None:
        self.askers.leave(name, number)
        if self.askers.have_gone:
            self.stop()
        else:
            await self.give_returned()

    # What `serve` runs.

    async def run(self, source: AsyncIterator[T], encode: Callable[[T], bytes]) -> None:
        """Answer asks until the last process has left."""
        with suppress(TimeoutError):
            try:
                async with self.until_stopped:
                    while await self.an_ask_waits():
                        answer = await self.next_answer(source, encode)
                        if await self.an_ask_waits():  # that of another process, if this one has left in the meantime
                            await self.send(self.askers.answer_first(answer, self.time()))
            finally:
                self.stopped = True
        if self.error is not None:
            raise self.error

    async def an_ask_waits(self) -> bool:
        """Wait for an ask. Return false when the last process has left."""
        while not self.stopped and not self.askers.one_waits(self.time()):
            self.asked.clear()
            await self.asked.wait()
        return not self.stopped

    async def next_answer(self, source: AsyncIterator[T], encode: Callable[[T], bytes]) -> Answer:
        """Read the next item, or how the stream has ended."""
        if self.askers.last is not None:
            return self.askers.last
        try:
            try:
                item = await anext(source)
            except StopAsyncIteration:
                self.askers.last = b"", {KIND: END}
                return self.askers.last
            data = encode(item)
            check_payload(self.subject, data, self.client.max_payload)
        except Exception as error:
            self.error = error
            self.askers.last = failed(error)
            return self.askers.last
        return data, None

    async def give_returned(self) -> None:
        """Answer an ask with an item that was given back. `run` may be waiting for a further one."""
        if (asker := self.askers.answer_returned(self.time())) is not None:
            await self.send(asker)

    async def send(self, asker: Asker) -> None:
        payload, headers = asker.answer
        with suppress(OutboundBufferLimitError):  # the connection is broken; the answer will be asked for again
            await send(self.client, asker.reply, payload, reply=self.address, headers=headers)

    def stop(self) -> None:
        self.stopped = True
        self.asked.set()
        with suppress(RuntimeError):  # `run` has ended by itself
            self.until_stopped.reschedule(0)  # whatever `run` waits for

    # What runs beside it.

    async def watch(self) -> None:
        """Notice what causes no message: processes that died, and a client that was closed."""
        while not self.stopped:
            await asyncio.sleep(AGAIN)
            if self.client.is_closed:
                self.error = self.error or ConnectionClosedError()
                self.stop()
            elif self.askers.is_closing:
                for name, asker in self.askers.silent(self.time()):
                    asker.doubt(is_gone=await self.is_gone(name))
                if self.askers.have_gone:
                    self.stop()

    async def is_gone(self, name: str) -> bool:
        """Return whether the process isn't there, or reads another stream of this subject. One that is late counts as there."""
        try:
            return (await self.client.request(f"{name}.{ALIVE}", timeout=AGAIN)).data != self.address.encode()
        except NoRespondersError:
            return True
        except Error:
            return False

    async def report_cancelled(self, error: BaseException) -> None:
        """Notify the processes that wait that `serve` was cancelled."""
        payload, headers = failed(error)
        waiting = self.askers.waiting.values()
        requests = [self.client.request(asker.reply, payload, timeout=1, headers=headers) for asker in waiting]
        await asyncio.gather(*map(briefly, requests))


def failed(error: BaseException) -> Answer:
    if isinstance(error, SenderFailed) and error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}".encode()[:REASON], {KIND: FAILED}

"""The side that is asked: `serve`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import suppress
from typing import Final, TypeAlias, TypeVar, final
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, Error, NoRespondersError, OutboundBufferLimitError

from chanstream.errors import SenderFailed

from ._checks import check, check_payload
from ._wire import ADDRESS, AGAIN, ALIVE, END, FAILED, KIND, PATIENCE, SILENT, briefly, send

__all__ = ["serve"]

T = TypeVar("T")
Answer: TypeAlias = tuple[bytes, dict[str, str] | None]
"""The payload and the headers. An answer without headers is an item."""

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
class Asker:
    """What `serve` knows of one `ask_for`."""

    __slots__ = ("again", "answer", "answered", "heard", "number", "refusals", "reply", "sent")

    number: int
    """Of its last ask."""
    reply: str
    """Where that ask is to be answered."""
    heard: float
    """When it last asked."""
    answered: int
    """The number of the ask that `answer` answers."""
    answer: Answer
    """Kept until the next ask, which acknowledges it."""
    sent: float
    """When the answer was sent."""
    again: float
    """From when on the answer is sent again to an ask that is repeated."""
    refusals: int
    """How many times in a row the broker has reported that it isn't there."""

    def __init__(self) -> None:
        self.number = self.answered = -1
        self.reply = ""
        self.answer = b"", None
        self.heard = self.sent = self.again = 0.0
        self.refusals = 0


@final
class Serving:
    """One call of `serve`: the processes that ask, what each was answered, and how the stream ended."""

    __slots__ = (
        "address",
        "asked",
        "askers",
        "client",
        "error",
        "last",
        "one_has_left",
        "returned",
        "stopped",
        "subject",
        "time",
        "until_stopped",
        "waiting",
    )

    client: Client
    subject: str
    address: str
    """The subject on which this call alone is asked."""
    askers: dict[str, Asker]
    """The processes that ask, by name, until they leave."""
    waiting: dict[str, Asker]
    """Those whose ask waits for an item, in the order of their asks."""
    asked: asyncio.Event
    """Set when an ask has come, or `run` has to stop."""
    returned: deque[Answer]
    """Items that processes which left have not passed on."""
    last: Answer | None
    """The end or the failure, once the stream is over."""
    error: Exception | None
    """What `serve` raises in the end."""
    one_has_left: bool
    """Whether a process has left. Then the stream ends with the last one."""
    stopped: bool
    """Whether `run` has ended, or is to end."""
    until_stopped: asyncio.Timeout
    """Around `run`: ends whatever that waits for."""
    time: Callable[[], float]

    def __init__(self, client: Client, subject: str) -> None:
        self.client = client
        self.subject = subject
        self.address = f"{subject}.{uuid4().hex}"
        self.askers = {}
        self.waiting = {}
        self.asked = asyncio.Event()
        self.returned = deque()
        self.last = self.error = None
        self.one_has_left = self.stopped = False
        self.until_stopped = asyncio.timeout(None)
        self.time = asyncio.get_running_loop().time

    async def greet(self, greeting: Msg) -> None:
        """Give a process that begins to ask the address of this call. Called by the client."""
        name, _ = greeting.data.decode().split()
        self.askers.setdefault(name, Asker())
        await send(self.client, greeting.reply, self.address.encode(), headers={KIND: ADDRESS})

    async def hear(self, ask: Msg) -> None:
        """Handle an ask, or the message that a process leaves. Called by the client."""
        if not ask.data:  # the broker reports that an answer reached no process
            return
        name, number, *leaves = ask.data.decode().split()
        if leaves:
            await self.dismiss(name, int(number))
            await send(self.client, ask.reply, b"")
            return
        asker = self.askers.setdefault(name, Asker())
        asker.number, asker.reply = max((asker.number, asker.reply), (int(number), ask.reply))
        asker.refusals = 0
        asker.heard = now = self.time()
        if asker.number > asker.answered:
            self.waiting.setdefault(name, asker)
            self.asked.set()
            await self.give_returned()
        elif now >= asker.again:  # the answer was lost, or is large and slow: then repeating it often would make it slower
            asker.again = now + (now - asker.sent)
            await self.send(asker)

    async def dismiss(self, name: str, number: int) -> None:
        """Let a process leave that has passed on the items before `number`."""
        self.waiting.pop(name, None)
        asker = self.askers.pop(name, None)
        if asker is None:  # it reads another stream of this subject, or its message was repeated
            return
        self.one_has_left = self.one_has_left or asker.number >= 0  # otherwise it has not asked yet
        if self.is_over():
            self.stop()
        elif asker.answered >= number and asker.answer[1] is None:
            self.returned.append(asker.answer)
            await self.give_returned()

    async def run(self, source: AsyncIterator[T], encode: Callable[[T], bytes]) -> None:
        """Answer asks until the last process has left."""
        with suppress(TimeoutError):
            try:
                async with self.until_stopped:
                    while await self.an_ask_waits():
                        answer = await self.next_answer(source, encode)
                        if await self.an_ask_waits():  # that of another process, if this one has left in the meantime
                            await self.give(answer)
            finally:
                self.stopped = True
        if self.error is not None:
            raise self.error

    async def next_answer(self, source: AsyncIterator[T], encode: Callable[[T], bytes]) -> Answer:
        if self.last is not None:
            return self.last
        try:
            try:
                item = await anext(source)
            except StopAsyncIteration:
                self.last = b"", {KIND: END}
                return self.last
            data = encode(item)
            check_payload(self.subject, data, self.client.max_payload)
        except Exception as error:
            self.error = error
            self.last = failed(error)
            return self.last
        return data, None

    def first(self) -> str | None:
        """Return the process that is served next. One that was silent for long is skipped until it asks again."""
        while self.waiting:
            name, asker = next(iter(self.waiting.items()))
            if self.time() - asker.heard < SILENT:
                return name
            del self.waiting[name]
        return None

    async def an_ask_waits(self) -> bool:
        """Wait for an ask. Return false when the last process has left."""
        while not self.stopped and self.first() is None:
            self.asked.clear()
            await self.asked.wait()
        return not self.stopped

    async def give(self, answer: Answer) -> None:
        """Answer the first ask that waits."""
        asker = self.waiting.pop(next(iter(self.waiting)))
        asker.answered, asker.answer = asker.number, answer
        asker.sent = self.time()
        asker.again = asker.sent + AGAIN
        await self.send(asker)

    async def give_returned(self) -> None:
        """Answer the first ask with an item that was given back. `run` may be waiting for a further one."""
        if self.returned and self.first() is not None:
            await self.give(self.returned.popleft())

    async def send(self, asker: Asker) -> None:
        payload, headers = asker.answer
        with suppress(OutboundBufferLimitError):  # the connection is broken; the answer will be asked for again
            await send(self.client, asker.reply, payload, reply=self.address, headers=headers)

    def stop(self) -> None:
        self.stopped = True
        self.asked.set()
        with suppress(RuntimeError):  # `run` has ended by itself
            self.until_stopped.reschedule(0)  # whatever `run` waits for

    async def watch(self) -> None:
        """Notice what causes no message: processes that died, and a client that was closed."""
        while not self.stopped:
            await asyncio.sleep(AGAIN)
            if self.client.is_closed:
                self.error = self.error or ConnectionClosedError()
                self.stop()
            elif self.one_has_left or self.last is not None:
                for name, asker in tuple(self.askers.items()):
                    if self.time() - asker.heard >= SILENT:
                        asker.refusals = asker.refusals + 1 if await self.is_gone(name) else 0
                if self.is_over():
                    self.stop()

    def is_over(self) -> bool:
        """Return whether all processes have left or died, and no others are waited for."""
        is_last = self.one_has_left or self.last is not None
        return is_last and not any(asker.refusals * AGAIN < PATIENCE for asker in self.askers.values())

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
        requests = [self.client.request(asker.reply, payload, timeout=1, headers=headers) for asker in self.waiting.values()]
        await asyncio.gather(*map(briefly, requests))


def failed(error: BaseException) -> Answer:
    if isinstance(error, SenderFailed) and error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}".encode()[:REASON], {KIND: FAILED}

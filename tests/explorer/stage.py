"""Where a program is performed, and what is written down meanwhile.

Each channel has a record of its own: a list of marks in the order in which things happened. Nothing in it refers to an end or an
exception, since whoever writes down must not keep alive what the program drops.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from types import TracebackType
from typing import Final, Protocol, TypeAlias

from typing_extensions import override

from chanstream import Channel, Itemizer, ReceiverClosed, SenderClosed, SenderContext, SenderFailed, stream
from tests.explorer.loop import ChoiceLoop, Chooser, Cue, RestlessError
from tests.explorer.programs import (
    Block,
    Cancel,
    Close,
    Drop,
    End,
    Ending,
    Event,
    Fed,
    Program,
    Reader,
    Relay,
    Side,
    Streamed,
    Tail,
    Tee,
    Where,
    Writer,
)

__all__ = ["CHANSTREAM", "Call", "FedRecord", "Item", "Kind", "Library", "Mark", "Outcome", "ReceivingEnd", "Stage", "Wire"]

Item: TypeAlias = tuple[int, int, int]
"""The channel, the number of the writer, and the number of the item there."""


class BoomError(Exception):
    """The error that a program raises."""


class ReceivingEnd(Protocol):
    async def __anext__(self) -> Item: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True)
class Library:
    """Something that has channels: how one with so much buffer is made."""

    name: str
    make: Callable[[int], tuple[SenderContext[Item], ReceivingEnd]]


def make_channel(buffer: int) -> tuple[SenderContext[Item], ReceivingEnd]:
    channel = Channel[Item](buffer=buffer)
    return channel.sender, channel.receiver


CHANSTREAM: Final = Library("chanstream", make_channel)


class Outcome(Enum):
    WAITS = auto()
    OK = auto()
    END = auto()
    FAILED = auto()
    CLOSED = auto()
    MISUSED = auto()
    CANCELLED = auto()
    OTHER = auto()


OUTCOMES: Final[tuple[tuple[type[BaseException], Outcome], ...]] = (
    (StopAsyncIteration, Outcome.END),
    (SenderFailed, Outcome.FAILED),
    (ReceiverClosed, Outcome.CLOSED),
    (SenderClosed, Outcome.MISUSED),
    (asyncio.CancelledError, Outcome.CANCELLED),
    (BaseException, Outcome.OTHER),
)


class Call:
    """One call of an itemizer or one ask. `began` and `ended` are the numbers of the steps of the loop."""

    __slots__ = (
        "asked",
        "at_once",
        "began",
        "detail",
        "ended",
        "item",
        "may_fail",
        "must_fail",
        "number",
        "outcome",
        "passed",
        "refused",
        "taken",
        "who",
    )

    def __init__(self, who: str, item: Item | None, began: int) -> None:
        self.who = who
        self.item = item
        self.began = began
        self.ended = -1
        self.outcome = Outcome.WAITS
        self.detail = ""
        # What the rules note while they read the marks: of both,
        self.number = 0
        # there was room, or an item,
        self.at_once = False
        # of an itemize: taken, and a further item asked for; its time was over,
        self.taken = self.asked = self.refused = False
        # of an ask: a later one got an item; SenderFailed may, or has to, end it after a close.
        self.passed = self.may_fail = self.must_fail = False


class Kind(Enum):
    """What a mark tells. The comments say what its text is."""

    PUT = auto()
    PUT_ENDED = auto()
    ASK = auto()
    ASK_ENDED = auto()
    OPENED = auto()
    OPENED_AGAIN = auto()
    ENDED = auto()  # the error by which the block was left
    OUT = auto()  # the error that came out
    CLOSED = auto()
    SENDER_DROPPED = auto()
    RECEIVER_DROPPED = auto()
    WAITED = auto()  # the call that must not wait and did
    AT_REST = auto()


PUT, PUT_ENDED, ASK, ASK_ENDED = Kind.PUT, Kind.PUT_ENDED, Kind.ASK, Kind.ASK_ENDED

Mark: TypeAlias = tuple[Kind, Call | None, str]

AT_REST: Final[Mark] = (Kind.AT_REST, None, "")


@dataclass
class FedRecord:
    """How a block of `Channel.fed_by` went."""

    started: bool = False
    producer: str = ""
    """The error by which the producer ended."""
    producer_cancelled: bool = False
    producer_quiet: bool = False
    ended_before: bool = False
    """Whether the producer had ended when the block was left, and nobody had closed the receiver."""
    body: str = ""
    body_cancelled: bool = False
    body_reports: str | None = None
    """If the body was left by `SenderFailed`: from which error."""
    leaving: bool = False
    interrupted: bool = False
    out: tuple[str, ...] = ()
    """The error that came out; of a group, all of them."""
    grouped: bool = False
    outlived: bool = False
    over: bool = False


class Wire:
    """The record of one channel."""

    def __init__(self, number: int, buffer: int) -> None:
        self.number = number
        self.buffer = buffer
        self.log: list[Mark] = []
        self.closings: set[str] = set()
        """The errors that tell of this channel's own close."""
        self.quiet: list[tuple[str, str, str]] = []
        """For each block: by which error it was left, what should come out, and what did."""
        self.fed: FedRecord | None = None
        self.feeding: asyncio.Task[object] | None = None
        self.ends: list[object] = []
        self.kept: list[str] = []
        """What the channel keeps alive at the end."""

    def mark(self, kind: Kind, text: str = "") -> None:
        self.log.append((kind, None, text))

    def marker(self, kind: Kind) -> Callable[[object], None]:
        """For the finalizer of an end."""
        return lambda _: self.mark(kind)


def kept_by(end: object) -> list[str]:
    """The items, errors and tasks that are reached from `end` through nothing but the library and containers."""
    kept: list[str] = []
    seen: set[int] = set()
    todo = [end]
    while todo:
        for each in gc.get_referents(todo.pop()):
            if id(each) in seen or isinstance(each, type | Enum):
                continue
            seen.add(id(each))
            if isinstance(each, BaseException | asyncio.Task):
                kept.append(type(each).__name__)
            elif isinstance(each, tuple) and len(each) == 3:
                kept.append(f"the item {each}")
            elif isinstance(each, dict | list | deque | tuple) or type(each).__module__.startswith("chanstream"):
                todo.append(each)
    return kept


class Stage:
    """One performance."""

    def __init__(self, program: Program, library: Library = CHANSTREAM, *, native: bool = False) -> None:
        self.program = program
        self.native = native
        self.loop = ChoiceLoop(self.at_rest, eager=program.eager)  # type: ignore[abstract]  # the rest of a loop is not needed
        self.wires = [Wire(number, buffer) for number, buffer in enumerate(program.buffers)]
        self.trace: list[str] = []
        """What the actors of a `stream` do."""
        self.senders: list[SenderContext[Item] | None] = []
        self.receivers: list[ReceivingEnd | None] = []
        self.ends: dict[int, asyncio.Future[object]] = {}
        self.stamped = 0
        self.restless = False
        self.wide = False
        """Whether tasks touch each other other than through channels."""
        feds = {actor.channel: actor for actor in program.actors if isinstance(actor, Fed)}
        self.fed_channels: dict[int, Channel[Item]] = {}
        for wire in self.wires:
            if wire.number in feds:
                self.fed_channels[wire.number] = Channel[Item](buffer=wire.buffer)
                self.senders.append(None)
                self.receivers.append(None)
                continue
            sender, receiver = library.make(wire.buffer)
            wire.ends += [
                weakref.ref(sender, wire.marker(Kind.SENDER_DROPPED)),
                weakref.ref(receiver, wire.marker(Kind.RECEIVER_DROPPED)),
            ]
            self.senders.append(sender)
            self.receivers.append(receiver)

    def perform(self, choose: Chooser) -> None:
        asyncio._set_running_loop(self.loop)
        try:
            self.start()
        finally:
            asyncio._set_running_loop(None)
        try:
            self.loop.run(choose)
        except RestlessError:
            self.restless = True
        for wire, receiver in zip(self.wires, self.receivers, strict=True):
            channel = self.fed_channels.get(wire.number)
            wire.kept = kept_by(receiver if channel is None else channel.receiver)

    def clear(self) -> None:
        """Let go of everything, and break the cycles."""
        asyncio._set_running_loop(self.loop)
        for task in self.loop.tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                coroutine = task.get_coro()
                if isinstance(coroutine, Coroutine):
                    with suppress(BaseException):
                        coroutine.close()
            elif not task.cancelled():
                task.exception()
        asyncio._set_running_loop(None)
        self.loop.ready.clear()
        self.loop.cues.clear()
        self.loop.tail.clear()
        self.loop.tasks.clear()
        self.ends.clear()
        self.receivers.clear()
        self.senders.clear()
        for wire in self.wires:
            wire.feeding = None
        self.loop.at_rest = nothing
        self.loop.ready.clear()

    def at_rest(self) -> None:
        for wire in self.wires:
            fed = wire.fed
            if fed is not None and not fed.started and wire.feeding is not None and wire.feeding.done() and not fed.producer:
                # Cancelled before its first step.
                fed.producer, fed.producer_cancelled = "never started", True
                wire.mark(Kind.ENDED, "never started")
            wire.log.append(AT_REST)

    def stamp(self, error: BaseException) -> str:
        """A name for `error`, the same whenever it comes by."""
        number: object = getattr(error, "explorer_number", None)
        if number is None:
            self.stamped += 1
            number = self.stamped
            error.explorer_number = number  # type: ignore[attr-defined]
        return f"{type(error).__name__} {number}"

    def owns(self, wire: Wire, error: BaseException | None) -> bool:
        """Whether `error` tells that the receiver of `wire` is closed, and nothing else."""
        if isinstance(error, BaseExceptionGroup):
            return all(self.owns(wire, each) for each in error.exceptions)
        return isinstance(error, ReceiverClosed) and self.stamp(error) in wire.closings

    # Starting.

    def start(self) -> None:
        readers = 0
        for actor in self.program.actors:
            if isinstance(actor, Reader):
                name = f"reader{readers}"
                readers += 1
                self.spawn(self.read(self.wires[actor.channel], self.receiver(actor.channel), actor, name), name)
            else:
                self.start_actor(actor)
        self.loop.cues += map(self.cue, self.program.events)
        # From now on only those who use a sender hold it, and the receivers are held for who comes at the end.
        if not any(isinstance(event, Drop) and event.side is Side.SENDER for event in self.program.events):
            self.senders = [None] * len(self.senders)
        if self.program.tail is not Tail.NOTHING:
            self.loop.tail += [partial(self.finish, wire) for wire in self.wires]

    def start_actor(self, actor: Block | Relay | Tee | Fed | Streamed) -> None:
        match actor:
            case Block():
                self.ends[actor.channel] = self.loop.create_future()
                self.spawn(self.block(actor, self.sender(actor.channel)), f"block{actor.channel}")
                self.wide = self.wide or actor.where is Where.GROUP
            case Relay():
                self.spawn(self.relay(actor, self.receiver(actor.source), self.sender(actor.target)), "relay")
            case Tee():
                self.spawn(self.tee(actor, self.sender(actor.outer), self.sender(actor.inner)), "tee")
            case Fed():
                self.wide = True
                self.spawn(self.feed(actor, self.fed_channels[actor.channel]), "fed")
            case Streamed():
                source = None if actor.source is None else self.receiver(actor.source)
                self.spawn(self.consume(actor, source), "streamed")

    def spawn(
        self, coroutine: Coroutine[object, object, None], name: str, ended: Callable[[asyncio.Task[None]], None] | None = None
    ) -> None:
        task = self.loop.create_task(coroutine, name=name)
        if ended is not None:
            task.add_done_callback(ended)

    def sender(self, number: int) -> SenderContext[Item]:
        sender = self.senders[number]
        assert sender is not None
        return sender

    def receiver(self, number: int) -> ReceivingEnd:
        receiver = self.receivers[number]
        assert receiver is not None
        return receiver

    def cue(self, event: Event) -> Cue:
        match event:
            case Cancel():
                return self.cancellation(event.who)
            case Close():
                return Cue(f"close {event.channel}", lambda: self.close(event.channel), must=True)
            case End():
                return Cue(f"end {event.channel}", lambda: self.end(event.channel), must=True, target=f"block{event.channel}")
            case Drop():

                def let_go() -> None:
                    (self.senders if event.side is Side.SENDER else self.receivers)[event.channel] = None

                return Cue(f"drop {event.side.name.lower()} {event.channel}", let_go, must=True)

    def cancellation(self, who: str) -> Cue:
        found: list[asyncio.Task[object]] = []

        def may() -> bool:
            if not found:
                task = self.loop.task(who)
                if task is None:
                    return False
                found.append(task)
            return not found[0].done()

        def act() -> None:
            if who == "fed":
                for wire in self.wires:
                    if wire.fed is not None and wire.fed.leaving and not wire.fed.over:
                        wire.fed.interrupted = True
            found[0].cancel()

        return Cue(f"cancel {who}", act, may, must=False, target=who)

    def close(self, number: int) -> None:
        receiver = self.receivers[number] if number not in self.fed_channels else self.fed_channels[number].receiver
        if receiver is not None:
            self.spawn(self.close_now(self.wires[number], receiver), f"closer{number}")

    async def close_now(self, wire: Wire, receiver: ReceivingEnd) -> None:
        wire.mark(Kind.CLOSED)
        before = self.loop.steps
        await receiver.aclose()
        if self.loop.steps != before:
            wire.mark(Kind.WAITED, "aclose")

    def end(self, number: int) -> None:
        end = self.ends.get(number)
        if end is not None and not end.done():
            end.set_result(None)

    def finish(self, wire: Wire) -> None:
        receiver = self.receivers[wire.number]
        if receiver is None:
            return
        if self.program.tail is Tail.DRAIN:
            self.spawn(self.read(wire, receiver, Reader(wire.number), f"drain{wire.number}"), f"drain{wire.number}")
        else:
            self.close(wire.number)

    # Calls.

    def ended(self, call: Call, error: BaseException | None) -> None:
        call.ended = self.loop.steps
        if error is None:
            call.outcome = Outcome.OK
            return
        for kind, outcome in OUTCOMES:
            if isinstance(error, kind):
                call.outcome = outcome
                break
        if call.outcome is Outcome.FAILED:
            call.detail = "" if error.__cause__ is None else self.stamp(error.__cause__)
        elif call.outcome is Outcome.OTHER:
            call.detail = repr(error)

    async def put(self, wire: Wire, itemize: Itemizer[Item], item: Item, who: str) -> None:
        call = Call(who, item, self.loop.steps)
        wire.log.append((PUT, call, ""))
        try:
            await itemize(item)
        except BaseException as error:
            self.ended(call, error)
            wire.log.append((PUT_ENDED, call, ""))
            if isinstance(error, ReceiverClosed):
                wire.closings.add(self.stamp(error))
            raise
        self.ended(call, None)
        wire.log.append((PUT_ENDED, call, ""))

    async def ask(self, wire: Wire, receiver: ReceivingEnd, who: str) -> Item:
        call = Call(who, None, self.loop.steps)
        wire.log.append((ASK, call, ""))
        try:
            item = await receiver.__anext__()
        except BaseException as error:
            self.ended(call, error)
            wire.log.append((ASK_ENDED, call, ""))
            raise
        call.item = item
        self.ended(call, None)
        wire.log.append((ASK_ENDED, call, ""))
        return item

    # The sending side.

    async def block(self, spec: Block, sender: SenderContext[Item]) -> None:
        wire = self.wires[spec.channel]
        try:
            if spec.ending is Ending.ABANDONED:
                itemize = await sender.__aenter__()
                wire.mark(Kind.OPENED)
                await self.body(spec, wire, itemize)
                return
            opened = Opened(self, wire, sender)
            try:
                async with opened as itemize:
                    await self.body(spec, wire, itemize)
            finally:
                await opened.again()
        except (BoomError, ReceiverClosed, BaseExceptionGroup, asyncio.CancelledError):
            pass  # as the marks tell

    async def body(self, spec: Block, wire: Wire, itemize: Itemizer[Item]) -> None:
        names = [f"writer{wire.number}.{number}" for number in range(len(spec.writers))]
        match spec.where:
            case Where.HERE:
                for number, writer in enumerate(spec.writers):
                    await self.write(wire, itemize, writer, number, f"block{wire.number}")
            case Where.GROUP:
                async with asyncio.TaskGroup() as group:
                    for number, writer in enumerate(spec.writers):
                        task = group.create_task(self.write(wire, itemize, writer, number, names[number]), name=names[number])
                        del task
            case _:
                join = Join(wire, len(names), self.loop)
                ended = join.ended if spec.where is Where.TASKS else None
                for number, writer in enumerate(spec.writers):
                    self.spawn(self.write_apart(wire, itemize, writer, number, names[number]), names[number], ended)
                if spec.where is Where.TASKS:
                    await join.done
        if spec.ending in {Ending.CUE, Ending.CUE_FAILED}:
            await self.ends[spec.channel]
        self.end_by(spec.ending)

    def end_by(self, ending: Ending) -> None:
        if ending in {Ending.FAILED, Ending.CUE_FAILED}:
            raise BoomError
        if ending is Ending.FOREIGN:
            raise ReceiverClosed

    async def write_apart(self, wire: Wire, itemize: Itemizer[Item], spec: Writer, number: int, who: str) -> None:
        try:
            await self.write(wire, itemize, spec, number, who)
        except (ReceiverClosed, SenderClosed):
            await self.refused(wire, itemize, (wire.number, number, -1), who)
        except asyncio.CancelledError:
            pass

    async def write(self, wire: Wire, itemize: Itemizer[Item], spec: Writer, number: int, who: str) -> None:
        timeouts = spec.timeouts
        for each in range(spec.items):
            item = (wire.number, number, each)
            try:
                await turns(spec.pause)
                if timeouts:
                    timeouts -= 1
                    async with asyncio.timeout(1):
                        await self.put(wire, itemize, item, who)
                else:
                    await self.put(wire, itemize, item, who)
            except TimeoutError:
                continue
            except asyncio.CancelledError:
                if not spec.stubborn:
                    raise
                uncancel()

    async def refused(self, wire: Wire, itemize: Itemizer[Item], item: Item, who: str) -> None:
        """Try again what can't succeed any more."""
        with suppress(ReceiverClosed, SenderClosed):
            await self.put(wire, itemize, item, who)

    # The receiving side.

    async def read(self, wire: Wire, receiver: ReceivingEnd, spec: Reader, who: str) -> None:
        try:
            if spec.closes:
                async with Leaving(wire, receiver):
                    await self.loops(wire, receiver, spec, who)
            else:
                await self.loops(wire, receiver, spec, who)
        except asyncio.CancelledError:
            pass

    async def loops(self, wire: Wire, receiver: ReceivingEnd, spec: Reader, who: str) -> None:
        timeouts = spec.timeouts
        limits = [spec.takes, None] if spec.resumes and spec.takes is not None else [spec.takes]
        for limit in limits:
            taken = 0
            while limit is None or taken < limit:
                try:
                    if timeouts:
                        timeouts -= 1
                        async with asyncio.timeout(1):
                            await self.ask(wire, receiver, who)
                    else:
                        await self.ask(wire, receiver, who)
                except TimeoutError:
                    continue
                except asyncio.CancelledError:
                    if not spec.stubborn:
                        raise
                    uncancel()
                    continue
                except (StopAsyncIteration, SenderFailed):
                    # And it stays so.
                    with suppress(StopAsyncIteration, SenderFailed):
                        await self.ask(wire, receiver, who)
                    return
                taken += 1
                await turns(spec.pause)

    # Both.

    async def relay(self, spec: Relay, receiver: ReceivingEnd, sender: SenderContext[Item]) -> None:
        source, target = self.wires[spec.source], self.wires[spec.target]
        opened = Opened(self, target, sender)
        try:
            try:
                async with opened as itemize:
                    if spec.closes:
                        async with Leaving(source, receiver):
                            await self.pass_on(source, target, receiver, itemize)
                    else:
                        await self.pass_on(source, target, receiver, itemize)
            finally:
                await opened.again()
        except (SenderFailed, ReceiverClosed, asyncio.CancelledError):
            pass

    async def pass_on(self, source: Wire, target: Wire, receiver: ReceivingEnd, itemize: Itemizer[Item]) -> None:
        while True:
            try:
                _, writer, number = await self.ask(source, receiver, "relay")
            except StopAsyncIteration:
                return
            await self.put(target, itemize, (target.number, writer, number), "relay")

    async def tee(self, spec: Tee, outer: SenderContext[Item], inner: SenderContext[Item]) -> None:
        first, second = self.wires[spec.inner], self.wires[spec.outer]
        try:
            async with Opened(self, second, outer) as itemize_second, Opened(self, first, inner) as itemize_first:
                for number in range(spec.items):
                    await self.put(first, itemize_first, (first.number, 0, number), "tee")
                    await self.put(second, itemize_second, (second.number, 0, number), "tee")
        except (ReceiverClosed, asyncio.CancelledError):
            pass

    async def feed(self, spec: Fed, channel: Channel[Item]) -> None:
        wire = self.wires[spec.channel]
        fed = wire.fed = FedRecord()
        try:
            async with channel.fed_by(self.produce, wire, fed, spec) as receiver:
                wire.mark(Kind.OPENED)
                wire.feeding = self.loop.task("fed/1")
                try:
                    await self.take(wire, receiver, spec)
                except BaseException as error:
                    fed.body, fed.body_cancelled = self.stamp(error), isinstance(error, asyncio.CancelledError)
                    if isinstance(error, SenderFailed):
                        fed.body_reports = "" if error.__cause__ is None else self.stamp(error.__cause__)
                    raise
                finally:
                    ends = [kind for kind, _, _ in wire.log if kind is Kind.ENDED or kind is Kind.CLOSED]
                    fed.ended_before = ends == [Kind.ENDED]
                    fed.leaving = True
                    wire.mark(Kind.CLOSED)
        except BaseException as error:  # noqa: BLE001 - whatever comes out is written down
            fed.grouped = isinstance(error, BaseExceptionGroup)
            errors = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
            fed.out = tuple(self.stamp(each) for each in errors)
        fed.over = True
        fed.outlived = wire.feeding is not None and not wire.feeding.done()

    async def take(self, wire: Wire, receiver: ReceivingEnd, spec: Fed) -> None:
        taken = 0
        while spec.takes is None or taken < spec.takes:
            try:
                await self.ask(wire, receiver, "fed")
            except StopAsyncIteration:
                break
            taken += 1
        if spec.body_fails:
            raise BoomError

    async def produce(self, itemize: Itemizer[Item], wire: Wire, fed: FedRecord, spec: Fed) -> None:
        fed.started = True
        try:
            try:
                for number in range(spec.items):
                    await turns(spec.pause)
                    await self.put(wire, itemize, (wire.number, 0, number), "fed/1")
                if spec.ending is Ending.CUE:
                    await self.loop.create_future()
                self.end_by(spec.ending)
            finally:
                await turns(spec.cleanup)
                if spec.cleanup_fails:
                    raise BoomError
        except BaseException as error:
            fed.producer = self.stamp(error)
            fed.producer_cancelled = isinstance(error, asyncio.CancelledError)
            fed.producer_quiet = self.owns(wire, error)
            wire.mark(Kind.ENDED, fed.producer)
            raise
        wire.mark(Kind.ENDED)

    # A stream, and the generator that it should be like.

    async def consume(self, spec: Streamed, source: ReceivingEnd | None) -> None:
        items = self.native_stream(spec, source) if self.native else stream(self.emit, spec, source)
        taken = 0
        try:
            try:
                if spec.takes != 0:
                    async for item in items:
                        self.trace.append(f"took {item}")
                        taken += 1
                        if taken == spec.takes:
                            break
                        await turns(1)
                self.trace.append("loop ended")
            finally:
                await items.aclose()
                self.trace.append("closed")
        except (BoomError, SenderFailed, asyncio.CancelledError) as error:
            self.trace.append(f"out: {type(error).__name__}")
        try:
            self.trace.append(f"again: {await anext(items)}")
        except StopAsyncIteration:
            self.trace.append("again: nothing")

    async def emit(self, itemize: Itemizer[int], spec: Streamed, source: ReceivingEnd | None) -> None:
        self.trace.append("started")
        try:
            for number in range(spec.items):
                await self.before_item(spec, source)
                self.trace.append(f"send {number}")
                await itemize(number)
                self.trace.append(f"sent {number}")
            self.end_by(spec.ending)
        except BaseException as error:
            self.trace.append(f"meets {type(error).__name__}")
            raise
        finally:
            self.trace.append("finally")

    async def native_stream(self, spec: Streamed, source: ReceivingEnd | None) -> AsyncGenerator[int, None]:
        self.trace.append("started")
        try:
            for number in range(spec.items):
                await self.before_item(spec, source)
                self.trace.append(f"send {number}")
                yield number
                self.trace.append(f"sent {number}")
            self.end_by(spec.ending)
        except BaseException as error:
            self.trace.append(f"meets {type(error).__name__}")
            raise
        finally:
            self.trace.append("finally")

    async def before_item(self, spec: Streamed, source: ReceivingEnd | None) -> None:
        await turns(spec.pause)
        if source is not None and spec.source is not None:
            try:
                await self.ask(self.wires[spec.source], source, "streamed")
            except StopAsyncIteration:
                self.trace.append("source ended")


class Opened:
    """A sender block whose ends are written down."""

    def __init__(self, stage: Stage, wire: Wire, sender: SenderContext[Item]) -> None:
        self.stage = stage
        self.wire = wire
        self.sender = sender
        self.itemize: Itemizer[Item] | None = None

    async def __aenter__(self) -> Itemizer[Item]:
        self.itemize = await self.sender.__aenter__()
        self.wire.mark(Kind.OPENED)
        return self.itemize

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        left = "" if exc is None else self.stage.stamp(exc)
        quiet = exc is not None and self.stage.owns(self.wire, exc)
        expected = "" if quiet else left
        self.wire.mark(Kind.ENDED, left)
        before = self.stage.loop.steps
        out = left
        try:
            swallowed = await self.sender.__aexit__(exc_type, exc, traceback)
            if swallowed:
                out = ""
        except BaseException as error:
            out = self.stage.stamp(error)
            raise
        finally:
            if self.stage.loop.steps != before:
                self.wire.mark(Kind.WAITED, "leaving the sender block")
            self.wire.mark(Kind.OUT, out)
            self.wire.quiet.append((left, expected, out))
        return swallowed

    async def again(self) -> None:
        """An itemizer is of no use after its block, and a sender is opened once."""
        itemize, self.itemize = self.itemize, None
        if itemize is None:
            return
        await self.stage.refused(self.wire, itemize, (self.wire.number, -1, 0), f"block{self.wire.number}")
        try:
            await self.sender.__aenter__()
        except SenderClosed:
            pass
        else:
            self.wire.mark(Kind.OPENED_AGAIN)


class Join:
    """Waits for the writers of a block, also for one that never had a turn."""

    def __init__(self, wire: Wire, left: int, loop: ChoiceLoop) -> None:
        self.subject = f"channel {wire.number}"
        self.left = left
        self.done: asyncio.Future[None] = asyncio.Future(loop=loop)

    def ended(self, _: asyncio.Task[None]) -> None:
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)


class Leaving:
    """``async with receiver``, written down."""

    def __init__(self, wire: Wire, receiver: ReceivingEnd) -> None:
        self.wire = wire
        self.receiver = receiver

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        self.wire.mark(Kind.CLOSED)
        await self.receiver.aclose()

    @override
    def __repr__(self) -> str:
        return f"<leaving {self.wire.number}>"


def nothing() -> None:
    pass


def uncancel() -> None:
    task = asyncio.current_task()
    assert task is not None
    while task.cancelling():
        task.uncancel()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)

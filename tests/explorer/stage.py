"""Where a program is performed, and what is written down meanwhile.

Each channel has a record of its own: a list of marks in the order in which things happened. Nothing in it refers to an end or an
exception, since the record must not keep alive what the program drops.
"""

from __future__ import annotations

import asyncio
import gc
import warnings
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

from chanstream import Channel, Itemizer, Receiver, ReceiverClosed, SenderClosed, SenderContext, SenderFailed, offer, stream
from tests.explorer.loop import ChoiceLoop, Chooser, Cue, RestlessError, WatchedTask
from tests.explorer.programs import (
    Block,
    Body,
    Cancel,
    Close,
    Drop,
    Dropping,
    End,
    Ending,
    Event,
    Fed,
    Feed,
    Producing,
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
from tests.garbage import COUNTED

__all__ = [
    "ALL_THAT_IS_READY",
    "CHANSTREAM",
    "Call",
    "FedRecord",
    "Item",
    "Kind",
    "Library",
    "Mark",
    "Outcome",
    "ReceivingEnd",
    "Stage",
    "Wire",
]

Item: TypeAlias = tuple[int, int, int]
"""The channel, the number of the writer, and the number of the item there."""


class BoomError(Exception):
    """The error that a program raises."""


class ReceivingEnd(Protocol):
    def __aiter__(self) -> object: ...

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

ALL_THAT_IS_READY: Final = 3
"""The number of items that means no limit."""


class Outcome(Enum):
    WAITS = auto()
    OK = auto()
    END = auto()
    FAILED = auto()
    CLOSED = auto()
    MISUSED = auto()
    CANCELLED = auto()
    REFUSED = auto()
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
    OFFER = auto()
    OFFER_ENDED = auto()
    DROPPED = auto()
    READY = auto()  # the limit, and how many items were taken
    LOOP = auto()  # the error, if it was refused
    OPENED = auto()
    OPENED_AGAIN = auto()
    ENDED = auto()  # the error by which the block was left
    OUT = auto()  # the error that came out
    CLOSED = auto()
    SENDER_DROPPED = auto()
    RECEIVER_DROPPED = auto()
    WAITED = auto()  # the call that must not wait and did
    AT_REST = auto()  # what is counted then, if a receiver is there


PUT, PUT_ENDED, ASK, ASK_ENDED = Kind.PUT, Kind.PUT_ENDED, Kind.ASK, Kind.ASK_ENDED

Mark: TypeAlias = tuple[Kind, Call | None, str]


@dataclass
class FedRecord:
    """How a producer went, and the block of `Channel.fed_by` that it ran in."""

    in_block: bool = False
    started: bool = False
    too_late: bool = False
    """Whether it was started when the receiver had gone."""
    producer: str = ""
    """The error by which the producer ended."""
    producer_cancelled: bool = False
    producer_quiet: bool = False
    from_elsewhere: int = 0
    """How often something else than the library has cancelled it."""
    ended_before: bool = False
    """Whether the producer had ended when the block was left, and nothing had closed the receiver."""
    surfaced: bool = False
    """Whether an ask had raised its error by then."""
    body: str = ""
    body_stopped: bool = False
    """Whether it was cancelled or closed."""
    body_reports: str | None = None
    """If the body was left by `SenderFailed`: from which error."""
    leaving: bool = False
    interrupted: bool = False
    out: tuple[str, ...] = ()
    """The error that came out; of a group, all of them."""
    grouped: bool = False
    outlived: bool = False
    over: bool = False
    # Of its task, at the end.
    task_out: str = ""
    cancelling: int = 0
    too_often: str = ""
    reported: bool = False
    """Whether asyncio is going to report its error as one that was never retrieved."""


class Wire:
    """The record of one channel."""

    def __init__(self, number: int, buffer: int) -> None:
        self.number = number
        self.buffer = buffer
        self.log: list[Mark] = []
        self.closings: set[str] = set()
        """The errors that report this channel's own closing."""
        self.quiet: list[tuple[str, str, str]] = []
        """For each block: by which error it was left, what should come out, and what did."""
        self.drops_oldest = False
        self.tells_of_drops = False
        self.drop_errors: list[weakref.ref[BoomError]] = []
        self.kept_errors = 0
        """How many errors of `on_drop` are still there at the end."""
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
        runs = {actor.channel: actor for actor in program.actors if isinstance(actor, Fed | Feed)}
        self.channels: dict[int, Channel[Item]] = {}
        """Those that run a producer."""
        self.unbegun: dict[int, Coroutine[object, None, None]] = {}
        for wire in self.wires:
            run = runs.get(wire.number)
            if run is None and program.dropping is Dropping.SILENT:
                sender, receiver = library.make(wire.buffer)
            else:
                channel = self.make_channel(wire)
                sender, receiver = channel.sender, channel.receiver
                if run is not None:
                    self.channels[wire.number] = channel
                del channel
            if isinstance(run, Fed):
                self.senders.append(None)
                self.receivers.append(None)
                continue
            wire.ends += [
                weakref.ref(sender, wire.marker(Kind.SENDER_DROPPED)),
                weakref.ref(receiver, wire.marker(Kind.RECEIVER_DROPPED)),
            ]
            self.senders.append(sender)
            self.receivers.append(receiver)

    def make_channel(self, wire: Wire) -> Channel[Item]:
        dropping = self.program.dropping
        if dropping is Dropping.SILENT:
            return Channel[Item](buffer=wire.buffer)
        wire.tells_of_drops = True
        wire.drops_oldest = wire.buffer > 0 and dropping is not Dropping.TOLD
        fails = dropping is Dropping.FAILING

        def on_drop(item: Item) -> None:
            wire.log.append((Kind.DROPPED, Call("on_drop", item, self.loop.steps), ""))
            if fails:
                raise watched_error(wire)

        return Channel[Item](buffer=wire.buffer, drop_oldest=wire.drops_oldest, on_drop=on_drop)

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
            channel = self.channels.get(wire.number)
            wire.kept = kept_by(receiver if channel is None else channel.receiver)
            if COUNTED:
                wire.kept_errors = sum(error() is not None for error in wire.drop_errors)
            if wire.fed is not None and isinstance(wire.feeding, WatchedTask):
                self.close_record(wire.fed, wire.feeding)

    def close_record(self, fed: FedRecord, task: WatchedTask[object]) -> None:
        fed.cancelling = task.cancelling()
        fed.too_often = task.too_often
        if not task.done():
            fed.task_out = "nothing: it waits"
            return
        # The error of a task that failed in the step that made it refers to the frames of that step, and so to the block.
        fed.reported = not self.program.eager and bool(getattr(task, "_log_traceback", False))
        if task.cancelled():
            fed.task_out = "CancelledError"
        else:
            error = task.exception()
            fed.task_out = "" if error is None else self.stamp(error)

    def clear(self) -> None:
        """Drop every reference, and break the cycles."""
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
        self.channels.clear()
        self.unbegun.clear()
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
            wire.mark(Kind.AT_REST, self.counts(wire))

    def counts(self, wire: Wire) -> str:
        """Return what the receiver says of its channel, if it is there. None is kept for it."""
        receiver = self.channels[wire.number].receiver if wire.number in self.channels else self.receivers[wire.number]
        if not isinstance(receiver, Receiver):
            return ""
        now = receiver.statistics()
        return f"{now.buffered} {now.pending} {now.itemizing} {now.asking} {now.dropped}"

    def stamp(self, error: BaseException) -> str:
        """A name for `error`, the same whenever it comes by."""
        number: object = getattr(error, "explorer_number", None)
        if number is None:
            self.stamped += 1
            number = self.stamped
            error.explorer_number = number  # type: ignore[attr-defined]
        return f"{type(error).__name__} {number}"

    def has_surfaced(self, wire: Wire) -> bool:
        return any(kind is Kind.ASK_ENDED and call is not None and call.outcome is Outcome.FAILED for kind, call, _ in wire.log)

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
        # From now on only the tasks that use a sender hold it, and the receivers are held for those that come at the end.
        if not any(isinstance(event, Drop) and event.side is Side.SENDER for event in self.program.events):
            self.senders = [None] * len(self.senders)
            self.unbegun.clear()
        if self.program.tail is not Tail.NOTHING:
            self.loop.tail += [partial(self.finish, wire) for wire in self.wires]

    def start_actor(self, actor: Block | Relay | Tee | Fed | Feed | Streamed) -> None:
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
                self.spawn(self.run_block(actor, self.channels[actor.channel]), "fed")
            case Feed():
                self.wide = True
                self.run_feed(actor)
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
        receiver = self.channels[number].receiver if number in self.channels else self.receivers[number]
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
                    if event.side is Side.SENDER and event.channel in self.unbegun:
                        self.wires[event.channel].mark(Kind.SENDER_DROPPED)
                        with warnings.catch_warnings():
                            warnings.simplefilter("ignore")  # it was never awaited
                            del self.unbegun[event.channel]
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
            for wire in self.wires:
                if wire.fed is not None:
                    if found[0] is wire.feeding:
                        wire.fed.from_elsewhere += 1
                    elif who == "fed" and wire.fed.leaving and not wire.fed.over:
                        wire.fed.interrupted = True
            found[0].cancel()

        return Cue(f"cancel {who}", act, may, must=False, target=who)

    def close(self, number: int) -> None:
        receiver = self.receivers[number] if number not in self.channels else self.channels[number].receiver
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

    def offer(self, wire: Wire, itemize: Itemizer[Item], item: Item, who: str) -> None:
        call = Call(who, item, self.loop.steps)
        wire.log.append((Kind.OFFER, call, ""))
        try:
            accepted = offer(itemize, item)
        except BaseException as error:
            self.ended(call, error)
            wire.log.append((Kind.OFFER_ENDED, call, ""))
            raise
        call.outcome = Outcome.OK if accepted else Outcome.REFUSED
        wire.log.append((Kind.OFFER_ENDED, call, ""))

    def take_ready(self, wire: Wire, receiver: ReceivingEnd, limit: int, who: str) -> int:
        """Take without waiting. In the record these are asks that end at once."""
        if not isinstance(receiver, Receiver):
            return 0  # no other library has it
        items: list[Item] = receiver.take_ready(None if limit >= ALL_THAT_IS_READY else limit)
        wire.mark(Kind.READY, f"{limit} {len(items)}")
        for item in items:
            call = Call(who, item, self.loop.steps)
            call.outcome, call.ended = Outcome.OK, call.began
            wire.log += [(ASK, call, ""), (ASK_ENDED, call, "")]
        return len(items)

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
        if ending is Ending.STOPS:
            raise StopAsyncIteration

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
                if spec.offers:
                    self.offer(wire, passes_on(itemize) if spec.wrapped else itemize, item, who)
                elif timeouts:
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
            if not self.begins_loop(wire, receiver):
                # Asks end all the same.
                with suppress(StopAsyncIteration, SenderFailed):
                    await self.ask(wire, receiver, who)
                return
            while limit is None or taken < limit:
                if spec.ready:
                    taken += self.take_ready(wire, receiver, spec.ready, who)
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

    def begins_loop(self, wire: Wire, receiver: ReceivingEnd) -> bool:
        try:
            receiver.__aiter__()
        except RuntimeError:
            wire.mark(Kind.LOOP, "refused")
            return False
        wire.mark(Kind.LOOP)
        return True

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

    # Producers.

    def producer(self, spec: Producing, who: str) -> tuple[FedRecord, Callable[[Itemizer[Item]], Coroutine[object, object, None]]]:
        """Return the record of a producer, and the producer. Its task is named after it."""
        wire = self.wires[spec.channel]
        fed = wire.fed = FedRecord()

        async def produce(itemize: Itemizer[Item]) -> None:
            await self.produce(itemize, wire, fed, spec, who)

        produce.__qualname__ = who
        return fed, produce

    def run_feed(self, spec: Feed) -> None:
        wire, name = self.wires[spec.channel], f"feed{spec.channel}"
        _, produce = self.producer(spec, name)
        if spec.unbegun:
            self.unbegun[spec.channel] = self.channels[spec.channel].feed(produce)
        else:
            # From now on the run holds the sender, and nothing the channel.
            coroutine = self.channels.pop(spec.channel).feed(produce)
            wire.feeding = asyncio.create_task(coroutine, name=name)

    async def run_block(self, spec: Fed, channel: Channel[Item]) -> None:
        wire = self.wires[spec.channel]
        fed, produce = self.producer(spec, "fed/1")
        if spec.body is Body.LOST:
            block = channel.fed_by(produce)
            receiver = await block.__aenter__()
            wire.mark(Kind.OPENED)
            wire.feeding = self.loop.task("fed/1")
            with suppress(SenderFailed, asyncio.CancelledError):
                await self.take(wire, receiver, spec)
            fed.surfaced = self.has_surfaced(wire)
            while not fed.started and wire.feeding is not None and not wire.feeding.done():
                await turns(1)  # in any event loop but this one, what the loss posts comes after the first step of the task
            del block
            return
        fed.in_block = True
        try:
            async with channel.fed_by(produce) as receiver:
                wire.mark(Kind.OPENED)
                wire.feeding = self.loop.task("fed/1")
                try:
                    await self.take(wire, receiver, spec)
                except BaseException as error:
                    fed.body, fed.body_stopped = self.stamp(error), isinstance(error, asyncio.CancelledError | GeneratorExit)
                    if isinstance(error, SenderFailed):
                        fed.body_reports = "" if error.__cause__ is None else self.stamp(error.__cause__)
                    raise
                finally:
                    ends = [kind for kind, _, _ in wire.log if kind is Kind.ENDED or kind is Kind.CLOSED]
                    fed.ended_before = ends == [Kind.ENDED]
                    fed.surfaced = self.has_surfaced(wire)
                    fed.leaving = True
                    wire.mark(Kind.CLOSED)
        except BaseException as error:
            fed.grouped = isinstance(error, BaseExceptionGroup)
            errors = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
            fed.out = tuple(self.stamp(each) for each in errors)
        fed.over = True
        fed.outlived = wire.feeding is not None and not wire.feeding.done()

    async def take(self, wire: Wire, receiver: ReceivingEnd, spec: Fed) -> None:
        taken = 0
        try:
            while spec.takes is None or taken < spec.takes:
                try:
                    await self.ask(wire, receiver, "fed")
                except StopAsyncIteration:
                    break
                taken += 1
        except SenderFailed as failure:
            if spec.body is Body.TRANSLATES:
                raise BoomError from failure
            if spec.body is not Body.HANDLES:
                raise
        if spec.body is Body.FAILS:
            raise BoomError
        if spec.body is Body.CLOSED:
            raise GeneratorExit

    async def produce(self, itemize: Itemizer[Item], wire: Wire, fed: FedRecord, spec: Producing, who: str) -> None:
        fed.started = True
        fed.too_late = any(kind in {Kind.CLOSED, Kind.RECEIVER_DROPPED} for kind, _, _ in wire.log)
        writer = Writer(spec.items, spec.pause, timeouts=spec.timeouts)
        try:
            try:
                await self.write(wire, itemize, writer, 0, who)
                if spec.ending is Ending.CUE:
                    await self.loop.create_future()
                self.end_by(spec.ending)
            finally:
                await turns(spec.cleanup)
                if spec.cleanup_fails:
                    raise BoomError
        except BaseException as error:
            fed.producer = "RuntimeError" if isinstance(error, StopAsyncIteration) else self.stamp(error)
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


def watched_error(wire: Wire) -> BoomError:
    """Return an error of `on_drop`, to which nothing refers when it has been reported."""
    error = BoomError()
    wire.drop_errors.append(weakref.ref(error))
    return error


def passes_on(itemize: Itemizer[Item]) -> Itemizer[Item]:
    async def pass_on(item: Item, /) -> None:
        await itemize(item)

    return pass_on


def uncancel() -> None:
    task = asyncio.current_task()
    assert task is not None
    while task.cancelling():
        task.uncancel()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)

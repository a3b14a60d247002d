"""Schedules: what the senders and receivers of one channel do, as data, and a run that performs one and records what happened.

No clock is involved. Time is the number of turns the event loop has given, and the number of the event: every beginning and every
end of a call of the itemizer or of the receiver has one, in the order in which they happened. A schedule may act at either,
so that a cancellation also lands between two steps of the same turn.

Each run has an event loop of its own, so no run can meet a task of another one.

The environment variable CHANSTREAM_EXAMPLES multiplies how many examples the tests draw: 10 for a long run, 0.1 for a look.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache, cached_property
from typing import Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chanstream import Channel, Itemizer, ReceiverClosed, SenderClosed, SenderFailed
from tests.loops import LOOPS, turns

__all__ = [
    "ENOUGH",
    "NEVER",
    "Act",
    "Appointment",
    "BoomError",
    "Call",
    "Clock",
    "Ending",
    "Home",
    "Item",
    "Moment",
    "Record",
    "Rest",
    "Schedule",
    "Sink",
    "Source",
    "examples",
    "law",
    "perform",
    "schedules",
]

Item: TypeAlias = tuple[int, int]
"""The number of its sender, and its own number there: so an item tells where it belongs."""

NEVER: Final = sys.maxsize
"""The number of an event that has not happened."""

LONGEST_PAUSE: Final = 3
"""How many turns a sender or receiver pauses at most."""

PATIENCE: Final = LONGEST_PAUSE + 9
"""The channel is at rest when nothing has happened for so many turns. Nine are for task groups, which need a few to end."""

ENOUGH: Final = 2_000
"""No schedule takes so many turns."""


def examples(count: int) -> settings:
    """Settings for a test that draws `count` examples in a normal run."""
    wanted = max(1, round(count * float(os.environ.get("CHANSTREAM_EXAMPLES", "1"))))
    # Not derandomized, on a build server neither: every run looks at other schedules, and a failure prints how to replay it.
    return settings(
        max_examples=wanted, deadline=None, derandomize=False, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
    )


class BoomError(Exception):
    """The error that a schedule raises in a sender block."""


class Home(Enum):
    """Where the senders run."""

    BLOCK = auto()
    """One after another in the task of the block."""
    GROUP = auto()
    """Each in a task, in a task group inside the block."""
    OUTSIDE = auto()
    """Each in a task that goes on when the block has ended."""


class Ending(Enum):
    """What ends the sender block."""

    DONE = auto()
    """Its senders have ended."""
    LEFT = auto()
    """It is left at the moment of `Act.END`; a task group inside still waits for its senders."""
    ERROR = auto()
    """At the moment of `Act.END` it raises `BoomError`."""
    CANCELLED = auto()
    """At the moment of `Act.END` its task is cancelled."""


class Act(Enum):
    """What a schedule does at a moment."""

    CANCEL_SOURCE = auto()
    CANCEL_SINK = auto()
    CLOSE = auto()
    END = auto()


class Clock(Enum):
    TURN = auto()
    EVENT = auto()


@dataclass(frozen=True)
class Moment:
    """When `clock` has come to `count`; or earlier, as soon as nothing else goes on."""

    clock: Clock
    count: int


@dataclass(frozen=True)
class Appointment:
    """Whom `act` hits is the number `who`, counted around."""

    moment: Moment
    act: Act
    who: int


@dataclass(frozen=True)
class Source:
    """A sender: how many turns it pauses before each of its items. A stubborn one goes on with the next when it is cancelled."""

    pauses: tuple[int, ...]
    stubborn: bool = False


@dataclass(frozen=True)
class Sink:
    """A receiver: how many turns it pauses before its loop and after each item, and after how many items it leaves the loop."""

    pauses: tuple[int, ...] = ()
    leaves_after: int = NEVER
    stubborn: bool = False
    late: int = 0


@dataclass(frozen=True)
class Schedule:
    loop: str
    buffer: int
    home: Home
    sources: tuple[Source, ...]
    sinks: tuple[Sink, ...]
    sinks_first: bool
    ending: Ending
    appointments: tuple[Appointment, ...]
    closes: bool
    """In the end everything is closed; otherwise a last receiver takes what is left."""


# Hypothesis takes more time for each choice than a run takes for what was chosen, so each of these is one choice.
USUAL_PAUSES: Final = (0, 0, 0, 0, *range(LONGEST_PAUSE + 1))


def pauses(min_size: int, max_size: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.binary(min_size=min_size, max_size=max_size).map(
        lambda choices: tuple(USUAL_PAUSES[choice % len(USUAL_PAUSES)] for choice in choices)
    )


moments = st.sampled_from(
    [
        *(Moment(Clock.TURN, count) for count in range(13) for _ in range(2)),
        *(Moment(Clock.EVENT, count) for count in range(1, 31)),
    ]
)
sources = st.builds(Source, pauses(1, 6), st.booleans())
buffers = st.integers(0, 4)
leaves = st.sampled_from((NEVER, NEVER, NEVER, NEVER, 1, 2, 3, 4))
sinks = st.builds(Sink, pauses(0, 5), leaves, st.booleans(), st.sampled_from(USUAL_PAUSES))


@st.composite
def schedules(
    draw: st.DrawFn,
    *,
    buffer: st.SearchStrategy[int] = buffers,
    acts: tuple[Act, ...] = (Act.CANCEL_SOURCE, Act.CANCEL_SOURCE, Act.CANCEL_SINK, Act.CANCEL_SINK, Act.CLOSE),
    endings: tuple[Ending, ...] = tuple(Ending),
) -> Schedule:
    """Draw a schedule. Without `Act.CLOSE` among the acts, nobody ever closes the receiver."""
    ending = draw(st.sampled_from(endings))
    appointments = (
        draw(st.lists(st.builds(Appointment, moments, st.sampled_from(acts), st.integers(0, 3)), max_size=6)) if acts else []
    )
    if ending is not Ending.DONE:
        appointments.append(Appointment(draw(moments), Act.END, 0))
    return Schedule(
        loop=draw(st.sampled_from(list(LOOPS))),
        buffer=draw(buffer),
        home=draw(st.sampled_from(Home)),
        sources=tuple(draw(st.lists(sources, min_size=1, max_size=4))),
        sinks=tuple(draw(st.lists(sinks, max_size=3))),
        sinks_first=draw(st.booleans()),
        ending=ending,
        appointments=tuple(appointments),
        closes=Act.CLOSE in acts and draw(st.booleans()),
    )


@dataclass
class Call:
    """One call of the itemizer or of the receiver. `item` is what was passed, or what was returned."""

    who: int
    began: int
    item: Item | None = None
    ended: int = NEVER
    error: BaseException | None = None

    @property
    def returned(self) -> bool:
        return self.ended != NEVER and self.error is None

    def goes_on(self, at: int) -> bool:
        return self.began <= at < self.ended


@dataclass
class Rest:
    """A time at which nothing went on: the number of the last event, and what the channel told about itself."""

    at: int
    channel: str


@dataclass
class Record:
    """What happened in a run, to be read when it is over."""

    buffer: int
    itemizings: list[Call] = field(default_factory=list)
    asks: list[Call] = field(default_factory=list)
    rests: list[Rest] = field(default_factory=list)
    ended: int = NEVER
    """When the sender block ended."""
    reason: BaseException | None = None
    """The error by which the block was left."""
    escaped: BaseException | None = None
    """The error that came out of the block."""
    closed: int = NEVER
    cancelled: set[int] = field(default_factory=set)
    """The receivers that the schedule cancelled."""

    @cached_property
    def taken(self) -> dict[Item, int]:
        """When each item was taken, in that order."""
        return {ask.item: ask.ended for ask in self.asks_by_end if ask.item is not None}

    @cached_property
    def asks_by_end(self) -> list[Call]:
        return sorted(self.asks, key=lambda ask: ask.ended)

    def standing(self, at: int) -> list[Call]:
        """The calls whose items waited to be taken at the moment `at`, in their order.

        An item no longer waits when it is taken, when its call ends by an error, and when the receiver is closed.
        """
        taken = self.taken
        return [
            call
            for call in self.itemizings
            if call.item is not None
            and call.began <= at < min(taken.get(call.item, NEVER), NEVER if call.error is None else call.ended, self.closed)
        ]


class Stage:
    """Where a schedule is performed."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.channel: Channel[Item] = Channel(buffer=schedule.buffer)
        self.record = Record(schedule.buffer)
        self.now = 0
        self.turn = 0
        self.pending = deque(schedule.appointments)
        self.started = False
        self.abandoned = False
        self.stop = asyncio.Event()
        self.block: asyncio.Task[None] | None = None
        self.sources: list[asyncio.Task[None]] = []
        self.sinks: list[asyncio.Task[None]] = []
        self.reports: list[dict[str, object]] = []

    async def perform(self) -> None:
        try:
            await self.perform_all()
        finally:
            self.abandoned = True  # so that the stubborn can be cancelled, when the loop is closed after a failure

    async def perform_all(self) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.reports.append(context))
        if self.schedule.sinks_first:
            self.start_sinks()
            self.start_block()
        else:
            self.start_block()
            self.start_sinks()
        await self.rest()
        while self.pending:
            assert self.act(self.pending.popleft())
            await self.rest()
        if self.schedule.closes:
            self.close()
        self.start_sink(Sink())
        await self.rest()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"{len(left)} tasks wait for ever: {self.channel!r}"
        for task in (self.block, *self.sources, *self.sinks):
            if task is not None and not task.cancelled():
                error = task.exception()
                # A task group in the block has received the errors of its senders.
                if error is not None and not isinstance(error, ReceiverClosed):
                    raise error
        assert not self.reports, "an error was left to the event loop"

    async def rest(self) -> None:
        """Give turns until nothing goes on."""
        since = self.turn
        while self.turn - since < PATIENCE:
            assert self.turn < ENOUGH, f"{self.channel!r} does not come to rest"
            before = self.now
            await turns(1)
            self.turn += 1
            self.keep_appointments()
            if self.now != before:
                since = self.turn
        self.record.rests.append(Rest(self.now, repr(self.channel)))

    # Moments.

    def happened(self) -> int:
        self.now += 1
        return self.now

    def begin(self, calls: list[Call], who: int, item: Item | None) -> Call:
        self.keep_appointments()  # before the call, in the same step
        call = Call(who, self.happened(), item)
        calls.append(call)
        return call

    def end(self, call: Call, error: BaseException | None) -> None:
        call.ended, call.error = self.happened(), error
        self.keep_appointments()  # after the call, in the same step

    def keep_appointments(self) -> None:
        for _ in range(len(self.pending)):
            each = self.pending.popleft()
            clock = self.turn if each.moment.clock is Clock.TURN else self.now
            if clock < each.moment.count or not self.act(each):
                self.pending.append(each)

    def act(self, appointment: Appointment) -> bool:
        """Whether the time has come."""
        if not self.started:
            return False
        match appointment.act:
            case Act.CANCEL_SOURCE:
                if self.sources:
                    self.sources[appointment.who % len(self.sources)].cancel()
            case Act.CANCEL_SINK:
                if self.sinks:
                    who = appointment.who % len(self.sinks)
                    self.record.cancelled.add(who)
                    self.sinks[who].cancel()
            case Act.CLOSE:
                self.close()
            case Act.END:
                self.stop.set()
                if self.schedule.ending is Ending.CANCELLED and self.block is not None:
                    self.block.cancel()
        return True

    def close(self) -> None:
        without_a_turn(self.channel.receiver.aclose())
        self.record.closed = min(self.record.closed, self.happened())

    # The sending side.

    def start_block(self) -> None:
        self.block = asyncio.create_task(self.run_block())

    async def run_block(self) -> None:
        self.block = asyncio.current_task()  # an eager task runs before create_task() returns
        itemize: Itemizer[Item] | None = None
        try:
            async with self.channel.sender as itemize:
                try:
                    await self.body(itemize)
                except BaseException as error:
                    self.record.reason = error
                    raise
        except BaseException as error:  # noqa: BLE001 - whatever comes out is recorded
            self.record.escaped = error
        self.record.ended = self.happened()
        self.keep_appointments()
        assert itemize is not None
        # An itemizer is of no use after its block, and it stays so.
        await self.send(itemize, -1, Source((0, 1)))

    async def body(self, itemize: Itemizer[Item]) -> None:
        sends = [self.send(itemize, who, source) for who, source in enumerate(self.schedule.sources)]
        match self.schedule.home:
            case Home.BLOCK:
                assert self.block is not None
                self.sources = [self.block]
                self.started = True
                await one_after_another(sends)
                await self.until_the_end()
            case Home.GROUP:
                async with asyncio.TaskGroup() as group:
                    self.sources = [group.create_task(send) for send in sends]
                    self.started = True
                    await self.until_the_end()
            case Home.OUTSIDE:
                self.sources = [asyncio.create_task(send) for send in sends]
                self.started = True
                if self.schedule.ending is Ending.DONE and self.sources:
                    await asyncio.wait(self.sources)
                await self.until_the_end()

    async def until_the_end(self) -> None:
        if self.schedule.ending is not Ending.DONE:
            await self.stop.wait()
        if self.schedule.ending is Ending.ERROR:
            raise BoomError

    async def send(self, itemize: Itemizer[Item], who: int, source: Source) -> None:
        outside = who < 0 or self.schedule.home is Home.OUTSIDE
        for number, pause in enumerate(source.pauses):
            await turns(pause)
            call = self.begin(self.record.itemizings, who, (who, number))
            try:
                await itemize((who, number))
            except asyncio.CancelledError as error:
                self.end(call, error)
                if not source.stubborn or self.abandoned:
                    raise
            except (ReceiverClosed, SenderClosed) as error:
                self.end(call, error)
                if not outside:
                    raise
            else:
                self.end(call, None)

    # The receiving side.

    def start_sinks(self) -> None:
        for sink in self.schedule.sinks:
            self.start_sink(sink)

    def start_sink(self, sink: Sink) -> None:
        self.sinks.append(asyncio.create_task(self.receive(len(self.sinks), sink)))

    async def receive(self, who: int, sink: Sink) -> None:
        await turns(sink.late)
        taken = 0
        while taken < sink.leaves_after:
            ask = await self.ask(who)
            if ask.error is None:
                await turns(sink.pauses[taken] if taken < len(sink.pauses) else 0)
                taken += 1
            elif not isinstance(ask.error, asyncio.CancelledError):
                await self.ask(who)  # the end stays
                break
            elif not sink.stubborn or self.abandoned:
                raise ask.error

    async def ask(self, who: int) -> Call:
        assert len(self.record.asks) < ENOUGH, f"{self.channel!r} does not end"
        call = self.begin(self.record.asks, who, None)
        try:
            call.item = await anext(self.channel.receiver)
        except (StopAsyncIteration, SenderFailed, asyncio.CancelledError) as error:
            self.end(call, error)
        else:
            self.end(call, None)
        return call


async def one_after_another(coroutines: list[Coroutine[object, object, None]]) -> None:
    rest = deque(coroutines)
    try:
        while rest:
            await rest.popleft()
    finally:
        for coroutine in rest:
            coroutine.close()


def without_a_turn(coroutine: Coroutine[object, object, None]) -> None:
    """Run `coroutine`, which promises not to wait, to its end."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


def perform(schedule: Schedule) -> Record:
    """Perform `schedule` in an event loop of its own. Nobody may wait for ever, and nothing may be left."""
    stage = Stage(schedule)
    with asyncio.Runner(loop_factory=LOOPS[schedule.loop]) as runner:
        runner.run(stage.perform())
    return stage.record


Law: TypeAlias = Callable[[Record], None]


@cache
def performed(strategy: st.SearchStrategy[Schedule], count: int) -> list[tuple[Schedule, Record]]:
    runs: list[tuple[Schedule, Record]] = []

    @examples(count)
    @given(strategy)
    def draw(schedule: Schedule) -> None:
        runs.append((schedule, perform(schedule)))

    draw()
    return runs


def law(strategy: st.SearchStrategy[Schedule], count: int) -> Callable[[Law], Callable[[], None]]:
    """Make a test of a law, which is judged over `count` schedules.

    To draw and perform a schedule takes much longer than to judge it, so the laws with the same strategy share their runs. When one
    is broken, Hypothesis looks for the smallest schedule that breaks it.
    """

    def decorate(judge: Law) -> Callable[[], None]:
        @examples(4 * count)
        @given(strategy)
        def smallest(schedule: Schedule) -> None:
            judge(perform(schedule))

        def test() -> None:
            for schedule, record in performed(strategy, count):
                try:
                    judge(record)
                except AssertionError as broken:
                    broken.add_note(f"in the run of {schedule}")
                    smallest()
                    raise

        # Without `functools.wraps`: pytest follows ``__wrapped__``, and would ask for a fixture named record.
        test.__name__, test.__qualname__, test.__doc__ = judge.__name__, judge.__qualname__, judge.__doc__
        return test

    return decorate

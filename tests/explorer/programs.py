"""Programs: what sends, what receives, what may happen to them. Data, so that they can be listed, drawn, shrunk and printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

__all__ = [
    "Actor",
    "Block",
    "Body",
    "Cancel",
    "Close",
    "Drop",
    "Dropping",
    "End",
    "Ending",
    "Event",
    "Fed",
    "Feed",
    "Producing",
    "Program",
    "Reader",
    "Relay",
    "Side",
    "Streamed",
    "Tail",
    "Tee",
    "Where",
    "Writer",
    "draw_program",
    "large_programs",
    "small_programs",
]


class Where(Enum):
    """Where the writers of a block run."""

    HERE = auto()
    """One after another in the task of the block."""
    TASKS = auto()
    """Each in a task; the block waits for them, and doesn't care how they end."""
    GROUP = auto()
    """Each in a task of a task group inside the block."""
    OUTSIDE = auto()
    """Each in a task that may go on when the block has ended."""


class Ending(Enum):
    """How a sender block ends, or a producer."""

    DONE = auto()
    """Normally, after its writers; with `Where.OUTSIDE` as soon as it likes."""
    FAILED = auto()
    """The same, by an error."""
    FOREIGN = auto()
    """The same, by a `ReceiverClosed` that is not its channel's."""
    CUE = auto()
    """Normally, when `End` is given."""
    CUE_FAILED = auto()
    """By an error, when `End` is given."""
    ABANDONED = auto()
    """It is entered and never left."""
    STOPS = auto()
    """By StopAsyncIteration, which as the error of a producer is a RuntimeError."""


class Body(Enum):
    """What the body of a `Fed` does besides taking items."""

    PLAIN = auto()
    """Nothing, so a `SenderFailed` leaves it."""
    FAILS = auto()
    """It fails after the items."""
    HANDLES = auto()
    """It handles a `SenderFailed`."""
    TRANSLATES = auto()
    """It raises another error in place of a `SenderFailed`."""
    CLOSED = auto()
    """It is closed after the items, as a generator is."""
    LOST = auto()
    """It lets go of the block without leaving it."""


class Dropping(Enum):
    """What the channels do with items that will not be taken."""

    SILENT = auto()
    """Nothing."""
    TOLD = auto()
    """They call `on_drop`."""
    OLDEST = auto()
    """They call `on_drop`, and those with a buffer lose the oldest item for a new one."""
    FAILING = auto()
    """The same, and `on_drop` fails."""


class Side(Enum):
    SENDER = auto()
    RECEIVER = auto()


class Tail(Enum):
    """What happens when nothing happens any more."""

    DRAIN = auto()
    """A last receiver takes what is left."""
    CLOSE = auto()
    """The receivers are closed."""
    NOTHING = auto()
    """Everybody has come to an end."""


@dataclass(frozen=True)
class Writer:
    """Sends `items`, with `pause` turns before each. A stubborn one goes on with the next when it is cancelled.

    The first `timeouts` calls run under a timeout. One that `offers` does so in place of calls, `wrapped` through an itemizer that
    passes the item on.
    """

    items: int = 1
    pause: int = 0
    stubborn: bool = False
    timeouts: int = 0
    offers: bool = False
    wrapped: bool = False


@dataclass(frozen=True)
class Block:
    """A sender block: the task ``block<channel>``, its writers ``writer<channel>.<number>``."""

    channel: int = 0
    writers: tuple[Writer, ...] = (Writer(),)
    where: Where = Where.HERE
    ending: Ending = Ending.DONE


@dataclass(frozen=True)
class Reader:
    """Takes items, with `pause` turns after each: the task ``reader<number>``.

    After `takes` items it leaves its loop; with `resumes` it then starts another one that goes on to the end, with `closes` it
    does all this inside ``async with receiver``. With `ready` it takes as many items without waiting before it asks for one; three
    stands for all.
    """

    channel: int = 0
    takes: int | None = None
    pause: int = 0
    stubborn: bool = False
    timeouts: int = 0
    closes: bool = False
    resumes: bool = False
    ready: int = 0


@dataclass(frozen=True)
class Relay:
    """A stage: what it takes from one channel it sends on the other. The task ``relay``."""

    source: int = 0
    target: int = 1
    closes: bool = True


@dataclass(frozen=True)
class Tee:
    """One body inside two sender blocks, `inner` inside `outer`, that sends every item to both. The task ``tee``."""

    items: int = 2
    inner: int = 0
    outer: int = 1


@dataclass(frozen=True)
class Producing:
    """A producer.

    It sends `items`, the first `timeouts` of them under a timeout, ends as it is told (with `Ending.CUE` it waits until it is
    cancelled) and takes `cleanup` turns to clean up, perhaps failing then.
    """

    channel: int = 0
    items: int = 2
    pause: int = 0
    ending: Ending = Ending.DONE
    cleanup: int = 0
    cleanup_fails: bool = False
    timeouts: int = 0


@dataclass(frozen=True)
class Fed(Producing):
    """The task ``fed`` in a block of ``Channel.fed_by``, whose body takes `takes` items; the producer runs in ``fed/1``."""

    takes: int | None = None
    body: Body = Body.PLAIN


@dataclass(frozen=True)
class Feed(Producing):
    """The task ``feed<channel>`` of ``Channel.feed``. If it is `unbegun`, its coroutine is only held, until `Drop` is given."""

    unbegun: bool = False


@dataclass(frozen=True)
class Streamed:
    """The task ``streamed`` iterates over a `stream`, which with `source` takes an item from that channel before it sends one."""

    items: int = 2
    pause: int = 0
    ending: Ending = Ending.DONE
    takes: int | None = None
    source: int | None = None


@dataclass(frozen=True)
class Cancel:
    """A task may be cancelled, at any time or never."""

    who: str


@dataclass(frozen=True)
class Close:
    """The receiver is closed by another task."""

    channel: int = 0


@dataclass(frozen=True)
class End:
    """A block that waits for its cue ends."""

    channel: int = 0


@dataclass(frozen=True)
class Drop:
    """A task that held an end for others drops it."""

    side: Side
    channel: int = 0


Actor: TypeAlias = Block | Reader | Relay | Tee | Fed | Feed | Streamed
Event: TypeAlias = Cancel | Close | End | Drop


@dataclass(frozen=True)
class Program:
    name: str
    actors: tuple[Actor, ...]
    events: tuple[Event, ...] = ()
    buffers: tuple[int, ...] = (0,)
    tail: Tail = Tail.DRAIN
    eager: bool = False
    """Tasks start in the step that creates them (from Python 3.12 on)."""
    dropping: Dropping = Dropping.SILENT


two = (Writer(1), Writer(1))


def small_programs() -> list[Program]:
    """The programs that run in every order, each for a promise or two."""
    return [
        Program("one to one", (Block(writers=(Writer(2),)), Reader())),
        Program("one to one, buffered", (Block(writers=(Writer(2),)), Reader()), buffers=(1,)),
        Program("one to one, the reader cancelled", (Block(writers=(Writer(1),)), Reader()), (Cancel("reader0"),)),
        Program("one to one, the block cancelled", (Block(writers=(Writer(1),)), Reader()), (Cancel("block0"),)),
        Program("two readers, one cancelled", (Block(), Reader(takes=1), Reader(takes=1)), (Cancel("reader0"),)),
        Program("two readers, one cancelled, buffered", (Block(), Reader(takes=1), Reader(takes=1)), (Cancel("reader0"),), (1,)),
        Program("two readers, two items", (Block(writers=(Writer(2),)), Reader(), Reader())),
        Program(
            "two readers, both sides cancelled", (Block(), Reader(takes=1), Reader(takes=1)), (Cancel("reader0"), Cancel("block0"))
        ),
        Program("two writers, one cancelled", (Block(writers=two, where=Where.TASKS), Reader(takes=2)), (Cancel("writer0.0"),)),
        Program(
            "two writers, one cancelled, buffered", (Block(writers=two, where=Where.TASKS), Reader()), (Cancel("writer0.0"),), (1,)
        ),
        # With two places the buffer can be neither empty nor full, and the ends append and pop by themselves.
        Program(
            "two readers midstream, one cancelled",
            (Block(writers=(Writer(3),)), Reader(), Reader(takes=1)),
            (Cancel("reader0"),),
            (2,),
        ),
        Program(
            "two writers midstream, one cancelled",
            (Block(writers=(Writer(2), Writer(2)), where=Where.TASKS), Reader()),
            (Cancel("writer0.0"),),
            (2,),
        ),
        Program("timeouts on both sides, once", (Block(writers=(Writer(1, timeouts=1),)), Reader(timeouts=1))),
        Program("a failure", (Block(writers=(Writer(1),), ending=Ending.FAILED), Reader(), Reader())),
        Program("a failure, buffered", (Block(writers=(Writer(2),), ending=Ending.FAILED), Reader(), Reader()), buffers=(2,)),
        Program("a close", (Block(), Reader(), Reader()), (Close(),)),
        Program("a close, buffered", (Block(writers=two, where=Where.TASKS), Reader()), (Close(),), (1,)),
        Program("leaving early", (Block(writers=(Writer(3),)), Reader(takes=1, closes=True))),
        Program("a break, and on", (Block(writers=(Writer(3),)), Reader(takes=1, resumes=True))),
        Program("writers that outlive the block", (Block(writers=two, where=Where.OUTSIDE, ending=Ending.CUE), Reader()), (End(),)),
        Program("an abandoned block", (Block(writers=(Writer(1),), ending=Ending.ABANDONED), Reader())),
        Program("an abandoned block, nothing sent", (Block(writers=(), ending=Ending.ABANDONED), Reader(), Reader())),
        Program("a sender that is never opened", (Reader(), Reader()), (Drop(Side.SENDER),)),
        Program("a dropped receiver", (Block(writers=two, where=Where.TASKS), Reader(takes=1)), (Drop(Side.RECEIVER),)),
        Program(
            "a dropped receiver, buffered", (Block(writers=two, where=Where.TASKS), Reader(takes=1)), (Drop(Side.RECEIVER),), (1,)
        ),
        Program("a stage between two channels", (Block(), Relay(), Reader(1)), (), (0, 0)),
        Program("a stage between two channels, cancelled", (Block(), Relay(), Reader(1)), (Cancel("relay"),), (0, 0)),
        Program("an offer", (Block(writers=(Writer(2, 1, offers=True),), ending=Ending.CUE), Reader(), Reader()), (End(),)),
        Program(
            "an offer while another waits for room",
            (Block(writers=(Writer(2), Writer(1, 1, offers=True)), where=Where.TASKS), Reader(takes=2)),
            (Cancel("writer0.0"),),
            (1,),
            dropping=Dropping.TOLD,
        ),
        Program("what is ready", (Block(writers=two, where=Where.TASKS), Reader(ready=2)), (Cancel("writer0.0"),)),
        Program("what is ready, buffered", (Block(writers=(Writer(4),)), Reader(ready=1)), buffers=(2,)),
        Program(
            "the oldest is lost",
            (Block(writers=(Writer(3),), ending=Ending.CUE), Reader(takes=1)),
            (End(), Close()),
            (1,),
            dropping=Dropping.OLDEST,
        ),
        Program("feed, closed early", (Feed(items=2, cleanup=1), Reader(takes=1, closes=True)), (Cancel("feed0"),)),
        Program("feed, dropped", (Feed(items=1, ending=Ending.CUE, cleanup=1), Reader(takes=1)), (Drop(Side.RECEIVER),)),
        Program("feed, never begun", (Feed(unbegun=True), Reader(), Reader()), (Drop(Side.SENDER),)),
        Program("fed, both cancelled", (Fed(items=2, cleanup=1),), (Cancel("fed"), Cancel("fed/1")), tail=Tail.NOTHING),
    ]


def large_programs() -> list[Program]:
    """The programs that have too many orders to run them all."""
    return [
        Program(
            "a pool of workers",
            (Block(writers=(Writer(5, stubborn=True),)), Reader(pause=2), Reader(pause=1, stubborn=True), Reader(pause=1)),
            (Cancel("reader0"), Cancel("reader1"), Cancel("block0")),
        ),
        Program(
            "a pool of workers, buffered",
            (Block(writers=(Writer(5),)), Reader(pause=2), Reader(pause=1, stubborn=True), Reader()),
            (Cancel("reader0"), Cancel("reader1")),
            (2,),
        ),
        Program(
            "many writers",
            (Block(writers=(Writer(2), Writer(2, stubborn=True), Writer(2)), where=Where.TASKS), Reader()),
            (Cancel("writer0.0"), Cancel("writer0.1"), Cancel("writer0.2")),
        ),
        Program(
            "many writers, buffered",
            (Block(writers=(Writer(2), Writer(2, stubborn=True), Writer(2)), where=Where.TASKS), Reader(pause=1)),
            (Cancel("writer0.0"), Cancel("writer0.1"), Cancel("writer0.2")),
            (1,),
        ),
        Program(
            "workers that never come back",
            (Block(writers=(Writer(2), Writer(2)), where=Where.TASKS), Reader(takes=1), Reader(takes=1), Reader(takes=1)),
        ),
        Program(
            "two places for two that wait",
            (Block(writers=(Writer(2), Writer(1), Writer(1)), where=Where.TASKS), Reader(takes=2)),
            buffers=(2,),
        ),
        Program(
            "a place for the one after the cancelled",
            (Block(writers=(Writer(1), Writer(1), Writer(1)), where=Where.TASKS), Reader(takes=1)),
            (Cancel("writer0.0"), Cancel("writer0.1")),
            (1,),
        ),
        Program(
            "a group of writers, closed",
            (Block(writers=(Writer(2), Writer(2)), where=Where.GROUP), Reader(takes=2, closes=True), Reader()),
            (Cancel("reader0"), Cancel("block0")),
        ),
        Program(
            "timeouts on both sides",
            (
                Block(writers=(Writer(2, timeouts=2), Writer(2, 1, timeouts=1)), where=Where.TASKS),
                Reader(timeouts=3),
                Reader(pause=1, timeouts=2),
            ),
        ),
        Program(
            "timeouts on both sides, buffered",
            (
                Block(writers=(Writer(3, timeouts=2), Writer(2, 1, timeouts=1)), where=Where.TASKS),
                Reader(timeouts=3),
                Reader(pause=1, timeouts=2),
            ),
            buffers=(1,),
        ),
        Program(
            "everything at once",
            (
                Block(writers=(Writer(2, stubborn=True), Writer(2)), where=Where.OUTSIDE, ending=Ending.CUE_FAILED),
                Reader(stubborn=True),
                Reader(takes=1, resumes=True),
            ),
            (End(), Close(), Cancel("reader0"), Cancel("writer0.0")),
            (1,),
        ),
        Program(
            "a writer closed while it waits", (Block(writers=(Writer(3),)), Reader(takes=2)), (Close(), Cancel("block0")), (1,)
        ),
        Program(
            "a pipeline",
            (Block(writers=(Writer(3),)), Relay(), Reader(1, pause=1)),
            (Cancel("relay"), Cancel("block0")),
            (0, 1),
        ),
        Program("a pipeline left early", (Block(writers=(Writer(4),)), Relay(), Reader(1, takes=1, closes=True)), buffers=(1, 0)),
        Program(
            "a pipeline that fails",
            (Block(writers=(Writer(2),), ending=Ending.FAILED), Relay(closes=False), Reader(1)),
            buffers=(0, 0),
        ),
        Program(
            "a tee of which one side leaves",
            (Tee(3), Reader(0, takes=1), Reader(1, takes=1, closes=True)),
            (Cancel("reader0"),),
            (0, 0),
        ),
        Program("a foreign close", (Block(writers=(Writer(1),), ending=Ending.FOREIGN), Reader())),
        Program("fed", (Fed(items=2, cleanup=1),), (Cancel("fed"), Cancel("fed/1")), tail=Tail.NOTHING),
        Program("fed, buffered", (Fed(items=3, cleanup=1),), (Cancel("fed"), Cancel("fed/1")), (1,), Tail.NOTHING),
        Program("fed, left early", (Fed(items=3, takes=1, cleanup=2),), (Cancel("fed"), Cancel("fed")), tail=Tail.NOTHING),
        Program(
            "fed, left with a producer that waits",
            (Fed(items=1, takes=1, ending=Ending.CUE),),
            (Cancel("fed"),),
            buffers=(1,),
            tail=Tail.NOTHING,
        ),
        Program("fed, a failure", (Fed(items=1, ending=Ending.FAILED),), (Cancel("fed"),), tail=Tail.NOTHING),
        Program("fed, a failure not met", (Fed(items=2, takes=1, ending=Ending.FAILED),), (Close(),), (2,), Tail.NOTHING),
        Program("fed, a cancellation not met", (Fed(items=2, takes=1),), (Cancel("fed/1"),), (1,), Tail.NOTHING),
        Program(
            "fed, a failure handled",
            (Fed(items=1, ending=Ending.FAILED, body=Body.HANDLES),),
            (Cancel("fed"), Cancel("fed/1")),
            tail=Tail.NOTHING,
        ),
        Program(
            "fed, a failure translated",
            (Fed(items=1, ending=Ending.FAILED, body=Body.TRANSLATES),),
            (Cancel("fed/1"),),
            tail=Tail.NOTHING,
        ),
        Program(
            "fed, a failure met by another",
            (Fed(items=2, takes=1, ending=Ending.FAILED, body=Body.FAILS), Reader(pause=1)),
            (Cancel("fed/1"),),
            tail=Tail.NOTHING,
        ),
        Program("fed, a producer that stops", (Fed(items=1, ending=Ending.STOPS),), (Cancel("fed"),), tail=Tail.NOTHING),
        Program(
            "fed, both fail",
            (Fed(items=2, takes=1, cleanup=1, cleanup_fails=True, body=Body.FAILS),),
            (Cancel("fed/1"),),
            tail=Tail.NOTHING,
        ),
        Program("fed, closed", (Fed(items=2, takes=1, cleanup=2, body=Body.CLOSED),), (Cancel("fed/1"),), tail=Tail.NOTHING),
        Program(
            "fed, lost",
            (Fed(items=2, takes=1, ending=Ending.CUE, cleanup=2, body=Body.LOST),),
            (Close(), Cancel("fed"), Cancel("fed/1")),
            (1,),
            Tail.NOTHING,
        ),
        Program(
            "fed, lost after a failure",
            (Fed(items=1, ending=Ending.FAILED, body=Body.LOST),),
            (Cancel("fed/1"),),
            tail=Tail.NOTHING,
        ),
        Program(
            "feed",
            (Feed(items=3, pause=1, cleanup=2, timeouts=2), Reader(takes=2, closes=True), Reader(pause=1)),
            (Cancel("feed0"), Close()),
            tail=Tail.CLOSE,
        ),
        Program(
            "feed, with a producer that waits",
            (Feed(items=1, ending=Ending.CUE, cleanup=2, timeouts=1), Reader(pause=3)),
            (Cancel("feed0"), Close()),
            tail=Tail.NOTHING,
        ),
        Program(
            "feed, closed in a timeout of its own",
            (Feed(items=1, ending=Ending.CUE, timeouts=1), Reader(pause=2)),
            (Close(),),
            tail=Tail.NOTHING,
        ),
        Program(
            "feed, a failure",
            (Feed(items=1, ending=Ending.FAILED), Reader(), Reader(takes=1, closes=True)),
            (Cancel("feed0"),),
        ),
        Program(
            "feed, a failure in its cleanup",
            (Feed(items=3, cleanup=1, cleanup_fails=True), Reader(takes=1, closes=True)),
            (Cancel("feed0"),),
        ),
        Program("closed while busy", (Block(writers=(Writer(4),)), Reader(pause=3), Reader(takes=1, resumes=True)), (Close(),)),
        Program(
            "closed while busy, buffered",
            (Block(writers=(Writer(4),), ending=Ending.CUE), Reader(pause=3), Reader(pause=1, takes=1, resumes=True)),
            (Close(), End()),
            (2,),
            Tail.CLOSE,
        ),
        Program(
            "offers",
            (
                Block(writers=(Writer(3, 1, offers=True), Writer(2, offers=True, wrapped=True), Writer(2)), where=Where.TASKS),
                Reader(),
                Reader(pause=1, takes=2),
            ),
            (Cancel("reader0"), Cancel("writer0.2")),
            dropping=Dropping.TOLD,
        ),
        Program(
            "offers, buffered",
            (
                Block(writers=(Writer(3, 1, offers=True), Writer(3), Writer(2)), where=Where.TASKS),
                Reader(pause=1, ready=1, takes=4),
            ),
            (Cancel("writer0.1"), Cancel("writer0.2")),
            (2,),
            dropping=Dropping.TOLD,
        ),
        Program(
            "offers after the end",
            (
                Block(
                    writers=(Writer(3, 1, offers=True), Writer(3, 2, offers=True, wrapped=True)),
                    where=Where.OUTSIDE,
                    ending=Ending.CUE,
                ),
                Reader(),
            ),
            (End(), Close()),
            (1,),
        ),
        Program(
            "the oldest is lost, to many",
            (
                Block(writers=(Writer(4, 1), Writer(4, offers=True), Writer(2, 1, wrapped=True, offers=True)), where=Where.TASKS),
                Reader(pause=2, ready=1),
                Reader(pause=1, takes=2, closes=True),
            ),
            (Cancel("writer0.0"),),
            (2,),
            dropping=Dropping.OLDEST,
        ),
        Program(
            "the oldest is lost, and on_drop fails",
            (Block(writers=(Writer(4),)), Reader(pause=2, takes=1)),
            (Drop(Side.RECEIVER),),
            (2,),
            Tail.CLOSE,
            dropping=Dropping.FAILING,
        ),
        Program(
            "what is left behind",
            (Block(writers=(Writer(3), Writer(1, offers=True)), where=Where.TASKS), Reader(takes=1)),
            (Drop(Side.RECEIVER), Close()),
            (2,),
            Tail.CLOSE,
            dropping=Dropping.TOLD,
        ),
        Program(
            "what is ready for many",
            (Block(writers=(Writer(3), Writer(3)), where=Where.TASKS), Reader(ready=3, pause=1), Reader(ready=1, takes=2)),
            (Cancel("writer0.0"), Cancel("reader0")),
        ),
        Program(
            "what is ready for many, buffered",
            (
                Block(writers=(Writer(3), Writer(3)), where=Where.TASKS),
                Reader(ready=2, pause=1),
                Reader(ready=3, pause=1, closes=True, takes=3),
            ),
            (Cancel("writer0.0"), Cancel("reader0")),
            (2,),
        ),
        Program("fed, a foreign close", (Fed(items=1, ending=Ending.FOREIGN),), (Close(),), tail=Tail.NOTHING),
        Program("a stream", (Streamed(3, 1),), (Cancel("streamed"),), tail=Tail.NOTHING),
        Program("a stream left early", (Streamed(3, takes=1),), (Cancel("streamed"),), tail=Tail.NOTHING),
        Program("a stream that fails", (Streamed(1, 1, Ending.FAILED),), (Cancel("streamed"),), tail=Tail.NOTHING),
        Program(
            "a stream over a channel",
            (Block(writers=(Writer(3),), ending=Ending.FAILED), Streamed(4, source=0)),
            (Cancel("streamed"), Cancel("block0")),
        ),
    ]


def draw_program(name: str, pick: Callable[[int], int], *, eager: bool = False) -> Program:
    """A program of any kind. `pick(n)` gives a number below n; 0 is always the simplest."""
    kind = pick(9)
    if kind == 5:
        return draw_pipeline(name, pick, eager=eager)
    if kind == 6:
        return draw_fed(name, pick, eager=eager)
    if kind == 7:
        return draw_feed(name, pick, eager=eager)
    buffer = pick(4)
    where = list(Where)[pick(4)]
    writers = tuple(draw_writer(pick) for _ in range(1 + pick(3)))
    ending = list(Ending)[pick(6)]
    readers = tuple(draw_reader(pick) for _ in range(pick(4)))
    if ending is Ending.ABANDONED and where is Where.GROUP:
        where = Where.HERE  # a group that fails leaves cycles, and what is in a cycle is not dropped
    block = Block(0, writers, where, ending)
    events: list[Event] = [Cancel(["block0", "writer0.0", "writer0.1", "writer0.2"][pick(4)]) for _ in range(pick(3))]
    events += [Cancel(f"reader{pick(len(readers))}") for _ in range(pick(3)) if readers]
    if ending in {Ending.CUE, Ending.CUE_FAILED}:
        events.append(End())
    if pick(5) == 1:
        events.append(Close())
    if pick(5) == 1:
        events.append(Drop(Side.RECEIVER))
    tail = list(Tail)[pick(2)]
    return Program(name, (block, *readers), tuple(events), (buffer,), tail, eager, list(Dropping)[pick(4)])


def draw_writer(pick: Callable[[int], int]) -> Writer:
    return Writer(pick(4), pick(3), pick(2) > 0, pick(3), offers=pick(4) == 1, wrapped=pick(2) > 0)


def draw_reader(pick: Callable[[int], int]) -> Reader:
    return Reader(
        takes=[None, 1, 2, 3][pick(4)],
        pause=pick(3),
        stubborn=pick(2) > 0,
        timeouts=pick(3),
        closes=pick(6) == 1,
        resumes=pick(3) == 1,
        ready=max(0, pick(8) - 4),
    )


def draw_pipeline(name: str, pick: Callable[[int], int], *, eager: bool) -> Program:
    first = Block(0, (Writer(1 + pick(3), pick(2)),), Where.HERE, [Ending.DONE, Ending.FAILED, Ending.FOREIGN][pick(3)])
    actors: tuple[Actor, ...] = (first, Relay(closes=pick(4) > 0), Reader(1, [None, 1, 2][pick(3)], pick(2), closes=pick(3) == 1))
    names = ["relay", "block0", "reader0"]
    if pick(4) == 1:
        actors, names = (
            (Tee(1 + pick(3)), Reader(0, [None, 1][pick(2)], closes=pick(2) > 0), Reader(1)),
            ["tee", "reader0", "reader1"],
        )
    events: list[Event] = [Cancel(names[pick(3)]) for _ in range(pick(3))]
    if pick(4) == 1:
        events.append(Close(pick(2)))
    return Program(name, actors, tuple(events), (pick(3), pick(3)), list(Tail)[pick(2)], eager)


def draw_fed(name: str, pick: Callable[[int], int], *, eager: bool) -> Program:
    if pick(3) == 1:
        source = [None, 0][pick(2)]
        streamed = Streamed(pick(4), pick(3), [Ending.DONE, Ending.FAILED][pick(2)], [None, 1, 2][pick(3)], source)
        writer = Block(0, (Writer(pick(4), pick(2)),), Where.HERE, [Ending.DONE, Ending.FAILED][pick(2)])
        cancels = tuple(Cancel(["streamed", "block0"][pick(2)]) for _ in range(pick(3)))
        return Program(name, (streamed, writer), cancels, (pick(3),), list(Tail)[pick(2)], eager)
    producing = draw_producing(pick)
    fed = Fed(**vars(producing), takes=[None, 0, 1, 2][pick(4)], body=list(Body)[pick(6)])
    readers = tuple(draw_reader(pick) for _ in range(max(0, pick(4) - 2)))
    # A task that is cancelled before it enters the block leaves the other readers to wait.
    events: list[Event] = [Cancel("fed/1" if readers else ["fed", "fed/1"][pick(2)]) for _ in range(pick(3))]
    if pick(4) == 1:
        events.append(Close())
    return Program(name, (fed, *readers), tuple(events), (pick(3),), Tail.NOTHING, eager)


def draw_feed(name: str, pick: Callable[[int], int], *, eager: bool) -> Program:
    feed = Feed(**vars(draw_producing(pick)))
    readers = tuple(draw_reader(pick) for _ in range(1 + pick(2)))
    events: list[Event] = [Cancel(["feed0", "reader0"][pick(2)]) for _ in range(pick(3))]
    if pick(4) == 1:
        events.append(Close())
    if pick(4) == 1:
        events.append(Drop(Side.RECEIVER))
    return Program(name, (feed, *readers), tuple(events), (pick(3),), list(Tail)[pick(2)], eager, list(Dropping)[pick(4)])


def draw_producing(pick: Callable[[int], int]) -> Producing:
    return Producing(
        items=pick(4),
        pause=pick(2),
        ending=[Ending.DONE, Ending.FAILED, Ending.FOREIGN, Ending.STOPS][pick(4)],
        cleanup=pick(3),
        cleanup_fails=pick(4) == 1,
        timeouts=max(0, pick(4) - 2),
    )

"""Small programs of several tasks on one channel, one of which is struck by an exception inside the library.

Everything is deterministic, so a dry run lists the lines of the library that are executed, in order, and a place in that list is a
point to strike at. Or one task has too little of a stack left, so that RecursionError strikes wherever it happens to.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final, Protocol, TypeVar

from typing_extensions import override

import chanstream
from chanstream import Channel, ChannelError, Itemizer, Receiver, SenderFailed

__all__ = ["DEPTHS", "SCENES", "Outcome", "Point", "Scene", "points", "run_short_of_stack", "strike"]

T = TypeVar("T")

OWN: Final = str(Path(chanstream.__file__).parent)

TURNS: Final = 400
"""No scene takes so many turns of the event loop."""

ITEMS: Final = 4
"""How many items each writer sends."""

LIMIT: Final = 300
DEPTHS: Final = range(LIMIT - 100, LIMIT - 8)
"""How deep a victim stands in its stack, of which `LIMIT` frames may be used. From some depth on it gets nowhere at all."""


class StruckError(Exception):
    """What strikes."""


class Outcome(Enum):
    """What became of the tasks that were not struck. The first that fits counts."""

    SPOILT = "an innocent task got an error that is not the contract's"
    HUNG = "a task that could go on waits for ever"
    LOST = "an item is lost, or came twice"
    FINE = "nothing else happened"


@dataclass(frozen=True)
class Point:
    """A line of the library, and the place of its execution in the list of all."""

    place: int
    file: str
    line: int
    function: str

    @override
    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line} {self.function}"


@dataclass
class Scene:
    """Two writers and two readers of one channel. One of each is cancelled once and goes on, as each does when it is struck."""

    name: str
    buffer: int
    fed: bool = False
    """Whether `Channel.fed_by` runs the writers."""
    victim: str = ""
    """A task that stands `depth` frames deep in its stack."""
    depth: int = 0
    errors: list[str] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    over: bool = False

    async def main(self, channel: Channel[int], receiver: Receiver[int]) -> bool:
        """Play, and return whether every task came to its end."""
        if self.fed:
            tasks = [asyncio.create_task(self.feed(channel), name="block")]
        else:
            tasks = [asyncio.create_task(self.read(receiver), name="reader 1")]
            await turns(2)
            tasks.append(asyncio.create_task(self.open(channel), name="block"))
            tasks.append(asyncio.create_task(self.read(receiver), name="reader 2"))
            await turns(6)
            cancel(tasks[-1])
        for _ in range(TURNS):
            if all(task.done() for task in tasks):
                break
            await turns(1)
        ended = all(task.done() for task in tasks)
        self.over = True
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            cancel(task)
        await turns(1)
        return ended

    async def open(self, channel: Channel[int]) -> None:
        for _ in range(2):  # a second time if it was struck before it began
            with self.noting():
                async with channel.sender as itemize:
                    await self.write_all(itemize)
                return

    async def feed(self, channel: Channel[int]) -> None:
        with self.noting():
            async with channel.fed_by(self.write_all) as receiver:
                await asyncio.wait([asyncio.create_task(self.read(receiver), name=f"reader {number}") for number in (1, 2)])

    async def write_all(self, itemize: Itemizer[int]) -> None:
        tasks = [asyncio.create_task(self.write(itemize, first), name=f"writer {first}") for first in (10, 20)]
        await turns(2)
        cancel(tasks[1])
        await asyncio.wait(tasks)

    async def write(self, itemize: Itemizer[int], first: int) -> None:
        for item in range(first, first + ITEMS):
            with self.noting():
                await self.from_below(partial(itemize, item))
                self.sent.append(item)

    async def read(self, receiver: Receiver[int]) -> None:
        for _ in range(30):
            with self.noting():
                try:
                    self.taken.append(await self.from_below(lambda: anext(receiver)))
                except (StopAsyncIteration, SenderFailed):
                    return

    async def from_below(self, call: Callable[[], Awaitable[T]]) -> T:
        """Await what `call` returns, from as deep in the stack as this task stands."""
        return await below(self.depth if self.victim == name_of_task() else 0, call)

    def noting(self) -> Noting:
        return Noting(self)


class Noting:
    """Lets a task go on after it was struck or cancelled, and writes down what no task should get."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if error is None or self.scene.over:
            return False
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        elif not isinstance(error, StruckError | RecursionError | ChannelError):
            self.scene.errors.append(f"{name_of_task()} got {error!r}")
        return True


async def below(depth: int, call: Callable[[], Awaitable[T]]) -> T:
    return await (below(depth - 1, call) if depth else call())


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def cancel(task: asyncio.Task[None]) -> None:
    with suppress(StruckError):
        task.cancel()


def name_of_task() -> str:
    task = asyncio.current_task()
    return "no task" if task is None else task.get_name()


SCENES: Final[dict[str, Callable[[], Scene]]] = {
    "lock-step": lambda: Scene("lock-step", 0),
    "buffer=1": lambda: Scene("buffer=1", 1),
    "buffer=3": lambda: Scene("buffer=3", 3),
    "fed_by": lambda: Scene("fed_by", 0, fed=True),
}


class TraceFunction(Protocol):
    def __call__(self, frame: FrameType, event: str, argument: object, /) -> TraceFunction | None: ...


class Tracer:
    """Lists the lines of the library that are executed, and strikes at one of them."""

    def __init__(self, target: int | None) -> None:
        self.target = target
        self.seen: list[Point] = []

    def __call__(self, frame: FrameType, _: str, __: object, /) -> TraceFunction | None:
        return self.line if frame.f_code.co_filename.startswith(OWN) else None

    def line(self, frame: FrameType, event: str, _: object, /) -> TraceFunction:
        if event == "line":
            place = len(self.seen)
            self.seen.append(Point(place, frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname))
            if place == self.target:
                raise StruckError
        return self.line


def play(scene: Scene, trace: Tracer | None) -> tuple[Outcome, str]:
    """Play `scene`, and judge it."""
    channel = Channel[int](buffer=scene.buffer)
    receiver = channel.receiver
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    try:
        sys.settrace(trace)
        try:
            ended = loop.run_until_complete(scene.main(channel, receiver))
        finally:
            sys.settrace(None)
    finally:
        loop.close()
    if scene.errors:
        return Outcome.SPOILT, "; ".join(scene.errors)
    if not ended:
        return Outcome.HUNG, ""
    lost = sorted(set(scene.sent) - set(scene.taken))
    twice = [item for item, count in Counter(scene.taken).items() if count > 1]
    return (Outcome.LOST, f"{lost} lost, {twice} twice") if lost or twice else (Outcome.FINE, "")


def points(name: str, occurrences: int = 3) -> Iterator[Point]:
    """The points of a scene: the first `occurrences` of each line that it executes."""
    trace = Tracer(None)
    play(SCENES[name](), trace)
    times = Counter[tuple[str, int]]()
    for point in trace.seen:
        times[point.file, point.line] += 1
        if times[point.file, point.line] <= occurrences:
            yield point


def strike(name: str, point: Point) -> tuple[Outcome, str]:
    """Play a scene that is struck at `point`."""
    return play(SCENES[name](), Tracer(point.place))


def run_short_of_stack(name: str, victim: str, depth: int) -> tuple[Outcome, str]:
    """Play a scene in which `victim` has used `depth` frames of its stack."""
    scene = SCENES[name]()
    scene.victim, scene.depth = victim, depth
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(LIMIT)
    try:
        return play(scene, None)
    finally:
        sys.setrecursionlimit(usual)

"""Every program that gets stuck is called a deadlock, and none that goes on: drawn programs in drawn orders of their steps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import CoroutineType

import pytest
from typing_extensions import override

from chanstream import Channel, SenderFailed
from chanstream.diagnosis import Graph, Verdict, graph
from tests.explorer.explore import Chance
from tests.explorer.loop import ChoiceLoop
from tests.explorer.programs import End, Feed, Program, Tail, draw_program, large_programs, small_programs
from tests.explorer.stage import Stage
from tests.loops import turns

pytestmark = pytest.mark.cpython

Act = tuple[str, int, int]
"""What a task does: its name, the number of a channel, a task or an event, and a count."""


async def perform(acts: Sequence[Act], things: dict[tuple[str, int], object], tasks: list[asyncio.Task[None]]) -> None:
    """Perform `acts`. The task holds what it needs for all of them, and nothing else does."""
    for name, number, count in acts:
        match name, things.get(("channel", number)), things.get(("event", number)):
            case "send", Channel() as channel, _:
                with suppress(RuntimeError):  # it was closed before
                    async with channel.sender as itemize:
                        for item in range(count):
                            await itemize(item)
            case "read", Channel() as channel, _:
                await read(channel, count)
            case "read for a while", Channel() as channel, _:
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await read(channel, count)
            case "close", Channel() as channel, _:
                await channel.receiver.aclose()
            case "set", _, asyncio.Event() as event:
                event.set()
            case "wait", _, asyncio.Event() as event:
                await event.wait()
            case "join", _, _:
                with suppress(Exception):
                    await asyncio.wait([tasks[number]])
            case _:
                await turns(count)
    del things


async def read(channel: Channel[int], count: int) -> None:
    with suppress(StopAsyncIteration, SenderFailed, RuntimeError):
        for _ in range(count):
            await anext(channel.receiver)


def draw(chances: random.Random) -> list[list[Act]]:
    """Tasks that pass items among each other. Each channel has one that sends, and the chances are good that they get stuck."""
    count = chances.randint(2, 4)
    acts: list[list[Act]] = [[] for _ in range(count)]
    for number in range(chances.randint(1, 3)):
        sender, *readers = chances.sample(range(count), chances.choice([1, 2, 2, 2, 3][: count + 2]))
        acts[sender].append(("send", number, chances.randint(0, 4)))
        for reader in readers:
            acts[reader].append(
                (chances.choice(["read", "read", "read", "read for a while", "close"]), number, chances.randint(1, 5))
            )
    for number, each in enumerate(acts):
        for name in ("turns", "set", "wait", "join"):
            if chances.random() < 0.15:
                other = chances.choice([task for task in range(count) if task != number]) if name == "join" else 0
                each.append((name, other, 3))
        chances.shuffle(each)
    return acts


@dataclass
class Seen:
    """What came of one program."""

    called: dict[str, str] = field(default_factory=dict)
    """The tasks that were called stuck at some time, with that report."""
    ended: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """The tasks that wait when nothing happens any more; not those that wait for an event alone."""


def note(found: Graph, seen: Seen) -> None:
    if found.verdict is Verdict.DEADLOCK:
        for task in found.tasks:
            if task.is_stuck:
                seen.called.setdefault(task.name.partition("[")[2].partition("]")[0] or task.name, str(found))


def run(seed: int) -> Seen:
    chances = random.Random(seed)
    seen = Seen()

    def look() -> None:
        note(graph(), seen)

    loop = ChoiceLoop(look)  # type: ignore[abstract]  # the rest of a loop is not needed
    choose = looking(Chance(seed), look, chances)
    asyncio._set_running_loop(loop)
    start(loop, draw(chances), [chances.randint(0, 2) for _ in range(3)])
    asyncio._set_running_loop(None)
    loop.run(choose)
    for task in loop.tasks:
        if task.done():
            seen.ended.append(task.get_name())
        else:
            coroutine = task.get_coro()
            assert isinstance(coroutine, CoroutineType)
            if not in_event(coroutine):
                seen.waiting.append(task.get_name())
            task._log_destroy_pending = False  # type: ignore[attr-defined]
    return seen


def in_event(coroutine: CoroutineType[object, object, object]) -> bool:
    """Return whether a task waits for an event, which may be meant to come never."""
    awaited = coroutine.cr_await
    return isinstance(awaited, CoroutineType) and awaited.cr_code is asyncio.Event.wait.__code__


def start(loop: ChoiceLoop, acts: list[list[Act]], buffers: list[int]) -> None:
    channels = [Channel[int](buffer=buffer) for buffer in buffers]
    event = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []
    for number, each in enumerate(acts):
        things: dict[tuple[str, int], object] = {("event", 0): event}
        things |= {("channel", act[1]): channels[act[1]] for act in each if act[0] in {"send", "read", "read for a while", "close"}}
        tasks.append(loop.create_task(perform(each, things, tasks), name=f"task{number}"))


def looking(choose: Callable[[int, int], int], look: Callable[[], None], chances: random.Random) -> Callable[[int, int], int]:
    """Look before a quarter of the choices."""

    def choose_and_look(ready: int, cues: int, /) -> int:
        if chances.random() < 0.25:
            look()
        return choose(ready, cues)

    return choose_and_look


def check(seeds: range) -> int:
    """Return how many of the programs got stuck."""
    stuck = 0
    for seed in seeds:
        seen = run(seed)
        for name in seen.ended:
            assert name not in seen.called, f"{seed}: {name} went on\n{seen.called[name]}"
        if seen.waiting:
            stuck += 1
            assert set(seen.waiting) <= seen.called.keys(), f"{seed}: {seen}"
    return stuck


def test_what_gets_stuck_is_called_a_deadlock_and_what_goes_on_is_not() -> None:
    """Rule 30: what it calls a deadlock is one."""
    assert check(range(12)) > 2


@pytest.mark.slow
def test_the_same_with_many_programs() -> None:
    """Rule 30: what it calls a deadlock is one."""
    assert check(range(12, 400)) > 100


# The explorer's own programs. On its stage only tasks hold the ends here, so what happens to them from outside is left out.


class Bare(Stage):
    """A stage that holds no end of a channel once its tasks have begun, and doesn't watch any.

    A task of its own holds them, as the function does that makes channels and tasks and waits for the end of all tasks.
    """

    @override
    def start(self) -> None:
        ends: list[object] = [*self.senders, *self.receivers, *self.channels.values()]
        super().start()
        self.spawn(hold(ends, list(self.loop.tasks)), "main")
        del ends
        self.receivers = [None] * len(self.receivers)
        self.channels.clear()
        for wire in self.wires:
            wire.ends.clear()

    @override
    def at_rest(self) -> None:
        """Note nothing: what is counted is in the hands of the tasks."""


async def hold(ends: list[object], tasks: list[asyncio.Task[object]]) -> None:
    await asyncio.wait(tasks)
    ends.clear()


def bare(program: Program) -> Program:
    """Return `program` without cancellations, which a deadlock doesn't exclude, and without what no task of it does to the ends."""
    return replace(program, events=tuple(each for each in program.events if isinstance(each, End)), tail=Tail.NOTHING)


def seen_on_stage(program: Program, seed: int) -> Seen:
    """Run one of the explorer's programs, and look at it before a quarter of its steps and at its end."""
    seen = Seen()
    stage = Bare(program)

    def look() -> None:
        note(graph(), seen)

    stage.loop.at_rest = look
    stage.perform(looking(Chance(seed), look, random.Random(seed)))
    for task in stage.loop.tasks:
        if task.done():
            seen.ended.append(task.get_name())
        elif is_in_channel(task):
            seen.waiting.append(task.get_name())
    stage.clear()
    return seen


def is_in_channel(task: asyncio.Task[object]) -> bool:
    return "waiting in itemize of" in repr(task) or "waiting for an item of" in repr(task)


def check_explorer(programs: Iterable[Program], seeds: range) -> int:
    """Return how many of the runs got stuck."""
    stuck = 0
    for program in programs:
        if any(isinstance(actor, Feed) and actor.unbegun for actor in program.actors):
            continue  # nothing would ever await it
        for seed in seeds:
            seen = seen_on_stage(bare(program), seed)
            for name in seen.ended:
                assert name not in seen.called, f"{program}\n{seed}: {name} went on\n{seen.called[name]}"
            if seen.waiting:
                stuck += 1
                assert set(seen.waiting) <= seen.called.keys(), f"{program}\n{seed}: {seen}"
    return stuck


def test_of_the_programs_of_the_explorer_what_gets_stuck_is_called_a_deadlock() -> None:
    """Rule 30: what it calls a deadlock is one."""
    assert check_explorer(small_programs() + large_programs(), range(1)) > 5


def drawn(count: int) -> Iterator[Program]:
    """Draw programs. Without eager tasks, of which the error of one refers to the stage, and what is on that is only suspected."""
    for number in range(count):
        yield draw_program(f"drawn {number}", random.Random(number).randrange)


@pytest.mark.slow
def test_the_same_with_the_drawn_programs_of_the_explorer() -> None:
    """Rule 30: what it calls a deadlock is one."""
    assert check_explorer(small_programs() + large_programs(), range(1, 12)) > 100
    assert check_explorer(drawn(400), range(2)) > 60

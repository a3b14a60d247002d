"""Who chooses: a list of numbers, chance, or everything in turn; and how a violation is made small."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from shlex import quote
from typing import Any, Final, TypeVar

from typing_extensions import override

from tests.explorer import programs
from tests.explorer.invariants import Violation, check, describe
from tests.explorer.loop import StopChoosing
from tests.explorer.programs import (
    Actor,
    Block,
    Body,
    Dropping,
    Ending,
    Fed,
    Feed,
    Program,
    Reader,
    Relay,
    Streamed,
    Tail,
    Tee,
    Where,
    Writer,
)
from tests.explorer.stage import CHANSTREAM, Kind, Library, Stage

__all__ = [
    "Chance",
    "Count",
    "InOrder",
    "Run",
    "from_seed",
    "perform",
    "quiet_collector",
    "random_run",
    "replay",
    "search",
    "shrink",
]

CALLS: Final = {Kind.ASK, Kind.ASK_ENDED, Kind.PUT, Kind.PUT_ENDED}
"""Marks of calls that may wait."""

RUNS_BETWEEN_COLLECTIONS: Final = 1000

ATTEMPTS: Final = 80
"""How often a simpler program is tried before it counts as one that breaks nothing."""


@dataclass
class Run:
    """What came of one schedule."""

    program: Program
    choices: list[int]
    violations: list[Violation]
    log: list[str] = field(default_factory=list)
    library: str = CHANSTREAM.name

    @property
    def seed(self) -> str:
        """What `--replay` takes."""
        return f"{as_source(self.program)} | {' '.join(map(str, self.choices))}"

    def report(self) -> str:
        on = "" if self.library == CHANSTREAM.name else f" --library {self.library}"
        lines = [f"VIOLATION of {each.rule}: {each.text}" for each in dict.fromkeys(self.violations)]
        return "\n".join([*lines, *(f"    {line}" for line in self.log), f"  replay with: --replay {quote(self.seed)}{on}"])


def as_source(value: object) -> str:
    """`value` as an expression of Python, without what is default."""
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"({''.join(f'{as_source(each)}, ' for each in value)})"
    if not is_dataclass(value):
        return repr(value)
    parts = [
        f"{each.name}={as_source(getattr(value, each.name))}" for each in fields(value) if getattr(value, each.name) != each.default
    ]
    return f"{type(value).__name__}({', '.join(parts)})"


def from_seed(seed: str) -> tuple[Program, list[int]]:
    source, _, choices = seed.rpartition("|")
    program: object = eval(source, dict(vars(programs)))  # noqa: S307 - what a developer pastes from a report
    assert isinstance(program, Program)
    return program, [int(each) for each in choices.split()]


def chance(seed: int | str) -> random.Random:
    return random.Random(seed)


class Numbers:
    """Chooses by a list, and where that has ended always the first."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers
        self.at = 0

    def __call__(self, ready: int, cues: int, /) -> int:
        at = self.at
        self.at += 1
        return self.numbers[at] % (ready + cues) if at < len(self.numbers) else 0


class Chance:
    """Chooses by chance, in one of several manners, and notes what it chose."""

    def __init__(self, seed: int) -> None:
        self.random = chance(seed).random
        self.cue = (0.02, 0.08, 0.2, 0.4)[int(self.random() * 4)]
        self.manner = int(self.random() * 4)
        self.chosen: list[int] = []

    def __call__(self, ready: int, cues: int, /) -> int:
        chances = self.random
        if cues and (not ready or chances() < self.cue):
            number = ready + int(chances() * cues)
        elif ready == 1:
            number = 0
        elif self.manner == 0 or chances() < 0.15:
            number = int(chances() * ready)
        else:
            number = (0, 0, ready - 1, int(chances() * ready))[self.manner]
        self.chosen.append(number)
        return number


class InOrder(Chance):
    """Callbacks in asyncio's own order, first in, first out; chance gives the cues."""

    @override
    def __call__(self, ready: int, cues: int, /) -> int:
        number = super().__call__(ready, cues)
        if 0 < number < ready:
            number = self.chosen[-1] = 0
        return number


@contextmanager
def quiet_collector() -> Iterator[Callable[[], None]]:
    """Collects garbage only between runs: call what it gives after each."""
    enabled = gc.isenabled()
    gc.disable()
    runs = 0

    def ran() -> None:
        nonlocal runs
        runs += 1
        if runs % RUNS_BETWEEN_COLLECTIONS == 0:
            gc.collect()

    try:
        yield ran
    finally:
        if enabled:
            gc.enable()
            gc.collect()


def perform(program: Program, choose: Callable[[int, int], int], library: Library = CHANSTREAM, *, log: bool = False) -> Run:
    stage = Stage(program, library)
    stage.perform(choose)
    run = Run(program, [], check(stage), library=library.name)
    if log:
        run.log = [f"{wire.number}  {describe(mark)}" for wire in stage.wires for mark in wire.log]
        run.log += stage.trace
    twin = (list(stage.trace), stage.loop.steps, len(stage.loop.tasks))
    stage.clear()
    if any(isinstance(actor, Streamed) for actor in program.actors):
        if isinstance(choose, Chance):
            choose = Numbers(choose.chosen)
        elif isinstance(choose, Numbers):
            choose = Numbers(choose.numbers)
        else:
            return run
        native = Stage(program, library, native=True)
        native.perform(choose)
        if twin != (native.trace, native.loop.steps, len(native.loop.tasks)):
            run.violations.append(
                Violation("rule 18", f"{twin} instead of {(native.trace, native.loop.steps, len(native.loop.tasks))}")
            )
        native.clear()
    return run


def replay(program: Program, choices: Sequence[int], library: Library = CHANSTREAM) -> Run:
    run = perform(program, Numbers(choices), library, log=True)
    run.choices = list(choices)
    return run


def random_run(program: Program, seed: int, library: Library = CHANSTREAM, manner: type[Chance] = Chance) -> Run:
    choose = manner(seed)
    run = perform(program, choose, library)
    run.choices = choose.chosen
    return run


# Every order there is.


@dataclass
class Count:
    """How far a search in every order has come."""

    program: Program
    runs: int = 0
    states: int = 0
    transitions: int = 0
    schedules: int = 0
    complete: bool = False
    run: Run | None = None
    """The violation that ended it."""


class Tracker:
    """Follows a run and names the states it goes through, so that two runs that differ only in the order of independent steps meet.

    A step touches its own task, the channels in which its task is in the middle of a call when it begins, and those in whose record
    it leaves a mark. Steps that touch nothing in common are independent. What happened is then told by the last step that touched
    each thing, where a step is told by what it was and the last steps that had touched the same things before: a state.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.last: dict[str, int] = {}
        self.rest = 0  # the last step that touched everything
        self.seen = [0] * len(stage.wires)
        self.calling: dict[str, dict[int, int]] = {}
        self.pending: tuple[str, set[str] | None] | None = None

    def keys(self) -> list[str]:
        """What may come next, each with a name that is the same in every run that comes to this state."""
        names = [handle.owner or f"{handle.label} of {handle.subject}" for handle in self.stage.loop.ready]
        names += [f"cue: {cue.label}" for cue in (self.stage.loop.open_cues() if self.stage.loop.cues else ())]
        again: dict[str, int] = {}
        for place, name in enumerate(names):
            number = again[name] = again.get(name, 0) + 1
            if number > 1:
                names[place] = f"{name} #{number}"
        return names

    def footprint(self, number: int) -> set[str] | None:
        """What the option `number` is known to touch; None for everything."""
        loop = self.stage.loop
        if number >= len(loop.ready):
            cue = loop.open_cues()[number - len(loop.ready)]
            if self.stage.wide or cue.label.startswith("timer"):
                return None
            return {f"cue: {cue.label}", cue.target, *self.channels(cue.target)}
        handle = loop.ready[number]
        owner = handle.owner
        if owner is None:
            joined = handle.subject
            return {joined} if joined.startswith("channel") and not self.stage.wide else None
        return None if self.stage.wide else {owner, *self.channels(owner)}

    def channels(self, task: str) -> list[str]:
        return [f"channel {number}" for number, calls in self.calling.get(task, {}).items() if calls]

    def begin(self, name: str, number: int) -> None:
        self.pending = (name, self.footprint(number))

    def end(self) -> None:
        """The step is over: find out what it touched besides."""
        touched: set[str] = set()
        for wire in self.stage.wires:
            seen, log = self.seen[wire.number], wire.log
            if len(log) > seen:
                for kind, call, _ in log[seen:]:
                    if kind is Kind.AT_REST:
                        continue
                    touched.add(f"channel {wire.number}")
                    if kind in CALLS and call is not None:
                        calls = self.calling.setdefault(call.who, {})
                        began = kind is Kind.ASK or kind is Kind.PUT
                        calls[wire.number] = calls.get(wire.number, 0) + (1 if began else -1)
                self.seen[wire.number] = len(log)
        if self.pending is None:
            self.rest = hash((self.rest, *sorted(touched)))
            return
        name, known = self.pending
        self.pending = None
        if known is None:
            self.rest = hash((name, self.rest, frozenset(self.last.items())))
            self.last.clear()
            return
        known |= touched
        after = hash((name, self.rest, tuple((each, self.last.get(each, 0)) for each in sorted(known))))
        for each in known:
            self.last[each] = after

    def state(self) -> int:
        return hash((self.rest, frozenset(self.last.items())))


@dataclass
class Path:
    """The options that were taken on the way to a state, the last first."""

    name: str
    before: Path | None

    def names(self) -> list[str]:
        names: list[str] = []
        path: Path | None = self
        while path is not None:
            names.append(path.name)
            path = path.before
        return names[::-1]


STOP: Final = "the run ends"


class Systematic:
    """A chooser that follows a path and then goes where none has been."""

    def __init__(self, search: Search, path: Path | None) -> None:
        self.search = search
        self.path = path
        self.follow = [] if path is None else path.names()
        self.at = 0
        self.numbers: list[int] = []
        self.stage: Stage | None = None
        self.tracker: Tracker | None = None
        self.state = 0

    def __call__(self, ready: int, _: int, /) -> int:
        assert self.stage is not None
        if self.tracker is None:
            self.tracker = Tracker(self.stage)
        tracker, search = self.tracker, self.search
        tracker.end()
        names = tracker.keys()
        may_stop = ready == 1 and not self.stage.loop.ready
        if may_stop:
            names.insert(0, STOP)
        if self.at < len(self.follow):
            name = self.follow[self.at]
            number = names.index(name)
        else:
            state = tracker.state()
            if may_stop:
                state = hash((state, len(self.stage.loop.tail)))
            if not search.pruned:
                state = hash(tuple(self.numbers))
            if self.at:
                search.joined(self.state, state)
            if state in search.seen:
                raise StopChoosing
            search.seen.add(state)
            for other in names[1:]:
                search.open.append((Path(other, self.path), state))
            name, number = names[0], 0
            self.path = Path(name, self.path)
            self.state = state
        self.at += 1
        self.numbers.append(number)
        if name == STOP:
            tracker.pending = (STOP, None)
        else:
            tracker.begin(name, number - may_stop)
        return number


class Search:
    """Runs a program in every order, but for the order of steps that are independent.

    The states form a graph without cycles, in which every schedule that exists is a path. So they can be counted without being run.
    With `pruned` false, two runs never meet, and each schedule is run.
    """

    def __init__(self, program: Program, *, pruned: bool) -> None:
        self.program = program
        self.pruned = pruned
        self.seen: set[int] = set()
        self.open: list[tuple[Path | None, int]] = []
        self.follows: dict[int, list[int]] = {}

    def joined(self, before: int, after: int) -> None:
        self.follows.setdefault(before, []).append(after)

    def run(self, limit: int, ran: Callable[[], None]) -> Count:
        count = Count(self.program)
        self.open.append((None, 0))
        while self.open and count.runs < limit:
            path, state = self.open.pop()
            choose = Systematic(self, path)
            choose.state = state
            stage = Stage(self.program)
            choose.stage = stage
            count.runs += 1
            try:
                stage.perform(choose)
            except StopChoosing:
                violations: list[Violation] = []
            else:
                self.joined(choose.state, 0)
                violations = check(stage)
            stage.clear()
            ran()
            if violations:
                count.run = Run(self.program, choose.numbers, violations)
                break
        count.complete = not self.open and count.run is None
        count.states = len(self.seen)
        count.transitions = sum(map(len, self.follows.values()))
        count.schedules = self.paths() if count.complete else 0
        return count

    def paths(self) -> int:
        """How many ways lead from the beginning to an end."""
        ways: dict[int, int] = {0: 1}
        reached = {each for after in self.follows.values() for each in after}
        first = [state for state in self.follows if state not in reached]
        stack = list(first)
        while stack:
            state = stack[-1]
            if state in ways:
                stack.pop()
                continue
            missing = [each for each in self.follows.get(state, ()) if each not in ways]
            if missing:
                stack.extend(missing)
            else:
                ways[state] = sum(ways[each] for each in self.follows.get(state, ()))
                stack.pop()
        return sum(ways[state] for state in first)


def search(program: Program, limit: int, ran: Callable[[], None], *, pruned: bool = True) -> Count:
    """Run `program` in every order, with at most `limit` runs, and call `ran` after each."""
    return Search(program, pruned=pruned).run(limit, ran)


Part = TypeVar("Part", bound=Block | Reader | Relay | Tee | Fed | Feed | Streamed | Writer)


# Making it small.


def shrink(found: Run, library: Library = CHANSTREAM, *, in_order: bool = False) -> Run:
    """The shortest run that breaks the same rule: with fewer choices, and with less of a program."""
    rule = found.violations[0].rule
    manner = InOrder if in_order else Chance
    best = shorter(found, rule, library)
    progress = True
    while progress:
        progress = False
        for program in simpler(best.program):
            smaller = first_broken(program, best.choices, rule, library, manner)
            if smaller is not None:
                best = shorter(smaller, rule, library)
                progress = True
                break
    return best


def breaks(program: Program, choices: Sequence[int], rule: str, library: Library) -> Run | None:
    run = replay(program, choices, library)
    run.violations = [each for each in run.violations if each.rule == rule]
    return run if run.violations else None


def first_broken(program: Program, choices: Sequence[int], rule: str, library: Library, manner: type[Chance]) -> Run | None:
    run = breaks(program, choices, rule, library)
    for seed in range(ATTEMPTS):
        if run is not None:
            return run
        tried = random_run(program, seed, library, manner)
        if any(each.rule == rule for each in tried.violations):
            run = breaks(program, tried.choices, rule, library)
    return run


def shorter(run: Run, rule: str, library: Library) -> Run:
    best = run
    while best.choices and not best.choices[-1]:
        best.choices = best.choices[:-1]
    progress = True
    while progress:
        progress = False
        for choices in fewer(best.choices):
            smaller = breaks(best.program, choices, rule, library)
            if smaller is not None:
                best = smaller
                progress = True
                break
    while best.choices and not best.choices[-1]:
        best.choices = best.choices[:-1]
    return best if best is not run else breaks(run.program, run.choices, rule, library) or run


def fewer(choices: list[int]) -> Iterator[list[int]]:
    size = len(choices)
    length = size
    while length:
        for start in range(0, size, length):
            if any(choices[start : start + length]) or start + length >= size:
                yield choices[:start] + choices[start + length :]
        length //= 2
    for place, number in enumerate(choices):
        for less in sorted({0, number // 2, number - 1}):
            if 0 <= less < number:
                yield [*choices[:place], less, *choices[place + 1 :]]


def simpler(program: Program) -> Iterator[Program]:
    for place in range(len(program.actors)):
        yield replace(program, actors=program.actors[:place] + program.actors[place + 1 :])
    for place in range(len(program.events)):
        yield replace(program, events=program.events[:place] + program.events[place + 1 :])
    if program.tail is not Tail.NOTHING:
        yield replace(program, tail=Tail.NOTHING)
    if program.eager:
        yield replace(program, eager=False)
    if program.dropping is not Dropping.SILENT:
        yield replace(program, dropping=Dropping(program.dropping.value - 1))
    for place, buffer in enumerate(program.buffers):
        if buffer:
            yield replace(program, buffers=(*program.buffers[:place], buffer - 1, *program.buffers[place + 1 :]))
    for place, actor in enumerate(program.actors):
        for less in simpler_actor(actor):
            yield replace(program, actors=(*program.actors[:place], less, *program.actors[place + 1 :]))


def simpler_actor(actor: Actor) -> Iterator[Actor]:
    if isinstance(actor, Block):
        for place, writer in enumerate(actor.writers):
            rest = (actor.writers[:place], actor.writers[place + 1 :])
            yield replace(actor, writers=rest[0] + rest[1])
            for less in with_less(writer):
                yield replace(actor, writers=(*rest[0], less, *rest[1]))
        for where in (Where.HERE, Where.TASKS):
            if actor.where.value > where.value:
                yield replace(actor, where=where)
    yield from with_less(actor)


def with_less(part: Part) -> Iterator[Part]:
    """`part`, an actor or a writer, with one number less or one trait fewer."""
    for each in fields(part):
        value: object = getattr(part, each.name)
        if each.name in {"channel", "source", "target", "inner", "outer"}:
            continue
        less: object
        if value is True:
            less = False
        elif isinstance(value, int) and value > 0:
            less = value - 1
        elif isinstance(value, Ending) and value is not Ending.DONE:
            less = Ending.DONE
        elif isinstance(value, Body) and value is not Body.PLAIN:
            less = Body.PLAIN
        else:
            continue
        changes: dict[str, Any] = {each.name: less}
        yield replace(part, **changes)

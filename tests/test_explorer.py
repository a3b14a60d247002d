"""A look at the schedule explorer, which runs at length by its own command: ``python -m tests.explorer``."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chanstream import SenderContext
from tests.breaking import Mutant
from tests.drawn import examples, share_of
from tests.explorer.explore import Run, chance, from_seed, quiet_collector, random_run, replay, search, shrink
from tests.explorer.mutants import MUTANTS, find
from tests.explorer.programs import (
    Block,
    Cancel,
    Program,
    Reader,
    Relay,
    Where,
    Writer,
    draw_program,
    large_programs,
    small_programs,
)
from tests.explorer.stage import Item, Library, ReceivingEnd

SMALL = [
    "one to one",
    "one to one, buffered",
    "one to one, the reader cancelled",
    "a break, and on",
    "an abandoned block",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("two readers, one cancelled", "two readers, one cancelled, buffered", "a failure")
    ),
]

LISTED = small_programs() + large_programs()


@pytest.mark.parametrize("name", SMALL)
def test_a_small_program_keeps_the_contract_in_every_order(name: str) -> None:
    """Rules 1 to 16: no schedule that exists breaks one."""
    [program] = [each for each in small_programs() if each.name == name]
    with quiet_collector() as ran:
        count = search(program, 5_000, ran)
    assert count.run is None, shrink(count.run).report()
    assert count.complete
    assert count.schedules >= count.runs


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [
        Program("one channel", (Block(), Reader(takes=1), Reader(takes=1)), (Cancel("reader0"),)),
        Program("two channels", (Block(writers=()), Relay(), Reader(1)), (Cancel("relay"),), (0, 0)),
    ],
    ids=lambda program: program.name,
)
def test_leaving_out_the_order_of_independent_steps_misses_no_schedule(program: Program) -> None:
    """What the search in every order counts is what there is when nothing is left out."""
    with quiet_collector() as ran:
        pruned = search(program, 5_000, ran)
        full = search(program, 5_000, ran, pruned=False)
    assert pruned.complete
    assert full.complete
    assert pruned.schedules == full.schedules == full.runs
    assert pruned.runs < full.runs


@pytest.mark.parametrize(
    "program",
    [
        # Elsewhere what is dropped here is noticed one step later than the laws allow.
        pytest.param(each, marks=pytest.mark.cpython) if each.name in {"feed, never begun", "fed, lost after a failure"} else each
        for each in LISTED
    ],
    ids=lambda program: program.name,
)
def test_a_program_keeps_the_contract_in_orders_of_chance(program: Program) -> None:
    """Rules 1 to 18, 23 to 26: a few of too many orders to run them all."""
    with quiet_collector() as ran:
        for seed in range(share_of(50)):
            run = random_run(program, seed)
            ran()
            assert not run.violations, shrink(run).report()


@settings(examples(300), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example])
@given(st.data())
def test_any_program_keeps_the_contract_in_any_order(data: st.DataObject) -> None:
    """Rules 1 to 18, 23 to 26: the program and the order are drawn, and shrink together."""
    eager = sys.version_info >= (3, 12) and data.draw(st.booleans(), "eager")
    program = draw_program("drawn", lambda below: data.draw(st.integers(0, below - 1)), eager=eager)
    choices = data.draw(st.lists(st.integers(0, 7), max_size=60), "choices")
    run = replay(program, choices)
    assert not run.violations, run.report()


@given(st.integers(0, 2**32))
@settings(examples(30))
def test_a_seed_replays_the_same_run(seed: int) -> None:
    """What a report tells can be repeated: the program, and what was chosen, tell everything."""
    drawn = draw_program("drawn", chance(seed).randrange)
    run = random_run(drawn, seed)
    again = replay(*from_seed(run.seed))
    once_more = replay(drawn, run.choices)
    assert again.program == drawn
    assert again.log == once_more.log
    assert again.violations == once_more.violations == run.violations


class HandsOver:
    """A channel that gives an item to the future of the waiting task, as many do: cancelled between, the item is lost."""

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.waiting: deque[asyncio.Future[Item]] = deque()
        self.over = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> bool:
        self.over = True
        for future in self.waiting:
            if not future.done():
                future.set_exception(StopAsyncIteration())
        return False

    async def __call__(self, item: Item, /) -> None:
        if not self.over:
            while self.waiting:
                future = self.waiting.popleft()
                if not future.done():
                    future.set_result(item)
                    return
            self.items.append(item)


class Taker:
    def __init__(self, channel: HandsOver) -> None:
        self.channel = channel

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        if self.channel.items:
            return self.channel.items.popleft()
        if self.channel.over:
            raise StopAsyncIteration
        future: asyncio.Future[Item] = asyncio.get_running_loop().create_future()
        self.channel.waiting.append(future)
        return await future

    async def aclose(self) -> None: ...


def make_one_that_hands_over(_: int) -> tuple[SenderContext[Item], ReceivingEnd]:
    channel = HandsOver()
    return channel, Taker(channel)


@pytest.mark.slow
def test_the_explorer_finds_an_item_that_is_lost_and_makes_the_program_small() -> None:
    """Rule 14: the loss that a channel has which hands an item over at the wake-up is found and told in a few lines."""
    broken = Library("hands over", make_one_that_hands_over)
    program = Program(
        "many",
        (
            Block(writers=(Writer(3), Writer(2, 1)), where=Where.TASKS),
            Reader(pause=1, stubborn=True),
            Reader(takes=3, resumes=True),
        ),
        (Cancel("reader1"), Cancel("writer0.0"), Cancel("reader0")),
        (1,),
    )
    found: Run | None = None
    for seed in range(2_000):
        run = random_run(program, seed, broken)
        run.violations = [each for each in run.violations if each.rule == "rule 14"]
        if run.violations:
            found = run
            break
    assert found is not None
    small = shrink(found, broken)
    assert {each.rule for each in small.violations} == {"rule 14"}
    [block] = [actor for actor in small.program.actors if isinstance(actor, Block)]
    assert sum(writer.items for writer in block.writers) == 1
    assert len(small.program.events) == 1
    assert len(small.choices) < 12


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [MUTANTS[0], MUTANTS[-1]], ids=lambda mutant: mutant.name)
def test_the_explorer_finds_what_is_broken_on_purpose(mutant: Mutant) -> None:
    """The others are found by ``python -m tests.explorer --mutants``."""
    found, line = find(mutant, 1)
    assert found, line


def test_the_command_prints_how_much_it_ran() -> None:
    """A replay of a schedule that is right tells its log and exits with success."""
    run = replay(*from_seed("Program('p', (Block(), Reader())) | 1 0 1"))
    assert not run.violations
    assert run.report().splitlines()[-1].startswith("  replay with: ")
    assert "    0  reader0: ask -> (0, 0, 0)" in run.report()

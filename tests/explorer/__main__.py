"""``python -m tests.explorer``: every order of the small programs, then chance; exit status 1 if any promise was broken."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from shlex import quote
from typing import Final

from tests.explorer.explore import Run, chance, from_seed, quiet_collector, random_run, replay, search, shrink
from tests.explorer.mutants import hunt
from tests.explorer.peers import compare, peers
from tests.explorer.programs import Program, draw_program, large_programs, small_programs
from tests.explorer.stage import CHANSTREAM

SCHEDULES: Final = 100_000
ORDERS: Final = 30_000
"""How many runs a search in every order may take for one program."""


class Report:
    """Counts, and what was found."""

    def __init__(self, *, first: bool) -> None:
        self.first = first
        self.found: dict[str, Run] = {}
        self.schedules = 0
        self.began = time.monotonic()

    def broken(self, run: Run) -> None:
        rule = run.violations[0].rule
        if rule not in self.found:
            self.found[rule] = run
            if not self.first:
                print(f"\n{rule} is broken; found with --replay {quote(run.seed)}\nThe shortest that was found:", flush=True)
                print(shrink(run).report(), flush=True)

    @property
    def enough(self) -> bool:
        return self.first and bool(self.found)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


def in_every_order(report: Report, limit: int, ran: Callable[[], None]) -> None:
    print(f"{'in every order':46}{'runs':>9}{'states':>9}{'schedules there are':>21}")
    total = 0
    for program in small_programs():
        count = search(program, limit, ran)
        report.schedules += count.runs
        total += count.schedules
        there_are = f"{count.schedules:,}" if count.complete else "not all were run"
        print(f"  {program.name:44}{count.runs:>9,}{count.states:>9,}{there_are:>21}", flush=True)
        if count.run is not None:
            report.broken(count.run)
            if report.enough:
                return
    print(f"  {'together':44}{report.schedules:>9,}{'':9}{total:>21,}")


def portions(numbers: random.Random) -> Iterator[tuple[Program, str, int]]:
    """A program, its line in the report, and how often to run it: the listed ones in turn, and as much of drawn ones."""
    drawn = 0
    while True:
        for program in small_programs() + large_programs():
            yield program, program.name, 20
            for _ in range(4):
                drawn += 1
                name = f"drawn {numbers.getrandbits(32)}"
                eager = sys.version_info >= (3, 12) and drawn % 4 == 0
                yield draw_program(name, chance(name).randrange, eager=eager), "drawn programs", 5


def by_chance(report: Report, schedules: int, seconds: float, seed: int, ran: Callable[[], None]) -> None:
    print(f"{f'by chance, seed {seed}':46}{'runs':>9}")
    numbers = chance(seed)
    counts: Counter[str] = Counter()
    for program, line, count in portions(numbers):
        if counts.total() >= schedules or report.seconds >= seconds:
            break
        for _ in range(count):
            run = random_run(program, numbers.getrandbits(32))
            ran()
            report.schedules += 1
            counts[line] += 1
            if run.violations:
                report.broken(run)
                if report.enough:
                    return
    for line, number in counts.items():
        print(f"  {line:44}{number:>9,}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.explorer", description=__doc__)
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help="how many to run, at least (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop the search by chance after so long")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32), help="of the search by chance")
    parser.add_argument("--exhaustive", action="store_true", help="only the small programs in every order, and to the end")
    parser.add_argument("--chance", action="store_true", help="only the search by chance")
    parser.add_argument("--first", action="store_true", help="stop at the first violation, and don't shrink it")
    parser.add_argument("--replay", metavar="SEED", help="run one schedule, as a report names it")
    parser.add_argument("--library", default=CHANSTREAM.name, help="run it on this one of the other libraries")
    parser.add_argument(
        "--mutants",
        nargs="*",
        metavar="WORD",
        help="break the library on purpose; each break with a WORD in its name has to be found",
    )
    parser.add_argument("--peers", action="store_true", help="run the programs on other libraries (needs anyio and sav.channels)")
    options = parser.parse_args()
    logging.disable()  # asyncio's word on tasks that a broken run leaves behind
    if options.mutants is not None:
        return hunt(options.seed, options.mutants)
    if options.peers:
        return compare(options.schedules, options.seed)
    if options.replay is not None:
        [library] = [peer.library for peer in peers() if peer.library.name == options.library]
        run = replay(*from_seed(options.replay), library)
        print(run.report())
        return bool(run.violations)
    report = Report(first=options.first)
    with quiet_collector() as ran:
        if not options.chance:
            in_every_order(report, sys.maxsize if options.exhaustive else ORDERS, ran)
        if not options.exhaustive and not report.enough:
            left = max(options.schedules - report.schedules, options.schedules // 2)
            by_chance(report, left, options.seconds, options.seed, ran)
    if options.first and report.found:
        [run] = report.found.values()
        rule, text = run.violations[0]
        print(f"{rule} is broken, after {report.schedules:,} schedules: {text} [{run.program.name}]")
        return 1
    print(f"\n{report.schedules:,} schedules in {report.seconds:.0f} s, {report.schedules / report.seconds:,.0f} in a second")
    print(f"BROKEN: {', '.join(report.found)}" if report.found else "every promise was kept")
    return bool(report.found)


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tests.injection``: strike at every line of the library in turn, and at every depth of the stack.

Exit status 1 if a task that was not struck got an error that is not of the contract, or if one waits for ever: after more than
three in a hundred lines, or at any depth.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from tests.injection.scene import DEPTHS, SCENES, Outcome, points, run_short_of_stack, strike

MOST_HUNG: Final = 0.03

VICTIMS: Final = ("reader 1", "reader 2", "writer 10", "writer 20")

Result: TypeAlias = tuple[Outcome, str]


def at_every_line(name: str) -> Iterator[Result]:
    for point in points(name):
        outcome, text = strike(name, point)
        yield outcome, f"struck at {point}: {text or outcome.value}"


def at_every_depth(name: str) -> Iterator[Result]:
    for victim in VICTIMS:
        for depth in DEPTHS:
            outcome, text = run_short_of_stack(name, victim, depth)
            yield outcome, f"{victim} at depth {depth}: {text or outcome.value}"


def tell(title: str, results: Iterable[Result], shown: set[Outcome]) -> Counter[Outcome]:
    counts = Counter[Outcome]()
    for outcome, text in results:
        counts[outcome] += 1
        if outcome in shown:
            print(f"    {text}", flush=True)
    total = counts.total()
    numbers = ", ".join(f"{each.name.lower()} {counts[each] / total:.1%}" for each in Outcome)
    print(f"{title:<24}{total:>6} times: {numbers}", flush=True)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.injection", description=__doc__)
    parser.add_argument("--lost", action="store_true", help="also list the points at which an item is lost")
    shown = {Outcome.SPOILT, Outcome.HUNG} | ({Outcome.LOST} if parser.parse_args().lost else set())
    lines, depths = Counter[Outcome](), Counter[Outcome]()
    for name in SCENES:
        lines += tell(f"{name}, lines", at_every_line(name), shown)
        depths += tell(f"{name}, depths", at_every_depth(name), shown)
    kept = not lines[Outcome.SPOILT] + depths[Outcome.SPOILT] + depths[Outcome.HUNG]
    kept = kept and lines[Outcome.HUNG] <= MOST_HUNG * lines.total()
    print(f"of all lines, {lines[Outcome.HUNG] / lines.total():.1%} leave a task waiting for ever: {'kept' if kept else 'BROKEN'}")
    return not kept


if __name__ == "__main__":
    sys.exit(main())

"""What chanstream costs: beside asyncio alone, beside its peers, and as things grow: ``python -m tests.benchmarks``.

Costs are processor time per item, the least of the rounds. A ratio is one such cost by another, with the quartiles of the ratios
that the rounds gave one by one. A library that isn't installed is named as missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks import cases, flow, looking, once, peers, report
from tests.benchmarks.counting import per_item
from tests.benchmarks.goals import outcomes
from tests.benchmarks.harness import Case, Progress, Series, measure
from tests.benchmarks.scale import CURVES, scale_cases
from tests.benchmarks.ways import (
    BATCHING,
    BUFFER_1,
    BUFFER_64,
    DROPPING,
    FAN_OUT,
    FEEDING,
    IO,
    LOCK_STEP,
    MAKING,
    MAPPING,
    OFFERING,
    STREAM,
    THREAD_0,
    THREAD_64,
    THREAD_1024,
    Way,
    case_of,
    on_asyncio,
)
from tests.loops import EVERY_LOOP

__all__: list[str] = []

GROUPS: Final = {
    LOCK_STEP: "Channel()",
    BUFFER_1: "Channel(buffer=1)",
    BUFFER_64: "Channel(buffer=64)",
    STREAM: "stream",
    OFFERING: "offer",
    FAN_OUT: "offer to 300",
    FEEDING: "feed, 10 items",
    DROPPING: "Channel(drop_oldest=True)",
    MAPPING: "mapped",
    BATCHING: "batched",
    MAKING: "Channel[int](), closed",
    IO: "",
    THREAD_0: "in_thread",
    THREAD_64: "in_thread, 64",
    THREAD_1024: "in_thread, 1,024",
}
"""What the others of a group are compared with."""


@dataclass(frozen=True)
class Options:
    rounds: int
    items: int
    only: Sequence[str]
    loops: Sequence[str]
    scale: bool
    json: Path | None
    charts: Path | None


def options_of(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, help="how often to run each case (default: 20; 5 with --quick)")
    parser.add_argument(
        "--items", type=int, help="how many items a run passes, less in slow cases (default: 10000; 2000 with --quick)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and items: enough to see what is wrong by a half")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="only what has this in its name or group")
    parser.add_argument(
        "--loop", action="append", dest="loops", choices=[*EVERY_LOOP], help="on this event loop (default: asyncio, uvloop)"
    )
    parser.add_argument("--scale", action=argparse.BooleanOptionalAction, default=True, help="measure cost against scale as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--charts", type=Path, metavar="DIR", help="draw the charts, as SVG")
    given = parser.parse_args(arguments)
    return Options(
        rounds=given.rounds or (5 if given.quick else 20),
        items=given.items or (2_000 if given.quick else 10_000),
        only=given.only,
        loops=given.loops or [loop for loop in ("asyncio", "uvloop") if loop in EVERY_LOOP],
        scale=given.scale,
        json=given.json,
        charts=given.charts,
    )


def chosen(options: Options, *names: str) -> bool:
    return not options.only or any(word in name for word in options.only for name in names)


def say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def draw(options: Options, name: str, drawing: str) -> None:
    if options.charts is not None:
        options.charts.mkdir(parents=True, exist_ok=True)
        file = options.charts / name
        file.write_text(drawing, encoding="utf-8")
        print(f"\n{file}", flush=True)


def compare(ways: Sequence[Way], loop: str, options: Options, progress: Progress) -> dict[str, object]:
    """Everything that is compared on one event loop, with its tables and its chart."""
    runner = on_asyncio(loop)
    groups: dict[str, list[str]] = {group: [] for group in GROUPS}
    found: list[Case] = []
    for way in ways:
        if chosen(options, way.name, *way.groups):
            found.append(case_of(way, runner))
            for group in way.groups:
                groups[group].append(way.name)
    others = [(MAKING, case) for case in cases.makings(runner)]
    others += [(run.group, case) for run, case in zip(flow.RUNS, flow.flows(runner), strict=True)]
    for group, case in others:
        if chosen(options, case.name, group):
            found.append(case)
            groups[group].append(case.name)
    if not found:
        return {}
    series = measure(loop, found, options.rounds, options.items, progress)
    print(f"\nOn {loop}")
    for group, ours in GROUPS.items():
        say(report.costs_as_table(group, groups[group], ours, series))
    reached = outcomes(series)
    print(f"\nThe goals, on {loop}" + ("" if loop == "asyncio" else ", though they were set for asyncio"))
    say(report.goals_as_table(reached))
    of_ours = {way.name for way in cases.OURS} | {case.name for case in cases.makings(runner) if case.name.startswith("Channel")}
    of_ours |= {run.name for run in flow.RUNS if run.ours}
    draw(options, f"peers-{loop}.svg", report.costs_as_chart(loop, groups, of_ours, series))
    return {"groups": groups, "costs": report.costs_as_json(series), "goals": report.goals_as_json(reached)}


def grow(options: Options, progress: Progress) -> Mapping[str, Series]:
    """Cost against scale, on the first event loop."""
    loop = options.loops[0]
    curves = [curve for curve in CURVES if chosen(options, curve.name, "scale")]
    found = scale_cases(curves, on_asyncio(loop))
    if not found:
        return {}
    series = measure(f"scale, {loop}", found, max(2, options.rounds // 2), options.items, progress)
    print(f"\nCost against scale, on {loop}")
    say(report.scale_as_table(series))
    draw(options, f"scale-{loop}.svg", report.scale_as_chart(loop, series))
    return series


def main(arguments: Sequence[str] | None = None) -> int:
    options = options_of(arguments)
    began = time.monotonic()
    progress = Progress()
    peers_ways, versions = peers.load()
    ways = [*cases.WAYS, *flow.READING, *peers_ways]
    found = report.where(versions)
    say(report.where_as_table(found))
    print(f"{options.rounds} rounds of at most {options.items:,} items\n", flush=True)
    found |= {"rounds": options.rounds, "items": options.items}
    compared = {loop: compare(ways, loop, options, progress) for loop in options.loops}
    found["compared"] = compared
    if chosen(options, "memory", "import"):
        sizes, imports = once.memory(), once.import_seconds(options.rounds)
        say(report.once_as_table(sizes, imports))
        found["once"] = report.once_as_json(sizes, imports)
    if chosen(options, "graph", "profile"):
        looks = {stages: looking.look_seconds(stages, options.rounds) for stages in looking.MOST_SECONDS}
        shares = looking.profile_shares(options.rounds, 10 * options.items)
        say(report.looking_as_table(looks, shares))
        found["looking"] = report.looking_as_json(looks, shares)
    countable = [way for way in ways if way.is_countable and chosen(options, way.name, "counts")]
    counts = {way.name: per_item(way.passing, min(options.items, 300)) for way in countable}
    if counts:
        say(report.counts_as_table(counts))
        found["counts"] = report.counts_as_json(counts)
    if options.scale:
        found["scale"] = report.scale_as_json(grow(options, progress))
    found["seconds"] = time.monotonic() - began
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"\n{time.monotonic() - began:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Says what was measured, as tables and as JSON."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from tests.benchmarks.charts import Dot, Line, Panel, Plot, draw_curves, draw_dots
from tests.benchmarks.counting import Counts
from tests.benchmarks.goals import IMPORT_SECONDS, MEMORY, Outcome
from tests.benchmarks.harness import Series, ratio
from tests.benchmarks.looking import MOST_OF_PROFILE, MOST_SECONDS
from tests.benchmarks.scale import AT_MOST, CURVES, LIBRARIES, curves_of, growth, verdict

__all__ = [
    "costs_as_chart",
    "costs_as_json",
    "costs_as_table",
    "counts_as_json",
    "counts_as_table",
    "goals_as_json",
    "goals_as_table",
    "looking_as_json",
    "looking_as_table",
    "once_as_json",
    "once_as_table",
    "scale_as_chart",
    "scale_as_json",
    "scale_as_table",
    "where",
    "where_as_table",
]


def where(versions: Mapping[str, str | None]) -> dict[str, object]:
    """The interpreter, the machine and every library."""
    libraries: dict[str, str | None] = {"chanstream": found("chanstream"), "uvloop": found("uvloop"), **versions}
    return {
        "python": python(),
        "build": sys.version,
        "platform": platform.platform(),
        "processor": processor(),
        "processors": os.cpu_count(),
        "libraries": libraries,
    }


def where_as_table(found: Mapping[str, object]) -> Iterator[str]:
    libraries = found["libraries"]
    assert isinstance(libraries, dict)
    yield f"{found['python']} on {found['platform']}, {found['processors']} processors: {found['processor']}"
    yield ", ".join(f"{name} {version}" for name, version in libraries.items() if version is not None)
    missing = [name for name, version in libraries.items() if version is None]
    if missing:
        yield f"MISSING, not installed: {', '.join(missing)}"


def python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def found(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def micro(seconds: float) -> str:
    return f"{seconds * 1e6:.2f}" if seconds < 1e-4 else f"{seconds * 1e6:.1f}"


def costs_as_table(group: str, names: Sequence[str], ours: str, series: Mapping[str, Series]) -> Iterator[str]:
    """Costs of a group, the cheapest first. `ours` is what the others are compared with."""
    measured = sorted((series[name] for name in names if name in series), key=lambda each: each.least)
    if not measured:
        return
    yield ""
    against = series.get(ours)
    heading = f"{ours} costs so many times as much, quartiles" if against else ""
    yield f"  {group:32}{'µs per item':>12}{'quartiles':>18}{'items':>9}   {heading}"
    for each in measured:
        low, high = each.quartiles
        line = f"    {each.name:30}{micro(each.least):>12}{f'{micro(low)} to {micro(high)}':>18}{each.items:>9,}"
        if against is not None and each is not against:
            of = ratio(against, each)
            line += f"   {of.value:5.2f}   {of.low:.2f} to {of.high:.2f}"
        yield line


def goals_as_table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield f"  {'':25}{'':33}{'against':34}{'at most':>8}{'ratio':>8}{'quartiles':>15}"
    for outcome in outcomes:
        goal, of = outcome.goal, outcome.ratio
        measured = f"{of.value:>8.2f}{f'{of.low:.2f} to {of.high:.2f}':>15}" if of else f"{'':>23}"
        yield f"  {goal.group:25}{goal.ours:33}{goal.against:34}{goal.at_most:>8.2f}{measured}  {outcome.verdict}"


def once_as_table(sizes: Mapping[str, float], imports: Sequence[float]) -> Iterator[str]:
    least = min(imports)
    share = sizes[MEMORY.ours] / sizes[MEMORY.against]
    yield ""
    yield "  bytes of an idle one, with all its parts: " + ", ".join(f"{name} {size:,.0f}" for name, size in sizes.items())
    yield f"    {MEMORY.ours} by {MEMORY.against}: {share:.2f}, at most {MEMORY.at_most:.2f}  {judged(share, MEMORY.at_most)}"
    yield (
        f"  import chanstream after import asyncio: {least * 1e3:.1f} ms, the slowest {max(imports) * 1e3:.1f} ms, "
        f"at most {IMPORT_SECONDS * 1e3:.0f} ms  {judged(least, IMPORT_SECONDS)}"
    )


def looking_as_table(looks: Mapping[int, Sequence[float]], shares: Sequence[float]) -> Iterator[str]:
    yield ""
    for stages, seconds in looks.items():
        least, most = min(seconds), MOST_SECONDS[stages]
        yield f"  a look at {stages} stages: {least * 1e3:.1f} ms, at most {most * 1e3:.0f} ms  {judged(least, most)}"
    share = median(shares)
    yield f"  a profile takes {share:.1%} of a processor, at most {MOST_OF_PROFILE:.0%}  {judged(share, MOST_OF_PROFILE)}"


def looking_as_json(looks: Mapping[int, Sequence[float]], shares: Sequence[float]) -> dict[str, object]:
    return {"look_seconds": {stages: list(seconds) for stages, seconds in looks.items()}, "profile_shares": list(shares)}


def scale_as_table(series: Mapping[str, Series]) -> Iterator[str]:
    for curve in CURVES:
        lines = curves_of(curve, series)
        if not lines:
            continue
        growths = {name: growth([each.least for _, each in points]) for name, points in lines.items()}
        yield ""
        yield f"  {curve.name}, µs per {curve.per}"
        yield f"    {curve.axis:40}" + "".join(f"{size:>13,}" for size in curve.sizes) + f"{'by smallest':>13}"
        for name, points in lines.items():
            costs = {size: each.least for size, each in points}
            cells = "".join(f"{micro(costs[size]) if size in costs else '':>13}" for size in curve.sizes)
            yield f"    {name:40}{cells}{growths[name].spread:>13.2f}"
        yield f"    at most {AT_MOST:.2f}: {verdict(curve, growths)}"


def scale_as_json(series: Mapping[str, Series]) -> list[object]:
    return [
        {
            "name": curve.name,
            "axis": curve.axis,
            "per": curve.per,
            "libraries": {
                name: [
                    {"size": size, "items": each.items, "least": each.least, "quartiles": each.quartiles, "rounds": each.costs}
                    for size, each in points
                ]
                for name, points in curves_of(curve, series).items()
            },
        }
        for curve in CURVES
        if curves_of(curve, series)
    ]


def judged(value: float, at_most: float) -> str:
    return "met" if value <= at_most else f"MISSED by {value / at_most - 1:.0%}"


def costs_as_json(series: Mapping[str, Series]) -> dict[str, object]:
    return {
        each.name: {"items": each.items, "least": each.least, "quartiles": each.quartiles, "rounds": each.costs}
        for each in series.values()
    }


def goals_as_json(outcomes: Sequence[Outcome]) -> list[object]:
    return [
        {
            "group": outcome.goal.group,
            "ours": outcome.goal.ours,
            "against": outcome.goal.against,
            "at_most": outcome.goal.at_most,
            "aim": outcome.goal.aim,
            "ratio": outcome.ratio and outcome.ratio.value,
            "quartiles": outcome.ratio and [outcome.ratio.low, outcome.ratio.high],
            "met": outcome.met,
        }
        for outcome in outcomes
    ]


def counts_as_table(counts: Mapping[str, Counts]) -> Iterator[str]:
    yield ""
    yield f"  {'counted for each further item, on asyncio':42}{'turns':>9}{'steps':>9}{'futures':>9}{'tasks':>9}"
    for name, each in counts.items():
        yield f"    {name:40}" + "".join(f"{count:>9.2f}" for count in astuple(each))


def counts_as_json(counts: Mapping[str, Counts]) -> dict[str, object]:
    return {name: asdict(each) for name, each in counts.items()}


def costs_as_chart(loop: str, groups: Mapping[str, Sequence[str]], ours: Container[str], series: Mapping[str, Series]) -> str:
    panels = []
    for group, names in groups.items():
        measured = sorted((series[name] for name in names if name in series), key=lambda each: each.least)
        if measured:
            dots = [Dot(each.name, each.least, *each.quartiles, ours=each.name in ours) for each in measured]
            panels.append(Panel(group, dots))
    notes = f"{python()}. Microseconds of processor time: the least of all rounds, and a line over the quartiles"
    return draw_dots(f"What an item costs, on {loop}", notes, panels)


def scale_as_chart(loop: str, series: Mapping[str, Series]) -> str:
    plots = []
    for curve in CURVES:
        lines = [
            Line(name, [(size, each.least) for size, each in points], ours=name == LIBRARIES[0].name)
            for name, points in curves_of(curve, series).items()
        ]
        if lines:
            limit = AT_MOST * min(cost for _, cost in lines[0].points)
            plots.append(Plot(curve.name, curve.axis, f"µs per {curve.per}", lines, limit, f"{AT_MOST:g} times smallest"))
    notes = f"{python()}. Microseconds of processor time: the least of all rounds"
    return draw_curves(f"What an item costs as things grow, on {loop}", notes, plots)


def once_as_json(sizes: Mapping[str, float], imports: Sequence[float]) -> dict[str, object]:
    return {"bytes": dict(sizes), "import_seconds": list(imports)}

"""Draws what was measured as SVG, by hand: dots on a logarithmic axis for costs side by side, small curves for cost against scale.

Every drawing has a title and a description for screen readers, units on its axes, and the names beside the marks instead of
a legend. Its colours follow the reader's light or dark scheme, and nothing is told by colour alone: chanstream's marks are also
filled and its names bold. It needs no fonts and no scripts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Dot", "Line", "Panel", "Plot", "draw_curves", "draw_dots"]

STYLE: Final = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 17px; font-weight: 600 }
  .heading, .ours { font-weight: 600 }
  .quiet { fill: #59636e; font-size: 11px }
  .page { fill: #ffffff }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .limit { stroke: #59636e; stroke-width: 1; stroke-dasharray: 4 3 }
  .mark { stroke: #59636e; stroke-width: 1.5; fill: #ffffff }
  .line { stroke: #59636e; stroke-width: 1.5; fill: none }
  .mark.ours { stroke: #0550ae; fill: #0550ae }
  .line.ours { stroke: #0550ae; stroke-width: 2.5 }
  text.ours { fill: #0550ae }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .quiet { fill: #9198a1 }
    .page { fill: #0d1117 }
    .grid { stroke: #3d444d }
    .limit, .mark, .line { stroke: #9198a1 }
    .mark { fill: #0d1117 }
    .mark.ours { stroke: #79c0ff; fill: #79c0ff }
    .line.ours { stroke: #79c0ff }
    text.ours { fill: #79c0ff }
  }
"""

WIDTH: Final = 860


@dataclass(frozen=True)
class Dot:
    """A cost with its quartiles, in seconds."""

    name: str
    cost: float
    low: float
    high: float
    ours: bool


@dataclass(frozen=True)
class Panel:
    """Costs that are compared with one another."""

    heading: str
    dots: Sequence[Dot]


@dataclass(frozen=True)
class Line:
    """Costs in seconds by size."""

    name: str
    points: Sequence[tuple[int, float]]
    ours: bool


@dataclass(frozen=True)
class Plot:
    heading: str
    x_axis: str
    y_axis: str
    lines: Sequence[Line]
    limit: float
    limit_name: str


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def stroke(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def document(title: str, description: str, height: float, body: Iterator[str]) -> str:
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title description">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="description">{escape(description)}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height:.0f}"/>',
        text(16, 28, title, "title"),
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def micro(seconds: float) -> str:
    value = seconds * 1e6
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def short(size: float) -> str:
    """1, 10, 1k, 100k, 10M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:g}{name}"
    return f"{size:g}"


def steps_between(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis: 1, 2 and 5 of every power of ten."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [value for power in range(first, last + 1) for digit in (1, 2, 5) if low <= (value := digit * 10.0**power) <= high]


# Costs side by side.

ROW: Final = 20
LEFT: Final = 265
RIGHT: Final = WIDTH - 75


def draw_dots(title: str, notes: str, panels: Sequence[Panel]) -> str:
    """One row for each cost, on one logarithmic axis for all panels."""
    everything = [dot for panel in panels for dot in panel.dots]
    low, high = min(dot.cost for dot in everything) * 1e6 / 1.3, max(dot.high for dot in everything) * 1e6 * 1.2
    height = 80 + sum(64 + ROW * len(panel.dots) for panel in panels)
    description = " ".join(
        f"{panel.heading}: " + ", ".join(f"{dot.name} {micro(dot.cost)}" for dot in panel.dots) + "." for panel in panels
    )

    def place(seconds: float) -> float:
        return LEFT + (RIGHT - LEFT) * math.log(seconds * 1e6 / low) / math.log(high / low)

    def body() -> Iterator[str]:
        yield text(16, 48, notes, "quiet")
        y = 62.0
        for panel in panels:
            top, bottom = y + 28, y + 28 + ROW * len(panel.dots)
            yield text(16, y + 20, panel.heading, "heading")
            for value in steps_between(low, high):
                x = place(value * 1e-6)
                yield stroke("grid", x, top, x, bottom)
                yield text(x, bottom + 14, f"{value:g}", "quiet", "middle")
            yield text(RIGHT + 8, bottom + 14, "µs, log", "quiet")
            for number, dot in enumerate(panel.dots):
                middle = top + ROW * (number + 0.5)
                ours = "ours" if dot.ours else ""
                yield text(LEFT - 12, middle + 4, dot.name, ours, "end")
                yield stroke(f"line {ours}", place(dot.low), middle, place(dot.high), middle)
                yield f'<circle class="mark {ours}" cx="{place(dot.cost):.1f}" cy="{middle:.1f}" r="4.5"/>'
                yield text(RIGHT + 8, middle + 4, micro(dot.cost), ours)
            y = bottom + 36

    return document(title, f"Logarithmic dot plot, microseconds of processor time. {description}", height, body())


# Cost against scale.

COLUMNS: Final = 2
CELL: Final = (WIDTH - 32) / COLUMNS
CELL_HEIGHT: Final = 250


def draw_curves(title: str, notes: str, plots: Sequence[Plot]) -> str:
    """A small plot for each curve: sizes on a logarithmic axis, costs on a linear one that begins at nothing."""
    height = 70 + CELL_HEIGHT * math.ceil(len(plots) / COLUMNS)
    description = " ".join(f"{plot.heading}, {plot.y_axis} by {plot.x_axis}: {'; '.join(map(told, plot.lines))}." for plot in plots)

    def body() -> Iterator[str]:
        yield text(16, 48, notes, "quiet")
        for number, plot in enumerate(plots):
            yield from draw_plot(plot, 16 + CELL * (number % COLUMNS), 62 + CELL_HEIGHT * (number // COLUMNS))

    return document(title, f"Microseconds of processor time against size. {description}", height, body())


def told(line: Line) -> str:
    return f"{line.name} " + ", ".join(f"{micro(cost)} at {short(size)}" for size, cost in line.points)


def draw_plot(plot: Plot, x: float, y: float) -> Iterator[str]:
    left, right, top, bottom = x + 38, x + CELL - 105, y + 46, y + CELL_HEIGHT - 52
    sizes = sorted({size for line in plot.lines for size, _ in line.points})
    highest = max(plot.limit, *(cost for line in plot.lines for _, cost in line.points))
    step = round_step(highest * 1e6 / 4)
    top_value = step * math.ceil(highest * 1e6 / step)

    # A size of 0 has no logarithm: it stands where 1 would, and everything else a step further.
    shift = 1.0 if sizes[0] == 0 else 0.0

    def along(size: int) -> float:
        return math.log10(size) + shift if size else 0.0

    first, last = along(sizes[0]), along(sizes[-1])

    def across(size: int) -> float:
        return left + (right - left) * (along(size) - first) / (last - first or 1.0)

    def up(cost: float) -> float:
        return bottom - (bottom - top) * cost * 1e6 / top_value

    yield text(x, y + 18, plot.heading, "heading")
    yield text(x, y + 36, plot.y_axis, "quiet")
    for tick in range(round(top_value / step) + 1):
        level = up(tick * step * 1e-6)
        yield stroke("grid", left, level, right, level)
        yield text(left - 6, level + 4, f"{tick * step:g}", "quiet", "end")
    for size in sizes:
        yield text(across(size), bottom + 16, short(size), "quiet", "middle")
    yield text((left + right) / 2, bottom + 32, plot.x_axis, "quiet", "middle")
    yield stroke("limit", left, up(plot.limit), right, up(plot.limit))
    labels = [(up(plot.limit), plot.limit_name, "quiet")]
    for line in plot.lines:
        ours = "ours" if line.ours else ""
        path = " ".join(f"{across(size):.1f},{up(cost):.1f}" for size, cost in line.points)
        yield f'<polyline class="line {ours}" points="{path}"/>'
        for size, cost in line.points:
            yield f'<circle class="mark {ours}" cx="{across(size):.1f}" cy="{up(cost):.1f}" r="3.5"/>'
        labels.append((up(line.points[-1][1]), line.name, ours))
    for level, name, kind in apart(labels, 14, bottom):
        yield text(right + 9, level + 4, name, kind)


def round_step(value: float) -> float:
    """The next larger of 1, 2 and 5 of a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= value)


def apart(labels: Sequence[tuple[float, str, str]], gap: float, bottom: float) -> list[tuple[float, str, str]]:
    """Moved up until none covers another: from the lowest on."""
    placed: list[tuple[float, str, str]] = []
    below = bottom + gap
    for level, name, kind in sorted(labels, reverse=True):
        below = min(level, below - gap)
        placed.append((below, name, kind))
    return placed

"""The flowchart of a `Graph`, in the language of Mermaid."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from ._needs import Hope, state_of
from ._tasks import Sleeper, Wait
from ._words import Words

__all__ = ["chart"]

MOST_TASKS: Final = 60
MOST_ARROWS: Final = 400
"""How many are drawn, the cycle first. Mermaid draws no more than 500 arrows, and no text of more than 50,000 characters."""

Arrow = tuple[str, str, str]
"""From where, what it says, and to where."""


def chart(words: Words, sleepers: list[Sleeper], hopes: dict[int, Hope], cycle: list[Sleeper], stuck: set[int]) -> str:
    """Return tasks as boxes and channels as cylinders. An arrow leads to what is waited for, a thick one along the cycle."""
    if len(sleepers) > MOST_TASKS:
        first = {each.task for each in cycle}
        sleepers = sorted(sleepers, key=lambda each: (each.task not in first, each.task not in stuck))[:MOST_TASKS]
    boxes = {each.task: f"t{number}" for number, each in enumerate(sleepers)}
    waits = {each.wanted: each for each in sleepers if each.in_channel}
    boxes |= {state: f"c{number}" for number, state in enumerate(waits)}
    around = along(cycle, boxes)
    arrows = dict.fromkeys(arrow for each in sleepers for arrow in arrows_of(words, each, hopes[each.task], boxes))
    thick = [arrow for arrow in arrows if (arrow[0], arrow[2]) in around]
    thin = [arrow for arrow in arrows if arrow not in thick][:MOST_ARROWS]
    waiting = {arrow[0] for arrow in arrows}
    lines = ["flowchart TB"]
    for each in sleepers:
        name, _, rest = words.names.tasks[each.task].partition(" [")
        label_lines = [name, *([f"[{rest}"] if rest else []), words.names.places[each.task]]
        label_lines += [words.waits(each)] if boxes[each.task] not in waiting else []
        lines.append(f'  {boxes[each.task]}["{label(label_lines)}"]{":::stuck" if each.task in stuck else ""}')
    for state, each in waits.items():
        lines.append(f'  {boxes[state]}[("{label([words.channel(each), f"{pending(words, each)} to be taken"])}")]')
    lines += [f'  {start} ==>|"{text}"| {end}' for start, text, end in thick]
    lines += [f'  {start} -.->|"{text}"| {end}' for start, text, end in thin]
    if thick:
        lines.append(f"  linkStyle {','.join(str(number) for number, _ in enumerate(thick))} stroke:#a00")
    return "\n".join([*lines, "  classDef stuck fill:#fbb,stroke:#a00,color:#000"])


def pending(words: Words, sleeper: Sleeper) -> int:
    return state_of(words.heap, sleeper).statistics().pending


def arrows_of(words: Words, sleeper: Sleeper, hope: Hope, boxes: dict[int, str]) -> Iterator[Arrow]:
    """Yield the arrows to what a task waits for, and from there to the tasks which could end the wait."""
    helpers = [task for task in hope.tasks if task in boxes]
    start = boxes[sleeper.task]
    if sleeper.in_channel:
        cylinder = boxes[sleeper.wanted]
        sends = sleeper.wait is Wait.ITEMIZE
        yield start, "waits to send to" if sends else "waits for an item of", cylinder
        for task in helpers:
            yield cylinder, "held by" if task in hope.by_channel else "read by" if sends else "fed by", boxes[task]
    else:
        for task in helpers:
            yield start, label([words.waits(sleeper).partition(" of ")[0]]), boxes[task]


def along(cycle: list[Sleeper], boxes: dict[int, str]) -> set[tuple[str, str]]:
    """Return from where to where the arrows of a cycle lead."""
    path: list[str] = []
    for each in cycle:
        path += [boxes.get(each.task, ""), boxes.get(each.wanted, "")] if each.in_channel else [boxes.get(each.task, "")]
    return set(pairwise([*path, *path[:1]]))


def label(lines: list[str]) -> str:
    """Return text that Mermaid shows as it is."""
    return "<br>".join(
        each.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;").replace("`", "")
        for each in lines
    )

"""What a look shows: `Graph`. It holds text alone, and none of what was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from chanstream._override import override

__all__ = ["Graph", "Stage", "Verdict"]


class Verdict(Enum):
    """What a look has found: can the tasks of the program go on?"""

    RUNNING = "running"
    """Each task that waits in a channel waits for one that can go on, for a timer, or for something that the event loop holds."""
    SUSPECTED = "suspected"
    """Tasks wait for one another, as far as can be seen. `Graph.unseen` is what could still end it."""
    DEADLOCK = "deadlock"
    """Nothing outside of a set of tasks can reach them any more, so none of them goes on unless it is cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A task at one moment."""

    name: str
    """The function that it runs, and what asyncio calls it."""
    place: str
    """The file and line of the program where it stands."""
    waits: str
    """What it waits for."""
    helpers: tuple[str, ...]
    """What could end that wait, in words."""
    is_stuck: bool
    """True if its wait will not end, as the verdict says."""

    @override
    def __str__(self) -> str:
        return f"{self.name} at {self.place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The tasks of an event loop at one moment, and which waits for which. `str` of it is a report, `mermaid` a flowchart."""

    verdict: Verdict
    cycle: tuple[Stage, ...]
    """Tasks of which each waits for the next, and the last for the first. One alone waits for what no task can bring. Empty, if the
    program runs."""
    advice: str
    """What would free them; empty, if the program runs."""
    unseen: tuple[str, ...]
    """With `Verdict.SUSPECTED`, what could still end the wait."""
    tasks: tuple[Stage, ...]
    """All tasks but the one that looks."""
    channels: tuple[str, ...]
    """The channels in which tasks wait: what each is called, its counts and phases, and in development mode where it was made."""
    chart: str
    """What `mermaid` returns."""

    def mermaid(self) -> str:
        """Return a flowchart for Mermaid, which GitHub, GitLab and mermaid.live draw. Tasks that are stuck are red."""
        return self.chart

    @override
    def __str__(self) -> str:
        lines = [self.headline, *(f"  could still end it: {each}" for each in self.unseen)]
        if self.advice:
            lines.append(f"  {self.advice}")
        for task in self.tasks:
            lines += [
                "",
                f"{'! ' if task.is_stuck else '  '}{task}",
                f"    {task.waits}",
                *(f"    {each}" for each in task.helpers),
            ]
        if self.channels:
            lines += ["", *(f"  {each}" for each in self.channels)]
        return "\n".join(lines)

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        if self.verdict is Verdict.RUNNING:
            return f"running: {len(self.tasks)} tasks"
        names = [each.name for each in self.cycle]
        story = f"{names[0]} waits for what no task brings" if len(names) == 1 else " -> ".join([*names, names[0]])
        return f"{self.verdict.name}: {story}"

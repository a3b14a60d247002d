"""From what was looked at to a `Graph`: the verdict, and everything in words."""

from __future__ import annotations

import asyncio
from collections.abc import Container

from ._advice import advice
from ._chart import chart
from ._cycle import cycle_of
from ._graph import Graph, Stage, Verdict
from ._look import Look
from ._names import Names
from ._needs import Hope, Needs
from ._python import COUNTS_EXACTLY
from ._suspicion import suspects, unseen_by
from ._tasks import Sleeper
from ._words import Words

__all__ = ["picture"]


def picture(loop: asyncio.AbstractEventLoop) -> Graph:
    """Look at the tasks of `loop`, and describe them."""
    look = Look(loop)
    needs = Needs(look.heap, look.sleepers)
    hopes = {each.task: needs.of(each) for each in look.sleepers}
    names = Names(look.heap, look.sleepers)
    verdict, stuck, unseen = Verdict.DEADLOCK, deadlocked(look.reach.stuck, hopes), list[str]()
    if stuck and not look.timed.is_complete:
        verdict, unseen = Verdict.SUSPECTED, ["one of many timers"]
    elif stuck and not COUNTS_EXACTLY:
        verdict, unseen = Verdict.SUSPECTED, ["something that this Python does not count the references of"]
    elif not stuck:
        stuck = deadlocked(look.but_for_timeouts, hopes, look.limits) or suspects(loop, look, hopes)
        verdict = Verdict.SUSPECTED if stuck else Verdict.RUNNING
        unseen = list(dict.fromkeys(unseen_by(look, hopes, names, stuck)))
    words = Words(look.heap, names, needs.referrers)
    stages = {
        each.task: Stage(
            name=names.tasks[each.task],
            place=names.places[each.task],
            waits=words.waits(each),
            helpers=words.helpers(each, hopes[each.task]),
            is_stuck=each.task in stuck,
        )
        for each in look.sleepers
    }
    cycle = cycle_of(words, [each for each in look.sleepers if each.task in stuck], hopes)
    channels = {each.wanted: words.counts(each) for each in look.sleepers if each.in_channel}
    return Graph(
        verdict=verdict,
        cycle=tuple(stages[each.task] for each in cycle),
        advice=advice(words, cycle, hopes) if cycle else "",
        unseen=tuple(unseen),
        tasks=tuple(stages.values()),
        channels=tuple(channels.values()),
        chart=chart(words, look.sleepers, hopes, cycle, stuck),
    )


def deadlocked(tasks: dict[int, Sleeper], hopes: dict[int, Hope], limits: Container[int] | None = None) -> set[int]:
    """Return those of `tasks`, which nothing can reach, that are not meant to wait for ever; with `limits` those with a timeout.

    To wait for a new future is a common way to run until cancelled. So tasks that can't be reached are a deadlock if one of them
    waits in a channel, or if they wait for one another in a circle.
    """
    found = set[int]()
    for part in parts(tasks, hopes):
        if limits is not None and not any(each.task in limits for each in part):
            continue
        if any(each.in_channel for each in part) or has_circle(part, hopes):
            found |= {each.task for each in part}
    return found


def parts(stuck: dict[int, Sleeper], hopes: dict[int, Hope]) -> list[list[Sleeper]]:
    """Return `stuck` in parts that have nothing to do with one another."""
    near: dict[int, set[int]] = {task: set() for task in stuck}
    for task in stuck:
        for other in hopes[task].tasks:
            if other in stuck:
                near[task].add(other)
                near[other].add(task)
    found: list[list[Sleeper]] = []
    rest = set(stuck)
    for task in stuck:
        if task in rest:
            rest.remove(task)
            part = [task]
            for each in part:  # which grows meanwhile
                fresh = near[each] & rest
                rest -= fresh
                part += sorted(fresh)
            found.append([stuck[each] for each in part])
    return found


def has_circle(part: list[Sleeper], hopes: dict[int, Hope]) -> bool:
    """Return whether tasks wait for one another in a circle."""
    rest = {each.task for each in part}
    while ends := {task for task in rest if rest.isdisjoint(hopes[task].tasks)}:
        rest -= ends
    return bool(rest)

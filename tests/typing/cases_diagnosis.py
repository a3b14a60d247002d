"""`chanstream.diagnosis`: what a look returns is text and verdicts, and a block binds a profile, or nothing."""

from __future__ import annotations

import signal
from contextlib import AbstractAsyncContextManager
from typing import assert_never, assert_type

from chanstream.diagnosis import Graph, Profile, Stage, Verdict, deadline, graph, on_signal, profile


def looked() -> None:
    found = graph()
    assert_type(found, Graph)
    assert_type(found.verdict, Verdict)
    assert_type(found.cycle, tuple[Stage, ...])
    assert_type(found.tasks, tuple[Stage, ...])
    assert_type(found.channels, tuple[str, ...])
    assert_type(found.unseen, tuple[str, ...])
    assert_type(found.advice, str)
    assert_type(found.headline, str)
    assert_type(found.mermaid(), str)
    assert_type([stage.name for stage in found.cycle], list[str])
    graph(1)  # type: ignore[call-arg]
    found.headline()  # type: ignore[operator]
    found.mermaid("png")  # type: ignore[call-arg]


def told(stage: Stage) -> str:
    assert_type(stage.place, str)
    assert_type(stage.waits, str)
    assert_type(stage.helpers, tuple[str, ...])
    assert_type(stage.is_stuck, bool)
    return stage.name


def is_bad(verdict: Verdict) -> bool:
    match verdict:
        case Verdict.RUNNING:
            return False
        case Verdict.SUSPECTED | Verdict.DEADLOCK:
            return True
        case _:
            assert_never(verdict)


def frozen(found: Graph, stage: Stage) -> None:
    found.advice = ""  # type: ignore[misc]
    stage.is_stuck = False  # type: ignore[misc]
    found.verdict = Verdict.RUNNING  # type: ignore[misc]


async def in_a_test() -> None:
    async with deadline(3):
        pass
    async with deadline(0.5) as nothing:
        assert_type(nothing, None)
    deadline("3")  # type: ignore[arg-type]
    deadline(seconds=3)  # type: ignore[call-arg]
    with deadline(3):  # type: ignore[attr-defined]
        pass


def as_context(block: AbstractAsyncContextManager[object]) -> None: ...


def contexts() -> None:
    as_context(deadline(3))
    as_context(profile())
    as_context(graph())  # type: ignore[arg-type]


def signals() -> None:
    assert_type(on_signal(signal.SIGINT), None)
    on_signal(2)  # type: ignore[arg-type]
    on_signal("SIGINT")  # type: ignore[arg-type]
    on_signal(signum=signal.SIGINT)  # type: ignore[call-arg]


async def profiled() -> str:
    async with profile() as found:
        assert_type(found, Profile)
    async with profile(live=True) as shown:
        assert_type(shown.bottleneck, str)
    shown.bottleneck = ""  # type: ignore[misc]
    profile(True)  # type: ignore[call-arg]
    profile(live="yes")  # type: ignore[arg-type]
    return str(found)

"""The benchmarks run: every case passes its items, and tables, JSON and charts say what was measured. No times are judged."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks import cases, flow, peers, report, scale
from tests.benchmarks.goals import GOALS, Goal, Outcome
from tests.benchmarks.harness import Case, Progress, Ratio, Series, measure, ratio
from tests.benchmarks.ways import LOCK_STEP, Way, case_of, on_asyncio
from tests.loops import EVERY_LOOP

pytestmark = [
    pytest.mark.slow,
    pytest.mark.cpython,  # the goals are for it
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning"),  # of the peers
]

SVG = "{http://www.w3.org/2000/svg}"


def in_silence() -> Progress:
    return Progress(io.StringIO())


def assert_is_chart(file: Path, names: set[str]) -> None:
    """It is accessible, and every mark has its place on the page."""
    root = ET.parse(file).getroot()  # noqa: S314 - as above
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    described = {each.get("id"): each.text for each in root if each.tag in {f"{SVG}title", f"{SVG}desc"}}
    assert set((root.get("aria-labelledby") or "").split()) == set(described)
    words = {each.text or "" for each in root.iter(f"{SVG}text")}
    assert names <= words
    assert all(name in (described["description"] or "") for name in names)
    width, height = float(root.get("width") or 0), float(root.get("height") or 0)
    for mark in root.iter(f"{SVG}circle"):
        assert 0 < float(mark.get("cx") or 0) < width
        assert 0 < float(mark.get("cy") or 0) < height


def test_the_command_prints_writes_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "found.json"
    arguments = ["--rounds", "1", "--items", "20", "--no-scale", "--json", str(file), "--charts", str(tmp_path / "charts")]
    assert command.main(arguments) == 0
    printed, progress = capsys.readouterr()
    found = json.loads(file.read_text(encoding="utf-8"))
    loops = [loop for loop in ("asyncio", "uvloop") if loop in EVERY_LOOP]
    ways, versions = peers.load()
    measured = {way.name for way in [*cases.WAYS, *flow.READING, *ways]} | {run.name for run in flow.RUNS}
    measured |= {case.name for case in cases.makings(on_asyncio("asyncio"))}

    assert [*found["compared"]] == loops
    for loop in loops:
        assert f"{loop}: " in progress
        costs = found["compared"][loop]["costs"]
        assert set(costs) == measured
        for each in costs.values():
            assert 0 < each["least"] == min(each["rounds"])
            assert len(each["rounds"]) == 1
            assert 0 < each["items"] <= 20
        goals = found["compared"][loop]["goals"]
        assert [(each["ours"], each["against"]) for each in goals] == [(each.ours, each.against) for each in GOALS]
        assert all((each["ratio"] is None) is (each["against"] not in measured) for each in goals)
        assert_is_chart(tmp_path / "charts" / f"peers-{loop}.svg", measured)
    for name in measured:
        assert name in printed
    assert found["libraries"]["chanstream"] is not None
    assert found["libraries"].keys() >= versions.keys()
    assert found["rounds"] == 1
    assert set(found["once"]["bytes"]) == {"Channel()", "Channel(buffer=1)", "asyncio.Queue(1)"}
    assert len(found["once"]["import_seconds"]) == 1
    assert {stages: len(seconds) for stages, seconds in found["looking"]["look_seconds"].items()} == {"5": 1, "50": 1, "500": 1}
    assert len(found["looking"]["profile_shares"]) == 1
    assert found["counts"]["bare futures"] == {"turns": 2, "steps": 2, "futures": 2, "tasks": 0}


def test_only_what_was_asked_for_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "found.json"
    arguments = ["--rounds", "1", "--items", "10", "--only", "async generator", "--loop", "asyncio", "--json", str(file)]
    assert command.main(arguments) == 0
    found = json.loads(file.read_text(encoding="utf-8"))
    assert set(found["compared"]["asyncio"]["costs"]) == {"async generator"}
    assert found["scale"] == []
    assert "once" not in found
    assert "lock-step" not in capsys.readouterr().out


def test_a_peer_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tests.benchmarks.peers.of_anyio", raising=False)
    monkeypatch.setitem(sys.modules, "anyio", None)
    ways, versions = peers.load()
    assert versions["anyio"] is None
    assert not any(way.name.startswith("anyio") for way in ways)
    table = "\n".join(report.where_as_table(report.where(versions)))
    assert "MISSING, not installed: " in table
    assert "anyio" in table.partition("MISSING")[2]
    outcome = Outcome(Goal(LOCK_STEP, "Channel()", "anyio(0)", 0.3), None)
    assert "not measured" in "\n".join(report.goals_as_table([outcome]))


def test_every_program_of_the_curves_passes_its_items(tmp_path: Path) -> None:
    runner = on_asyncio("asyncio")
    curves = [replace(curve, sizes=curve.sizes[:2]) for curve in scale.CURVES]
    found = scale.scale_cases(curves, runner)
    series = measure("scale", found, 1, 20, in_silence())
    assert set(series) == {case.name for case in found}
    curves_found = report.scale_as_json(series)
    assert len(curves_found) == len(scale.CURVES)
    assert json.loads(json.dumps(curves_found)) is not None
    table = "\n".join(report.scale_as_table(series))
    chart = tmp_path / "scale.svg"
    chart.write_text(report.scale_as_chart("asyncio", series), encoding="utf-8")
    assert_is_chart(chart, {"Channel", "asyncio.Queue", "bare future"})
    for curve in scale.CURVES:
        assert curve.name in table
        assert curve.name in chart.read_text(encoding="utf-8")


@pytest.mark.parametrize("arrived", [[0, 1, 3], [0, 2, 1, 3], [0, 1, 1, 2, 3], []])
def test_what_does_not_arrive_once_and_in_order_is_an_error(arrived: list[int]) -> None:
    async def passing(_: int) -> list[int]:
        return arrived

    case = case_of(Way("loses", (LOCK_STEP,), passing), on_asyncio("asyncio"))
    with pytest.raises(AssertionError, match="4 numbers were sent"):
        case.run(4)


def test_rounds_are_interleaved_and_the_first_is_dropped() -> None:
    runs: list[str] = []

    def case(name: str, cost: float, limit: int | None = None) -> Case:
        def run(items: int) -> float:
            runs.append(name)
            return cost * items

        return Case(name, run, limit)

    series = measure("test", [case("a", 1e-6), case("b", 1e-3), case("c", 1e-6, limit=7)], 3, 100, in_silence())
    assert runs[:6] == ["a", "a", "b", "b", "c", "c"]
    rounds = [runs[place : place + 3] for place in range(6, len(runs), 3)]
    assert len(rounds) == 3
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert len({each[0] for each in rounds}) == 3
    assert {name: each.items for name, each in series.items()} == {"a": 100, "b": 50, "c": 7}
    assert all(len(each.costs) == 3 for each in series.values())


def test_a_ratio_is_of_the_minima_and_its_spread_of_the_rounds() -> None:
    found = ratio(Series("a", 1, [2.0, 4.0, 6.0, 8.0, 10.0]), Series("b", 1, [4.0, 4.0, 4.0, 4.0, 4.0]))
    assert found == Ratio(0.5, 1.0, 2.0)
    assert ratio(Series("a", 1, [1.0]), Series("b", 1, [2.0])) == Ratio(0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (Ratio(0.6, 0.6, 0.6), "met, and the aim"),
        (Ratio(0.8, 0.8, 0.8), "met, not the aim of 0.70"),
        (Ratio(1.7, 1.6, 1.8), "MISSED by 100%"),
        (Ratio(1.02, 0.8, 1.2), "MISSED by 20%, within the spread"),
        (None, "not measured"),
    ],
)
def test_a_verdict_says_by_how_much(measured: Ratio | None, verdict: str) -> None:
    assert Outcome(Goal(LOCK_STEP, "Channel()", "bare futures", 0.85, 0.70), measured).verdict == verdict


def test_growth_is_falling_or_rising() -> None:
    assert scale.growth([4.0, 2.0, 1.0]) == scale.Growth(spread=4.0, rise=1.0)
    assert scale.growth([1.0, 2.0, 4.0]) == scale.Growth(spread=4.0, rise=4.0)
    curve = scale.CURVES[0]
    assert scale.verdict(curve, {"Channel": scale.Growth(1.9, 1.9)}) == "met"
    assert scale.verdict(curve, {"Channel": scale.Growth(3.0, 3.0)}) == "MISSED by 50%"
    assert "only because it falls" in scale.verdict(curve, {"Channel": scale.Growth(3.0, 1.1)})
    cancelled = next(curve for curve in scale.CURVES if curve.cancels)
    growths = {"Channel": scale.Growth(3.0, 3.0), "bare future": scale.Growth(1.6, 1.6)}
    assert scale.verdict(cancelled, growths).startswith("met: ")

"""The package as it is installed: its names, its version, its demonstration."""

from __future__ import annotations

import ast
import asyncio
import importlib
import re
import runpy
import sys
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import pytest

import chanstream
from chanstream import Channel, Itemizer, Receiver, Sender, SenderContext

SOURCES = sorted(Path(chanstream.__file__).parent.glob("*.py"))


def test_all_is_complete_and_sorted_and_every_name_is_there() -> None:
    public = {name for name, value in vars(chanstream).items() if not name.startswith("_") and not hasattr(value, "__path__")}
    modules = {path.stem for path in SOURCES} - {"stream"}
    assert set(chanstream.__all__) == public - modules | {"__version__"}
    assert all(hasattr(chanstream, name) for name in chanstream.__all__)


def test_what_is_generic_takes_its_type_at_run_time() -> None:
    """For whoever reads annotations while the program runs."""
    for alias in (Channel[int], Sender[int], Receiver[int], SenderContext[int], Itemizer[int]):
        assert get_args(alias) == (int,)


def test_the_version_stands_in_one_place() -> None:
    assert version("chanstream") == chanstream.__version__


def test_only_typing_extensions_is_needed_at_run_time() -> None:
    imported = {
        name.partition(".")[0]
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"typing_extensions"}


@pytest.mark.parametrize("module", ["_core", "_line", "_phases"])
def test_the_core_knows_no_event_loop(module: str) -> None:
    source = Path(chanstream.__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    imports = [line for line in source.splitlines() if re.match(r"\s*(from|import) ", line)]
    assert imports
    assert not [line for line in imports if re.search(r"asyncio|_waiting|sender|receiver|channel", line)]


DEMONSTRATION = """\
In lock-step, the default: itemize returns when the loop comes back.

  sender                                receiver
  ------------------------------        ------------------------------
  await itemize('One')
                                        takes 'One'
                                          comes back for more
    returns
  await itemize('Two')
                                        takes 'Two'
                                          comes back for more
    returns
  await itemize('Three')
                                        takes 'Three'
                                          comes back for more
    returns
  the block has ended
                                        the loop has ended

With buffer=2: itemize returns while there is room.

  sender                                receiver
  ------------------------------        ------------------------------
  await itemize('One')
    returns
  await itemize('Two')
    returns
  await itemize('Three')
                                        takes 'One'
    returns
  the block has ended
                                          comes back for more
                                        takes 'Two'
                                          comes back for more
                                        takes 'Three'
                                          comes back for more
                                        the loop has ended

Items per second between two tasks, here and now:

  Channel, lock-step N     asyncio.Queue(1) N
  Channel, buffer=64 N     asyncio.Queue(64) N
"""
"""What it prints, with N for each number of items per second."""


@pytest.fixture
def no_demonstration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not imported yet, whatever other tests have done."""
    monkeypatch.delitem(sys.modules, "chanstream.__main__", raising=False)


@pytest.mark.usefixtures("no_demonstration")
def test_the_demonstration_shows_who_runs_when(capsys: pytest.CaptureFixture[str]) -> None:
    demonstration = runpy.run_module("chanstream", run_name="__main__")
    lines = capsys.readouterr().out
    assert max(map(len, lines.splitlines())) <= 80
    rates = re.compile(r" +([\d,]+)(?=     asyncio|$)", re.MULTILINE)
    assert rates.sub(" N", lines) == DEMONSTRATION
    assert all(int(number.replace(",", "")) > 0 for number in rates.findall(lines))
    for passing in (demonstration["pass_through_channel"], demonstration["pass_through_queue"]):
        assert asyncio.run(passing(100, 1)) == 100


@pytest.mark.usefixtures("no_demonstration")
def test_the_demonstration_takes_the_best_of_three_rounds() -> None:
    """Of as many items as arrived, in as much time as it took."""
    rate = runpy.run_module("chanstream.__main__", run_name="imported")["rate"]
    clock = iter((0.0, 1000.0, 2000.0, 2160.0, 3000.0, 3400.0))
    rate.__globals__["perf_counter"] = lambda: next(clock)
    rounds: list[tuple[int, int]] = []

    async def passing(count: int, size: int) -> int:
        rounds.append((count, size))
        return 100

    assert asyncio.run(rate(passing, 1_000, 7)) == 0.625
    assert rounds == [(1_000, 7)] * 3


@pytest.mark.usefixtures("no_demonstration")
def test_the_demonstration_compares_like_with_like(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A buffer of 64 with a queue of 64; lock-step with a queue of 1, the shortest there is. The numbers stand in columns."""
    demonstration = importlib.import_module("chanstream.__main__")
    compared: list[tuple[object, int, int]] = []

    async def rate(passing: object, count: int, size: int) -> float:
        compared.append((passing, count, size))
        return 12345.6 * len(compared)

    monkeypatch.setattr(demonstration, "rate", rate)
    asyncio.run(demonstration.main())
    ours, theirs = demonstration.pass_through_channel, demonstration.pass_through_queue
    assert compared == [(ours, 10_000, 0), (theirs, 10_000, 1), (ours, 50_000, 64), (theirs, 50_000, 64)]
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "  Channel, lock-step         12,346     asyncio.Queue(1)         24,691",
        "  Channel, buffer=64         37,037     asyncio.Queue(64)        49,382",
    ]


@pytest.mark.usefixtures("no_demonstration")
def test_importing_the_demonstration_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("chanstream.__main__", run_name="imported")
    assert not capsys.readouterr().out

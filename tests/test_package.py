"""The package as it is installed: its names, its version, its demonstration."""

from __future__ import annotations

import ast
import asyncio
import importlib
import os
import re
import runpy
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

import chanstream
from chanstream import Channel, Itemizer, Receiver, Sender, SenderContext, diagnosis, stages
from chanstream.diagnosis import Graph

SOURCES = sorted(Path(chanstream.__file__).parent.rglob("*.py"))


def test_what_is_generic_takes_its_type_at_run_time() -> None:
    """For programs that read annotations at run time."""
    for alias in (Channel[int], Sender[int], Receiver[int], SenderContext[int], Itemizer[int]):
        assert get_args(alias) == (int,)


def test_the_version_is_in_one_place() -> None:
    assert version("chanstream") == chanstream.__version__


def test_only_typing_extensions_is_needed_at_run_time() -> None:
    """Rules 29 and 30: what has an extra of its own is not imported by anything else."""
    package = Path(chanstream.__file__).parent
    imported = {
        ".".join(name.split(".")[: 2 if name.startswith("chanstream.") else 1])
        for path in SOURCES
        if not path.is_relative_to(package / "nats") and path != package / "diagnosis" / "_live.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    own = {name for name in imported if name.startswith("chanstream")}
    assert "chanstream.nats" not in own
    assert imported - own - set(sys.stdlib_module_names) == {"typing_extensions"}


def test_typing_extensions_is_needed_only_where_python_itself_lacks_what_is_used() -> None:
    needed = [each.replace("'", '"') for each in requires("chanstream") or [] if "extra ==" not in each]
    assert needed == ['typing-extensions>=4.6; python_version < "3.12"']
    program = "import sys, chanstream; print('typing_extensions' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{sys.version_info < (3, 12)}\n"


@pytest.mark.parametrize("module", ["_state", "_ends", "_queue", "_statistics"])
def test_the_state_of_a_channel_knows_no_event_loop(module: str) -> None:
    source = Path(chanstream.__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    imports = [line for line in source.splitlines() if re.match(r"\s*(from|import) ", line)]
    assert imports
    assert not [line for line in imports if re.search(r"asyncio|_waiting|sender|receiver|channel", line)]


DEMONSTRATION = """\
In lock-step, the default, itemize returns when the loop comes back:

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
  the block has ended
                                        the loop has ended

The writer fails after one item. What does the reader get?

  asyncio.Queue                         Channel
  ------------------------------        ------------------------------
  takes N
  waits for ever (0.5 s here)
                                        takes N
                                        SenderFailed from
                                          OSError('disk is gone')

A pipeline, read to parse to a loop, is left after one item:

  the loop takes 0 and leaves
  parse has cleaned up
  read has cleaned up
  the block has ended

Items per second between two tasks, here and now:

  Channel, lock-step N     asyncio.Queue(1) N
  Channel, buffer=64 N     asyncio.Queue(64) N

Two tasks wait for each other. What does chanstream.diagnosis say?

  DEADLOCK: sort() -> split() -> sort()
  sort() waits for an item of `even`, which has none
  split() waits in itemize of `odd`, whose item nothing has taken
  Give `odd` a larger buffer, or read it and `even` at the same time: its
    reader waits for `even` first.
"""
"""What it prints, with N for each number of items per second."""


@pytest.fixture
def no_demonstration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not imported yet, whatever other tests have done."""
    monkeypatch.delitem(sys.modules, "chanstream.__main__", raising=False)


@pytest.mark.slow
@pytest.mark.usefixtures("no_demonstration")
def test_the_demonstration_shows_which_side_runs_when(capsys: pytest.CaptureFixture[str]) -> None:
    demonstration = runpy.run_module("chanstream", run_name="__main__")
    lines = capsys.readouterr().out
    assert max(map(len, lines.splitlines())) <= 80
    assert len(lines.splitlines()) <= 60
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
    """A buffer of 64 with a queue of 64; lock-step with a queue of 1, the shortest there is. The numbers are in columns."""
    demonstration = importlib.import_module("chanstream.__main__")
    compared: list[tuple[object, int, int]] = []

    async def rate(passing: object, count: int, size: int) -> float:
        compared.append((passing, count, size))
        return 12345.6 * len(compared)

    monkeypatch.setattr(demonstration, "rate", rate)
    asyncio.run(demonstration.measure())
    ours, theirs = demonstration.pass_through_channel, demonstration.pass_through_queue
    assert compared == [(ours, 10_000, 0), (theirs, 10_000, 1), (ours, 50_000, 64), (theirs, 50_000, 64)]
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "  Channel, lock-step         12,346     asyncio.Queue(1)         24,691",
        "  Channel, buffer=64         37,037     asyncio.Queue(64)        49,382",
    ]
    monkeypatch.setattr(os, "isatty", lambda _: True)
    asyncio.run(demonstration.measure())
    assert "  measuring ...\r  Channel" in capsys.readouterr().out


@pytest.mark.usefixtures("no_demonstration")
def test_the_demonstration_says_where_nothing_can_be_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule 30: on PyPy for example."""
    demonstration = importlib.import_module("chanstream.__main__")

    fact = "no look"

    def graph() -> Graph:
        raise RuntimeError(fact)

    monkeypatch.setattr(demonstration, "graph", graph)
    demonstration.show_graph([])
    assert capsys.readouterr().out == f"  {fact}\n"


@pytest.mark.usefixtures("no_demonstration")
def test_the_stages_of_the_demonstration_pass_on_what_comes(capsys: pytest.CaptureFixture[str]) -> None:
    """Rule 6."""
    demonstration = importlib.import_module("chanstream.__main__")

    async def write(itemize: Itemizer[str]) -> None:
        await itemize("1")
        await itemize("2")

    async def main() -> list[int]:
        async with Channel[str]().fed_by(demonstration.count) as lines:
            assert [await anext(lines), await anext(lines)] == ["0", "1"]
        async with Channel[str]().fed_by(write) as lines, Channel[int]().fed_by(demonstration.parse, lines) as numbers:
            return [number async for number in numbers]

    assert asyncio.run(main()) == [1, 2]
    assert capsys.readouterr().out == "  read has cleaned up\n  parse has cleaned up\n"


@pytest.mark.usefixtures("no_demonstration")
def test_importing_the_demonstration_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("chanstream.__main__", run_name="imported")
    assert not capsys.readouterr().out


@pytest.mark.parametrize("module", [chanstream, diagnosis, stages])
def test_what_is_public_is_called_what_it_is_imported_as(module: ModuleType) -> None:
    """So that a traceback says ``chanstream.SenderFailed``. `Producer` is an alias, which has no module of its own."""
    for name in set(module.__all__) - {"__version__", "Producer"}:
        assert vars(module)[name].__module__ == module.__name__

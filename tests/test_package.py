"""The package as it is installed: its names, its version, its demonstration."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import chanstream

SOURCES = sorted(Path(chanstream.__file__).parent.glob("*.py"))


def test_all_is_complete_and_sorted_and_every_name_is_there() -> None:
    public = {name for name, value in vars(chanstream).items() if not name.startswith("_") and not hasattr(value, "__path__")}
    modules = {path.stem for path in SOURCES} - {"stream"}
    assert set(chanstream.__all__) == public - modules | {"__version__"}
    assert all(hasattr(chanstream, name) for name in chanstream.__all__)


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


@pytest.mark.parametrize("module", ["_core", "_line"])
def test_the_core_knows_no_event_loop(module: str) -> None:
    source = Path(chanstream.__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    imports = [line for line in source.splitlines() if re.match(r"\s*(from|import) ", line)]
    assert imports
    assert not [line for line in imports if re.search(r"asyncio|_waiting|sender|receiver|channel", line)]


def test_the_demonstration_shows_who_runs_when(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("chanstream", run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    hand_over = [line for line in lines if "Two" in line or line.strip() in {"returns", "comes back for more"}][:6]
    assert hand_over == [
        " " * 40 + "  comes back for more",
        "    returns",
        "  await itemize('Two')",
        " " * 40 + "takes 'Two'",
        " " * 40 + "  comes back for more",
        "    returns",
    ]
    assert sum("asyncio.Queue" in line for line in lines) == 2


def test_importing_the_demonstration_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("chanstream.__main__", run_name="imported")
    assert not capsys.readouterr().out

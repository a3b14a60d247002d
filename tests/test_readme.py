"""Every program in the README runs, prints what stands below it, and passes the type checker."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT.joinpath("README.md").read_text(encoding="utf-8")
PROGRAM = re.compile(r"^```python\n(?P<code>.*?)^```\n\n^```text\n(?P<output>.*?)^```\n", re.DOTALL | re.MULTILINE)
PROGRAMS = {f"line {README[: match.start()].count(chr(10)) + 1}": match for match in PROGRAM.finditer(README)}
MISTAKES = re.compile(r"^```python mistakes\n(?P<code>.*?)^```\n\n^```text\n(?P<output>.*?)^```\n", re.DOTALL | re.MULTILINE)


def mypy(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--enable-error-code", "unused-awaitable", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_every_program_is_followed_by_its_output() -> None:
    assert len(PROGRAMS) == README.count("```python\n") > 0


@pytest.mark.parametrize("line", PROGRAMS)
def test_a_program_prints_what_stands_below_it(line: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS[line]["code"], encoding="utf-8")
    command: list[str | Path] = [sys.executable, "-X", "dev", "-W", "error", program]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.stdout, run.stderr, run.returncode) == (PROGRAMS[line]["output"], "", 0)


def test_every_program_passes_the_type_checker(tmp_path: Path) -> None:
    for number, program in enumerate(PROGRAMS.values()):
        tmp_path.joinpath(f"program_{number}.py").write_text(program["code"], encoding="utf-8")
    run = mypy("--cache-dir", tmp_path / "cache", tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_type_checker_says_what_is_quoted_of_the_mistakes(tmp_path: Path) -> None:
    mistakes = MISTAKES.search(README)
    assert mistakes
    program = tmp_path / "mistakes.py"
    program.write_text(mistakes["code"], encoding="utf-8")
    said = mypy("--cache-dir", tmp_path / "cache", "--no-error-summary", program).stdout
    assert "".join(line.partition("mistakes.py:")[2] for line in said.splitlines(keepends=True)) == mistakes["output"]


def test_the_program_of_the_first_screen_starts_by_line_eight() -> None:
    assert README.splitlines().index("```python") < 8

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
PROGRAMS = [
    pytest.param(match["code"], match["output"], id=f"line {README[: match.start()].count(chr(10)) + 1}")
    for match in PROGRAM.finditer(README)
]


def test_every_program_is_followed_by_its_output() -> None:
    assert len(PROGRAMS) == README.count("```python") > 0


@pytest.mark.parametrize(("code", "output"), PROGRAMS)
def test_a_program_prints_what_stands_below_it(code: str, output: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(code, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.stdout, run.stderr, run.returncode) == (output, "", 0)


def test_every_program_passes_the_type_checker(tmp_path: Path) -> None:
    for number, match in enumerate(PROGRAM.finditer(README)):
        tmp_path.joinpath(f"program_{number}.py").write_text(match["code"], encoding="utf-8")
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--enable-error-code",
            "unused-awaitable",
            "--cache-dir",
            tmp_path / "cache",
            tmp_path,
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_program_of_the_first_screen_starts_by_line_eight() -> None:
    assert README.splitlines().index("```python") < 8

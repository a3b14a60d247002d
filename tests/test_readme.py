"""Every program in the README runs, prints what stands below it, and passes the type checker. Every link in it leads somewhere.

The word behind ``python`` tells how a program is run:

- none: by itself.
- ``pytest``: by pytest, with pytest-asyncio. What stands below is the last line, without the time.
- ``notebook``: cell by cell, where ``# %%`` parts the cells, in one event loop and with ``await`` outside of functions.
- ``mistakes``: not at all. What stands below is what mypy says.

What depends on the machine is left out of what was printed: the directory of the program, where asyncio creates its tasks, and the
complaints of asyncio's debug mode that the machine was slow.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT.joinpath("README.md").read_text(encoding="utf-8")
PROGRAM = re.compile(
    r"^```python(?: (?P<kind>\w+))?\n(?P<code>(?:(?!```).*\n)*)^```\n\n^```text\n(?P<output>(?:(?!```).*\n)*)^```\n", re.MULTILINE
)
EVERY_PROGRAM = {f"line {README[: match.start()].count(chr(10)) + 1}": match for match in PROGRAM.finditer(README)}
PROGRAMS = {line: match for line, match in EVERY_PROGRAM.items() if match["kind"] != "mistakes"}
MISTAKES = [match for match in EVERY_PROGRAM.values() if match["kind"] == "mistakes"]
FENCE = re.compile(r"^```.*$", re.MULTILINE)

# What a notebook does with its cells: they share names and an event loop, and each that awaits is a coroutine.
NOTEBOOK = """
import ast, asyncio, inspect, pathlib, sys

async def run(cells):
    names = {"__name__": "__main__"}
    for cell in cells:
        running = eval(compile(cell, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.iscoroutine(running):
            await asyncio.create_task(running)

asyncio.run(run(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").split("# %%\\n")))
"""


TASKS = re.compile(r" created at \S+tasks\.py:\d+")
SLOW = re.compile(r"^Executing <.*> took [\d.]+ seconds\n", re.MULTILINE)


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False, env=os.environ | environment
    )


def mypy(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """As a user has it, with ``--strict`` and without the settings of this project, but with its stubs."""
    options = ["--strict", "--config-file=", "--python-version=3.11", "--enable-error-code=unused-awaitable", "--warn-unreachable"]
    return run("-m", "mypy", *options, *arguments, MYPYPATH=str(ROOT / "typings"))


def test_every_program_is_followed_by_its_output_and_nothing_else_is_fenced() -> None:
    kinds = {match["kind"] for match in EVERY_PROGRAM.values()}
    assert kinds == {None, "pytest", "notebook", "mistakes"}
    assert len(FENCE.findall(README)) == 4 * len(EVERY_PROGRAM)


@pytest.mark.parametrize("line", PROGRAMS)
def test_a_program_prints_what_stands_below_it(line: str, tmp_path: Path) -> None:
    kind = PROGRAMS[line]["kind"]
    program = tmp_path / ("test_program.py" if kind == "pytest" else "program.py")
    program.write_text(PROGRAMS[line]["code"], encoding="utf-8")
    interpreter = ["-X", "dev", "-W", "error"]
    if kind == "pytest":
        options = ["-q", "-c", os.devnull, f"--rootdir={tmp_path}", "-o", "asyncio_default_fixture_loop_scope=function"]
        done = run(*interpreter, "-m", "pytest", *options, program)
        printed = re.sub(r" in [\d.]+s$", "", done.stdout.splitlines()[-1]) + "\n"
    else:
        done = run(*interpreter, *(["-c", NOTEBOOK] if kind == "notebook" else []), program)
        printed = TASKS.sub("", done.stdout.replace(f"{tmp_path}{os.sep}", ""))
    assert (printed, SLOW.sub("", done.stderr), done.returncode) == (PROGRAMS[line]["output"], "", 0)


def test_every_program_passes_the_type_checker(tmp_path: Path) -> None:
    for line, program in PROGRAMS.items():
        code = program["code"]
        if program["kind"] == "notebook":
            code = "async def cells() -> None:\n" + indent(code, "    ")
        tmp_path.joinpath(f"{line.replace(' ', '_')}.py").write_text(code, encoding="utf-8")
    checked = mypy("--cache-dir", tmp_path / "cache", tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_type_checker_says_what_is_quoted_of_the_mistakes(tmp_path: Path) -> None:
    (mistakes,) = MISTAKES
    program = tmp_path / "mistakes.py"
    program.write_text(mistakes["code"], encoding="utf-8")
    said = mypy("--cache-dir", tmp_path / "cache", "--no-error-summary", program).stdout
    assert "".join(line.partition("mistakes.py:")[2] for line in said.splitlines(keepends=True)) == mistakes["output"]


def test_every_link_within_leads_to_a_heading() -> None:
    headings = re.findall(r"^##+ (.+)$", FENCE.sub("", README), re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(set(anchors)) == len(anchors)
    assert set(re.findall(r"\]\(#([^)]*)\)", README)) <= set(anchors)


def test_the_program_of_the_first_screen_starts_by_line_eight() -> None:
    assert README.splitlines().index("```python") < 8

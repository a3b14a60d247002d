"""Every program in the README and the guide runs, prints what is shown below it, and passes the type checker. Links lead somewhere.

The word behind ``python`` tells how a program is run:

- none: by itself.
- ``pytest``: by pytest, with pytest-asyncio. What is shown below is the last line, without the time.
- ``notebook``: cell by cell, where ``# %%`` parts the cells, in one event loop and with ``await`` outside of functions.
- ``nats``: by itself, with a NATS server of its own in place of the one at the default port.
- ``mistakes``: not at all. What is shown below is what mypy says.

What depends on the machine is left out of what was printed: the directory of the program, where asyncio creates its tasks, shares
of time, and the complaints of asyncio's debug mode that the machine was slow.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

from tests.machines import Broker
from tests.test_examples import SLOW

ROOT = Path(__file__).parent.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted(ROOT.joinpath("tests/guide").glob("*.md")))
}
PROGRAM = re.compile(
    r"^```python(?: (?P<kind>\w+))?\n(?P<code>(?:(?!```).*\n)*)^```\n\n^```text\n(?P<output>(?:(?!```).*\n)*)^```\n", re.MULTILINE
)
EVERY_PROGRAM = {
    f"{Path(page).stem}:{text[: match.start()].count(chr(10)) + 1}": match
    for page, text in PAGES.items()
    for match in PROGRAM.finditer(text)
}
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


NATS = "nats://localhost:4222"
PERCENT = re.compile(r" +\d+%")
FEW_LOOKS = re.compile(r"^Only \d+ of \d+ looks came through.*\n", re.MULTILINE)
PLACE = re.compile(r"(?<= N %)  program\.py:\d+$", re.MULTILINE)
TASKS = re.compile(r" created at \S+(tasks|base_events)\.py:\d+")


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
    assert kinds == {None, "pytest", "notebook", "nats", "mistakes"}
    pictures = 1  # in the README
    assert sum(len(FENCE.findall(text)) for text in PAGES.values()) == 4 * len(EVERY_PROGRAM) + 2 * pictures


def without_chance(output: str) -> str:
    """Leave out what a profile sees by chance: in shares, in the places of stages that rarely run, and on a busy machine."""
    return PLACE.sub("", PERCENT.sub(" N %", FEW_LOOKS.sub("", output)))


@pytest.mark.slow
@pytest.mark.parametrize("line", PROGRAMS)
def test_a_program_prints_what_is_shown_below_it(line: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kind, code = PROGRAMS[line]["kind"], PROGRAMS[line]["code"]
    if kind == "nats":
        broker = Broker(tmp_path)
        request.addfinalizer(broker.kill)
        assert NATS in code
        code = code.replace(NATS, broker.url)
    program = tmp_path / ("test_program.py" if kind == "pytest" else "program.py")
    program.write_text(code, encoding="utf-8")
    interpreter = ["-X", "dev", "-W", "error"]
    if kind == "pytest":
        options = ["-q", "-c", os.devnull, f"--rootdir={tmp_path}", "-o", "asyncio_default_fixture_loop_scope=function"]
        done = run(*interpreter, "-m", "pytest", *options, program)
        printed = re.sub(r" in [\d.]+s$", "", done.stdout.splitlines()[-1]) + "\n"
    else:
        done = run(*interpreter, *(["-c", NOTEBOOK] if kind == "notebook" else []), program)
        printed = TASKS.sub("", done.stdout.replace(f"{tmp_path}{os.sep}", ""))
    expected = without_chance(PROGRAMS[line]["output"])
    assert (without_chance(printed), SLOW.sub("", done.stderr), done.returncode) == (expected, "", 0)


@pytest.mark.cpython
@pytest.mark.slow
def test_every_program_passes_the_type_checker(tmp_path: Path) -> None:
    for line, program in PROGRAMS.items():
        code = program["code"]
        if program["kind"] == "notebook":
            code = "async def cells() -> None:\n" + indent(code, "    ")
        tmp_path.joinpath(re.sub(r"\W", "_", line) + ".py").write_text(code, encoding="utf-8")
    checked = mypy("--cache-dir", tmp_path / "cache", tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.cpython
@pytest.mark.slow
def test_the_type_checker_says_what_is_quoted_of_the_mistakes(tmp_path: Path) -> None:
    (mistakes,) = MISTAKES
    program = tmp_path / "mistakes.py"
    program.write_text(mistakes["code"], encoding="utf-8")
    said = mypy("--cache-dir", tmp_path / "cache", "--no-error-summary", program).stdout
    assert "".join(line.partition("mistakes.py:")[2] for line in said.splitlines(keepends=True)) == mistakes["output"]


def without_code(page: str) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)


def anchors(page: str) -> list[str]:
    headings = re.findall(r"^#+ (.+)$", without_code(page), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    assert len(set(anchors(page))) == len(anchors(page))
    for file, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)", without_code(page)):
        target = (ROOT / page).parent.joinpath(file).resolve() if file else ROOT / page
        assert target.exists(), file
        if anchor:
            assert anchor in anchors(target.relative_to(ROOT).as_posix()), f"{file}#{anchor}"


def test_the_readme_is_read_in_a_minute_and_names_every_page() -> None:
    readme = PAGES["README.md"]
    assert readme.count("\n") <= 200
    assert readme.splitlines().index("```python") < 8
    assert [page for page in PAGES if page != "README.md" and f"]({page})" not in readme] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_at_most_250_lines(page: str) -> None:
    assert PAGES[page].count("\n") <= 250

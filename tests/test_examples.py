"""Every example runs in a fresh interpreter in development mode and prints what it should."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent / "examples"

# What asyncio says in development mode when the machine is busy with something else.
SLOW = re.compile(r"^Executing <.*> took [\d.]+ seconds\n", re.MULTILINE)

# Runs an example and tells the most memory that it held, in KiB, as its last line of output. Linux's ru_maxrss would be that of the
# process which started it, if that is larger.
MEASURED = """
import pathlib, re, resource, runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
status = pathlib.Path("/proc/self/status")
if status.exists():
    print(re.search(r"VmHWM:\\s*(\\d+) kB", status.read_text())[1])
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1))
"""


def run(*arguments: str | Path, given: str | None = None) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)
    assert (SLOW.sub("", done.stderr), done.returncode) == ("", 0)
    return done.stdout


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("quickstart", "One\nHello\nWorld\n"),
        (
            "three_ways",
            "a task of your own:    [3, 2, 1]\na task of the block:   [3, 2, 1]\nno task, a generator:  [3, 2, 1]\n",
        ),
    ],
)
def test_an_example_prints_what_it_should(name: str, output: str) -> None:
    assert run("-X", "dev", "-W", "error", EXAMPLES / f"{name}.py") == output


TABLE = """\
station         low   mean   high      lines
Lima           10.5   11.0   11.5          2
Oslo           -3.0   -3.0   -3.0          1
"""


def test_the_temperatures_are_read_from_standard_input_or_a_file(tmp_path: Path) -> None:
    lines = "Lima;10.5\nOslo;-3.0\nLima;11.5\n"
    file = tmp_path / "measurements.txt"
    file.write_text(lines, encoding="utf-8")
    script = EXAMPLES / "temperatures.py"
    assert run("-X", "dev", "-W", "error", script, given=lines) == TABLE
    assert run("-X", "dev", "-W", "error", script, file) == TABLE


def test_a_bad_line_fails_the_temperatures_with_its_own_error() -> None:
    command: list[str | Path] = [sys.executable, EXAMPLES / "temperatures.py"]
    done = subprocess.run(command, input="Lima;warm\n", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "could not convert string to float: 'warm" in done.stderr


def test_a_million_lines_take_the_memory_of_a_thousand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peaks: dict[int, int] = {}
    for count in (1_000, 1_000_000):
        file = tmp_path / f"{count}.txt"
        with file.open("w", encoding="utf-8") as opened:
            opened.writelines(f"Station{number % 5};{number % 40}.5\n" for number in range(count))
        *_, last, peak = run("-c", MEASURED, EXAMPLES / "temperatures.py", file).splitlines()
        assert last == f"Station4        4.5   22.0   39.5  {count // 5:>9,}"
        peaks[count] = int(peak)
    with capsys.disabled():
        print(
            f" [peak memory: {peaks[1_000] / 1024:.1f} MiB for 1,000 lines, {peaks[1_000_000] / 1024:.1f} MiB for 1,000,000] ",
            end="",
        )
    assert peaks[1_000_000] < peaks[1_000] + 4 * 1024

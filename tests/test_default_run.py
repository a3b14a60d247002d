"""What a run of pytest covers, and that it says what it left out: see tests/conftest.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.loops import EVERY_LOOP

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
FEW = ("tests/test_take_ready.py", "tests/test_example_mistakes.py")


def collected(*arguments: str, **chosen: str) -> tuple[list[str], str]:
    """The tests that would run, and what the run says of the others."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CHANSTREAM_", "COVERAGE_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *arguments, *FEW],
        cwd=ROOT,
        env=environment | chosen,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    lines = done.stdout.splitlines()
    [said] = [line for line in lines if line.startswith("left out: ")] or [""]
    return [line for line in lines if "::" in line], said


def test_a_default_run_has_one_loop_and_no_slow_test_and_says_so() -> None:
    tests, said = collected()
    assert tests
    assert not [test for test in tests if "test_example_mistakes" in test]
    others = ", ".join(f"the {name} loop" for name in EVERY_LOOP if name != "asyncio")
    assert said == f"left out: slow tests, {others}, 80% of the examples; run everything with: pytest --full"


def test_a_full_run_leaves_nothing_out() -> None:
    quick, _ = collected()
    tests, said = collected("--full")
    assert len(tests) == len(EVERY_LOOP) * len(quick) + 3
    assert not said


@pytest.mark.parametrize("options", [[], ["--full"]])
def test_loops_and_examples_can_be_chosen_in_either_run(options: list[str]) -> None:
    _, said = collected(*options, "-m", "slow or not slow", CHANSTREAM_LOOPS=",".join(EVERY_LOOP), CHANSTREAM_EXAMPLES="2")
    assert not said
    _, said = collected(*options, "-m", "slow", CHANSTREAM_LOOPS="debug", CHANSTREAM_EXAMPLES="0.5")
    assert said.startswith("left out: the asyncio loop, ")
    assert "the debug loop" not in said
    assert ", 50% of the examples; " in said

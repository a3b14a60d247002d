"""``python -m tests.explorer.kills``: which of the explorer's mutants a run of the tests kills; exit status 1 if one survives.

It is the default run, up to the first test that fails. What follows ``--`` goes to pytest: ``-- --full`` for the full run,
``-- --full tests/test_soak.py`` for one file of it. Words before it choose the mutants that have one of them in their name.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from tests.breaking import Finder, Mutant, put_broken_copy, run_on
from tests.explorer.mutants import EVERY_MUTANT

PATIENCE: Final = 600
"""Seconds for one mutant."""
PATIENCE_FOR_A_TEST: Final = 60
"""Seconds after which a run ends with a test that can't be ended. No test of the default run takes a tenth."""

IMPORTED: Final = "import chanstream; print(chanstream.__file__)"


def kill(pytest: Sequence[str], mutant: Mutant) -> tuple[str, float]:
    """What killed `mutant`, or nothing; and in how many seconds."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        put_broken_copy(mutant, Path(directory))
        # Hypothesis keeps the examples that failed. Those of one mutant are not for the next.
        run = partial(run_on, Path(directory), seconds=PATIENCE, HYPOTHESIS_STORAGE_DIRECTORY=f"{directory}/hypothesis")
        # What shows that every mutant fits the source would find this one, whatever it is.
        plugins = ["-p", "no:cacheprovider", "-p", "tests.explorer.unshrunk"]
        options = ["-x", "-q", "--tb=no", *plugins, "--ignore=tests/test_breaking.py"]
        if "--full" not in pytest:
            options += ["-o", f"faulthandler_timeout={PATIENCE_FOR_A_TEST}"]
        try:
            done = run("-m", "pytest", *options, *pytest)
            imported = run("-c", IMPORTED).stdout.strip()
        except subprocess.TimeoutExpired:
            return f"took more than {PATIENCE} seconds", time.monotonic() - began
    assert not imported or imported.startswith(directory), f"{imported} was tested"
    if done.returncode == 0:
        return "", time.monotonic() - began
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+(?: .*?)??)(?: - .*)?$", done.stdout, re.MULTILINE)
    return failed[0] if failed else f"exit status {done.returncode}", time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.explorer.kills", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="of the names of mutants (default: all)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="mutants that are tested side by side (default: %(default)s)"
    )
    cut = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options, pytest = parser.parse_args(sys.argv[1:cut]), sys.argv[cut + 1 :]
    how, seconds = kill(pytest, Mutant("nothing is broken", (), frozenset()))
    if how:
        print(f"The tests fail on the library itself: {how}")
        return 1
    print(f"{'nothing is broken':72}{seconds:6.1f} s", flush=True)
    mutants = [each for each in EVERY_MUTANT if Finder.TESTS in each.by]
    if options.words:
        mutants = [each for each in mutants if any(word in each.name for word in options.words)]
    survivors = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutant, (how, seconds) in zip(mutants, pool.map(partial(kill, pytest), mutants), strict=True):
            survivors += not how
            print(f"{mutant.name:72}{seconds:6.1f} s  {how or 'SURVIVES'}", flush=True)
    print(f"\n{len(mutants) - survivors} of {len(mutants)} mutants were killed")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())

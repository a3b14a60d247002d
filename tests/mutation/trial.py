"""Tests one mutant in a process of its own, forked from one that has imported pytest and the rest but not the library.

Each copy of the project holds one mutant at a time. Nothing writes bytecode of the library, and what was written is removed, so a
mutant can't be taken for the one before it. A test that takes much longer than it took on the unchanged library counts as failed.
"""

from __future__ import annotations

import compileall
import contextlib
import gc
import importlib
import json
import mmap
import os
import runpy
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import hypothesis
import pytest

__all__ = ["Outcome", "Project", "Stage", "Trial", "modules_in", "preload"]

PROJECT: Final = Path(__file__).parents[2]
PATIENCE: Final = 5.0
"""Seconds that a test may take in addition to ten times what it took on the unchanged library."""
UNKNOWN: Final = 60.0
"""Seconds for what has no such time yet: collecting the tests, and the run that takes the times."""

EXPLORER: Final = "the schedule explorer"


@dataclass(frozen=True)
class Stage:
    """What is tried on a mutant in one process: tests on some loops, slow ones too if `full`, or the schedule explorer."""

    name: str
    tests: Sequence[str] = ()
    full: bool = False
    loops: str = ""
    examples: str = "1"
    explorer: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    killed: bool
    how: str
    seconds: float


class Project:
    """A copy of the project, to hold one mutant at a time."""

    def __init__(self, directory: Path, original: Path = PROJECT) -> None:
        self.directory = directory
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(original, directory, ignore=ignored)
        compileall.compile_dir(directory / "tests", quiet=1)  # once, and not in each trial
        self.package = directory / "src" / "chanstream"
        self.output = directory / "output.txt"

    def sources(self) -> dict[str, str]:
        return {module: (self.package / module).read_text(encoding="utf-8") for module in modules_in(self.package)}

    def put(self, module: str, source: str) -> None:
        path = self.package / module
        path.write_text(source, encoding="utf-8")
        shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)


def modules_in(package: Path) -> list[str]:
    """The modules of a package and of those in it, by their paths."""
    return sorted(path.relative_to(package).as_posix() for path in package.rglob("*.py"))


def preload() -> None:
    """Import what every trial needs. The library must not be among it."""
    for name in ("pytest_asyncio.plugin", "_hypothesis_pytestplugin", "hypothesis.stateful", "hypothesis.strategies", "uvloop"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    assert "chanstream" not in sys.modules
    gc.collect()
    gc.freeze()


@dataclass
class Times:
    """How long each test took on the unchanged library, and each stage of the schedule explorer."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def limit(self, test: str) -> float:
        return PATIENCE + 10 * self.seconds[test] if test in self.seconds else UNKNOWN


class Watch:
    """A plugin for pytest: ends the process when a test takes too long, and tells the parent which test runs or failed."""

    def __init__(self, told: mmap.mmap, times: Times, out: Path) -> None:
        self.told = told
        self.times = times
        self.out = out
        self.taken: dict[str, float] = {}

    def tell(self, text: str) -> None:
        self.told.seek(0)
        self.told.write(text.encode()[:500].ljust(500))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.tell(nodeid)
        self.taken[nodeid] = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, self.times.limit(nodeid))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.taken[nodeid] = time.perf_counter() - self.taken[nodeid]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, UNKNOWN)
        self.out.write_text(json.dumps(self.taken), encoding="utf-8")


class Trial:
    """One stage, tried on what a copy of the project holds."""

    def __init__(self, project: Project, stage: Stage, times: Times) -> None:
        self.project = project
        self.stage = stage
        self.told = mmap.mmap(-1, 500)
        self.began = time.monotonic()
        self.times = times
        self.taken = project.directory / "times.json"
        sys.stdout.flush()
        self.process = os.fork()
        if not self.process:
            status = 71
            try:
                status = self.child()
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)

    def child(self) -> int:
        os.setsid()
        output = os.open(self.project.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        directory = str(self.project.directory)
        os.chdir(directory)
        own = {str(PROJECT), str(PROJECT / "src"), ""}
        sys.path[:] = [f"{directory}/src", directory, *(path for path in sys.path if path not in own)]
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]
        sys.dont_write_bytecode = True
        os.environ |= {
            "PYTHONPATH": f"{directory}/src",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "CHANSTREAM_LOOPS": self.stage.loops,
            "CHANSTREAM_EXAMPLES": self.stage.examples,
        }
        gc.unfreeze()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, UNKNOWN)
        return self.explore() if self.stage.explorer else self.test()

    def explore(self) -> int:
        self.told.write(EXPLORER.encode().ljust(500))
        signal.setitimer(signal.ITIMER_REAL, self.times.limit(self.stage.name))
        sys.argv = ["tests.explorer", *self.stage.explorer]
        try:
            runpy.run_module("tests.explorer", run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    def test(self) -> int:
        # A failure need not be made small, nor explained.
        phases = [hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate]
        hypothesis.settings.register_profile("mutation", phases=phases)
        hypothesis.settings.load_profile("mutation")
        options = [
            *(["--full"] if self.stage.full else []),
            "-x",
            "-q",
            "--no-header",
            "--tb=line",
            "--assert=plain",
            "-p",
            "no:cacheprovider",
        ]
        plugins = ["-p", "pytest_asyncio.plugin", "-p", "_hypothesis_pytestplugin"]
        return int(pytest.main([*options, *plugins, *self.stage.tests], [Watch(self.told, self.times, self.taken)]))

    def poll(self) -> Outcome | None:
        """What came of it, if it has ended."""
        ended, status = os.waitpid(self.process, os.WNOHANG)
        if not ended:
            return None
        with contextlib.suppress(ProcessLookupError):  # what its tests have started, and left
            os.killpg(self.process, signal.SIGKILL)
        seconds = time.monotonic() - self.began
        test = self.told[:].rstrip(b" \0").decode(errors="replace") or "import"
        self.told.close()
        code = os.waitstatus_to_exitcode(status)
        if code in {pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED} and not self.stage.explorer:
            # A mutant that can't be imported by conftest.py ends as a usage error.
            test = "import"
        how = {0: "", -signal.SIGALRM: "took too long: "}.get(code, f"{code}: " if code != 1 else "")
        return Outcome(code != 0, how + test if code else "", seconds)

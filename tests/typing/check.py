"""Everything that is promised about the types, in one command: ``python -m tests.typing.check``.

One line says which checker judged what, and the result. The exit status is 1 if anything is wrong; a checker that is missing is.
It needs ``pip install --editable '.[test,types]'``; pyright also needs node, and fetches itself when it runs for the first time.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypedDict

from tests.typing.completeness import holes, typed_things, unresolved
from tests.typing.differences import DIFFERENCES
from tests.typing.judges import HERE, JUDGES, ROOT, Broken, Finding, Line, Stage, line_of, marked, require, run, statements
from tests.typing.mutants import MUTANTS, break_

__all__: list[str] = []

PEERS: Final = ("aiochan", "asyncio_channel", "nats", "sav.channels")


# The cases.


@cache
def named_lines(checker: str) -> frozenset[Line]:
    """The lines about which `checker` is known to differ."""
    lines = statements()
    found: set[Line] = set()
    for difference in DIFFERENCES:
        for text in difference.lines:
            fitting = {line for line in lines if line.file == difference.file and line.text == text}
            if len(fitting) != 1:
                message = f"the table of differences names {len(fitting)} lines of {difference.file} by {text!r}"
                raise Broken(message)
            if checker in difference.checkers:
                found |= fitting
    return frozenset(found)


@cache
def expected(checker: str) -> frozenset[Line]:
    """The lines that `checker` rejects: those that are to be rejected, but for where it differs."""
    to_be_rejected = marked() ^ named_lines("mypy")
    return to_be_rejected ^ named_lines(checker)


def findings(stages: Sequence[Stage]) -> dict[str, list[list[Finding]]]:
    with ThreadPoolExecutor() as pool:
        return dict(zip(JUDGES, pool.map(lambda judge: judge(stages), JUDGES.values()), strict=True))


def rejected(said: list[Finding]) -> set[Line]:
    """Not what is found in a mutant itself."""
    return {line_of(each.file, each.number) for each in said if each.file.startswith("cases_")}


def check_cases(folder: Path) -> list[str]:
    wrong: list[str] = []
    lines = statements()
    for checker, [said] in findings([Stage(folder / "cases")]).items():
        rejects = rejected(said)
        known = named_lines(checker)
        disagreements = sorted(rejects ^ expected(checker))
        report(
            f"{checker} {version(checker)}",
            f"accepts {len(lines - rejects)} lines, rejects {len(rejects)}; differs as known about {len(known)}; "
            f"{len(disagreements)} disagreements",
        )
        for line in disagreements:
            wrong.append(f"{checker} {'rejects' if line in rejects else 'accepts'} {line.file}:{line.number}: {line.text}")
            wrong += [f"    {each.message}" for each in said if (each.file, each.number) == (line.file, line.number)]
        wrong += [
            f"{checker} rejects {each.file}:{each.number}: {each.message}" for each in said if not each.file.startswith("cases_")
        ]
    return wrong


def check_mutants(folder: Path) -> list[str]:
    wrong: list[str] = []
    stages = [Stage(folder / f"mutant{number}") for number, _ in enumerate(MUTANTS)]
    for stage, mutant in zip(stages, MUTANTS, strict=True):
        break_(stage, mutant)
    said = findings(stages)
    caught = dict.fromkeys(JUDGES, 0)
    for number, mutant in enumerate(MUTANTS):
        catchers = {checker for checker in JUDGES if rejected(said[checker][number]) != expected(checker)}
        for checker in catchers:
            caught[checker] += 1
        wrong += [f"the mutant {mutant.what!r} is missed by {checker}" for checker in sorted({*mutant.caught_by} - catchers)]
        wrong += [f"the mutant {mutant.what!r} is caught by {checker} too" for checker in sorted(catchers - {*mutant.caught_by})]
    for checker, count in caught.items():
        report(checker, f"catches {count} of {len(MUTANTS)} mutants")
    return wrong


# The whole project.


def check_project() -> list[str]:
    require("mypy")
    answer = run(sys.executable, "-m", "mypy", cwd=ROOT)
    report("mypy", answer.stdout.strip().splitlines()[-1] if answer.stdout.strip() else "says nothing")
    return (answer.stdout + answer.stderr).splitlines() if answer.returncode else []


class Diagnostic(TypedDict):
    severity: str
    message: str


class Symbol(TypedDict):
    name: str
    isExported: bool
    diagnostics: list[Diagnostic]


class Completeness(TypedDict):
    symbols: list[Symbol]
    packageRootDirectory: str
    completenessScore: float
    exportedSymbolCounts: Mapping[str, int]


class Verified(TypedDict):
    typeCompleteness: Completeness


def check_wheel(folder: Path) -> list[str]:
    """Ask how complete the types of the wheel are. pyright reads what is installed in the active environment, so one is made."""
    require("pyright")
    environment = folder.resolve() / "environment"
    commands = environment / ("Scripts" if os.name == "nt" else "bin")
    for command in (
        ("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder / "wheel", ROOT),
        ("venv", "--without-pip", environment),
        (
            "pip",
            "--python",
            environment,
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--find-links",
            folder / "wheel",
            "chanstream",
        ),
    ):
        answer = run(sys.executable, "-m", *command, cwd=folder)
        if answer.returncode:
            return [f"{' '.join(map(str, command))}:\n{answer.stdout}{answer.stderr}"]
    active = {
        **{name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}},
        "VIRTUAL_ENV": str(environment),
        "PATH": os.pathsep.join((str(commands), os.environ.get("PATH", ""))),
    }
    verify = (sys.executable, "-m", "pyright", "--verifytypes", "chanstream", "--ignoreexternal", "--outputjson")
    answer = run(*verify, cwd=folder, env=active)
    if answer.returncode not in {0, 1}:
        return [answer.stdout + answer.stderr]
    verified: Verified = json.loads(answer.stdout)
    score = verified["typeCompleteness"]["completenessScore"]
    symbols = verified["typeCompleteness"]["exportedSymbolCounts"]
    report("pyright --verifytypes", f"{score:.0%} of the installed wheel, {sum(symbols.values())} symbols")
    if not Path(verified["typeCompleteness"]["packageRootDirectory"]).is_relative_to(environment):
        return [f"pyright read another chanstream than that of the wheel: {answer.stdout}"]
    unknown = [
        f"{symbol['name']}: {diagnostic['message']}"
        for symbol in verified["typeCompleteness"]["symbols"]
        for diagnostic in symbol["diagnostics"]
        if symbol["isExported"] and diagnostic["severity"] == "error"
    ]
    return unknown or [answer.stdout] if answer.returncode or score < 1 or not symbols["withKnownType"] else []


def check_run_time(folder: Path) -> list[str]:
    """Compare the types with the objects that they describe."""
    require("mypy")
    wrong: list[str] = []
    allowed = ("--allowlist", str(ROOT / HERE / "stubtest.txt"))
    for package, path, options in (
        ("chanstream", "src", allowed),
        *((peer, "typings", ("--ignore-missing-stub",)) for peer in PEERS),
    ):
        paths = {"MYPYPATH": str(ROOT / path)} | ({"PYTHONPATH": str(ROOT / path)} if path == "src" else {})
        command = (sys.executable, "-m", "mypy.stubtest", package, *options)
        answer = run(*command, cwd=folder, env={**os.environ, **paths})
        report(f"stubtest {package}", (answer.stdout.strip().splitlines() or ["says nothing"])[-1])
        if answer.returncode:
            wrong.append(answer.stdout + answer.stderr)
    return wrong


def check_source() -> list[str]:
    things, bad, open_ = typed_things(), unresolved(), holes()
    report("typing.get_type_hints", f"resolves {len(things) - len(bad)} of {len(things)} classes and functions")
    report("src", f"{len(open_)} times Any, cast or an ignore comment")
    return bad + open_


def report(who: str, what: str) -> None:
    print(f"{who:<27}{what}", flush=True)


def main() -> int:
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checks: tuple[Callable[[], list[str]], ...] = (
            check_project,
            lambda: check_cases(folder),
            lambda: check_wheel(folder),
            lambda: check_run_time(folder),
            check_source,
            lambda: check_mutants(folder),
        )
        for check in checks:
            try:
                wrong += check()
            except Broken as broken:
                wrong.append(str(broken))
    print("\n".join(("", *wrong) if wrong else ("", "All as promised.")))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Four type checkers as judges of the cases: each is asked for the lines that it rejects.

The cases and the library are copied to a place of their own first, so that a mutant can be judged too, and the markers are taken
out of the copy: no judge sees which lines should be rejected, and none can be led by an ignore comment.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias, TypedDict

__all__ = [
    "HERE",
    "JUDGES",
    "ROOT",
    "Broken",
    "Finding",
    "Judge",
    "Line",
    "Stage",
    "line_of",
    "marked",
    "require",
    "run",
    "statements",
]

ROOT: Final = Path(__file__).parent.parent.parent
HERE: Final = Path(__file__).parent.relative_to(ROOT)

CONFIGURATIONS: Final = ("pyrightconfig.json", "ty.toml", "pyrefly.toml")

MARKER: Final = re.compile(r"# type: ignore\[[a-z-]+(, [a-z-]+)*\]")
FOR_A_CHECKER: Final = re.compile(r"#\s*(type|mypy|pyright|basedpyright|ty|pyrefly)\s*:|noqa")


class Broken(Exception):
    """A checker is missing or said something else than a list of findings, or a table does not fit the files that it is about."""


@dataclass(frozen=True, order=True, slots=True)
class Line:
    """A line of a case file. The text is the code without the marker."""

    file: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    file: str
    number: int
    code: str
    message: str


# What the case files say.


def case_files() -> list[Path]:
    return sorted((ROOT / HERE).glob("cases_*.py"))


def markers(source: str) -> Iterator[tuple[int, int]]:
    """Line and column of every marker. A comment for a checker that is not a marker is a mistake."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if MARKER.fullmatch(token.string):
                yield token.start
            elif FOR_A_CHECKER.search(token.string):
                message = f"not a marker, which is mypy's `# type: ignore[code]`: {token.line.strip()}"
                raise Broken(message)


def without_markers(source: str) -> str:
    lines = source.splitlines()
    for number, column in markers(source):
        lines[number - 1] = lines[number - 1][:column].rstrip()
    return "\n".join((*lines, ""))


@cache
def code_of(file: str) -> list[str]:
    return without_markers((ROOT / HERE / file).read_text(encoding="utf-8")).splitlines()


def line_of(file: str, number: int) -> Line:
    return Line(file, number, code_of(file)[number - 1].strip())


@cache
def marked() -> frozenset[Line]:
    """The lines that mypy has to reject, since it would report an unused marker otherwise."""
    return frozenset(line_of(path.name, number) for path in case_files() for number, _ in markers(path.read_text(encoding="utf-8")))


@cache
def statements() -> frozenset[Line]:
    """Every line on which a statement begins, without docstrings and imports."""
    return frozenset(
        line_of(path.name, node.lineno)
        for path in case_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.stmt) and not isinstance(node, ast.Import | ast.ImportFrom) and not is_docstring(node)
    )


def is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


# Where they are judged.


class Stage:
    """A copy of what the judges need: library, stubs, configurations and the cases without their markers."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()  # as the checkers name it
        self.cases = self.root / HERE
        self.cases.mkdir(parents=True)
        for folder in ("src", "typings"):
            shutil.copytree(ROOT / folder, self.root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        for file in (Path("mypy.ini"), Path("tests", "__init__.py"), *(HERE / name for name in ("__init__.py", *CONFIGURATIONS))):
            shutil.copy(ROOT / file, self.root / file)
        for path in case_files():
            (self.cases / path.name).write_text(without_markers(path.read_text(encoding="utf-8")), encoding="utf-8")


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, encoding="utf-8", check=False)


def require(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        message = f"{module} is not installed: pip install --editable '.[test,types]'"
        raise Broken(message)


def ask(folder: Path, module: str, *arguments: str | Path) -> str:
    """The standard output of a checker, which found something or nothing."""
    require(module)
    answer = run(sys.executable, "-m", module, *arguments, cwd=folder)
    if answer.returncode not in {0, 1} or (answer.returncode and not answer.stdout.strip()):
        message = f"{module} ended with exit status {answer.returncode}:\n{answer.stdout}{answer.stderr}"
        raise Broken(message)
    return answer.stdout


# The judges.


class MypyFinding(TypedDict):
    file: str
    line: int
    message: str
    code: str
    severity: str


def mypy(stage: Stage) -> Iterator[Finding]:
    for line in ask(
        stage.root,
        "mypy",
        *("--output", "json", "--no-error-summary", "--no-warn-unused-configs", "--cache-dir", "../.mypy_cache"),
        HERE,
    ).splitlines():
        finding: MypyFinding = json.loads(line)
        if finding["severity"] != "note":
            yield Finding(Path(finding["file"]).name, finding["line"], finding["code"], finding["message"])


class PyrightPosition(TypedDict):
    line: int


class PyrightRange(TypedDict):
    start: PyrightPosition


class PyrightFinding(TypedDict, total=False):
    file: str
    severity: str
    message: str
    range: PyrightRange
    rule: str


class PyrightAnswer(TypedDict):
    generalDiagnostics: list[PyrightFinding]


def pyright(stages: Sequence[Stage]) -> list[list[Finding]]:
    """One process for all stages, since most of its time goes into reading the standard library."""
    folder = stages[0].root.parent
    configuration: dict[str, object] = json.loads((ROOT / HERE / "pyrightconfig.json").read_text(encoding="utf-8"))
    configuration["include"] = [str(stage.cases.relative_to(folder)) for stage in stages]
    configuration["stubPath"] = str(stages[0].root / "typings")
    configuration["executionEnvironments"] = [
        # The library has its own, or what it imports by its own name would be that which is installed.
        {"root": str(path.relative_to(folder)), "extraPaths": [str(stage.root / "src")]}
        for stage in stages
        for path in (stage.cases, stage.root / "src")
    ]
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps(configuration), encoding="utf-8")
    answer: PyrightAnswer = json.loads(ask(folder, "pyright", "--outputjson", "--pythonpath", sys.executable, "--project", project))
    found: dict[Path, list[Finding]] = {stage.root: [] for stage in stages}
    for finding in answer["generalDiagnostics"]:
        path = Path(finding["file"])
        root = next(parent for parent in path.parents if parent in found)
        number = finding["range"]["start"]["line"] + 1  # it counts from 0
        found[root].append(Finding(path.name, number, finding.get("rule", "syntax"), finding["message"]))
    return [found[stage.root] for stage in stages]


class TyPosition(TypedDict):
    line: int


class TyPositions(TypedDict):
    begin: TyPosition


class TyLocation(TypedDict):
    path: str
    positions: TyPositions


class TyFinding(TypedDict):
    check_name: str
    description: str
    location: TyLocation


def ty(stage: Stage) -> Iterator[Finding]:
    answer: list[TyFinding] = json.loads(
        ask(
            stage.root,
            "ty",
            "check",
            "--output-format",
            "gitlab",
            "--python",
            sys.executable,
            "--config-file",
            HERE / "ty.toml",
            HERE,
        )
    )
    for finding in answer:
        location = finding["location"]
        yield Finding(
            Path(location["path"]).name, location["positions"]["begin"]["line"], finding["check_name"], finding["description"]
        )


class PyreflyFinding(TypedDict):
    path: str
    line: int
    name: str
    description: str


class PyreflyAnswer(TypedDict):
    errors: list[PyreflyFinding]


def pyrefly(stage: Stage) -> Iterator[Finding]:
    interpreter = f"--python-interpreter-path={sys.executable}"
    answer: PyreflyAnswer = json.loads(
        ask(stage.root, "pyrefly", "check", "--output-format", "json", "--summary=none", interpreter, "-c", HERE / "pyrefly.toml")
    )
    for finding in answer["errors"]:
        yield Finding(Path(finding["path"]).name, finding["line"], finding["name"], finding["description"])


Judge: TypeAlias = Callable[[Sequence[Stage]], list[list[Finding]]]


def one_by_one(judge: Callable[[Stage], Iterator[Finding]]) -> Judge:
    return lambda stages: [list(judge(stage)) for stage in stages]


JUDGES: Final[dict[str, Judge]] = {
    "mypy": one_by_one(mypy),
    "pyright": pyright,
    "ty": one_by_one(ty),
    "pyrefly": one_by_one(pyrefly),
}

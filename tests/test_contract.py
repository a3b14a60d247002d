"""The contract, the source and the tests name the same rules.

A rule is cited as "Rule 7", "Rules 3 and 15", "Rules 9 to 11 and 17", "Rules 7 and 17, 9 and 17". In comments and in what the
explorer says, it may begin with a small letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import chanstream

ROOT = Path(__file__).parent.parent
CONTRACT = Path(__file__).with_name("CONTRACT.md").read_text(encoding="utf-8")
MARK = "*Not yet kept*"

HEADING = re.compile(r"^### (\d+)\. \S.*\n", re.MULTILINE)
ROW = re.compile(r"^\| (`.*?) \| (.*) \|$", re.MULTILINE)
CITED = re.compile(r"\b[Rr]ules?\s+(\d+(?:(?:,|,?\s+and|\s+to)\s+\d+)*)")
TEST = re.compile(r'^(?:async )?def (test_\w+)\((?:.*|\n(?:    .*\n)*)\) -> None:\n    """((?:(?!""").|\n)*)"""', re.MULTILINE)
RANGE = re.compile(r"(\d+)\s+to\s+(\d+)")


def rules() -> dict[int, list[str]]:
    """The promises of each rule: its paragraphs and list items."""
    _, *parts = HEADING.split(re.sub(r"^## .*\n", "", CONTRACT, flags=re.MULTILINE))
    numbers = [int(number) for number in parts[::2]]
    assert len(set(numbers)) == len(numbers), "a number stands for two rules"
    return {
        number: [promise for promise in re.split(r"\n\n+|\n(?=- )", text.strip()) if promise]
        for number, text in zip(numbers, parts[1::2], strict=True)
    }


RULES = rules()


def is_marked(promise: str) -> bool:
    return promise.removeprefix("- ").startswith(f"{MARK}: ")


NOT_YET_KEPT = {number for number, promises in RULES.items() if all(map(is_marked, promises))}


def numbers(text: str) -> Iterator[int]:
    for citation in CITED.findall(text):
        for first, last in RANGE.findall(citation):
            yield from range(int(first), int(last))
        yield from map(int, re.findall(r"\d+", citation))


def files() -> Iterator[Path]:
    for directory in ("src", "tests"):
        for suffix in ("py", "toml", "md"):
            yield from ROOT.joinpath(directory).rglob(f"*.{suffix}")


@cache
def cited_by_tests() -> dict[int, list[str]]:
    """The tests that cite each rule. A range names no rule in particular."""
    found: dict[int, list[str]] = {}
    for path in ROOT.joinpath("tests").rglob("test_*.py"):
        for test, docstring in TEST.findall(path.read_text(encoding="utf-8")):
            for citation in CITED.findall(docstring):
                for number in re.findall(r"\d+", RANGE.sub("", citation)):
                    found.setdefault(int(number), []).append(f"{path.name}::{test}")
    return found


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("Rule 7: it ends.", {7}),
        ("as rule 11 says in 3 words", {11}),
        ("Rules 3 and 15", {3, 15}),
        ("rules 9 to 11 and 17", {9, 10, 11, 17}),
        ("Rules 2, 17, 18 and 20", {2, 17, 18, 20}),
        ("Rules 7 and 17, 9\nand 17", {7, 9, 17}),
        ("One rule serves both lines.", set[int]()),
    ],
)
def test_a_citation_is_recognized(text: str, cited: set[int]) -> None:
    assert set(numbers(text)) == cited


def test_the_rules_are_numbered_without_a_gap() -> None:
    assert sorted(RULES) == list(range(1, len(RULES) + 1))
    assert all(RULES.values()), "a rule without a promise"


def test_every_rule_that_is_cited_exists() -> None:
    cited = {(number, str(path.relative_to(ROOT))) for path in files() for number in numbers(path.read_text(encoding="utf-8"))}
    assert len({path for _, path in cited}) > 20, "the citations were not found"
    assert not {(number, path) for number, path in cited if number not in RULES}


def test_every_rule_that_is_kept_has_a_test() -> None:
    assert not RULES.keys() - NOT_YET_KEPT - cited_by_tests().keys()


def test_a_rule_that_is_not_yet_kept_at_all_has_no_test() -> None:
    """With its first test, the mark of what the test proves has to go."""
    tests = cited_by_tests()
    assert not {number: tests[number] for number in NOT_YET_KEPT & tests.keys()}


def test_a_mark_is_the_beginning_of_a_promise() -> None:
    """So that what it covers is clear, and a program can tell."""
    marked = sum(is_marked(promise) for promises in RULES.values() for promise in promises)
    rows = sum(text.startswith(f"{MARK}: ") for _, text in ROW.findall(CONTRACT))
    introduction = 1
    assert CONTRACT.count(MARK) == marked + rows + introduction


def test_the_surface_is_what_can_be_imported() -> None:
    """Surface: a name whose rows are all marked is not there yet, and every other one is. A module has a row with its names."""
    kept = {names: text for names, text in ROW.findall(CONTRACT) if not text.startswith(MARK)}
    modules = {names.strip("`"): text for names, text in kept.items() if names.startswith("`chanstream.")}
    assert {match[1] for names in kept if names.strip("`") not in modules for match in re.finditer(r"`(\w+)", names)} == set(
        chanstream.__all__
    ) - {"__version__"}
    for module, text in modules.items():
        assert set(re.findall(r"`(\w+)`", text)) == set(import_module(module).__all__)


CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def linked(name: str) -> list[Path]:
    """The files that a document links to."""
    document = ROOT / name
    text = CODE.sub("", document.read_text(encoding="utf-8"))
    return [document.parent.joinpath(link).resolve() for link in LINK.findall(text)]


@pytest.mark.parametrize("name", ["README.md", "tests/CONTRACT.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"])
def test_every_link_to_a_file_leads_to_one(name: str) -> None:
    assert not [str(file) for file in linked(name) if not file.exists()]


@pytest.mark.parametrize("name", ["README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"])
def test_the_contract_is_linked(name: str) -> None:
    assert ROOT / "tests" / "CONTRACT.md" in linked(name)

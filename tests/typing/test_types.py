"""The part of the type checks that needs nothing but mypy. ``python -m tests.typing.check`` asks the other checkers too."""

from __future__ import annotations

import sys

import pytest

from tests.typing.check import named_lines
from tests.typing.completeness import holes, typed_things, unresolved
from tests.typing.differences import DIFFERENCES
from tests.typing.judges import JUDGES, ROOT, run


@pytest.mark.cpython
@pytest.mark.slow
def test_mypy_rejects_the_marked_lines_of_the_cases_and_nothing_else() -> None:
    """Surface: what the types of the library accept and reject. An unused marker is an error, as is one of another code."""
    answer = run(sys.executable, "-m", "mypy", "src", "tests/typing", cwd=ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_known_difference_is_about_one_line_of_the_cases() -> None:
    """Surface: the table of differences excuses a checker at a line, not in general."""
    for checker in JUDGES:
        texts = [text for difference in DIFFERENCES if checker in difference.checkers for text in difference.lines]
        assert sorted(line.text for line in named_lines(checker)) == sorted(texts)
    assert all(set(difference.checkers) < set(JUDGES) for difference in DIFFERENCES)


def test_the_type_hints_of_every_class_and_function_resolve_at_run_time() -> None:
    """Surface: typing.get_type_hints works, so nothing that an annotation names is imported for the checkers only."""
    assert {
        "chanstream.Channel.fed_by",
        "chanstream.Channel.sender",
        "chanstream.Itemizer.__call__",
        "chanstream.Receiver.__anext__",
        "chanstream.stream",
    } <= typed_things().keys()
    assert unresolved() == []


def test_the_source_has_no_any_no_cast_and_no_ignore_comment() -> None:
    """Surface: nothing in the library switches a checker off."""
    assert holes() == []

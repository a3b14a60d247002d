"""An exception that strikes inside the library: a look at what ``python -m tests.injection`` does at length."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.injection.__main__ import MOST_HUNG, VICTIMS
from tests.injection.scene import DEPTHS, SCENES, Outcome, points, run_short_of_stack, strike


@pytest.mark.parametrize("victim", ["reader 1", "writer 20"])
def test_a_task_that_has_no_stack_left_harms_no_other(victim: str) -> None:
    """Rule 31: a RecursionError in one call, at any depth, leaves no other waiting, and breaks the channel for none."""
    for depth in DEPTHS:
        outcome, text = run_short_of_stack("buffer=1", victim, depth)
        assert outcome in {Outcome.FINE, Outcome.LOST}, f"depth {depth}: {text}"


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_task_that_has_no_stack_left_harms_no_other_in_any_scene(name: str, victim: str) -> None:
    """Rule 31."""
    for depth in DEPTHS:
        outcome, text = run_short_of_stack(name, victim, depth)
        assert outcome in {Outcome.FINE, Outcome.LOST}, f"depth {depth}: {text}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # some strike in a finalizer
def test_an_exception_at_any_line_ends_only_the_call_in_which_it_strikes() -> None:
    """Rule 31: no other task gets an error that is not the contract's, and hardly any waits for ever."""
    counts = Counter(strike(name, point)[0] for name in SCENES for point in points(name))
    assert not counts[Outcome.SPOILT]
    assert counts[Outcome.HUNG] <= MOST_HUNG * counts.total()

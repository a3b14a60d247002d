"""What a channel is made of has the attributes that it declares, no others: a mistyped one fails, and an idle channel is small."""

from __future__ import annotations

import importlib
import inspect
from enum import Enum
from pathlib import Path

import pytest

import chanstream

MODULES = [path.stem for path in sorted(Path(chanstream.__file__).parent.glob("*.py")) if not path.stem.startswith("__")]

# An instance of each of these has a dictionary because of what it inherits from.
ELSEWHERE = (BaseException, Enum)


def classes() -> list[type[object]]:
    found = {
        each
        for module in MODULES
        for _, each in inspect.getmembers(importlib.import_module(f"chanstream.{module}"), inspect.isclass)
        if each.__module__.startswith("chanstream.") and not issubclass(each, ELSEWHERE)
    }
    return sorted(found, key=lambda each: each.__name__)


@pytest.mark.parametrize("made", classes(), ids=lambda made: made.__name__)
def test_every_class_names_all_its_attributes(made: type[object]) -> None:
    assert "__slots__" in vars(made)
    assert "__dict__" not in vars(made)


def test_there_are_such_classes() -> None:
    names = {each.__name__ for each in classes()}
    assert {"Channel", "Sender", "Receiver", "Core", "Ticket", "Waiter", "Pace", "Home", "Handover", "Feed"} <= names

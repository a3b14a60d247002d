"""What a channel is made of has the attributes that it declares, no others: a mistyped one fails, and an idle channel is small."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import pytest

import chanstream

PACKAGE = Path(chanstream.__file__).parent
MODULES = [
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("stages/*.py"), *PACKAGE.glob("nats/*.py")])
    if not path.stem.startswith("__")
]

# An instance of each of these has a dictionary because of what it inherits from.
ELSEWHERE = (BaseException, Enum)


def is_for_type_checkers(made: type[object]) -> bool:
    """Return whether nothing inherits from it: a protocol that users don't see."""
    return getattr(made, "_is_protocol", False) and made.__name__ not in chanstream.__all__


def classes() -> list[type[object]]:
    found = {
        each
        for module in MODULES
        for _, each in inspect.getmembers(importlib.import_module(f"chanstream.{module}"), inspect.isclass)
        if each.__module__.partition(".")[0] == "chanstream" and not issubclass(each, ELSEWHERE) and not is_for_type_checkers(each)
    }
    return sorted(found, key=lambda each: each.__name__)


@pytest.mark.parametrize("made", classes(), ids=lambda made: made.__name__)
def test_every_class_names_all_its_attributes(made: type[object]) -> None:
    assert "__slots__" in vars(made)
    assert "__dict__" not in vars(made)


def test_there_are_such_classes() -> None:
    names = {each.__name__ for each in classes()}
    assert {"Channel", "Sender", "Receiver", "ChannelEnds", "ChannelState", "BoundState", "DropOldestState"} <= names
    assert {"Ticket", "WaitQueue", "Waiter", "SpinPolicy", "Handover", "ProducerRun", "Feeding", "FedBlock"} <= names


INTERNALS = {"test_state.py", "test_waiting.py"}
"""The tests of what nothing outside of the library should know."""


def private_names(tree: ast.Module, attributes: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] == "chanstream":
                yield from (name for each in names for name in f"{module}.{each.name}".split(".") if name.startswith("_"))
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.startswith("chanstream._"))
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=attr) if attr in attributes:
                yield attr
            case _:
                pass


@pytest.mark.slow
def test_no_other_test_knows_a_private_name() -> None:
    attributes = {name for each in classes() for name in vars(each).get("__slots__", ()) if name.startswith("_")}
    attributes = {name for name in attributes if not name.startswith("__")}
    assert {"_state", "_spare", "_task"} <= attributes
    for path in Path(__file__).parent.rglob("*.py"):
        found = [*private_names(ast.parse(path.read_text(encoding="utf-8")), attributes)]
        assert bool(found) is (path.name in INTERNALS), (path, found)

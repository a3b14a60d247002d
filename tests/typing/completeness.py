"""What can be said about the types without a checker: that they resolve at run time, and that `src` has no hole in them."""

from __future__ import annotations

import ast
import importlib
import io
import pkgutil
import re
import tokenize
import types
import typing
from collections.abc import Iterator
from typing import Final

import chanstream
from tests.typing.judges import ROOT

__all__ = ["holes", "typed_things", "unresolved"]

HOLES: Final = {"Any", "cast", "TYPE_CHECKING", "no_type_check"}
IGNORES: Final = re.compile(r"#\s*(type|mypy|pyright|basedpyright|ty|pyrefly)\s*:")


def typed_things() -> dict[str, object]:
    """Every class and function of the package, the private ones too, since the public ones are made of them."""
    things: dict[str, object] = {}
    for module_name in ("chanstream", *(info.name for info in pkgutil.walk_packages(chanstream.__path__, "chanstream."))):
        module = importlib.import_module(module_name)
        for name, thing in vars(module).items():
            if getattr(thing, "__module__", None) == module.__name__:
                if isinstance(thing, type):
                    things[f"{module_name}.{name}"] = thing
                    things.update((f"{module_name}.{name}.{member}", function) for member, function in methods(thing))
                elif isinstance(thing, types.FunctionType):
                    things[f"{module_name}.{name}"] = thing
    return things


def methods(kind: type) -> Iterator[tuple[str, object]]:
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if isinstance(function, types.FunctionType) and (function.__module__ or "").startswith(kind.__module__):
            yield name, function


def unresolved() -> list[str]:
    """The classes and functions whose annotations typing.get_type_hints can't evaluate."""
    found: list[str] = []
    for name, thing in typed_things().items():
        try:
            typing.get_type_hints(thing)
        except (AttributeError, NameError, TypeError) as error:
            found.append(f"{name}: {error!r}")
    return found


def holes() -> list[str]:
    """Every Any, cast and ignore comment in `src`."""
    found: list[str] = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        where = path.relative_to(ROOT)
        found += [f"{where}:{number}: {name}" for number, name in names(ast.parse(source)) if name in HOLES]
        found += [
            f"{where}:{token.start[0]}: {token.string}"
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT and IGNORES.search(token.string)
        ]
    return found


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield node.lineno, name
            case ast.ImportFrom(names=aliases):
                yield from ((node.lineno, alias.name) for alias in aliases)
            case _:
                pass

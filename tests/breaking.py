"""The library broken on purpose: mistakes as edits of the syntax tree.

An edit is addressed by module, function and pattern, never by the text of a line. So a mutant outlives renamed local variables,
other comments and other formatting. One whose pattern is found nowhere, or more often than once where one place is meant, is an
error that names the mutant: it has to follow the code.

A pattern is Python:

- ``_`` stands for any expression, ``_1``, ``_2`` ... too, and what they stand for can be used in the new code; ``_0`` is all of it.
  Equal numbers stand for equal expressions.
- ``...`` stands for any further arguments of a call, and for any statements of a block.
- Names stand for themselves. They may be names of the module, of the builtins, or ``self``, but not local names of the function.

A pattern that is an expression is searched for in all expressions of the function; one that is a statement, among its statements.
Where a statement is meant, a pattern that is an expression stands for the innermost statement that it is in.
"""

from __future__ import annotations

import ast
import copy
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache, cached_property
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from typing_extensions import override

import chanstream

__all__ = [
    "SOURCE",
    "Edit",
    "Finder",
    "Function",
    "MisfitError",
    "Mistakes",
    "Mutant",
    "Operation",
    "always",
    "drop",
    "edited",
    "insert",
    "never",
    "put_broken_copy",
    "remove",
    "replace",
    "run_on",
    "swap",
    "tree_of",
]

SOURCE: Final = Path(chanstream.__file__).parent

Captures: TypeAlias = dict[str, ast.AST]

PLACEHOLDER: Final = re.compile(r"_\d*")
IGNORED: Final = {"ctx", "kind", "type_comment"}


class MisfitError(Exception):
    """A mutant doesn't fit the source any more."""


class Finder(Enum):
    """What has to find a mutant."""

    EXPLORER = auto()
    SOAK = auto()
    TESTS = auto()
    """The default run of the tests."""


# Matching.


def is_rest(node: object) -> bool:
    """Return whether `node` is the ``...`` that stands for any arguments or statements."""
    if isinstance(node, ast.Expr):
        node = node.value
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def matches(pattern: object, node: object, captures: Captures) -> bool:
    match pattern:
        case ast.Name(id=name) if PLACEHOLDER.fullmatch(name):
            return isinstance(node, ast.expr) and (name == "_" or are_equal(captures.setdefault(name, node), node))
        case ast.Call(func=func, args=[*args, rest]) if is_rest(rest):
            return (
                isinstance(node, ast.Call)
                and matches(func, node.func, captures)
                and match_lists([*args, rest], node.args, captures)
            )
        case ast.AST():
            names = [name for name in pattern._fields if name not in IGNORED]
            return type(pattern) is type(node) and all(
                matches(getattr(pattern, name), getattr(node, name), captures) for name in names
            )
        case list():
            return isinstance(node, list) and match_lists(pattern, node, captures)
        case _:
            return pattern == node


def are_equal(one: ast.AST, other: ast.AST) -> bool:
    return one is other or ast.dump(as_read(one)) == ast.dump(as_read(other))


def match_lists(patterns: Sequence[object], nodes: Sequence[object], captures: Captures) -> bool:
    if patterns and is_rest(patterns[-1]):
        patterns, nodes = patterns[:-1], nodes[: len(patterns) - 1]
    return len(patterns) == len(nodes) and all(map(matches, patterns, nodes, [captures] * len(nodes)))


def as_read(node: ast.AST) -> ast.AST:
    """Return a copy of an expression as it is when it is read, wherever it stood."""
    node = copy.deepcopy(node)
    for each in ast.walk(node):
        if isinstance(each, ast.Name | ast.Attribute | ast.Subscript | ast.Starred | ast.List | ast.Tuple):
            each.ctx = ast.Load()
    return node


class Filled(ast.NodeTransformer):
    """New code, in which what was captured takes its place."""

    def __init__(self, captures: Captures) -> None:
        self.captures = captures

    @override
    def visit_Name(self, node: ast.Name) -> ast.AST:
        if not PLACEHOLDER.fullmatch(node.id):
            return node
        if node.id not in self.captures:
            message = f"{node.id} stands for nothing that the new code could use"
            raise MisfitError(message)
        captured = as_read(self.captures[node.id])
        if isinstance(captured, ast.Name | ast.Attribute | ast.Subscript):
            captured.ctx = node.ctx
        return captured


# Where an edit takes place.


@dataclass
class Place:
    """A node, and where it is in the one above it."""

    node: ast.AST
    above: ast.AST
    field: str
    index: int | None
    captures: Captures

    def put(self, *nodes: ast.AST) -> None:
        """Put `nodes` in the place of this one, several only into a block."""
        if self.index is None:
            [node] = nodes
            setattr(self.above, self.field, node)
        else:
            siblings: list[ast.AST] = getattr(self.above, self.field)
            siblings[self.index : self.index + 1] = nodes


def places(node: ast.AST) -> Iterator[Place]:
    """Everything below `node`, in the order of the source."""
    for name, value in ast.iter_fields(node):
        children: list[object] = value if isinstance(value, list) else [value]
        for index, child in enumerate(children):
            if isinstance(child, ast.AST):
                yield Place(child, node, name, index if isinstance(value, list) else None, {})
                yield from places(child)


class Function:
    """The function of an edit; or a whole module."""

    def __init__(self, node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.node = node

    @cached_property
    def own_names(self) -> set[str]:
        """The local names that could be others. Empty for a module."""
        if isinstance(self.node, ast.Module):
            return set()
        found = {each.arg for each in ast.walk(self.node) if isinstance(each, ast.arg)}
        found |= {each.id for each in ast.walk(self.node) if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)}
        found |= {each.name for each in ast.walk(self.node) if isinstance(each, ast.ExceptHandler) and each.name}
        return found - {"self"}

    def parse(self, code: str) -> list[ast.stmt]:
        statements = ast.parse(code).body
        for statement in statements:
            used = {each.id for each in ast.walk(statement) if isinstance(each, ast.Name)}
            if local := {name for name in used & self.own_names if not PLACEHOLDER.fullmatch(name)}:
                message = f"{code!r} names what is local to the function: {', '.join(sorted(local))}"
                raise MisfitError(message)
        return statements

    def pattern(self, code: str) -> ast.stmt | ast.expr:
        [statement] = self.parse(code)
        return statement.value if isinstance(statement, ast.Expr) else statement

    def below(self) -> list[Place]:
        return [each for each in places(self.node) if each.above is not self.node or each.field == "body"]

    def all(self, pattern: str) -> list[Place]:
        wanted = self.pattern(pattern)
        found: list[Place] = []
        for place in self.below():
            if matches(wanted, place.node, place.captures):
                place.captures["_0"] = place.node
                found.append(place)
        return found

    def one(self, pattern: str, nth: int = 0) -> Place:
        """The place that `pattern` matches; if `nth` is given, that one of several, counted from 1."""
        found = self.all(pattern)
        if nth > len(found) or (not nth and len(found) != 1):
            message = f"{pattern!r} is found {len(found)} times"
            raise MisfitError(message)
        return found[nth - 1]

    def statement(self, pattern: str, nth: int = 0) -> Place:
        """The innermost statement that is what `pattern` matches, or has it in it."""
        place = self.one(pattern, nth)
        around = [each for each in self.below() if isinstance(each.node, ast.stmt) and place.node in ast.walk(each.node)]
        around[-1].captures = place.captures
        return around[-1]

    def given(self, pattern: str) -> Captures:
        return self.all(pattern)[0].captures if self.all(pattern) else self.one(pattern).captures

    def code(self, code: str, captures: Captures) -> list[ast.stmt]:
        module = ast.Module(self.parse(code), [])
        Filled(captures).visit(module)
        return module.body

    def expression(self, code: str, captures: Captures) -> ast.expr:
        [statement] = self.code(code, captures)
        assert isinstance(statement, ast.Expr)
        return statement.value


Scope: TypeAlias = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

ScopeT = TypeVar("ScopeT", bound=Scope)


def shallow_copy(node: ScopeT) -> ScopeT:
    node = copy.copy(node)
    node.body = list(node.body)
    return node


def function_of(tree: ast.Module, name: str) -> Function:
    """Return the function of that qualified name, which is a copy from now on. Without a name, return the module."""
    node: Scope = tree
    for part in name.split(".") if name else ():
        found = [
            (index, each)
            for index, each in enumerate(node.body)
            if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and each.name == part
        ]
        if len(found) != 1:
            message = f"there are {len(found)} of that name"
            raise MisfitError(message)
        [(index, inner)] = found
        inner = shallow_copy(inner) if isinstance(inner, ast.ClassDef) else copy.deepcopy(inner)
        node.body[index] = inner
        node = inner
    if isinstance(node, ast.ClassDef):
        message = "it is no function"
        raise MisfitError(message)
    return Function(node)


# Operations: what an edit does to its function.

Operation: TypeAlias = Callable[[Function], None]


def remove(pattern: str, nth: int = 0) -> Operation:
    """Leave a statement out."""

    def operate(function: Function) -> None:
        function.statement(pattern, nth).put(ast.Pass())

    return operate


def replace(pattern: str, by: str, nth: int = 0, *, given: str = "") -> Operation:
    """Put an expression in the place of an expression, or statements in that of a statement. `given` captures more."""

    def operate(function: Function) -> None:
        place = function.one(pattern, nth)
        captures = (function.given(given) if given else {}) | place.captures
        if isinstance(place.node, ast.expr):
            place.put(function.expression(by, captures))
        else:
            place.put(*function.code(by, captures))

    return operate


def insert(code: str, *, before: str = "", after: str = "", nth: int = 0, given: str = "") -> Operation:
    """Add statements beside another one, or where the function begins. `given` captures more."""

    def operate(function: Function) -> None:
        captures = function.given(given) if given else {}
        if before or after:
            place = function.statement(before or after, nth)
            new = function.code(code, captures | place.captures)
            place.put(*([*new, place.node] if before else [place.node, *new]))
        else:
            body = function.node.body
            begin = int(ast.get_docstring(function.node) is not None)
            first = body[begin]
            begin += isinstance(first, ast.ImportFrom) and first.module == "__future__"
            body[begin:begin] = function.code(code, captures)

    return operate


def always(pattern: str, nth: int = 0) -> Operation:
    """Have a condition always hold: that of the innermost ``if`` or ``while`` in which the pattern is."""
    return fixed(pattern, nth, holds=True)


def never(pattern: str, nth: int = 0) -> Operation:
    """Have such a condition never hold."""
    return fixed(pattern, nth, holds=False)


def fixed(pattern: str, nth: int, *, holds: bool) -> Operation:
    def operate(function: Function) -> None:
        place = function.one(pattern, nth)
        around = [
            each.node
            for each in function.below()
            if isinstance(each.node, ast.If | ast.While | ast.IfExp)
            and (place.node is each.node or place.node in ast.walk(each.node.test))
        ]
        if not around:
            message = f"{pattern!r} is no condition"
            raise MisfitError(message)
        around[-1].test = ast.Constant(holds)

    return operate


def drop(pattern: str, nth: int = 0) -> Operation:
    """Leave an operand of ``and`` or ``or`` out."""

    def operate(function: Function) -> None:
        wanted = function.pattern(pattern)
        found = [each for each in function.below() if isinstance(each.above, ast.BoolOp) and matches(wanted, each.node, {})]
        if nth > len(found) or (not nth and len(found) != 1):
            message = f"the operand {pattern!r} is found {len(found)} times"
            raise MisfitError(message)
        place = found[nth - 1]
        assert isinstance(place.above, ast.BoolOp)
        place.put(ast.Constant(isinstance(place.above.op, ast.And)))

    return operate


def swap(first: str, second: str, nth: int = 0) -> Operation:
    """Have two statements change places. `nth` counts the first."""

    def operate(function: Function) -> None:
        one, other = function.statement(first, nth), function.statement(second)
        one.put(other.node)
        other.put(one.node)

    return operate


@dataclass(frozen=True)
class Edit:
    """In a function of a module, by its qualified name, the operations one after another. Without a name, in the module."""

    module: str
    function: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Mutant:
    """A mistake, and what has to find it."""

    name: str
    edits: tuple[Edit, ...]
    by: frozenset[Finder]

    def also_by(self, *finders: Finder) -> Mutant:
        return Mutant(self.name, self.edits, self.by | {*finders})

    def by_tests(self) -> Mutant:
        """Have only the tests find it."""
        return Mutant(self.name, self.edits, frozenset({Finder.TESTS}))


@dataclass(frozen=True)
class Mistakes:
    """Makes the mutants of one class, or of the functions of one module, which the same things have to find."""

    module: str
    owner: str
    by: frozenset[Finder]

    def __call__(self, name: str, function: str, *operations: Operation) -> Mutant:
        return self.at_several_places(name, self.edit(function, *operations))

    def at_several_places(self, name: str, *edits: Edit) -> Mutant:
        return Mutant(name, edits, self.by)

    def edit(self, function: str, *operations: Operation) -> Edit:
        return Edit(self.module, f"{self.owner}.{function}".lstrip("."), operations)


def edited(mutant: Mutant, tree_of: Callable[[str], ast.Module]) -> dict[str, ast.Module]:
    """Return the syntax trees of the modules that `mutant` changes. `tree_of` gives that of a module, which stays as it is."""
    trees: dict[str, ast.Module] = {}
    for edit in mutant.edits:
        if edit.module not in trees:
            trees[edit.module] = shallow_copy(tree_of(edit.module))
        try:
            function = function_of(trees[edit.module], edit.function)
            for operation in edit.operations:
                operation(function)
        except MisfitError as misfit:
            message = f"{mutant.name!r}, in {edit.function or 'all'} of {edit.module}: {misfit}"
            raise MisfitError(message) from None
    return trees


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((SOURCE / module).read_text(encoding="utf-8"))


def put_broken_copy(mutant: Mutant, directory: Path) -> None:
    """Copy the library into `directory`, and break it."""
    trees = edited(mutant, tree_of)
    package = directory / "chanstream"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for module, tree in trees.items():
        (package / module).write_text(ast.unparse(ast.fix_missing_locations(tree)) + "\n", encoding="utf-8")


def run_on(library: Path, *command: str, seconds: float, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the library in the folder `library`. Raises TimeoutExpired."""
    # What is measured is the library, not a broken copy of it.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "CHANSTREAM"))}
    return subprocess.run(
        [sys.executable, *command],
        env=inherited | {"PYTHONPATH": str(library)} | environment,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )

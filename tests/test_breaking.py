"""The library broken on purpose, before anything is asked to find it: each mutant fits the source, and goes on to fit it."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache

import pytest
from typing_extensions import override

from tests.breaking import (
    SOURCE,
    Edit,
    Finder,
    Function,
    MisfitError,
    Mutant,
    Operation,
    always,
    drop,
    edited,
    insert,
    never,
    remove,
    replace,
    swap,
    tree_of,
)
from tests.explorer.mutants import EVERY_MUTANT
from tests.soak.mutants import LISTED

ALL = {mutant.name: mutant for mutant in (*EVERY_MUTANT, *LISTED)}

PROGRAM = '''
def outer(items, *, limit=None):
    """Say what it does."""
    first = items.pop()
    while items and first is not None and limit:
        items.append(first)
    if first.done:
        first.wake()
    else:
        first.wake()
    return [first, limit]
'''


def broken(*operations: Operation, function: str = "outer") -> str:
    """Return the lines that are new in a broken `PROGRAM`."""
    mutant = Mutant("a mistake", (Edit("module.py", function, operations),), frozenset({Finder.TESTS}))
    [tree] = edited(mutant, lambda _: ast.parse(PROGRAM)).values()
    before = Counter(ast.unparse(ast.parse(PROGRAM)).splitlines())
    lines = ast.unparse(ast.fix_missing_locations(tree)).splitlines()
    return "\n".join(line.strip() for line in lines if not before[line])


class Renamed(ast.NodeTransformer):
    """Gives every local name another one."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    @override
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        outer = self.names
        self.names = outer | Function(node).own_names
        self.generic_visit(node)
        self.names = outer
        return node

    @override
    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        outer = self.names
        self.names = outer | Function(node).own_names
        self.generic_visit(node)
        self.names = outer
        return node

    @override
    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.other(node.id)
        return node

    @override
    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self.other(node.arg)
        return node

    @override
    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.name = node.name and self.other(node.name)
        return self.generic_visit(node)

    def other(self, name: str) -> str:
        return f"another_{name}" if name in self.names else name


@cache
def renamed(module: str) -> ast.Module:
    tree = Renamed().visit(ast.parse(ast.unparse(tree_of(module))))
    assert isinstance(tree, ast.Module)
    return tree


@pytest.mark.slow
def test_every_mutant_fits_the_source() -> None:
    for mutant in ALL.values():
        edited(mutant, tree_of)


@pytest.mark.slow
def test_every_mutant_outlives_other_local_names_and_another_format() -> None:
    for mutant in ALL.values():
        edited(mutant, renamed)


@pytest.mark.slow
def test_every_mutant_is_a_mistake_of_its_own_and_can_be_compiled() -> None:
    names = {each.name for each in (*EVERY_MUTANT, *LISTED)}
    assert len(ALL) == len(names) == len({*EVERY_MUTANT, *LISTED})
    found = {ast.unparse(tree_of(path.name)): "the source itself" for path in SOURCE.glob("*.py")}
    for mutant in ALL.values():
        texts = [ast.unparse(ast.fix_missing_locations(tree)) for tree in edited(mutant, tree_of).values()]
        for text in texts:
            compile(text, mutant.name, "exec")
        mistake = "\n".join(texts)
        assert mistake not in found, (found.get(mistake), mutant.name)
        found[mistake] = mutant.name


def test_a_pattern_that_is_found_nowhere_is_an_error_that_names_the_mutant() -> None:
    with pytest.raises(MisfitError, match=r"'a mistake', in outer of module\.py: '_.sleep\(\)' is found 0 times"):
        broken(remove("_.sleep()"))


def test_a_pattern_that_is_found_twice_is_an_error_unless_it_says_which() -> None:
    with pytest.raises(MisfitError, match=r"'_.wake\(\)' is found 2 times"):
        broken(remove("_.wake()"))
    assert broken(remove("_.wake()", 2)) == "pass"
    with pytest.raises(MisfitError, match="is found 2 times"):
        broken(remove("_.wake()", 3))


def test_a_function_that_is_not_there_is_an_error() -> None:
    with pytest.raises(MisfitError, match=r"in inner of module\.py: there are 0 of that name"):
        broken(remove("_.wake()"), function="inner")


def test_a_pattern_does_not_name_what_is_local() -> None:
    with pytest.raises(MisfitError, match="names what is local to the function: first"):
        broken(remove("first.wake()", 1))
    with pytest.raises(MisfitError, match="names what is local to the function: limit"):
        broken(insert("limit = 3"))


def test_new_code_uses_what_the_pattern_has_captured() -> None:
    with pytest.raises(MisfitError, match="_2 stands for nothing"):
        broken(replace("_1.pop()", "_2.pop()"))


@pytest.mark.parametrize(
    ("operation", "lines"),
    [
        (remove("_.append(_)"), "pass"),
        (remove("_1.append(_2)"), "pass"),
        (remove("if _.done:\n    ...\nelse:\n    ..."), "pass"),
        (remove("return [_, ...]"), "pass"),
        (replace("_1.pop()", "_1[0]"), "first = items[0]"),
        (replace("_1.append(_2)", "_2.append(_1)"), "first.append(items)"),
        (replace("return [_1, _2]", "return [_2, _1]"), "return [limit, first]"),
        (replace("_.done", "not _0"), "if not first.done:"),
        (replace("_1.wake()", "_1.sleep(_2)", 1, given="_2.pop()"), "first.sleep(items)"),
        (insert("_1.clear()", before="return _", given="_1.pop()"), "items.clear()"),
        (insert("_1.clear()", after="_1.pop()"), "items.clear()"),
        (insert("print(1)"), "print(1)"),
        (always("_ is not None"), "while True:"),
        (never("_.done"), "if False:"),
        (never("if _:\n    ...\nelse:\n    ..."), "if False:"),
        (drop("_ is not None"), "while items and True and limit:"),
        (swap("_ = _.pop()", "return _"), ""),
    ],
)
def test_an_operation_changes_what_it_says(operation: Operation, lines: str) -> None:
    assert broken(operation) == lines

"""All mutants of a module, but for those that mean what the source or another one means."""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from types import CodeType

from typing_extensions import override

from tests.mutation.operators import OPERATORS
from tests.mutation.tool import core_operators, mutations, nodes_of

__all__ = ["Address", "LeftOut", "Mutant", "mutants_of"]


@dataclass(frozen=True)
class Address:
    """Where a mutant is: the `nth` that `operator` makes of `function`, counted from 1 in the order of the source.

    The function is the innermost that the changed line is in, or the class; none for what is on the level of the module.
    """

    module: str
    function: str
    operator: str
    nth: int

    @override
    def __str__(self) -> str:
        return f"{self.module} {self.function} [{self.operator} {self.nth}]"


@dataclass(frozen=True)
class Mutant:
    """The text `source` of a module in whose line `line` `old` became `new`."""

    address: Address
    old: str
    new: str
    line: int
    source: str

    @property
    def module(self) -> str:
        return self.address.module

    @override
    def __str__(self) -> str:
        return f"{self.address}, line {self.line}\n    - {self.old}\n    + {self.new}"


@dataclass(frozen=True)
class LeftOut:
    """Mutations that are not tried: by the name of the operator and the line, regular expressions both; and why."""

    operator: str
    line: str
    reason: str

    def covers(self, operator: str, line: str) -> bool:
        return bool(re.fullmatch(self.operator, operator) and re.search(self.line, line))


def mutants_of(module: str, source: str, left_out: list[LeftOut]) -> Iterator[Mutant]:
    known = {meaning(source)}
    nodes = nodes_of(source)
    functions = dict(functions_of(source))
    lines = source.splitlines()
    for name, operator in [*OPERATORS.items(), *core_operators()]:
        # Those that are left out count too: so the others keep their addresses.
        made: Counter[str] = Counter()
        for line, mutated in mutations(source, nodes, operator):
            function = functions.get(line, "")
            made[function] += 1
            if any(each.covers(name, lines[line - 1]) for each in left_out):
                continue
            means = meaning(mutated)
            if means is None or means in known:
                continue
            known.add(means)
            first, old, new = difference(lines, mutated.splitlines())
            yield Mutant(Address(module, function, name, made[function]), old, new, first + 1, mutated)


def difference(old: list[str], new: list[str]) -> tuple[int, str, str]:
    """The index of the first line that differs, and the lines that do."""
    changes = [each for each in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if each[0] != "equal"]
    _, begin, _, new_begin, _ = changes[0]
    _, _, end, _, new_end = changes[-1]
    return begin, stripped(old[begin:end]), stripped(new[new_begin:new_end])


def stripped(lines: list[str]) -> str:
    return "\n".join(line.strip() for line in lines)


def functions_of(source: str) -> Iterator[tuple[int, str]]:
    """Return for every line the innermost class or function it is in."""

    def within(node: ast.AST, name: str) -> Iterator[tuple[int, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = f"{name}.{child.name}".lstrip(".")
                begin = min([child.lineno, *(each.lineno for each in child.decorator_list)])
                yield from ((line, inner) for line in range(begin, (child.end_lineno or begin) + 1))
                yield from within(child, inner)
            else:
                yield from within(child, name)

    return within(ast.parse(source), "")


class WithoutAnnotations(ast.NodeTransformer):
    """Takes out what can't change what a program does: under ``from __future__ import annotations`` nothing reads it."""

    @override
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    @override
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    @override
    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    @override
    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.Pass()
        return self.generic_visit(ast.Assign([node.target], node.value))


def meaning(source: str) -> object:
    """What the interpreter makes of `source`, without annotations and line numbers. None if it is no Python."""
    try:
        tree = ast.fix_missing_locations(WithoutAnnotations().visit(ast.parse(source)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `is` with a number
            return of_code(compile(ast.unparse(tree), "", "exec", dont_inherit=True))
    except SyntaxError:
        return None


def of_code(code: CodeType) -> object:
    constants = tuple(of_code(each) if isinstance(each, CodeType) else (type(each).__name__, repr(each)) for each in code.co_consts)
    names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    return code.co_code, code.co_exceptiontable, constants, names, counts

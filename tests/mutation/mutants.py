"""All mutants of a module, but for those that mean what the source or another one means."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from types import CodeType

from typing_extensions import override

from tests.mutation.operators import OPERATORS
from tests.mutation.tool import core_operators, mutations, nodes_of

__all__ = ["LeftOut", "Mutant", "mutants_of"]


@dataclass(frozen=True)
class Mutant:
    """`module`, changed in line `line`: `old` became `new`. `nth` tells apart what stands several times in one function."""

    module: str
    where: str
    old: str
    new: str
    nth: int
    line: int
    operator: str
    source: str

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        return self.module, self.where, self.old, self.new, self.nth

    @override
    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.where} [{self.operator}]\n    - {self.old}\n    + {self.new}"


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
    places = dict(functions(source))
    for name, operator in [*OPERATORS.items(), *core_operators()]:
        for line, mutated in mutations(source, nodes, operator):
            if any(each.covers(name, source.splitlines()[line - 1]) for each in left_out):
                continue
            means = meaning(mutated)
            if means is None or means in known:
                continue
            known.add(means)
            first, old, new = difference(source.splitlines(), mutated.splitlines())
            where, begin = places.get(first + 1, ("", 1))
            before = source.splitlines()[begin - 1 : first + 1]
            nth = [each.strip() for each in before].count(old.splitlines()[0])
            yield Mutant(module, where, old, new, nth, first + 1, name, mutated)


def difference(old: list[str], new: list[str]) -> tuple[int, str, str]:
    """The index of the first line that differs, and the lines that do."""
    changes = [each for each in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if each[0] != "equal"]
    _, begin, _, new_begin, _ = changes[0]
    _, _, end, _, new_end = changes[-1]
    return begin, stripped(old[begin:end]), stripped(new[new_begin:new_end])


def stripped(lines: list[str]) -> str:
    return "\n".join(line.strip() for line in lines)


def functions(source: str) -> Iterator[tuple[int, tuple[str, int]]]:
    """For every line the innermost class or function it stands in, and where that begins."""

    def within(node: ast.AST, name: str) -> Iterator[tuple[int, tuple[str, int]]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = f"{name}.{child.name}".lstrip(".")
                begin = min([child.lineno, *(each.lineno for each in child.decorator_list)])
                yield from ((line, (inner, begin)) for line in range(begin, (child.end_lineno or begin) + 1))
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

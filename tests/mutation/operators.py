"""Mutations that cosmic-ray does not have, in its own terms. Most of this library is about what must not be left out."""

from __future__ import annotations

from collections.abc import Iterator

from tests.mutation.tool import Inner, Leaf, Node, Operator, Position, children_of, parsed

__all__ = ["OPERATORS"]

CONDITIONS = {"if_stmt": "if", "while_stmt": "while", "assert_stmt": "assert"}
LEFT_OUT = {"expr_stmt", "atom_expr", "await_expr", "del_stmt", "raise_stmt", "return_stmt", "power", "yield_expr"}
KEYWORDS = {"return", "raise", "continue", "break"}


def put(node: Node, text: str) -> Node:
    """`text` in the place of `node`, behind the same white space."""
    code = node.get_code()
    return parsed(code[: len(code) - len(code.lstrip())] + text)


def inside_function(node: Node) -> bool:
    outer = node.parent
    while outer is not None:
        if outer.type == "funcdef":
            return True
        outer = outer.parent
    return False


class DeleteStatement:
    """A statement becomes ``pass``: in functions every one, in classes the assignments."""

    def mutation_positions(self, node: Node) -> Iterator[Position]:
        if node.type == "simple_stmt" and isinstance(node, Inner):
            first = node.children[0]
            keyword = isinstance(first, Leaf) and first.value in KEYWORDS
            annotated = first.type == "expr_stmt" and "=" not in first.get_code()
            if (keyword or first.type in LEFT_OUT) and not annotated and (inside_function(node) or in_class(node)):
                yield first.start_pos, first.end_pos

    def mutate(self, node: Node, _: int) -> Node:
        assert isinstance(node, Inner)
        node.children[0] = put(node.children[0], "pass")
        return node


def in_class(node: Node) -> bool:
    suite = node.parent
    return suite is not None and suite.parent is not None and suite.parent.type == "classdef"


class ReturnNone:
    """A function returns nothing."""

    def mutation_positions(self, node: Node) -> Iterator[Position]:
        if node.type == "return_stmt" and isinstance(node, Inner):
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: Node, _: int) -> Node:
        assert isinstance(node, Inner)
        node.children[1] = put(node.children[1], "None")
        return node


class FixCondition:
    """A condition always holds, or never."""

    def conditions(self, node: Node) -> Iterator[int]:
        for index, child in enumerate(children_of(node)):
            if node.type in CONDITIONS and isinstance(child, Leaf) and child.value in {"if", "elif", "while"}:
                yield index + 1
            if node.type == "test" and isinstance(child, Leaf) and child.value == "if":
                yield index + 1

    def mutation_positions(self, node: Node) -> Iterator[Position]:
        for index in self.conditions(node):
            condition = children_of(node)[index]
            yield condition.start_pos, condition.end_pos
            yield condition.start_pos, condition.end_pos

    def mutate(self, node: Node, number: int) -> Node:
        index = list(self.conditions(node))[number // 2]
        children = children_of(node)
        children[index] = put(children[index], ("True", "False")[number % 2])
        return node


class DropOperand:
    """One operand of ``and`` or ``or`` is left out."""

    def mutation_positions(self, node: Node) -> Iterator[Position]:
        if node.type in {"and_test", "or_test"}:
            for operand in children_of(node)[::2]:
                yield operand.start_pos, operand.end_pos

    def mutate(self, node: Node, number: int) -> Node:
        children = children_of(node)
        neutral = "True" if node.type == "and_test" else "False"
        children[2 * number] = put(children[2 * number], neutral)
        return node


OPERATORS: dict[str, Operator] = {
    operator.__name__: operator() for operator in (DeleteStatement, ReturnNone, FixCondition, DropOperand)
}

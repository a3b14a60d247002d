"""What is used of cosmic-ray and its parser. Only mutation testing needs them, and they tell no types, so names import them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Protocol, runtime_checkable

__all__ = ["Leaf", "Node", "Operator", "Position", "children_of", "core_operators", "mutations", "nodes_of", "parsed"]

Position = tuple[tuple[int, int], tuple[int, int]]


class Node(Protocol):
    """A node of the syntax tree."""

    type: str
    parent: Node | None
    start_pos: tuple[int, int]
    end_pos: tuple[int, int]

    def get_code(self) -> str: ...


@runtime_checkable
class Leaf(Node, Protocol):
    value: str


@runtime_checkable
class Inner(Node, Protocol):
    children: list[Node]


class Operator(Protocol):
    """One way to change a node, or several: one for each position."""

    def mutation_positions(self, node: Node, /) -> Iterable[Position]: ...

    def mutate(self, node: Node, index: int, /) -> Node | None: ...


class OperatorClass(Protocol):
    def __call__(self) -> Operator: ...

    def arguments(self) -> Sequence[object]: ...


def children_of(node: Node) -> list[Node]:
    return node.children if isinstance(node, Inner) else []


def parsed(source: str) -> Node:
    get_ast: Callable[[str], Node] = import_module("cosmic_ray.ast").get_ast
    return get_ast(source)


def core_operators() -> Iterator[tuple[str, Operator]]:
    """cosmic-ray's own operators, but for those that need arguments."""
    plugins = import_module("cosmic_ray.plugins")
    names: Iterable[str] = plugins.operator_names()
    for name in names:
        operator: OperatorClass = plugins.get_operator(name)
        if name.startswith("core/") and not operator.arguments():
            yield name.removeprefix("core/"), operator()


def nodes_of(source: str) -> list[Node]:
    nodes: Callable[[Node], Iterable[Node]] = import_module("cosmic_ray.ast").ast_nodes
    return list(nodes(parsed(source)))


def mutations(source: str, nodes: Sequence[Node], operator: Operator) -> Iterator[tuple[int, str]]:
    """Everything that `operator` makes of `source`, whose nodes are `nodes`, and the line that it changes."""
    mutate: Callable[[str, Operator, int], str | None] = import_module("cosmic_ray.mutating").mutate_code
    lines = [begin[0] for node in nodes for begin, _ in operator.mutation_positions(node)]
    for occurrence, line in enumerate(lines):
        mutated = mutate(source, operator, occurrence)
        assert mutated is not None
        yield line, mutated

"""Where checkers honestly differ. Everywhere else all four reject exactly the marked lines.

Each entry names the checkers that stand against the line's right verdict; the day one of them comes round, the check fails, and the
entry goes. A line that mypy alone rejects in error carries a marker nevertheless, since mypy would not pass otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["DIFFERENCES", "Difference"]


@dataclass(frozen=True, slots=True)
class Difference:
    checkers: tuple[str, ...]
    file: str
    lines: tuple[str, ...]
    why: str


DIFFERENCES: Final = (
    Difference(
        ("mypy", "pyrefly"),
        "cases_blocks.py",
        ("return perhaps_unbound",),
        "They ask for a missing return after a block that can end early, but not whether a name bound in it is bound.",
    ),
    Difference(
        ("pyright", "pyrefly"),
        "cases_blocks.py",
        ("assert_type(group, BaseExceptionGroup[ReceiverClosed])",),
        "They take the group of `except*` for an ExceptionGroup, though ReceiverClosed is no Exception.",
    ),
    Difference(
        ("ty", "pyrefly"),
        "cases_channel.py",
        ("channel = Channel()",),
        "They take a channel without an item type for one of unknown items, whose use nobody checks.",
    ),
    Difference(
        ("mypy", "pyrefly"),
        "cases_channel.py",
        ("del channel.sender", "del channel.receiver"),
        "They let a read-only property be deleted, which fails at run time.",
    ),
    Difference(
        ("mypy", "pyright"),
        "cases_itemizers.py",
        ("wants(partial(tagged))", "wants(partial(exact, 1))", 'wants(partial(tagged, tag="a"))'),
        "To a protocol, a partial takes any arguments there; only its result is compared.",
    ),
    Difference(
        ("mypy", "ty"),
        "cases_itemizers.py",
        ("wants(lambda item: of_strings(item))",),
        "They don't give the parameter of a lambda the item type of the protocol.",
    ),
    Difference(
        ("pyright", "ty"),
        "cases_itemizers.py",
        ("wants(call)",),
        "To them, `async def` returns a CoroutineType, so a callable that returns some other Coroutine is no itemizer. Wrap it.",
    ),
    Difference(
        ("ty",),
        "cases_machines.py",
        (
            'assert_type([number async for number in stream(ask_for, client, "numbers", decode)], list[int])',
            'Channel[str]().fed_by(ask_for, client, "numbers", decode)',
        ),
        "The item type of a generic function is unknown after it went through a ParamSpec.",
    ),
    Difference(
        ("pyright",),
        "cases_producers.py",
        ("assert_type(stream(self.write_keys, 3), AsyncGenerator[K, None])", "return stream(self.write_keys, 3)"),
        "In a generic class, a method with further parameters gives a stream of unknown items. From outside it does not.",
    ),
    Difference(
        ("mypy",),
        "cases_producers.py",
        ("assert_type(stream(partial(one, start=1)), AsyncGenerator[int, None])",),
        "A partial that still lacks its itemizer gives a stream of Any. Pass the arguments to `stream` instead.",
    ),
    Difference(
        ("ty",),
        "cases_producers.py",
        (
            'assert_type(stream(repeat, "a", 3), AsyncGenerator[str, None])',
            "assert_type(stream(pick, [1, 2]), AsyncGenerator[int, None])",
            "assert_type(stream(chained, source), AsyncGenerator[str, None])",
            "assert_type(stream(chained, stream(plain)), AsyncGenerator[int, None])",
            'ints.fed_by(repeat, "a", 3)',
            "ints.fed_by(chained, source)",
        ),
        "The item type of a generic function is unknown after it went through a ParamSpec.",
    ),
    Difference(
        ("pyright", "ty", "pyrefly"),
        "cases_producers.py",
        ('stream(open_ended_by_name, a="b")', 'ints.fed_by(open_ended_by_name, a="b")'),
        "They overlook that a keyword argument could have the name of the itemizer, unless that is positional-only.",
    ),
    Difference(
        ("ty",),
        "cases_flow.py",
        ("ints.feed(plain)",),
        "It reports a forgotten await of what `async def` returns, and of no other Coroutine.",
    ),
    Difference(
        ("ty",),
        "cases_stages.py",
        ("await mapped(ints.receiver, strs.sender, lambda item: item + 1)",),
        "In a generic call it doesn't compare the result of a lambda.",
    ),
    Difference(
        ("pyrefly",),
        "cases_peers.py",
        ("assert_type([item async for item in channel], list[int])",),
        "It wants an `__aiter__` of the iterator too, which aiochan has as a coroutine function; the loop never calls it.",
    ),
)

"""Which mutants may survive, and why."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from tests.mutation.mutants import Address

__all__ = ["listed"]

LIST: Final = Path(__file__).with_name("survivors.toml")


def listed() -> dict[Address, str]:
    """Return the mutants that no test can tell from the source, or that no test should; each with the reason."""
    content: dict[str, list[dict[str, str | list[str]]]] = tomllib.loads(LIST.read_text(encoding="utf-8"))
    survivors: dict[Address, str] = {}
    for entry in content.get("survivors", []):
        match entry:
            case {"module": str(module), "function": str(function), "mutants": list(mutants), "reason": str(reason)}:
                for mutant in mutants:
                    operator, _, nth = mutant.partition(" ")
                    survivors[Address(module, function, operator, int(nth or 1))] = reason
            case _:
                message = f"no module, function, mutants and reason: {entry}"
                raise ValueError(message)
    return survivors

"""Which mutants may survive, and why."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Survivor", "listed"]

LIST: Final = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test can tell from the source, or that no test should."""

    module: str
    where: str
    old: str
    new: str
    reason: str
    nth: int = 1

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        return self.module, self.where, self.old, self.new, self.nth


def listed() -> dict[tuple[str, str, str, str, int], Survivor]:
    content = tomllib.loads(LIST.read_text(encoding="utf-8"))
    survivors = [Survivor(**each) for each in content.get("survivor", [])]
    return {each.key: each for each in survivors}

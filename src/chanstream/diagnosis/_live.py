"""The table of a `Profile`, drawn anew several times a second while its block runs. It needs rich, which is an extra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

__all__ = ["start_table"]

PER_SECOND: Final = 4
"""How often the table is drawn."""


def start_table(heading: list[str], rows: Callable[[], list[list[str]]], sentences: Callable[[], list[str]]) -> Callable[[], None]:
    """Show a table on stderr. Return what draws it once more and leaves it there.

    What the program prints meanwhile appears above it.
    """

    def draw() -> Group:
        table = Table()
        for column in heading:
            is_text = column in {heading[0], heading[-1]}
            table.add_column(column, justify="left" if is_text else "right", overflow="fold")
        for row in rows():
            table.add_row(*map(Text, row))
        return Group(table, *map(Text, sentences()))

    live = Live(console=Console(stderr=True), get_renderable=draw, refresh_per_second=PER_SECOND)
    live.start()
    return live.stop

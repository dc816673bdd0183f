"""Tables in a terminal, narrow enough for 100 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from l2o.benchmarks.cells.record import Failure
from l2o.benchmarks.report.tables import Table

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100


def print_tables(
    tables: Sequence[Table],
    failures: Sequence[Failure],
    console: Console | None = None,
    missing: str = "fine-tunes",
) -> None:
    """Print tables, and how many fine-tunes are missing.

    Args:
        tables: in this order.
        failures: what is missing.
        console: where to; None prints to stdout, at full width if that is no terminal.
        missing: what the failures are, in the plural.
    """
    from rich.console import Console

    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=WIDTH)
    for table in tables:
        _print(table, console)
    if failures:
        first = failures[0]
        text = f"{len(failures)} {missing} are missing; the first, of {first.label!r}: "
        console.print(text + first.error, style="bold red", markup=False)


def _print(table: Table, console: Console) -> None:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(
        title=table.title,
        caption=table.note or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        width=min(WIDTH, console.width),
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )
    for index, column in enumerate(table.columns):
        drawn.add_column(
            column,
            justify="left" if table.is_words(index) else "right",
            overflow="fold",
            no_wrap=any("[" in row[index] for row in table.rows),
        )
    for index, row in enumerate(table.rows):
        style = "bold" if index in table.strong else ""
        drawn.add_row(*map(Text, row), style=style)
    console.print(drawn)
    console.print()

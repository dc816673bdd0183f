"""Tables as plain text cells: one source for terminal, Markdown and HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeVar

from l2o.benchmarks.cells.quantities import Quantity
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.statistics import Estimate

T = TypeVar("T")
UNKNOWN = "–"
_WORDS = (
    "metric",
    "against",
    "asked",
    "verdict",
    "selection",
    "chosen",
    "must",
    "goal",
    "population",
    "group",
    "change",
)


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: its heading.
        columns: headings of the columns; the first column names the row.
        rows: cells.
        note: what the numbers mean.
        strong: indices of the rows to be set off (learned policies, what is promised).
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    strong: frozenset[int] = frozenset()

    @classmethod
    def of(
        cls,
        title: str,
        things: Iterable[T],
        columns: Mapping[str, Callable[[T], str]],
        note: str = "",
        strong: Callable[[T], bool] = lambda _: False,
    ) -> Table:
        """Return a table with a row for each thing; a column says what it shows of one.

        Example:
            >>> Table.of("squares", (2, 3), {"": str, "square": lambda n: str(n * n)}).rows
            [('2', '4'), ('3', '9')]
        """
        listed = list(things)
        rows = [tuple(show(each) for show in columns.values()) for each in listed]
        marked = frozenset(index for index, each in enumerate(listed) if strong(each))
        return cls(title, tuple(columns), rows, note, marked)

    def is_words(self, column: int) -> bool:
        """Tell whether a column holds words, to be set flush left."""
        return column == 0 or self.columns[column] in _WORDS

    def narrow(self, *columns: str) -> Table:
        """Return the same with these columns only, for a terminal.

        Example:
            >>> Table("t", ("a", "b"), [("1", "2")]).narrow("b").rows
            [('2',)]
        """
        places = [self.columns.index(column) for column in columns]
        rows = [tuple(row[place] for place in places) for row in self.rows]
        return replace(self, columns=columns, rows=rows)


class Tables(NamedTuple):
    """The tables of a report: at its top, the same for a terminal, and after the figures."""

    main: Sequence[Table]
    terminal: Sequence[Table] = ()
    detail: Sequence[Table] = ()

    def explained(self, notes: Mapping[str, str]) -> Tables:
        """Return those that have rows, with the notes on titles that begin so, up to a colon."""

        def explain(table: Table) -> Table:
            return replace(table, note=table.note or notes.get(table.title.partition(":")[0], ""))

        return Tables(*([explain(table) for table in tables if table.rows] for tables in self))


def factor_columns(
    factors: Iterable[float], cell: Callable[[float, T], str]
) -> dict[str, Callable[[T], str]]:
    """Return a column for each factor on the base LR: heading -> what it shows of a row."""
    return {f"× {show_factor(factor)}": partial(cell, factor) for factor in factors}


def show(found: Estimate | None, form: str = ".4f", scale: float = 1.0) -> str:
    """Return an estimate with its interval, in a number format.

    Example:
        >>> show(Estimate(0.5, 0.25, 0.75), ".1f"), show(None)
        ('0.5 [0.2, 0.8]', '–')
    """
    if found is None or not found.is_known:
        return UNKNOWN
    text = format(scale * found.value, form)
    if not found.has_interval:
        return text
    return f"{text} [{format(scale * found.low, form)}, {format(scale * found.high, form)}]"


def percent(found: Estimate | None) -> str:
    """Return an estimate of a share in per cent.

    Example:
        >>> percent(Estimate(0.612, 0.598, 0.627))
        '61.2 [59.8, 62.7]'
    """
    return show(found, ".1f", 100)


def points(found: Estimate | None) -> str:
    """Return a difference in percentage points, always with its sign.

    Example:
        >>> points(Estimate(0.031, -0.004, 0.05))
        '+3.1 [-0.4, +5.0]'
    """
    return show(found, "+.1f", 100)


def short(value: float | None) -> str:
    """Return a share in per cent, without its interval."""
    return UNKNOWN if value is None or math.isnan(value) else f"{100 * value:.1f}"


def ends(found: tuple[float, float]) -> str:
    """Return an interval alone, in percentage points.

    Example:
        >>> ends((-0.004, 0.05)), ends((float("nan"), float("nan")))
        ('[-0.4, +5.0]', '–')
    """
    low, high = found
    return UNKNOWN if math.isnan(low + high) else f"[{100 * low:+.1f}, {100 * high:+.1f}]"


def counted(count: int, of: int) -> str:
    """Return a count out of how many; nothing is known of none."""
    return f"{count}/{of}" if of else UNKNOWN


def in_unit(quantity: Quantity, found: Estimate | float | None, signed: bool = False) -> str:
    """Return an estimate, or a bare number, in its quantity's unit; a difference with its sign.

    Example:
        >>> from l2o.benchmarks.cells.quantities import QUANTITIES
        >>> in_unit(QUANTITIES["target_accuracy"], 0.5), in_unit(QUANTITIES["target_loss"], 0.5)
        ('50.0', '0.5000')
    """
    if not isinstance(found, Estimate):
        found = Estimate(math.nan if found is None else found)
    form, scale = (".1f", 100.0) if quantity.unit == "%" else (".4f", 1.0)
    return show(found, "+" * signed + form, scale)

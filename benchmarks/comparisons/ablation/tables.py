"""The tables of an ablation, as plain text cells."""

from __future__ import annotations

from typing import Any

from l2o.benchmarks.report.tables import UNKNOWN, Entry, Table, percent, points

_REPORT = (
    "",
    "group",
    "accuracy",
    "difference",
    "against",
    "at chance",
    "diverged",
    "fine-tunes",
    "minutes",
)
_TERMINAL = ("", "accuracy", "difference", "against", "minutes")


def main_table(data: dict[str, Any], columns: tuple[str, ...] = _REPORT) -> Table:
    """Return one row per variant, with these columns."""
    rows: list[Entry] = data["rows"]
    body = []
    for row in rows:
        runs, learned = row["scored"], row["accuracy"] is not None
        cells = {
            "": row["label"],
            "group": row["group"],
            "accuracy": _shown(row["accuracy"], percent),
            "difference": _shown(row["difference"], points),
            "against": row["against"] or UNKNOWN,
            "at chance": f"{row['at_chance']}/{runs}" if learned else UNKNOWN,
            "diverged": f"{row['diverged']}/{runs}" if learned else UNKNOWN,
            "fine-tunes": str(row["fine_tunes"]) if learned else UNKNOWN,
            "minutes": f"{row['minutes']:.1f}" if learned else UNKNOWN,
        }
        body.append(tuple(cells[column] for column in columns))
    seeds = len(data["seeds"])
    note = (
        f"Final accuracy in per cent, mean over the same {data['episodes']} episodes; differences "
        f"in points, paired; 95 % intervals. {seeds} learning seed{'s' * (seeds > 1)} of "
        f"{data['fine_tunes']} fine-tunes each."
    )
    strong = frozenset(index for index, row in enumerate(rows) if is_clear(row["difference"]))
    return Table("Variants", columns, body, note, strong)


def terminal_tables(data: dict[str, Any]) -> list[Table]:
    """Return the same with fewer columns, for 100 characters a line."""
    return [main_table(data, _TERMINAL)]


def changes_table(data: dict[str, Any]) -> Table:
    """Return what is different while a variant is learned, a row per field."""
    body = []
    for row in data["rows"]:
        for line in row["changes"]:
            field, _, change = line.partition(": ")
            body.append((row["label"], field, change))
    return Table("What each changes", ("", "chosen", "change"), body, "Against its reference.")


def is_clear(difference: Entry | None) -> bool:
    """Tell whether the interval of a difference does not hold zero.

    Example:
        >>> is_clear({"value": 1.0, "low": 0.5, "high": 1.5}), is_clear(None)
        (True, False)
    """
    if difference is None or difference["low"] is None:
        return False
    return bool(difference["low"] > 0 or difference["high"] < 0)


def _shown(found: Entry | None, show: Any) -> str:
    return UNKNOWN if found is None else str(show(found))

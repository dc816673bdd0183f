"""The tables of rows that stand for published ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from l2o.benchmarks.comparisons.results_file import Results
from l2o.benchmarks.report.tables import Table, percent, points


def published_tables(results: Results) -> list[Table | None]:
    """Return a table per metric with published figures, and the pairs that contradict them."""
    entries = results.data.get("published", [])
    return [table for entry in entries for table in (_side_by_side(entry), _contradictions(entry))]


def _side_by_side(entry: dict[str, Any]) -> Table:
    rows, show = entry["rows"], _show(entry["metric"])
    here = _ranks([row["here"]["value"] for row in rows])
    there = _ranks([row["published"] for row in rows])
    body = [
        (row["label"], show(row["here"]), f"{row['published']:g}", str(mine), str(theirs))
        for row, mine, theirs in zip(rows, here, there, strict=True)
    ]
    note = (
        f"{entry['agree']} of {entry['pairs']} pairs of rows lie in the published order, "
        f"{len(entry['contradict'])} contradict it with an interval that leaves out zero. Ranks "
        "are from the largest value down, at the default base LR."
    )
    columns = ("row", "here", "published", "rank here", "rank published")
    return Table(f"Beside the published table: {_words(entry)}", columns, body, note)


def _contradictions(entry: dict[str, Any]) -> Table | None:
    show = points if entry["metric"].endswith("accuracy") else _difference
    body = [
        (
            f"{pair['one']} − {pair['other']}",
            show(pair["difference"]),
            f"{pair['published']:+.4g}",
            f"{pair['difference']['tasks_better']}/{pair['difference']['tasks']}",
        )
        for pair in entry["contradict"]
    ]
    if not body:
        return None
    columns = ("pair", "difference here", "published", "positive")
    note = "Mean paired differences with intervals on these tasks; tasks with a positive one."
    return Table(f"Against the published order: {_words(entry)}", columns, body, note)


def _words(entry: dict[str, Any]) -> str:
    return str(entry["metric"]).replace("_", " ")


def _ranks(values: list[float]) -> list[int]:
    return [1 + sum(other > value for other in values) for value in values]


def _show(metric: str) -> Callable[[dict[str, Any]], str]:
    return percent if metric.endswith("accuracy") else _number


def _number(found: dict[str, Any]) -> str:
    return _interval(found, ".4f")


def _difference(found: dict[str, Any]) -> str:
    return _interval(found, "+.4f")


def _interval(found: dict[str, Any], form: str) -> str:
    text = f"{found['value']:{form}}"
    if found["low"] is None:
        return text
    return f"{text} [{found['low']:{form}}, {found['high']:{form}}]"

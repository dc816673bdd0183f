"""The tables of an ablation, as plain text cells."""

from __future__ import annotations

from l2o.benchmarks.comparisons.ablation.result_models import AblationResults
from l2o.benchmarks.report.tables import UNKNOWN, Table, Tables, counted, in_unit


def tables(results: AblationResults) -> Tables:
    """Return the tables of the report; in a terminal with fewer columns."""
    main = main_table(results)
    narrow = main.narrow("", results.main.metric, "difference", "against", "minutes")
    return Tables([main], [narrow], [changes_table(results)])


def main_table(results: AblationResults) -> Table:
    """Return one row per variant."""
    main = results.main
    return Table.of(
        "Variants",
        results.rows,
        {
            "": lambda row: row.label,
            "group": lambda row: row.group,
            main.metric: lambda row: in_unit(main, row.score),
            "difference": lambda row: in_unit(main, row.difference, signed=True),
            "against": lambda row: row.against or UNKNOWN,
            "at chance": lambda row: counted(row.at_chance, row.scored),
            "diverged": lambda row: counted(row.diverged, row.scored),
            "fine-tunes": lambda row: str(row.fine_tunes or UNKNOWN),
            "minutes": lambda row: UNKNOWN if row.minutes is None else f"{row.minutes:.1f}",
        },
        strong=lambda row: row.is_clear,
    )


def changes_table(results: AblationResults) -> Table:
    """Return what is different while a variant is learned, a row per field."""
    body = []
    for row in results.rows:
        for line in row.changes:
            field, _, change = line.partition(": ")
            body.append((row.label, field, change))
    return Table("What each changes", ("", "chosen", "change"), body)

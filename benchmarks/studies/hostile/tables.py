"""The tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from l2o.benchmarks.report.tables import UNKNOWN, Table, points
from l2o.benchmarks.statistics import Estimate
from l2o.benchmarks.studies.hostile.cell import Record
from l2o.benchmarks.studies.hostile.summary import Summary

SHOWN = 12
"""The worst runs that are listed."""


def policy_table(summary: Summary) -> Table:
    """Return a row per policy."""
    columns = ("policy", "runs", "at chance", "beyond", "worst loss", "target", "against plain")
    rows = [("plain", "", "", "", "", _percent(summary["plain"]), "")]
    rows += [
        (
            name,
            str(found["runs"]),
            str(found["at_chance"]),
            str(found["beyond_bound"]),
            _ratio(found["worst_ratio"]),
            _percent(found["target"]),
            points(Estimate.from_json(found["difference"])),
        )
        for name, found in summary["policies"].items()
    ]
    note = (
        "at chance: runs that end at chance where the plain run does not. worst loss: the largest "
        "loss over the plain run's largest, in the worst run; beyond: runs where that is above "
        f"{summary['bound']:g}. target: accuracy on the target, %; against plain: the mean paired "
        "difference in points, with a 95 % bootstrap interval over runs."
    )
    return Table("Harm", columns, rows, note)


def worst_table(summary: Summary) -> Table:
    """Return each policy's run with the largest loss, against the plain run's."""
    rows = [
        (name, _ratio(found["worst_ratio"]), found["worst_run"])
        for name, found in summary["policies"].items()
    ]
    return Table("Where it is worst", ("policy", "worst loss", "run"), rows)


def harm_table(summary: Summary) -> Table:
    """Return the worst of the runs that break a claim."""
    harmed = summary["harmed"]
    rows = [
        (
            pair["id"],
            _ratio(pair["ratio"]),
            "yes" if pair["harmed"] else "",
            str(pair["interventions"]),
        )
        for pair in harmed[:SHOWN]
    ]
    note = f"{len(harmed)} runs in all." if len(harmed) > SHOWN else ""
    return Table("Runs that break a claim", ("run", "worst loss", "at chance", "guard"), rows, note)


def claims_table(summary: Summary) -> Table:
    """Return the claims and whether they hold."""
    rows = [
        (each["claim"], _number(each["found"]), "holds" if each["holds"] else "FAILS")
        for each in summary["claims"]
    ]
    return Table("Claims", ("claim", "found", "verdict"), rows)


def tuning_table(records: Sequence[Record]) -> Table:
    """Return the target accuracy at every candidate of the base learning rate."""
    settings: dict[tuple[str, float], list[Record]] = {}
    for record in records:
        if not record["error"]:
            key = (f"{record['network']}, {record['optimizer']}", record["lr"])
            settings.setdefault(key, []).append(record)
    rows = [
        (
            name,
            f"{lr:g}",
            f"{max(run['max_loss'] for run in runs):.2f}",
            *(
                _percent(sum(run[split] for run in runs) / len(runs))
                for split in ("source_accuracy", "target_accuracy")
            ),
        )
        for (name, lr), runs in settings.items()
    ]
    return Table("Plain runs", ("run", "base LR", "worst loss", "source", "target"), rows)


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.1f}"


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return "∞"
    return f"{ratio:.2f}" if ratio < 1000 else f"{ratio:.0e}"


def _number(found: Any) -> str:
    return _ratio(found) if found is None or isinstance(found, float) else str(found)

"""The tables of a zero-shot comparison, as plain text cells."""

from __future__ import annotations

from collections import Counter
from typing import Any

from l2o.benchmarks.comparisons.table.comparison import DEFAULT, MISJUDGED
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.page import present
from l2o.benchmarks.report.tables import UNKNOWN, Entry, Table, percent, points

VERDICTS = {True: "yes", False: "no", None: "too few tasks"}


def main_tables(data: dict[str, Any]) -> list[Table]:
    """Return the tables at the top of the report and in the terminal."""
    return [claims_table(data), rows_table(data), families_table(data), cost_table(data)]


def terminal_tables(data: dict[str, Any]) -> list[Table]:
    """Return the same with fewer columns, for 100 characters a line."""
    return [
        narrow(claims_table(data), ("claim", "value", "must", "holds")),
        narrow(rows_table(data), ("", "fine-tunes", "default", "mean", "at chance")),
        narrow(families_table(data), ("family", "default", "mean", "tuned", "oracle")),
        cost_table(data),
    ]


def narrow(table: Table, columns: tuple[str, ...]) -> Table:
    """Return a table with these columns only.

    Example:
        >>> narrow(Table("t", ("a", "b"), [("1", "2")]), ("b",)).rows
        [('2',)]
    """
    places = [table.columns.index(column) for column in columns]
    rows = [tuple(row[place] for place in places) for row in table.rows]
    return Table(table.title, columns, rows, table.note, table.strong)


def detail_tables(data: dict[str, Any]) -> list[Table]:
    """Return the tables after the figures."""
    return present(populations_table(data), *by_factor_tables(data), chosen_table(data))


def claims_table(data: dict[str, Any]) -> Table:
    """Return each claim with what it must show, and whether it does."""
    body = [
        (
            figure["figure"],
            show_value(figure),
            figure["must"],
            VERDICTS[figure["holds"]],
            figure["goal"],
            VERDICTS[figure["reaches_goal"]],
        )
        for figure in data["figures"]
    ]
    note = (
        "Differences are interquartile mean minus interquartile mean of target accuracy, in "
        "percentage points, with 95 % intervals from tasks resampled within each family. The "
        "best untuned schedule is the one that is hardest to beat, named in hindsight."
    )
    columns = ("claim", "value", "must", "holds", "goal", "reached")
    return Table("Claims", columns, body, note, _indices(data["figures"], "holds"))


def rows_table(data: dict[str, Any]) -> Table:
    """Return every contender over all families, best first within its kind."""
    rows = ordered(data["rows"])
    body = []
    for row in rows:
        runs, against = row["fine_tunes"], row.get("against", {})
        body.append(
            (
                row["label"],
                str(row["fine_tunes_per_task"]),
                _percent(row["default"]),
                _percent(row["mean"]),
                f"{row['at_chance']}/{runs}" if runs else UNKNOWN,
                f"{row['diverged']}/{runs}" if runs else UNKNOWN,
                _gap(against.get(DEFAULT)),
                _gap(against.get(MISJUDGED)),
                _chance(against.get(MISJUDGED)),
            )
        )
    columns = (
        "",
        "fine-tunes",
        "default",
        "mean",
        "at chance",
        "diverged",
        "policy − it, default",
        "policy − it, mean",
        "P(better)",
    )
    note = (
        "Over all families, at the default base LR and in the mean over base LRs. Fine-tunes: what "
        "it takes to get there on one task. The last columns of the report compare the policy with "
        "each row on the same tasks; P(better) is in the mean over base LRs."
    )
    strong = frozenset(i for i, row in enumerate(rows) if row["kind"] in ("policy", "lite"))
    return Table("All contenders", columns, body, note, strong)


def families_table(data: dict[str, Any]) -> Table:
    """Return the policy and its strongest rivals on each family."""
    by_kind = {row["kind"]: row for row in data["rows"]}
    policy = by_kind["policy"]
    source, oracle = by_kind["source_validation"], by_kind["target_accuracy"]
    body = []
    for name, family in data["families"].items():
        best = best_untuned(data["rows"], name)
        title = f"{name} (unseen)" if family["unseen"] else name
        body.append(
            (
                title,
                _percent(policy["families"][name]["default"]),
                _percent(policy["families"][name]["mean"]),
                _percent(source["families"][name]["default"]),
                _percent(oracle["families"][name]["default"]),
                UNKNOWN if best is None else _percent(best["families"][name]["mean"]),
                UNKNOWN if best is None else best["label"],
            )
        )
    columns = ("family", "default", "mean", "tuned", "oracle", "best untuned", "chosen")
    note = (
        f"Target accuracy of {policy['label']} at the default base LR and in the mean over base "
        "LRs; of the grid tuned by source validation, and by target accuracy; of the best untuned "
        "rival in the mean over base LRs, each family's own, named in hindsight."
    )
    return Table("By family", columns, body, note)


def cost_table(data: dict[str, Any]) -> Table:
    """Return what it costs to get there."""
    cost = data["cost"]
    label = data["policies"][0]["label"]
    saves_nothing = cost["training"] is not None and cost["amortised_after"] is None
    paid_off = "never" if saves_nothing else _count(cost["amortised_after"])
    body = [
        (f"{label}, at use", _count(cost["at_use"])),
        (f"tuning the grid of {data['counts']['grid_points']} points", _count(cost["tuning"])),
        (f"learning {label}, once (its card)", _count(cost["training"])),
        ("tasks after which the learning has paid off", paid_off),
    ]
    return Table("Cost, in fine-tunes", ("", "fine-tunes"), body, "On one task.")


def populations_table(data: dict[str, Any]) -> Table:
    """Return over what each claim's figure is."""
    body = [
        (
            figure["figure"],
            figure["population"],
            UNKNOWN if figure.get("mean") is None else f"{figure['mean']:+.1f}",
            UNKNOWN if "tasks_better" not in figure else f"{figure['tasks_better']}",
            UNKNOWN if figure.get("improvement") is None else f"{figure['improvement']:.2f}",
        )
        for figure in data["figures"]
    ]
    columns = ("claim", "population", "plain mean", "tasks better", "P(better)")
    note = "Plain mean of the paired differences, in points, beside the interquartile one above."
    return Table("Populations of the claims", columns, body, note)


def by_factor_tables(data: dict[str, Any]) -> list[Table]:
    """Return target accuracy by base LR, a table per family."""
    factors = sorted(data["counts"]["base_lr_factors"])
    tables = []
    for name in data["families"]:
        body = [
            (row["label"], *map(_percent, row["families"][name]["by_factor"]))
            for row in ordered(data["rows"])
            if row["families"][name]["by_factor"]
        ]
        columns = ("", *(f"× {show_factor(factor)}" for factor in factors))
        tables.append(Table(f"Target accuracy by base learning rate: {name}", columns, body))
    return tables


def chosen_table(data: dict[str, Any]) -> Table:
    """Return what tuning chose, and for how many tasks."""
    body = []
    for row in data["rows"]:
        for name, family in row["families"].items():
            picked = Counter((pick["label"], pick["factor"]) for pick in family["chosen"])
            body += [
                (row["label"], name, f"{label}, base LR × {show_factor(factor)}", str(count))
                for (label, factor), count in picked.most_common()
            ]
    return Table("What tuning chose", ("tuned", "family", "chosen", "tasks"), body)


def ordered(rows: list[Entry]) -> list[Entry]:
    """Return policies first, then the tuned grid, then what is untuned, best first."""
    tuned = ("source_validation", "target_accuracy", "cross_fitted", "other_tasks")
    kinds = ("policy", "lite", *tuned)
    named = [row for kind in kinds for row in rows if row["kind"] == kind]
    rest = [row for row in rows if row["kind"] not in kinds]
    return named + sorted(rest, key=lambda row: value_of(row["mean"]), reverse=True)


def best_untuned(rows: list[Entry], family: str) -> Entry | None:
    """Return the untuned rival with the highest mean over base LRs on a family, in hindsight."""
    untuned = [row for row in rows if row["kind"] in ("schedule", "rival")]
    known = [row for row in untuned if value_of(row["families"][family]["mean"]) >= 0]
    return max(known, key=lambda row: value_of(row["families"][family]["mean"]), default=None)


def value_of(found: Entry | None) -> float:
    """Return an estimate's value, -1 where there is none."""
    return -1.0 if found is None or found["value"] is None else float(found["value"])


def show_value(figure: Entry) -> str:
    """Return a claim's value with its interval and unit.

    Example:
        >>> show_value({"value": 2.25, "low": 1.0, "high": 3.5, "unit": "points"})
        '+2.2 [+1.0, +3.5]'
    """
    if figure["value"] is None:
        return UNKNOWN
    form = {"points": "+.1f", "per cent": ".1f"}.get(figure["unit"], "g")
    unit = " %" if figure["unit"] == "per cent" else ""
    if figure["low"] is None:
        return f"{figure['value']:{form}}{unit}"
    return f"{figure['value']:{form}}{unit} [{figure['low']:{form}}, {figure['high']:{form}}]"


def _percent(found: Entry | None) -> str:
    return UNKNOWN if found is None else percent(found)


def _gap(found: Entry | None) -> str:
    return UNKNOWN if found is None else points(found)


def _chance(found: Entry | None) -> str:
    known = found is not None and found["improvement"] is not None
    return f"{found['improvement']:.2f}" if known and found is not None else UNKNOWN


def _count(count: int | None) -> str:
    return "not in its card" if count is None else f"{count:,}"


def _indices(entries: list[Entry], key: str) -> frozenset[int]:
    return frozenset(i for i, entry in enumerate(entries) if entry[key])

"""The tables of a report as plain text cells: one source for terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from l2o.benchmarks.comparisons.results_file import Results
from l2o.benchmarks.comparisons.table.comparison import DEFAULT, MISJUDGED, SETTINGS
from l2o.benchmarks.report.factors import show_factor

Entry = dict[str, Any]
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

    def is_words(self, column: int) -> bool:
        """Tell whether a column holds words, to be set flush left."""
        return column == 0 or self.columns[column] in _WORDS


def percent(found: Entry) -> str:
    """Return an estimate of a share in per cent.

    Example:
        >>> percent({"value": 0.612, "low": 0.598, "high": 0.627})
        '61.2 [59.8, 62.7]'
    """
    return _scaled(found, ".1f")


def points(found: Entry) -> str:
    """Return a difference in percentage points, always with its sign.

    Example:
        >>> points({"value": 0.031, "low": -0.004, "high": 0.05})
        '+3.1 [-0.4, +5.0]'
    """
    return _scaled(found, "+.1f")


def _scaled(found: Entry, form: str) -> str:
    """Return value and interval times 100, each in a number format."""
    if found["value"] is None:
        return UNKNOWN
    text = format(100 * found["value"], form)
    if found["low"] is None:
        return text
    return f"{text} [{format(100 * found['low'], form)}, {format(100 * found['high'], form)}]"


def interval(ends: list[float | None]) -> str:
    """Return the interval of a difference alone, in percentage points.

    Example:
        >>> interval([-0.004, 0.05]), interval([None, None])
        ('[-0.4, +5.0]', '–')
    """
    low, high = ends
    return UNKNOWN if low is None or high is None else f"[{100 * low:+.1f}, {100 * high:+.1f}]"


def results_table(results: Results, max_grid_rows: int | None = None) -> Table:
    """Return the main table: every row untuned; of the grid, the best or all."""
    rows = _best_rows(results.rows, max_grid_rows)
    several = has_several_factors(results)
    columns = ["", "target accuracy"]
    if several:
        columns += ["mean over base LRs"]
    columns += ["proxy kept", "source", "at chance", "diverged"]
    body = []
    for row in rows:
        default, runs = row["default"], row["fine_tunes"]
        cells = [row["label"], percent(default["target_accuracy"])]
        if several:
            cells += [percent(row["misjudged"]["target_accuracy"])]
        show = _short if several else percent
        cells += [show(default["proxy_accuracy"]), _short(default["source_accuracy"])]
        cells += [f"{row['at_chance']}/{runs}", f"{row['diverged']}/{runs}"]
        body.append(tuple(cells))
    left_out = len(results.rows) - len(rows)
    note = f"{left_out} weaker schedules of the grid are not shown." if left_out else ""
    strong = frozenset(i for i, row in enumerate(rows) if row["kind"] == "policy")
    return Table("Results, untuned", tuple(columns), body, note, strong)


def factors_table(results: Results) -> Table | None:
    """Return target accuracy by base LR; None with a single one."""
    if not has_several_factors(results):
        return None
    factors = sorted({entry["factor"] for row in results.rows for entry in row["by_factor"]})
    body = []
    for row in results.rows:
        found = {entry["factor"]: entry["target_accuracy"] for entry in row["by_factor"]}
        cells = [_short(found[factor]) if factor in found else UNKNOWN for factor in factors]
        body.append((row["label"], *cells))
    columns = ("", *(f"× {show_factor(factor)}" for factor in factors))
    strong = frozenset(i for i, row in enumerate(results.rows) if row["kind"] == "policy")
    return Table("Target accuracy by base learning rate", columns, body, strong=strong)


def tuned_table(results: Results) -> Table | None:
    """Return each schedule at its tuned best; None without a grid."""
    groups: dict[str, dict[str, Entry]] = {}
    for entry in results.data["tuned"]:
        groups.setdefault(entry["schedule"], {})[entry["selection"]] = entry
    if not groups:
        return None
    body = []
    for schedule, found in groups.items():
        budget = next(iter(found.values()))
        cells = [percent(found[rule]["target_accuracy"]) for rule in SETTINGS]
        body.append((schedule, str(budget["points"]), str(budget["fine_tunes_per_task"]), *cells))
    columns = ("", "settings", "fine-tunes", "by source validation", "by target (oracle)")
    note = "Settings tried, and the fine-tunes that costs per task; a learned policy needs one."
    return Table("Each schedule at its tuned best", columns, body, note)


def chosen_table(results: Results) -> Table | None:
    """Return what tuning chose for each task; None without a grid."""
    body = [
        (
            entry["schedule"],
            entry["selection"].replace("_", " "),
            str(pick["task"]),
            f"{pick['label']}, base LR × {show_factor(pick['factor'])}",
            UNKNOWN if pick["target_accuracy"] is None else f"{100 * pick['target_accuracy']:.1f}",
        )
        for entry in results.data["tuned"]
        for pick in entry["chosen"]
    ]
    if not body:
        return None
    columns = ("tuned", "selection", "task", "chosen", "target accuracy")
    return Table("What tuning chose", columns, body)


def policy_tables(results: Results) -> list[Table]:
    """Return each learned policy's paired differences: against untuned, and tuned schedules."""
    tables = []
    for policy in results.data["policies"]:
        for heading, settings in (
            ("untuned", (DEFAULT, MISJUDGED)),
            ("tuned", tuple(SETTINGS.values())),
        ):
            title = f"Paired differences: {policy['label']} − {heading} schedule"
            tables += _differences(title, policy["against"], settings)
    return tables


def claims_table(results: Results) -> Table | None:
    """Return the claims and whether they hold; None without claims."""
    claims = results.data["claims"]
    if not claims:
        return None
    body = [
        (
            claim["claim"],
            claim["metric"].replace("_", " "),
            points(claim["difference"]),
            interval(claim["difference"]["new_tasks"]),
            f"{claim['difference']['tasks_better']}/{claim['difference']['tasks']}",
            claim["verdict"],
        )
        for claim in claims
    ]
    columns = ("claim", "metric", "difference", "new tasks", "positive", "verdict")
    note = (
        "Mean paired difference in points with its interval on these tasks, which decides; the "
        "interval to expect on new tasks of the family; tasks on which the difference is positive."
    )
    return Table("Claims", columns, body, note)


def headline_table(results: Results) -> Table | None:
    """Return the figures that the benchmark stands or falls by, but for the claims."""
    claims = {claim["claim"] for claim in results.data["claims"]}
    figures = [f for f in results.data["figures"] if f["figure"] not in claims]
    if not figures:
        return None
    body = [
        (
            figure["figure"],
            str(figure["against"]),
            points(figure),
            "must be > 0" if figure["must"] is not None else "goal > 0",
            {True: "holds", False: "does not hold", None: "too few runs"}[figure["holds"]],
        )
        for figure in figures
    ]
    columns = ("figure", "against", "difference", "asked", "verdict")
    note = (
        "Mean paired differences in points, nothing tuned unless it says so. The best schedule is "
        "the one that is hardest to beat, named in hindsight. A line holds when the whole 95 % "
        "interval is above zero."
    )
    strong = frozenset(i for i, figure in enumerate(figures) if figure["must"] is not None)
    return Table("The learned policy against the schedules", columns, body, note, strong)


def has_several_factors(results: Results) -> bool:
    """Tell whether any row was run at more than one base LR."""
    return any(len(row["by_factor"]) > 1 for row in results.rows)


def _differences(title: str, against: list[Entry], settings: tuple[str, ...]) -> list[Table]:
    """Return one table of a column per setting, or none when nothing was compared."""
    found: dict[str, dict[str, Entry]] = {}
    for entry in against:
        if entry["setting"] in settings:
            found.setdefault(entry["label"], {})[entry["setting"]] = entry["difference"]
    settings = tuple(s for s in settings if any(s in entries for entries in found.values()))
    if not found:
        return []
    body = [
        (label, *(points(entries[s]) if s in entries else UNKNOWN for s in settings))
        for label, entries in found.items()
    ]
    note = (
        "In points, pairs sharing task, seed and base LR; positive: the learned policy is better."
    )
    return [Table(title, ("", *settings), body, note)]


def _best_rows(rows: list[Entry], max_grid_rows: int | None) -> list[Entry]:
    """Keep the order, but of the grid only the best over all base LRs."""
    if max_grid_rows is None:
        return rows
    grid = sorted((row for row in rows if row["kind"] == "grid"), key=_value, reverse=True)
    kept = {row["label"] for row in grid[:max_grid_rows]}
    return [row for row in rows if row["kind"] != "grid" or row["label"] in kept]


def _value(row: Entry) -> float:
    value = row["misjudged"]["target_accuracy"]["value"]
    return -1.0 if value is None else value


def _short(found: Entry) -> str:
    return UNKNOWN if found["value"] is None else f"{100 * found['value']:.1f}"

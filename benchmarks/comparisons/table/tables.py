"""The tables of a table's report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from l2o.benchmarks.cells.quantities import KEPT, QUANTITIES, SOURCE, TARGET
from l2o.benchmarks.comparisons.claims import DEFAULT, MISJUDGED, SELECTED, Figure
from l2o.benchmarks.comparisons.table.published import published_tables
from l2o.benchmarks.comparisons.table.result_models import (
    Against,
    RowResult,
    TableResults,
    value_of,
)
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.tables import UNKNOWN, Table, ends, in_unit, points, present, short, show

MAX_GRID_ROWS = 12


def main_tables(results: TableResults) -> list[Table]:
    """Return the tables at the top of the report."""
    return present(
        headline_table(results),
        claims_table(results),
        results_table(results),
        tuned_table(results),
        *published_tables(results.published),
    )


def terminal_tables(results: TableResults) -> list[Table]:
    """Return the main tables for 100 characters a line."""
    return present(
        results_table(results, MAX_GRID_ROWS),
        tuned_table(results),
        claims_table(results),
        headline_table(results),
    )


def detail_tables(results: TableResults) -> list[Table]:
    """Return the tables after the figures."""
    return present(*policy_tables(results), factors_table(results), chosen_table(results))


def results_table(results: TableResults, max_grid_rows: int | None = None) -> Table:
    """Return the main table: every row untuned; of the grid, the best or all."""
    rows, main = _best_rows(results.rows, max_grid_rows), results.main
    several = has_several_factors(results)
    left_out = len(results.rows) - len(rows)
    columns: dict[str, Callable[[RowResult], str]] = {
        "": lambda row: row.label,
        main.words: lambda row: in_unit(main, row.default.scores[TARGET]),
        "mean over base LRs": lambda row: in_unit(main, row.misjudged.scores[TARGET]),
        "proxy kept": lambda row: (
            short(row.default.scores[KEPT].value)
            if several
            else in_unit(QUANTITIES[KEPT], row.default.scores[KEPT])
        ),
        "source": lambda row: short(row.default.scores[SOURCE].value),
        "at chance": lambda row: f"{row.at_chance}/{row.fine_tunes}",
        "diverged": lambda row: f"{row.diverged}/{row.fine_tunes}",
    }
    if not several:
        del columns["mean over base LRs"]
    note = f"{left_out} weaker schedules of the grid are not shown." if left_out else ""
    return Table.of("Results, untuned", rows, columns, note, is_policy)


def factors_table(results: TableResults) -> Table | None:
    """Return the main score by base LR; None with a single one."""
    if not has_several_factors(results):
        return None
    columns: dict[str, Callable[[RowResult], str]] = {"": lambda row: row.label}
    for factor in sorted({each.factors[0] for row in results.rows for each in row.by_factor}):
        columns[f"× {show_factor(factor)}"] = partial(_at_factor, factor)
    title = f"{results.main.words.capitalize()} by base learning rate"
    return Table.of(title, results.rows, columns, strong=is_policy)


def _at_factor(factor: float, row: RowResult) -> str:
    found = {each.factors[0]: each.scores[TARGET].value for each in row.by_factor}
    return short(found.get(factor))


def tuned_table(results: TableResults) -> Table:
    """Return each schedule at its tuned best."""
    found = {(entry.schedule, entry.selection): entry for entry in results.tuned}
    by_source, by_target = SELECTED
    return Table.of(
        "Each schedule at its tuned best",
        [entry for entry in results.tuned if entry.selection == by_source],
        {
            "": lambda entry: entry.schedule,
            "settings": lambda entry: str(entry.points),
            "fine-tunes": lambda entry: str(entry.fine_tunes_per_task),
            "by source validation": lambda entry: in_unit(results.main, entry.score),
            "by target (oracle)": lambda entry: in_unit(
                results.main, found[entry.schedule, by_target].score
            ),
        },
        "Settings tried, and the fine-tunes that costs per task; a learned policy needs one.",
    )


def chosen_table(results: TableResults) -> Table:
    """Return what tuning chose for each task."""
    return Table.of(
        "What tuning chose",
        [(entry, pick) for entry in results.tuned for pick in entry.chosen],
        {
            "tuned": lambda pair: pair[0].schedule,
            "selection": lambda pair: pair[0].selection.replace("_", " "),
            "task": lambda pair: str(pair[1].task),
            "chosen": lambda pair: f"{pair[1].label}, base LR × {show_factor(pair[1].factor)}",
            results.main.words: lambda pair: short(pair[1].score),
        },
    )


def policy_tables(results: TableResults) -> list[Table]:
    """Return each learned policy's paired differences: against untuned, and tuned schedules."""
    kinds = {"untuned": (DEFAULT, MISJUDGED), "tuned": tuple(SELECTED.values())}
    return [
        _differences(
            f"Paired differences: {policy.label} − {heading} schedule", policy.against, settings
        )
        for policy in results.policies
        for heading, settings in kinds.items()
    ]


def claims_table(results: TableResults) -> Table:
    """Return the claimed orders and whether they hold."""
    return Table.of(
        "Claims",
        results.claims,
        {
            "claim": lambda claim: claim.claim,
            "metric": lambda claim: claim.metric.replace("_", " "),
            "difference": lambda claim: in_unit(QUANTITIES[claim.metric], claim.difference, True),
            "new tasks": lambda claim: ends(claim.difference.new_tasks),
            "positive": lambda claim: f"{claim.difference.tasks_better}/{claim.difference.tasks}",
            "verdict": lambda claim: claim.verdict,
        },
        "Mean paired difference in points with its interval on these tasks, which decides; the "
        "interval to expect on new tasks of the family; tasks on which the difference is positive.",
    )


def headline_table(results: TableResults) -> Table:
    """Return the figures that the benchmark stands or falls by, but for the claimed orders."""
    orders = {order.claim for order in results.claims}
    verdicts = {True: "holds", False: "does not hold", None: "too few runs"}
    return Table.of(
        "The learned policy against the schedules",
        [figure for figure in results.figures if figure.figure not in orders],
        {
            "figure": lambda figure: figure.figure,
            "against": lambda figure: figure.against,
            "difference": lambda figure: show(figure.estimate, "+.1f"),
            "asked": _asked,
            "verdict": lambda figure: (
                verdicts[figure.holds] if figure.must or figure.goal else UNKNOWN
            ),
        },
        "Mean paired differences in points, nothing tuned unless it says so. The best schedule is "
        "the one that is hardest to beat, named in hindsight. A line holds when the whole 95 % "
        "interval is above zero.",
        lambda figure: bool(figure.must),
    )


def has_several_factors(results: TableResults) -> bool:
    """Tell whether any row was run at more than one base LR."""
    return any(len(row.by_factor) > 1 for row in results.rows)


def _asked(figure: Figure) -> str:
    bound = (figure.must or figure.goal).replace(">= 0, interval above 0", "> 0")
    return f"{'must be' if figure.must else 'goal'} {bound}" if bound else UNKNOWN


def _differences(title: str, against: Sequence[Against], settings: Sequence[str]) -> Table:
    """Return one table of a column per setting."""
    found: dict[str, dict[str, str]] = {}
    for entry in against:
        if entry.setting in settings:
            found.setdefault(entry.label, {})[entry.setting] = points(entry.difference)
    settings = [s for s in settings if any(s in entries for entries in found.values())]
    body = [(name, *(row.get(each, UNKNOWN) for each in settings)) for name, row in found.items()]
    note = (
        "In points, pairs sharing task, seed and base LR; positive: the learned policy is better."
    )
    return Table(title, ("", *settings), body, note)


def _best_rows(rows: Sequence[RowResult], max_grid_rows: int | None) -> Sequence[RowResult]:
    """Keep the order, but of the grid only the best over all base LRs."""
    if max_grid_rows is None:
        return rows
    grid = sorted((row for row in rows if row.kind == "grid"), key=rank, reverse=True)
    kept = {row.label for row in grid[:max_grid_rows]}
    return [row for row in rows if row.kind != "grid" or row.label in kept]


def rank(row: RowResult) -> float:
    """Return what rows are ranked by: the main score over all base LRs."""
    return value_of(row.misjudged.scores[TARGET])


def is_policy(row: RowResult) -> bool:
    """Tell whether a row is a learned policy."""
    return row.kind == "policy"

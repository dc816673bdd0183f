"""The tables of a table's report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from l2o.benchmarks.cells.quantities import KEPT, SOURCE, TARGET, Quantity
from l2o.benchmarks.comparisons.claims import DEFAULT, MISJUDGED, SELECTED, Figure, show_figure
from l2o.benchmarks.comparisons.table.published import published_tables
from l2o.benchmarks.comparisons.table.result_models import Against, RowResult, TableResults
from l2o.benchmarks.comparisons.table.selection import LABEL_FREE
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.tables import (
    UNKNOWN,
    Table,
    Tables,
    counted,
    factor_columns,
    in_unit,
)

MAX_GRID_ROWS = 12
_VERDICTS = {True: "holds", False: "does not hold", None: "too few runs"}


def tables(results: TableResults) -> Tables:
    """Return the tables of the report."""
    headline, claims = headline_table(results), claims_table(results)
    tuned = tuned_table(results)
    published, selected = published_tables(results.published, results.main), selected_table(results)
    # Where rows have photographs without labels, how well these choose is a result of its own.
    without_labels = any(rule in row.selected for row in results.rows for rule in LABEL_FREE)
    choosing = [selected] if without_labels else []
    return Tables(
        main=[headline, claims, results_table(results), tuned, *choosing, *published],
        terminal=[results_table(results, MAX_GRID_ROWS), tuned, claims, headline],
        detail=[
            *policy_tables(results),
            factors_table(results),
            *([] if without_labels else [selected]),
            chosen_table(results),
        ],
    )


def results_table(results: TableResults, max_grid_rows: int | None = None) -> Table:
    """Return the main table: every row untuned; of the grid, the best or all."""
    main, kept, source = (results.quantity(name) for name in (TARGET, KEPT, SOURCE))
    rows = _best_rows(results.rows, max_grid_rows, main)
    several = has_several_factors(results)
    left_out = len(results.rows) - len(rows)
    columns: dict[str, Callable[[RowResult], str]] = {
        "": lambda row: row.label,
        main.words: lambda row: in_unit(main, row.default.scores[TARGET]),
        "mean over base LRs": lambda row: in_unit(main, row.misjudged.scores[TARGET]),
        "proxy kept": lambda row: in_unit(
            kept, row.default.scores[KEPT].value if several else row.default.scores[KEPT]
        ),
        "source": lambda row: in_unit(source, row.default.scores[SOURCE].value),
        "at chance": lambda row: counted(row.at_chance, row.fine_tunes),
        "diverged": lambda row: counted(row.diverged, row.fine_tunes),
    }
    if not several:
        del columns["mean over base LRs"]
    note = f"{left_out} weaker schedules of the grid are not shown." if left_out else ""
    return Table.of("Results, untuned", rows, columns, note, lambda row: row.kind == "policy")


def factors_table(results: TableResults) -> Table:
    """Return the main score by base LR; no rows with a single one."""

    def at(factor: float, row: RowResult) -> str:
        found = {each.factors[0]: each.scores[TARGET].value for each in row.by_factor}
        return in_unit(results.main, found.get(factor))

    factors = sorted({each.factors[0] for row in results.rows for each in row.by_factor})
    columns: dict[str, Callable[[RowResult], str]] = {"": lambda row: row.label}
    return Table.of(
        f"{results.main.words.capitalize()} by base learning rate",
        results.rows if has_several_factors(results) else (),
        columns | factor_columns(factors, at),
        strong=lambda row: row.kind == "policy",
    )


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
            results.main.words: lambda pair: in_unit(results.main, pair[1].score),
        },
    )


def selected_table(results: TableResults) -> Table:
    """Return what each row scores, by which network of its runs is kept."""
    rules = dict.fromkeys(rule for row in results.rows for rule in row.selected)
    columns: dict[str, Callable[[RowResult], str]] = {"": lambda row: row.label}
    for rule in rules:
        columns[rule.replace("_", " ")] = lambda row, rule=rule: in_unit(  # type: ignore[misc]
            results.main, row.selected.get(rule)
        )
    return Table.of(
        "Which network of a run is kept",
        [row for row in results.rows if row.selected],
        columns,
        strong=lambda row: row.kind == "policy",
    )


def policy_tables(results: TableResults) -> list[Table]:
    """Return each learned policy's paired differences: against untuned, and tuned schedules."""
    kinds = {"untuned": (DEFAULT, MISJUDGED), "tuned": tuple(SELECTED.values())}
    return [
        _differences(
            f"Paired differences: {policy.label} − {heading} schedule",
            [entry for entry in policy.against if entry.setting in settings],
            settings,
            results.main,
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
            "difference": lambda claim: in_unit(
                results.quantity(claim.metric), claim.difference, signed=True
            ),
            "new tasks": lambda claim: _ends(
                results.quantity(claim.metric), claim.difference.new_tasks
            ),
            "positive": lambda claim: f"{claim.difference.tasks_better}/{claim.difference.tasks}",
            "verdict": lambda claim: claim.verdict,
        },
    )


def headline_table(results: TableResults) -> Table:
    """Return the figures that the benchmark stands or falls by, but for the claimed orders."""
    orders = {order.claim for order in results.claims}
    return Table.of(
        "The learned policy against the schedules",
        [figure for figure in results.figures if figure.figure not in orders],
        {
            "figure": lambda figure: figure.figure,
            "against": lambda figure: figure.against,
            "difference": show_figure,
            "asked": _asked,
            "verdict": lambda figure: (
                _VERDICTS[figure.holds] if figure.must or figure.goal else UNKNOWN
            ),
        },
        strong=lambda figure: bool(figure.must),
    )


def has_several_factors(results: TableResults) -> bool:
    """Tell whether any row was run at more than one base LR."""
    return any(len(row.by_factor) > 1 for row in results.rows)


def rank(row: RowResult, main: Quantity) -> float:
    """Return what rows are ranked by, the better the larger: the score over all base LRs."""
    return main.worth(row.misjudged.scores[TARGET])


def _asked(figure: Figure) -> str:
    bound = (figure.must or figure.goal).replace(">= 0, interval above 0", "> 0")
    return f"{'must be' if figure.must else 'goal'} {bound}" if bound else UNKNOWN


def _ends(quantity: Quantity, found: tuple[float, float]) -> str:
    """Return an interval alone."""
    low, high = (in_unit(quantity, end, signed=True) for end in found)
    return UNKNOWN if UNKNOWN in (low, high) else f"[{low}, {high}]"


def _differences(
    title: str, against: Sequence[Against], settings: Sequence[str], main: Quantity
) -> Table:
    """Return one table of a column per setting that there is."""
    found = {(e.label, e.setting): in_unit(main, e.difference, signed=True) for e in against}
    labels = dict.fromkeys(label for label, _ in found)
    settings = [each for each in settings if any(each == setting for _, setting in found)]
    rows = [(name, *(found.get((name, each), UNKNOWN) for each in settings)) for name in labels]
    return Table(title, ("", *settings), rows)


def _best_rows(
    rows: Sequence[RowResult], max_grid_rows: int | None, main: Quantity
) -> Sequence[RowResult]:
    """Keep the order, but of the grid only the best over all base LRs."""
    if max_grid_rows is None:
        return rows
    grid = [row for row in rows if row.kind == "grid"]
    grid.sort(key=lambda row: rank(row, main), reverse=True)
    kept = {row.label for row in grid[:max_grid_rows]}
    return [row for row in rows if row.kind != "grid" or row.label in kept]

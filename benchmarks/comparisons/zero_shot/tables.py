"""The tables of a zero-shot comparison, as plain text cells."""

from __future__ import annotations

import math
from collections import Counter

from l2o.benchmarks.comparisons.claims import DEFAULT, MISJUDGED, show_figure
from l2o.benchmarks.comparisons.zero_shot.result_models import ContenderResult, ZeroShotResults
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.tables import (
    UNKNOWN,
    Table,
    Tables,
    counted,
    factor_columns,
    in_unit,
)

VERDICTS = {True: "yes", False: "no", None: "too few tasks"}


def tables(results: ZeroShotResults) -> Tables:
    """Return the tables of the report; in a terminal with fewer columns."""
    claims, rows, families, cost = (
        make(results) for make in (claims_table, rows_table, families_table, cost_table)
    )
    narrow = [
        claims.narrow("claim", "value", "must", "holds"),
        rows.narrow("", "fine-tunes", "default", "mean", "at chance"),
        families.narrow("family", "default", "mean", "tuned", "oracle"),
    ]
    details = [populations_table(results), *by_factor_tables(results), chosen_table(results)]
    return Tables([claims, rows, families, cost], [*narrow, cost], details)


def claims_table(results: ZeroShotResults) -> Table:
    """Return each claim with what it must show, and whether it does."""
    return Table.of(
        "Claims",
        results.figures,
        {
            "claim": lambda figure: figure.figure,
            "value": show_figure,
            "must": lambda figure: figure.must or UNKNOWN,
            "holds": lambda figure: VERDICTS[figure.holds],
            "goal": lambda figure: figure.goal or UNKNOWN,
            "reached": lambda figure: VERDICTS[figure.reaches_goal],
        },
        strong=lambda figure: bool(figure.holds),
    )


def rows_table(results: ZeroShotResults) -> Table:
    """Return every contender over all families, best first within its kind."""
    unit = results.main

    def gain(row: ContenderResult, setting: str) -> str:
        return in_unit(unit, row.against.get(setting), signed=True)

    def improvement(row: ContenderResult) -> str:
        found = row.against.get(MISJUDGED)
        return _known(found.improvement if found is not None and found.is_known else None, ".2f")

    return Table.of(
        "All contenders",
        ordered(results),
        {
            "": lambda row: row.label,
            "fine-tunes": lambda row: str(row.fine_tunes_per_task),
            "default": lambda row: in_unit(unit, row.default),
            "mean": lambda row: in_unit(unit, row.mean),
            "at chance": lambda row: counted(row.at_chance, row.fine_tunes),
            "diverged": lambda row: counted(row.diverged, row.fine_tunes),
            "policy − it, default": lambda row: gain(row, DEFAULT),
            "policy − it, mean": lambda row: gain(row, MISJUDGED),
            "P(better)": improvement,
        },
        strong=lambda row: row.kind in ("policy", "lite"),
    )


def families_table(results: ZeroShotResults) -> Table:
    """Return the policy and its strongest rivals on each family."""
    by_kind, unit = {row.kind: row for row in results.rows}, results.main
    policy = by_kind["policy"].families
    tuned, oracle = (by_kind[kind].families for kind in ("source_validation", "target_accuracy"))
    best = {name: best_untuned(results, name) for name in results.families}
    titles = {name: name + " (unseen)" * each.unseen for name, each in results.families.items()}

    def of_best(name: str) -> str:
        found = best[name]
        return UNKNOWN if found is None else in_unit(unit, found.families[name].mean)

    return Table.of(
        "By family",
        results.families,
        {
            "family": titles.__getitem__,
            "default": lambda name: in_unit(unit, policy[name].default),
            "mean": lambda name: in_unit(unit, policy[name].mean),
            "tuned": lambda name: in_unit(unit, tuned[name].default),
            "oracle": lambda name: in_unit(unit, oracle[name].default),
            "best untuned": of_best,
            "chosen": lambda name: getattr(best[name], "label", UNKNOWN),
        },
    )


def cost_table(results: ZeroShotResults) -> Table:
    """Return what it costs to get there."""
    cost, label = results.cost, results.policies[0].label
    saves_nothing = cost.training is not None and cost.amortised_after is None
    body = [
        (f"{label}, at use", _count(cost.at_use)),
        (f"tuning the grid of {results.counts.grid_points} points", _count(cost.tuning)),
        (f"learning {label}, once (its card)", _count(cost.training)),
        (
            "tasks after which the learning has paid off",
            "never" if saves_nothing else _count(cost.amortised_after),
        ),
    ]
    return Table("Cost, in fine-tunes", ("", "fine-tunes"), body)


def populations_table(results: ZeroShotResults) -> Table:
    """Return over what each claim's figure is."""
    return Table.of(
        "Populations of the claims",
        results.figures,
        {
            "claim": lambda figure: figure.figure,
            "population": lambda figure: figure.population,
            "plain mean": lambda figure: _known(figure.mean, "+.1f"),
            "tasks better": lambda figure: _known(figure.tasks_better, ""),
            "P(better)": lambda figure: _known(figure.improvement, ".2f"),
        },
    )


def by_factor_tables(results: ZeroShotResults) -> list[Table]:
    """Return the main score by base LR, a table per family, of rows that were run at all."""

    def table(name: str) -> Table:
        def at(factor: float, row: ContenderResult) -> str:
            found = {each.factor: each.score for each in row.families[name].by_factor}
            return in_unit(results.main, found.get(factor))

        return Table.of(
            f"{results.main.words.capitalize()} by base learning rate: {name}",
            [row for row in ordered(results) if row.families[name].by_factor],
            {"": lambda row: row.label}
            | factor_columns(sorted(results.counts.base_lr_factors), at),
        )

    return [table(name) for name in results.families]


def chosen_table(results: ZeroShotResults) -> Table:
    """Return what tuning chose, and for how many tasks."""
    body = []
    for row in results.rows:
        for name, family in row.families.items():
            picked = Counter((pick.label, pick.factor) for pick in family.chosen)
            body += [
                (row.label, name, f"{label}, base LR × {show_factor(factor)}", str(count))
                for (label, factor), count in picked.most_common()
            ]
    return Table("What tuning chose", ("tuned", "family", "chosen", "tasks"), body)


def ordered(results: ZeroShotResults) -> list[ContenderResult]:
    """Return policies first, then the tuned grid, then what is untuned, best first."""
    tuned = ("source_validation", "target_accuracy", "cross_fitted", "other_tasks")
    kinds = ("policy", "lite", *tuned)
    named = [row for kind in kinds for row in results.rows if row.kind == kind]
    rest = [row for row in results.rows if row.kind not in kinds]
    return named + sorted(rest, key=lambda row: results.main.worth(row.mean), reverse=True)


def best_untuned(results: ZeroShotResults, family: str) -> ContenderResult | None:
    """Return the untuned rival with the best mean over base LRs on a family, in hindsight."""

    def worth(row: ContenderResult) -> float:
        return results.main.worth(row.families[family].mean)

    rivals = [row for row in results.rows if row.kind in ("schedule", "rival")]
    best = max(rivals, key=worth, default=None)
    return None if best is None or worth(best) == -math.inf else best


def _known(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else format(value, form)


def _count(count: int | None) -> str:
    return "not in its card" if count is None else f"{count:,}"

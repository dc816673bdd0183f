"""The tables of a zero-shot comparison, as plain text cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from l2o.benchmarks.comparisons.claims import DEFAULT, MISJUDGED, show_figure
from l2o.benchmarks.comparisons.table.result_models import value_of
from l2o.benchmarks.comparisons.zero_shot.result_models import ContenderResult, ZeroShotResults
from l2o.benchmarks.report.factors import show_factor
from l2o.benchmarks.report.tables import UNKNOWN, Table, counted, in_unit, points, present
from l2o.benchmarks.statistics import Difference

VERDICTS = {True: "yes", False: "no", None: "too few tasks"}


def main_tables(results: ZeroShotResults) -> list[Table]:
    """Return the tables at the top of the report."""
    claimed = [claims_table(results)] if results.figures else []
    return [*claimed, rows_table(results), families_table(results), cost_table(results)]


def terminal_tables(results: ZeroShotResults) -> list[Table]:
    """Return the same with fewer columns, for 100 characters a line."""
    claimed = claims_table(results).narrow("claim", "value", "must", "holds")
    return [
        *([claimed] if results.figures else []),
        rows_table(results).narrow("", "fine-tunes", "default", "mean", "at chance"),
        families_table(results).narrow("family", "default", "mean", "tuned", "oracle"),
        cost_table(results),
    ]


def detail_tables(results: ZeroShotResults) -> list[Table]:
    """Return the tables after the figures."""
    return present(populations_table(results), *by_factor_tables(results), chosen_table(results))


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
        f"Differences are interquartile mean minus interquartile mean of {results.main.words}, in "
        "percentage points, with 95 % intervals from tasks resampled within each family. The "
        "best untuned schedule is the one that is hardest to beat, named in hindsight.",
        lambda figure: bool(figure.holds),
    )


def rows_table(results: ZeroShotResults) -> Table:
    """Return every contender over all families, best first within its kind."""
    unit = results.main
    return Table.of(
        "All contenders",
        ordered(results.rows),
        {
            "": lambda row: row.label,
            "fine-tunes": lambda row: str(row.fine_tunes_per_task),
            "default": lambda row: in_unit(unit, row.default),
            "mean": lambda row: in_unit(unit, row.mean),
            "at chance": lambda row: counted(row.at_chance, row.fine_tunes),
            "diverged": lambda row: counted(row.diverged, row.fine_tunes),
            "policy − it, default": lambda row: points(row.against.get(DEFAULT)),
            "policy − it, mean": lambda row: points(row.against.get(MISJUDGED)),
            "P(better)": lambda row: _improvement(row.against.get(MISJUDGED)),
        },
        "Over all families, at the default base LR and in the mean over base LRs. Fine-tunes: what "
        "it takes to get there on one task. The last columns of the report compare the policy with "
        "each row on the same tasks; P(better) is in the mean over base LRs.",
        lambda row: row.kind in ("policy", "lite"),
    )


def families_table(results: ZeroShotResults) -> Table:
    """Return the policy and its strongest rivals on each family."""
    by_kind, unit = {row.kind: row for row in results.rows}, results.main
    policy = by_kind["policy"].families
    tuned, oracle = (by_kind[kind].families for kind in ("source_validation", "target_accuracy"))
    best = {name: best_untuned(results.rows, name) for name in results.families}
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
        f"{unit.words.capitalize()} of {by_kind['policy'].label} at the default base LR and in the "
        f"mean over base LRs; of the grid tuned by source validation, and by {unit.words}; of the "
        "best untuned rival in the mean over base LRs, each family's own, named in hindsight.",
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
    return Table("Cost, in fine-tunes", ("", "fine-tunes"), body, "On one task.")


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
        "Plain mean of the paired differences, in points, beside the interquartile one above.",
    )


def by_factor_tables(results: ZeroShotResults) -> list[Table]:
    """Return the main score by base LR, a table per family."""
    factors = sorted(results.counts.base_lr_factors)
    columns = ("", *(f"× {show_factor(factor)}" for factor in factors))
    title = f"{results.main.words.capitalize()} by base learning rate"
    tables = []
    for name in results.families:
        body = [
            (row.label, *(in_unit(results.main, at.score) for at in row.families[name].by_factor))
            for row in ordered(results.rows)
            if row.families[name].by_factor
        ]
        tables.append(Table(f"{title}: {name}", columns, body))
    return tables


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


def ordered(rows: Sequence[ContenderResult]) -> list[ContenderResult]:
    """Return policies first, then the tuned grid, then what is untuned, best first."""
    tuned = ("source_validation", "target_accuracy", "cross_fitted", "other_tasks")
    kinds = ("policy", "lite", *tuned)
    named = [row for kind in kinds for row in rows if row.kind == kind]
    rest = [row for row in rows if row.kind not in kinds]
    return named + sorted(rest, key=lambda row: value_of(row.mean), reverse=True)


def best_untuned(rows: Sequence[ContenderResult], family: str) -> ContenderResult | None:
    """Return the untuned rival with the highest mean over base LRs on a family, in hindsight."""
    found = {
        row.label: (row.families[family].mean, row)
        for row in rows
        if row.kind in ("schedule", "rival")
    }
    known = [(mean.value, row) for mean, row in found.values() if mean and mean.is_known]
    return max(known, key=lambda pair: pair[0], default=(0.0, None))[1]


def _improvement(found: Difference | None) -> str:
    return _known(found.improvement if found is not None and found.is_known else None, ".2f")


def _known(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else format(value, form)


def _count(count: int | None) -> str:
    return "not in its card" if count is None else f"{count:,}"

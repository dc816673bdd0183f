"""From records to the results of a table: the numbers that reports and figures show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.cells.quantities import QUANTITIES, SHOWN, TARGET, Quantity, is_at_chance
from l2o.benchmarks.cells.record import Failure, Record, finite
from l2o.benchmarks.cells.target_measures import ENERGIES
from l2o.benchmarks.comparisons.results_file import Bootstrap
from l2o.benchmarks.comparisons.table import result_models as models
from l2o.benchmarks.comparisons.table.differences import (
    check_orders,
    compare_policies,
    headline_figures,
    tune,
)
from l2o.benchmarks.comparisons.table.matrices import RowScores, gather
from l2o.benchmarks.comparisons.table.plan import Plan
from l2o.benchmarks.comparisons.table.published import compare_with_published
from l2o.benchmarks.comparisons.table.selection import selected_scores
from l2o.benchmarks.statistics import complete, estimate

if TYPE_CHECKING:
    from l2o.configs.schema import BenchmarkConfig


def summarise(
    config: BenchmarkConfig, plan: Plan, records: Mapping[str, Record], workers: int
) -> models.TableResults:
    """Return the content of `results.json`.

    Args:
        config: the benchmark.
        plan: its rows.
        records: by cell id; missing or failed ones are counted and left out.
        workers: processes the cells ran in.
    """
    scores = [gather(row, records) for row in plan.rows]
    resamples = config.bootstrap
    tuned = tune(scores, resamples)
    policies = compare_policies(scores, tuned, resamples)
    orders = check_orders(config.claims, scores, resamples)
    good = good_of(plan, records)
    main = main_of(good)
    if good:
        main = main.model_copy(update={"chance": good[0].chance})
    return models.TableResults(
        title=config.title,
        task=config.task,
        counts=models.TableCounts(
            rows=len(plan.rows),
            tasks=config.tasks,
            seeds=config.seeds,
            base_lr_factors=config.base_lr_factors,
            fine_tunes=len(good),
            planned=len(plan.cells),
            diverged=sum(record.diverged for record in good),
            at_chance=sum(map(is_at_chance, good)),
        ),
        seconds=round(sum(record.seconds for record in good), 1),
        main=main,
        machine=machine_facts(workers),
        bootstrap=Bootstrap(resamples=resamples),
        rows=tuple(summarise_row(row, resamples) for row in scores),
        tuned=tuple(entry.result for entry in tuned),
        policies=tuple(policies),
        claims=tuple(orders),
        published=tuple(compare_with_published(scores, resamples)),
        figures=tuple(headline_figures(config.claims, orders, policies, main)),
        failures=tuple(list_failures(plan, records)),
    )


def summarise_row(scores: RowScores, resamples: int) -> models.RowResult:
    """Return one row: at the default base LR, over all base LRs, and at each."""
    row, factors = scores.row, scores.factors
    default = scores.default_factor
    at_default = [record for factor, record in scores.records if factor == default]
    classes = zip(*(r.class_accuracy for r in at_default if r.class_accuracy), strict=False)
    return models.RowResult(
        label=row.label,
        kind=row.kind,
        schedule=row.schedule,
        profile=row.profile,
        optimizer=row.optimizer,
        early_stopping=row.early_stopping,
        guidance=row.guidance,
        **vars(_health([record for _, record in scores.records])),
        missing=len(row.cells) - len(scores.records),
        default=_block(scores, (default,), resamples, (*SHOWN, *ENERGIES)),
        misjudged=_block(scores, factors, resamples),
        by_factor=tuple(
            models.AtFactor(
                **vars(_block(scores, (factor,), resamples)),
                **vars(_health([record for at, record in scores.records if at == factor])),
            )
            for factor in factors
        ),
        class_accuracy=tuple(
            finite(_average([a for a in accuracies if a is not None])) for accuracies in classes
        ),
        selected=selected_scores(scores, resamples),
        base_lr=row.cells[0].base_lr,
        # Where the base LR is fixed, one fine-tune stands for all factors.
        cells=tuple(dict.fromkeys(cell.id for cell in row.cells)),
    )


def good_of(plan: Plan, records: Mapping[str, Record]) -> list[Record]:
    """Return the records that are there and not of a failure, in the order of the cells."""
    present = [records[cell.id] for cell in plan.cells if cell.id in records]
    return [record for record in present if record.error is None]


def main_of(good: Sequence[Record]) -> Quantity:
    """Return what rows are ranked by: the main metric of the objective, on the target."""
    return QUANTITIES[TARGET].named(good[0]) if good else QUANTITIES[TARGET]


def list_failures(plan: Plan, records: Mapping[str, Record]) -> list[Failure]:
    """List what went wrong, and what was never run."""
    errors = [
        (cell.id, row.label, records[cell.id].error if cell.id in records else "not run")
        for row in plan.rows
        for cell in row.cells
    ]
    return [Failure(id=id, label=label, error=error) for id, label, error in errors if error]


def _block(
    scores: RowScores, factors: tuple[float, ...], resamples: int, quantities: Sequence[str] = SHOWN
) -> models.Block:
    matrices = {name: scores.over(factors, name) for name in quantities}
    (kept,) = complete(matrices[TARGET])
    return models.Block(
        factors=factors,
        scores={name: estimate(each, resamples=resamples) for name, each in matrices.items()},
        plain_mean=finite(float(kept.mean())) if kept.size else None,
    )


def _health(records: Sequence[Record]) -> models.Health:
    return models.Health(
        fine_tunes=len(records),
        diverged=sum(record.diverged for record in records),
        at_chance=sum(map(is_at_chance, records)),
        seconds_each=finite(_average([record.seconds for record in records]), 3),
    )


def _average(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else math.nan

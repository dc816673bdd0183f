"""From records to `results.json`: the numbers that reports and figures show."""

from __future__ import annotations

import math
from typing import Any

from l2o.benchmarks.cells.cell import Record, finite
from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.cells.target_measures import ENERGIES
from l2o.benchmarks.comparisons.results_file import FORMAT
from l2o.benchmarks.comparisons.table.comparison import check_claims, compare_policies
from l2o.benchmarks.comparisons.table.plan import Plan
from l2o.benchmarks.comparisons.table.score_matrices import RowScores, gather
from l2o.benchmarks.comparisons.table.tuning import tune
from l2o.benchmarks.report.headline import headline_figures
from l2o.benchmarks.report.published import compare_with_published
from l2o.benchmarks.statistics import Matrix, complete, estimate
from l2o.configs.schema import BenchmarkConfig

ACCURACIES = ("target_accuracy", "proxy_accuracy", "source_accuracy")
NEAR_CHANCE = 1.5
"""A run whose target accuracy is at most this many times chance counts as at chance."""


def summarise(
    config: BenchmarkConfig, plan: Plan, records: dict[str, Record], workers: int
) -> dict[str, Any]:
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
    claims = check_claims(config.claims, scores, resamples)
    present = [records[cell.id] for cell in plan.cells if cell.id in records]
    good = [record for record in present if record["error"] is None]
    return {
        "format": FORMAT,
        "title": config.title,
        "task": config.task.model_dump(mode="json"),
        "counts": _counts(config, plan, good),
        "seconds": round(sum(record["seconds"] for record in good), 1),
        "chance": good[0]["chance"] if good else None,
        "machine": machine_facts(workers),
        "bootstrap": {"resamples": resamples, "level": 0.95},
        "rows": [summarise_row(row, resamples) for row in scores],
        "tuned": [entry.to_json() for entry in tuned],
        "policies": policies,
        "claims": claims,
        "published": compare_with_published(scores, resamples),
        "figures": headline_figures(policies, claims, tuned),
        "failures": list_failures(plan, records),
    }


def summarise_row(scores: RowScores, resamples: int) -> dict[str, Any]:
    """Return one row: at the default base LR, over all base LRs, and at each."""
    row, factors = scores.row, scores.factors
    default = scores.default_factor
    return {
        "label": row.label,
        "kind": row.kind,
        "schedule": row.schedule,
        "profile": row.profile,
        "optimizer": row.optimizer,
        "early_stopping": row.early_stopping,
        "guidance": list(row.guidance),
        **_health(scores.records),
        "missing": len(row.cells) - len(scores.records),
        "default": {"factor": default}
        | _block(scores, (default,), resamples)
        | _diversity(scores, default, resamples),
        "misjudged": {"factors": list(factors)} | _block(scores, factors, resamples),
        "by_factor": [
            {"factor": factor}
            | _block(scores, (factor,), resamples)
            | _health(tuple(r for r in scores.records if r["base_lr_factor"] == factor))
            for factor in factors
        ],
        "base_lr": row.cells[0].base_lr,
        # Where the base LR is fixed, one fine-tune stands for all factors.
        "cells": list(dict.fromkeys(cell.id for cell in row.cells)),
    }


def _block(scores: RowScores, factors: tuple[float, ...], resamples: int) -> dict[str, Any]:
    matrices = {metric: scores.over(factors, metric) for metric in ACCURACIES}
    block: dict[str, Any] = {
        metric: estimate(matrix, resamples=resamples).to_json()
        for metric, matrix in matrices.items()
    }
    block["mean_target_accuracy"] = _plain_mean(matrices["target_accuracy"])
    return block


def _diversity(scores: RowScores, factor: float, resamples: int) -> dict[str, Any]:
    """Return energies and mean class accuracies; null where nobody has measured them."""
    block: dict[str, Any] = {
        metric: estimate(scores.at(factor, metric), resamples=resamples).to_json()
        for metric in ENERGIES
    }
    records = [r for r in scores.records if r["base_lr_factor"] == factor]
    every = [r["class_accuracy"] for r in records if r.get("class_accuracy")]
    block["class_accuracy"] = [
        finite(_average([a for a in accuracies if a is not None])) for accuracies in zip(*every)
    ]
    return block


def _plain_mean(matrix: Matrix) -> float | None:
    (kept,) = complete(matrix)
    return finite(float(kept.mean())) if kept.size else None


def _health(records: tuple[Record, ...]) -> dict[str, Any]:
    return {
        "fine_tunes": len(records),
        "diverged": sum(record["diverged"] for record in records),
        "at_chance": sum(map(is_at_chance, records)),
        "seconds_each": finite(_average([record["seconds"] for record in records]), 3),
    }


def is_at_chance(record: Record) -> bool:
    """Tell whether a fine-tune ended no better than guessing, or nearly so."""
    accuracy = record["target_accuracy"]
    return bool(accuracy is None or accuracy <= NEAR_CHANCE * record["chance"])


def _average(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else math.nan


def _counts(config: BenchmarkConfig, plan: Plan, good: list[Record]) -> dict[str, Any]:
    return {
        "rows": len(plan.rows),
        "tasks": config.tasks,
        "seeds": config.seeds,
        "base_lr_factors": list(config.base_lr_factors),
        "fine_tunes": len(good),
        "planned": len(plan.cells),
        "diverged": sum(record["diverged"] for record in good),
        "at_chance": sum(map(is_at_chance, good)),
    }


def list_failures(plan: Plan, records: dict[str, Record]) -> list[dict[str, Any]]:
    """List what went wrong, and what was never run."""
    failures = []
    for row in plan.rows:
        for cell in row.cells:
            error = records[cell.id]["error"] if cell.id in records else "not run"
            if error is not None:
                failures.append({"id": cell.id, "label": row.label, "error": error})
    return failures

"""From the families' records to the `results.json` of the whole comparison."""

from __future__ import annotations

from typing import Any

from l2o.benchmarks.cells.cell import Record, finite
from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.comparisons.results_file import FORMAT
from l2o.benchmarks.comparisons.table.comparison import DEFAULT, MISJUDGED
from l2o.benchmarks.comparisons.table.plan import LEARNED, Plan, fingerprint
from l2o.benchmarks.comparisons.table.summary import list_failures
from l2o.benchmarks.comparisons.zero_shot.bootstrap import (
    LEVEL,
    Strata,
    estimate,
    interquartile_mean,
)
from l2o.benchmarks.comparisons.zero_shot.claims import check_claims, compare_in
from l2o.benchmarks.comparisons.zero_shot.cost import count_cost
from l2o.benchmarks.comparisons.zero_shot.plan import LITE, contender_label, task_of
from l2o.benchmarks.comparisons.zero_shot.scores import Contender, Scores, gather_contenders
from l2o.benchmarks.statistics import Array
from l2o.configs.zero_shot import ZeroShotConfig

KIND = "zero_shot"
"""What `kind` of a results.json says, so that a report knows how to read it."""
Families = dict[str, tuple[Plan, dict[str, Record]]]


def summarise(config: ZeroShotConfig, families: Families, workers: int) -> dict[str, Any]:
    """Return the content of `results.json`.

    Args:
        config: the comparison.
        families: of each, the plan of its benchmark and the records by cell id.
        workers: processes the fine-tunes ran in.
    """
    contenders = gather_contenders(config, families)
    policy = contenders[0]
    tuning = _tuning_cost(contenders)
    unseen = [name for name, family in config.families.items() if family.unseen]
    return {
        "format": FORMAT,
        "kind": KIND,
        "title": config.title,
        "policies": _policies(config),
        "counts": _counts(config, families, contenders),
        "seconds": _seconds(families),
        "machine": machine_facts(workers),
        "bootstrap": {"resamples": config.bootstrap, "level": LEVEL},
        "families": {name: _family(config, name, *families[name]) for name in families},
        "cost": count_cost(config.policy, policy.fine_tunes, tuning),
        "figures": check_claims(contenders, unseen, policy.fine_tunes, config.bootstrap),
        "rows": [_row(config, contender, policy) for contender in contenders],
        "failures": [
            failure | {"label": f"{name}: {failure['label']}"}
            for name, (plan, records) in families.items()
            for failure in list_failures(plan, records)
        ],
    }


def _policies(config: ZeroShotConfig) -> list[dict[str, Any]]:
    named = {LEARNED: config.policy} | ({} if config.lite is None else {LITE: config.lite})
    return [
        {"label": contender_label(config, label), "fingerprint": fingerprint(policy)}
        for label, policy in named.items()
    ]


def _family(
    config: ZeroShotConfig, name: str, plan: Plan, records: dict[str, Record]
) -> dict[str, Any]:
    family = config.families[name]
    good = _good(plan, records)
    own = [record for record in good if record["id"] in {cell.id for cell in plan.rows[0].cells}]
    return {
        "unseen": family.unseen,
        "task": task_of(family).model_dump(mode="json"),
        "optimizer": family.finetuning.optimizer.model_dump(mode="json"),
        "chance": sorted({record["chance"] for record in good}),
        "steps": sorted({record["steps"] for record in good}),
        "default_base_lr": sorted({_default_base_lr(record) for record in own}),
        "fine_tunes": len(good),
        "planned": len(plan.cells),
    }


def _default_base_lr(record: Record) -> float:
    return float(f"{record['learning_rates']['base_lr'] / record['base_lr_factor']:.6g}")


def _row(config: ZeroShotConfig, contender: Contender, policy: Contender) -> dict[str, Any]:
    families, resamples = list(contender.families), config.bootstrap
    own = contender.families.values()
    row = {
        "label": contender.label,
        "kind": contender.kind,
        "fine_tunes_per_task": contender.fine_tunes,
        "default": _estimate(contender.default(families), resamples),
        "mean": _estimate(contender.mean(families), resamples),
        "fine_tunes": sum(scores.fine_tunes for scores in own),
        "at_chance": sum(scores.at_chance for scores in own),
        "diverged": sum(scores.diverged for scores in own),
        "families": {
            name: _scores(config, scores, resamples) for name, scores in contender.families.items()
        },
    }
    if contender is not policy:
        row["against"] = {
            setting: compare_in(setting, policy, contender, families, resamples).to_json()
            for setting in (DEFAULT, MISJUDGED)
        }
    return row


def _scores(config: ZeroShotConfig, scores: Scores, resamples: int) -> dict[str, Any]:
    by_factor = []
    if scores.by_factor is not None and len(scores.by_factor) == len(config.base_lr_factors):
        by_factor = [
            {"factor": factor} | (_estimate([found], resamples) or {})
            for factor, found in zip(sorted(config.base_lr_factors), scores.by_factor)
        ]
    return {
        "default": _estimate([scores.default], resamples),
        "mean": None if scores.mean is None else _estimate([scores.mean], resamples),
        "by_factor": by_factor,
        "scores": {
            "default": _numbers(scores.default),
            "mean": None if scores.mean is None else _numbers(scores.mean),
        },
        "chosen": list(scores.chosen),
    }


def _estimate(strata: Strata | None, resamples: int) -> dict[str, Any] | None:
    if strata is None:
        return None
    return estimate(strata, interquartile_mean, resamples).to_json()


def _numbers(scores: Array) -> list[list[float | None]]:
    """Return scores `[tasks, runs]` as JSON data."""
    return [[finite(score) for score in runs] for runs in scores.tolist()]


def _counts(
    config: ZeroShotConfig, families: Families, contenders: list[Contender]
) -> dict[str, Any]:
    good = [record for name in families for record in _good(*families[name])]
    return {
        "families": len(families),
        "rows": len(contenders),
        "tasks": config.tasks,
        "seeds": config.seeds,
        "base_lr_factors": list(config.base_lr_factors),
        "grid_points": _tuning_cost(contenders) // config.seeds,
        "fine_tunes": len(good),
        "planned": sum(len(plan.cells) for plan, _ in families.values()),
    }


def _tuning_cost(contenders: list[Contender]) -> int:
    """Return the fine-tunes that tuning the grid takes on one task."""
    return next(each.fine_tunes for each in contenders if each.kind == "source_validation")


def _good(plan: Plan, records: dict[str, Record]) -> list[Record]:
    present = [records[cell.id] for cell in plan.cells if cell.id in records]
    return [record for record in present if record["error"] is None]


def _seconds(families: Families) -> float:
    return round(sum(r["seconds"] for name in families for r in _good(*families[name])), 1)

"""From the families' records to the results of the whole comparison."""

from __future__ import annotations

from collections.abc import Mapping

from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.cells.quantities import QUANTITIES, TARGET
from l2o.benchmarks.cells.record import Record, finite
from l2o.benchmarks.comparisons.claims import DEFAULT, MISJUDGED
from l2o.benchmarks.comparisons.results_file import Bootstrap
from l2o.benchmarks.comparisons.table.plan import LEARNED, Plan, fingerprint
from l2o.benchmarks.comparisons.table.summary import good_of, list_failures
from l2o.benchmarks.comparisons.zero_shot.claims import check_claims, compare_in
from l2o.benchmarks.comparisons.zero_shot.contenders import (
    Contender,
    Families,
    FamilyScores,
    gather_contenders,
)
from l2o.benchmarks.comparisons.zero_shot.cost import count_cost
from l2o.benchmarks.comparisons.zero_shot.plan import LITE, contender_label, task_of
from l2o.benchmarks.comparisons.zero_shot.result_models import (
    AtFactor,
    ContenderResult,
    Family,
    FamilyResult,
    Numbers,
    Policy,
    ZeroShotCounts,
    ZeroShotResults,
)
from l2o.benchmarks.statistics import TASKS, Estimate, Matrix, Strata, estimate
from l2o.configs.zero_shot import ZeroShotConfig


def summarise(config: ZeroShotConfig, families: Families, workers: int) -> ZeroShotResults:
    """Return the content of `results.json`.

    Args:
        config: the comparison.
        families: of each, the plan of its benchmark and the records by cell id.
        workers: processes the fine-tunes ran in.
    """
    contenders = gather_contenders(config, families)
    policy = contenders[0]
    tuning = next(each.fine_tunes for each in contenders if each.kind == "source_validation")
    unseen = [name for name, family in config.families.items() if family.unseen]
    good = [record for name in families for record in good_of(*families[name])]
    return ZeroShotResults(
        title=config.title,
        main=QUANTITIES[TARGET],
        policies=tuple(_policies(config)),
        counts=ZeroShotCounts(
            families=len(families),
            rows=len(contenders),
            tasks=config.tasks,
            seeds=config.seeds,
            base_lr_factors=config.base_lr_factors,
            grid_points=tuning // config.seeds,
            fine_tunes=len(good),
            planned=sum(len(plan.cells) for plan, _ in families.values()),
        ),
        seconds=round(sum(record.seconds for record in good), 1),
        machine=machine_facts(workers),
        bootstrap=Bootstrap(resamples=config.bootstrap),
        families={name: _family(config, name, *families[name]) for name in families},
        cost=count_cost(config.policy, policy.fine_tunes, tuning),
        figures=tuple(check_claims(config.claims, contenders, unseen, config.bootstrap)),
        rows=tuple(_row(config, contender, policy) for contender in contenders),
        failures=tuple(
            failure.model_copy(update={"label": f"{name}: {failure.label}"})
            for name, (plan, records) in families.items()
            for failure in list_failures(plan, records)
        ),
    )


def _policies(config: ZeroShotConfig) -> list[Policy]:
    named = {LEARNED: config.policy} | ({} if config.lite is None else {LITE: config.lite})
    return [
        Policy(label=contender_label(config, label), fingerprint=fingerprint(policy))
        for label, policy in named.items()
    ]


def _family(config: ZeroShotConfig, name: str, plan: Plan, records: Mapping[str, Record]) -> Family:
    family, good = config.families[name], good_of(plan, records)
    own = {cell.id for cell in plan.rows[0].cells}
    rates = {_default_base_lr(record) for record in good if record.id in own}
    return Family(
        unseen=family.unseen,
        task=task_of(family),
        optimizer=family.finetuning.optimizer,
        chance=tuple(sorted({record.chance for record in good if record.chance is not None})),
        steps=tuple(sorted({record.steps for record in good})),
        default_base_lr=tuple(sorted(rates)),
        fine_tunes=len(good),
        planned=len(plan.cells),
    )


def _default_base_lr(record: Record) -> float:
    return float(f"{record.rates.base_lr / record.base_lr_factor:.6g}")


def _row(config: ZeroShotConfig, contender: Contender, policy: Contender) -> ContenderResult:
    families, resamples = list(contender.families), config.bootstrap
    own = contender.families.values()
    settings = () if contender is policy else (DEFAULT, MISJUDGED)
    mean = contender.mean(families)
    return ContenderResult(
        label=contender.label,
        kind=contender.kind,
        fine_tunes_per_task=contender.fine_tunes,
        default=_estimate(contender.default(families), resamples),
        mean=None if mean is None else _estimate(mean, resamples),
        fine_tunes=sum(len(scores.records) for scores in own),
        at_chance=sum(scores.at_chance for scores in own),
        diverged=sum(scores.diverged for scores in own),
        families={name: _on_family(config, each) for name, each in contender.families.items()},
        against={
            setting: compare_in(setting, policy, contender, families, resamples)
            for setting in settings
        },
    )


def _on_family(config: ZeroShotConfig, scores: FamilyScores) -> FamilyResult:
    untuned, factors = scores.untuned, sorted(config.base_lr_factors)
    everywhere = untuned is not None and list(untuned.factors) == factors
    return FamilyResult(
        default=_estimate([scores.default], config.bootstrap),
        mean=None if scores.mean is None else _estimate([scores.mean], config.bootstrap),
        by_factor=tuple(
            AtFactor(factor=factor, score=_estimate([untuned.at(factor)], config.bootstrap))
            for factor in (factors if everywhere else ())
            if untuned is not None
        ),
        scores_default=_numbers(scores.default),
        scores_mean=None if scores.mean is None else _numbers(scores.mean),
        chosen=scores.chosen,
    )


def _estimate(strata: Strata, resamples: int) -> Estimate:
    return estimate(strata, design=TASKS, resamples=resamples)


def _numbers(scores: Matrix) -> Numbers:
    return tuple(tuple(finite(score) for score in runs) for runs in scores.tolist())

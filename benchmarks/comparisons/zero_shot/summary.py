"""From the families' records to the results of the whole comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping

from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.cells.quantities import is_at_chance
from l2o.benchmarks.cells.record import Record, finite
from l2o.benchmarks.comparisons.claims import DEFAULT, MISJUDGED
from l2o.benchmarks.comparisons.results_file import Bootstrap
from l2o.benchmarks.comparisons.table.plan import LEARNED, Plan, fingerprint
from l2o.benchmarks.comparisons.table.summary import good_of, list_failures, main_of
from l2o.benchmarks.comparisons.zero_shot import result_models as models
from l2o.benchmarks.comparisons.zero_shot.claims import Contest
from l2o.benchmarks.comparisons.zero_shot.contenders import (
    Contender,
    Families,
    FamilyScores,
    gather_contenders,
)
from l2o.benchmarks.comparisons.zero_shot.plan import LITE, contender_label, task_of
from l2o.benchmarks.statistics import TASKS, Estimate, Matrix, Strata, estimate
from l2o.configs.zero_shot import ZeroShotConfig
from l2o.deciding.bundle import read_card
from l2o.deciding.by_name import find_rule


def summarise(config: ZeroShotConfig, families: Families, workers: int) -> models.ZeroShotResults:
    """Return the content of `results.json`.

    Args:
        config: the comparison.
        families: of each, the plan of its benchmark and the records by cell id.
        workers: processes the fine-tunes ran in.
    """
    good = [record for name in families for record in good_of(*families[name])]
    contest = Contest(gather_contenders(config, families), main_of(good), config.bootstrap)
    contenders = contest.contenders
    tuning = next(each.fine_tunes for each in contenders if each.kind == "source_validation")
    unseen = [name for name, family in config.families.items() if family.unseen]
    return models.ZeroShotResults(
        title=config.title,
        main=contest.main,
        policies=tuple(_policies(config)),
        counts=models.ZeroShotCounts(
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
        cost=count_cost(config.policy, contenders[0].fine_tunes, tuning),
        figures=tuple(figure for c in config.claims for figure in contest.check(c, unseen)),
        rows=tuple(_row(config, contest, contender) for contender in contenders),
        failures=tuple(
            failure.model_copy(update={"label": f"{name}: {failure.label}"})
            for name, (plan, records) in families.items()
            for failure in list_failures(plan, records)
        ),
    )


def count_cost(policy: str, at_use: int, tuning: int) -> models.Cost:
    """Return what it costs to get there, and after how many tasks training has paid off.

    Args:
        policy: the policy, as a config names it.
        at_use: fine-tunes that the policy takes on one task.
        tuning: fine-tunes that tuning the grid takes on one task.
    """
    training, saved = training_cost(policy), tuning - at_use
    paid = math.ceil(training / saved) if training is not None and saved > 0 else None
    return models.Cost(at_use=at_use, tuning=tuning, training=training, amortised_after=paid)


def training_cost(policy: str) -> int | None:
    """Return the fine-tunes that learning a policy took, by its card; None where it says none.

    A shipped one's card tells those of the whole run, from which the policy was chosen, and those
    of the policy it imitated.

    Example:
        >>> training_cost("asg-base") > 1000
        True
    """
    if ":" in policy:
        return None
    told = {} if find_rule(policy) else dict(read_card(policy).get("trained_on") or {})
    fine_tunes = told.get("fine_tunes_of_the_run", told.get("fine_tunes"))
    if fine_tunes is None:
        return None
    return int(fine_tunes) + int(told.get("fine_tunes_of_the_teacher", 0))


def _policies(config: ZeroShotConfig) -> list[models.Policy]:
    named = {LEARNED: config.policy} | ({} if config.lite is None else {LITE: config.lite})
    return [
        models.Policy(label=contender_label(config, label), fingerprint=fingerprint(policy))
        for label, policy in named.items()
    ]


def _family(
    config: ZeroShotConfig, name: str, plan: Plan, records: Mapping[str, Record]
) -> models.Family:
    family, good = config.families[name], good_of(plan, records)
    own = {cell.id for cell in plan.rows[0].cells}
    rates = {
        float(f"{record.rates.base_lr / record.base_lr_factor:.6g}")
        for record in good
        if record.id in own
    }
    return models.Family(
        unseen=family.unseen,
        task=task_of(family),
        optimizer=family.finetuning.optimizer,
        chance=tuple(sorted({record.chance for record in good if record.chance is not None})),
        steps=tuple(sorted({record.steps for record in good})),
        default_base_lr=tuple(sorted(rates)),
        fine_tunes=len(good),
        planned=len(plan.cells),
    )


def _row(config: ZeroShotConfig, contest: Contest, contender: Contender) -> models.ContenderResult:
    families, policy = list(contender.families), contest.contenders[0]
    default, mean = (
        None if scores is None else _estimate(scores, config.bootstrap)
        for scores in (contender.scores(setting, families) for setting in (DEFAULT, MISJUDGED))
    )
    return models.ContenderResult(
        label=contender.label,
        kind=contender.kind,
        fine_tunes_per_task=contender.fine_tunes,
        default=default or Estimate(),
        mean=mean,
        fine_tunes=len(contender.records),
        at_chance=sum(map(is_at_chance, contender.records)),
        diverged=sum(record.diverged for record in contender.records),
        families={name: _on_family(config, each) for name, each in contender.families.items()},
        against={
            setting: contest.compare(setting, policy, contender, families)
            for setting in (DEFAULT, MISJUDGED)
            if contender is not policy
        },
    )


def _on_family(config: ZeroShotConfig, scores: FamilyScores) -> models.FamilyResult:
    untuned, resamples = scores.untuned, config.bootstrap
    factors = untuned.factors if untuned is not None and scores.mean is not None else ()
    return models.FamilyResult(
        default=_estimate([scores.default], resamples),
        mean=None if scores.mean is None else _estimate([scores.mean], resamples),
        by_factor=tuple(
            models.AtFactor(factor=factor, score=_estimate([untuned.at(factor)], resamples))
            for factor in factors
            if untuned is not None
        ),
        scores_default=_numbers(scores.default),
        scores_mean=None if scores.mean is None else _numbers(scores.mean),
        chosen=scores.chosen,
    )


def _estimate(strata: Strata, resamples: int) -> Estimate:
    return estimate(strata, design=TASKS, resamples=resamples)


def _numbers(scores: Matrix) -> models.Numbers:
    return tuple(tuple(finite(score) for score in runs) for runs in scores.tolist())

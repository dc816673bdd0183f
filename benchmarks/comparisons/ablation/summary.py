"""From the records of an ablation's runs to its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.cells.quantities import QUANTITIES, TARGET, Quantity, is_near_chance
from l2o.benchmarks.cells.record import Failure
from l2o.benchmarks.comparisons.ablation.plan import Run
from l2o.benchmarks.comparisons.ablation.result_models import (
    AblationResults,
    RunRecord,
    VariantResult,
)
from l2o.benchmarks.comparisons.results_file import Bootstrap
from l2o.benchmarks.statistics import CROSSED, Array, Estimate, estimate, mean
from l2o.configs.ablation import AblationConfig
from l2o.configs.compare import differences

Found = Sequence[tuple[Run, RunRecord]]
BySeed = Mapping[int, Array]
"""The scores of a variant by learning seed."""


def summarise(config: AblationConfig, found: Found, failures: Sequence[Failure]) -> AblationResults:
    """Return the content of `results.json`.

    Args:
        config: the ablation.
        found: the runs that were learned and scored, with their records.
        failures: the others.
    """
    scores = {label: _scores(found, label) for label in config.variants}
    main = QUANTITIES[TARGET].model_copy(update=found[0][1].in_short)
    return AblationResults(
        title=config.title,
        main=main,
        train=config.train,
        base=next(iter(config.variants)),
        fine_tunes=config.fine_tunes,
        seeds=config.seeds,
        episodes=config.episodes,
        seconds=round(sum(record.seconds for _, record in found), 1),
        machine=machine_facts(found[0][0].config.workers),
        bootstrap=Bootstrap(resamples=config.bootstrap),
        rows=tuple(_row(config, main, label, found, scores) for label in _in_groups(config)),
        failures=tuple(failures),
    )


def _in_groups(config: AblationConfig) -> list[str]:
    """Return the labels, those of a group together, else in the config's order."""
    groups = list(dict.fromkeys(variant.group for variant in config.variants.values()))
    return sorted(config.variants, key=lambda label: groups.index(config.variants[label].group))


def _row(
    config: AblationConfig,
    main: Quantity,
    label: str,
    found: Found,
    scores: Mapping[str, BySeed],
) -> VariantResult:
    own = [record for run, record in found if run.label == label]
    against = config.reference(label)
    gaps = {
        seed: main.sign * (values - scores[against][seed])
        for seed, values in scores[label].items()
        if against is not None and seed in scores[against]
    }
    minutes = float(np.mean([record.seconds for record in own])) / 60 if own else None
    return VariantResult(
        label=label,
        group=config.variants[label].group,
        against=against,
        changes=_changes(found, label, against),
        seeds=tuple(sorted(scores[label])),
        score=_estimate(scores[label], config.bootstrap),
        difference=_estimate(gaps, config.bootstrap),
        scored=sum(len(record.scores) for record in own),
        at_chance=sum(_at_chance(main, record) for record in own),
        diverged=sum(sum(record.diverged) for record in own),
        fine_tunes=round(float(np.mean([r.fine_tunes for r in own]))) if own else None,
        minutes=None if minutes is None else round(minutes, 2),
        scores=tuple(tuple(values.tolist()) for _, values in sorted(scores[label].items())),
    )


def _scores(found: Found, label: str) -> BySeed:
    return {
        run.seed: np.array(record.scores, dtype=np.float64)
        for run, record in found
        if run.label == label
    }


def _estimate(scores: BySeed, resamples: int) -> Estimate | None:
    """Return the mean over learning seeds and episodes, `[seeds, episodes]`.

    Episodes are drawn, the same ones for all learning seeds; with two learning seeds or more these
    are drawn, too. With one, the interval says nothing of what another one would have come to.
    """
    if not scores:
        return None
    matrix = np.stack([scores[seed] for seed in sorted(scores)])
    return estimate(matrix, mean, CROSSED, resamples=resamples)


def _changes(found: Found, label: str, against: str | None) -> tuple[str, ...]:
    """Return in which fields a variant's training differs from that of its reference."""
    configs = {}
    for run, _ in found:
        same = {"name": "", "seed": run.config.seed - run.seed}
        configs[run.label] = run.config.model_copy(update=same)
    if against is None or label not in configs or against not in configs:
        return ()
    return tuple(differences(configs[against], configs[label]))


def _at_chance(main: Quantity, record: RunRecord) -> int:
    pairs = zip(record.scores, record.chance, strict=True)
    return sum(is_near_chance(main, score or 0.0, chance) for score, chance in pairs)

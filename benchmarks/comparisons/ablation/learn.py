"""One run of an ablation: learn a policy, then score it on episodes that all share."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from l2o.benchmarks.cells.episode_scores import FIRST_EPISODE, seen_by
from l2o.benchmarks.cells.record import finite
from l2o.benchmarks.comparisons.ablation.plan import Run
from l2o.benchmarks.comparisons.ablation.result_models import RunRecord
from l2o.configs.schema import TrainConfig
from l2o.deciding.bundle import load_bundle
from l2o.deciding.learned import LearnedPolicy
from l2o.envs.objectives.base import Metric
from l2o.files.atomic import DamagedFileError
from l2o.files.seals import read_json
from l2o.policies.common.evaluation import Evaluator
from l2o.policies.train import train

RESULTS = "results.json"
_REMEDY = "delete it, and the same command writes it again from the run's checkpoint"


class Learned(NamedTuple):
    """What learning a policy took."""

    fine_tunes: int
    seconds: float


def learn(run: Run, folder: Path, progress: bool = False) -> Learned:
    """Learn a run's policy, from where it stopped, unless it is there; return what it took."""
    if not is_learned(run.config, folder):
        train(run.config, folder, resume=True, progress=progress)
    found = read_json(folder / RESULTS, _REMEDY)
    return Learned(found["episodes"], found["seconds"])


def is_learned(config: TrainConfig, folder: Path) -> bool:
    """Tell whether a training run has spent its budget and evaluated what it came to."""
    path = folder / RESULTS
    if not path.exists():
        return False
    found = read_json(path, _REMEDY)
    try:
        last = found["evaluations"][-1]["episodes"] if found["evaluations"] else -1
        return bool(last == found["episodes"] >= config.episodes)
    except (KeyError, TypeError, IndexError) as error:
        raise DamagedFileError(path, "holds no results of an l2o train run", _REMEDY) from error


def score(
    run: Run, folder: Path, learned: Learned, evaluator: Evaluator, metric: Metric
) -> RunRecord:
    """Score a learned policy, and return the record of the run.

    Args:
        run: what was learned.
        folder: where.
        learned: what learning it took.
        evaluator: of the base's training config.
        metric: that it is scored by.
    """
    policy = load_bundle(folder)
    assert isinstance(policy, LearnedPolicy)
    numbers = range(FIRST_EPISODE, FIRST_EPISODE + run.episodes)
    ended = evaluator.drawn(policy, numbers, scoring_config(run, policy))
    return RunRecord(
        id=run.id,
        label=run.label,
        seed=run.seed,
        folder=folder.name,
        fine_tunes=learned.fine_tunes,
        seconds=round(learned.seconds, 2),
        metric=metric.name,
        direction=metric.direction,
        unit=metric.unit,
        # Evaluation gives gains: more is better, whatever the metric.
        scores=tuple(finite(metric.gain(each.accuracy)) for each in ended),
        chance=tuple(finite(each.chance) for each in ended),
        diverged=tuple(each.diverged for each in ended),
    )


def scoring_config(run: Run, policy: LearnedPolicy) -> TrainConfig:
    """Return how scored episodes are drawn, which is as the base's, and what the policy sees.

    Tasks, base LRs, optimizers, guidance weights, seeds of batches and heads, and which signals are
    withheld are then the same for all variants. Signals, actions and the interval are the policy's.
    """
    own = run.config
    seen = seen_by(policy, run.base, own.environment.validation)
    finetuning = seen.finetuning.model_copy(update={"interval": own.finetuning.interval})
    return seen.model_copy(update={"finetuning": finetuning})

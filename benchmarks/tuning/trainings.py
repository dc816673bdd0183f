"""The training of a policy as a trial."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from l2o.benchmarks.tuning.engines import TIME
from l2o.benchmarks.tuning.trial import Trainable
from l2o.configs.schema import Named, TrainConfig
from l2o.policies.train import Training, check_training
from l2o.registry import unknown_name

METRICS = ("target_accuracy", "worst")
"""What an evaluation tells; the first is what is searched for unless another is named."""


class TrainingTrial(Trainable):
    """A training run in the trial's folder, told of by its evaluations.

    Args:
        config: of the training; its workers are this one.
        folder: of the trial.
    """

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        self.config = alone(config)
        self.training = Training(self.config, folder / "run")

    def length(self) -> int:
        """Return its budget in fine-tunes."""
        return self.config.episodes

    def steps(self) -> Iterator[dict[str, float]]:
        """Learn to the end, and tell of each evaluation."""
        training, told = self.training, len(self.training.evaluations)
        try:
            while training.spent() < 1.0:
                training.iterate()
                if training.spent() >= 1.0:
                    training.evaluate()
                for found in training.evaluations[told:]:
                    # Learners run whole batches, so the last one may go beyond the budget.
                    at = min(int(found["episodes"]), self.length())
                    at = self.length() if training.spent() >= 1.0 else at
                    yield {TIME: at, **{name: found[name] for name in METRICS}}
                told = len(training.evaluations)
        finally:
            training.save()
            training.close()

    def state(self) -> dict[str, Any]:
        """Return what the training's own checkpoint holds."""
        return self.training.state_dict()

    def go_on(self, state: dict[str, Any], changed: bool) -> None:
        """Go on as a training that was stopped."""
        del changed
        self.training.resume(state)


def alone(config: TrainConfig) -> TrainConfig:
    """Return a training's config with its work in one process: a trial is one."""
    return config.model_copy(update={"workers": 1, "executor": Named(name="here")})


def check_trained(config: TrainConfig) -> None:
    """Build what a training names.

    Raises:
        ValueError: what it names cannot be made.
    """
    for family in check_training(alone(config)):
        family.prepare(progress=False)


def name_metric(wanted: str | None) -> str:
    """Return the metric of a training that is searched for.

    Raises:
        ValueError: evaluations have no such metric.
    """
    if wanted is not None and wanted not in METRICS:
        raise ValueError(unknown_name("metric of a training:", wanted, list(METRICS)))
    return wanted or METRICS[0]


def make_training(reports: int, config: Any, folder: Path) -> Trainable:
    """Make the trial of a config; how often it tells, its own `evaluation.every` says."""
    del reports
    return TrainingTrial(config, folder)

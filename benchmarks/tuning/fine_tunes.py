"""A fine-tune as a trial."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from l2o.benchmarks.cells.cell import load_family, load_task, stops
from l2o.benchmarks.cells.scores_by_name import score
from l2o.benchmarks.tuning.engines import TIME
from l2o.benchmarks.tuning.trial import Trainable
from l2o.configs.finetune import FinetuneConfig
from l2o.envs.build import build
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.inner_loop import InnerLoop
from l2o.envs.policy_choice import build_policy
from l2o.guarding.guard import Guard
from l2o.guidance.rows import GuidanceRows
from l2o.schedules import SCHEDULES

SOURCE, TARGET = "source_validation", "target_test"
FIXED = {"params", "name"}
"""Of a param group, what is no setting."""


class FineTuneTrial(Trainable):
    """A fine-tune, scored at decisions: the very one that `l2o finetune` runs with its config.

    Args:
        config: of the fine-tune.
        reports: how often it is scored.
    """

    def __init__(self, config: FinetuneConfig, reports: int) -> None:
        config = config.in_full()
        task = load_task(config.task.model_dump_json(), config.task_seed)
        loop = InnerLoop.of(config.finetuning)
        named = config.base_lr_schedule
        self.run = FineTune(
            task,
            loop,
            policy=build_policy(config.choice, loop.interval, (config.task_seed, config.seed)),
            base_lr=config.base_lr or task.base_lr,
            seed=config.seed,
            validate=config.choice.early_stopping is not None,
            guard=Guard() if config.guard else None,
            base_schedule=None if named is None else build("schedule", SCHEDULES, named),
            grouping=config.groups,
        )
        self.stops = stops(self.run.steps, reports, self.run.interval)

    def length(self) -> int:
        """Return its optimizer steps."""
        return self.run.steps

    def steps(self) -> Iterator[dict[str, float]]:
        """Train to the end, and tell the scores at each stop.

        What diverges is no longer trained, and tells the worst scores at the stops that are left: a
        population goes on with it under another one's weights, and halving ends it.
        """
        run = self.run
        for stop in [each for each in self.stops if each > run.step]:
            while run.step < stop and not run.diverged:
                run.advance(run.window)
            yield {TIME: stop, **scores(run)}

    def state(self) -> dict[str, Any]:
        """Return weights, the optimizer's state with the controller's in it, and random streams."""
        return self.run.state_dict()

    def go_on(self, state: dict[str, Any], changed: bool) -> None:
        """Take a state over; a changed trial with its own rates and options of the optimizer."""
        own = [
            {name: value for name, value in group.items() if name not in FIXED}
            for group in self.run.optimizer.param_groups
        ]
        self.run.load_state_dict(state)
        for group, settings in zip(self.run.optimizer.param_groups, own, strict=True):
            group.update(settings if changed else {})


def scores(run: FineTune) -> dict[str, float]:
    """Return what a fine-tune has reached, by split and metric; what is unknown is left out."""
    found: dict[str, float] = {}
    for split, short in ((SOURCE, "source_validation"), (TARGET, "target")):
        if split in run.task.unlabelled:
            continue
        found |= {f"{short}_{name}": value for name, value in score(run, split).items()}
    worst = {name: _worst(run, name) for name in found}
    return {name: value if value == value else worst[name] for name, value in found.items()}


def _worst(run: FineTune, name: str) -> float:
    """Return what stands for a number that is none: the worst there is."""
    return 1e30 if direction(run.objective, name) == "min" else -1e30


def direction(objective: Any, metric: str) -> str:
    """Return `min` or `max`, for a metric such as source_validation_accuracy."""
    name = metric.removeprefix("source_validation_").removeprefix("target_")
    if name == "loss":
        return "min"
    return "max" if objective.metric(name).gain(1.0) > 0 else "min"


def name_metric(task: Any, wanted: str | None) -> str:
    """Return what a metric is called in reports: with the split that it is of.

    Raises:
        ValueError: the objective has no such metric, or the target no labels.
    """
    objective = task.build_objectives()[0]
    if wanted is None:
        return f"source_validation_{objective.main}"
    on_target = wanted.startswith("target_")
    name = wanted.removeprefix("target_").removeprefix("source_validation_")
    if on_target and TARGET in task.unlabelled:
        raise ValueError(
            f"metric={wanted} needs the labels of the target, which are not known; take "
            f"metric={name}, on the source's validation images"
        )
    if name != "loss" or on_target:
        objective.metric(name)
    return f"{'target' if on_target else 'source_validation'}_{name}"


def check_fine_tune(config: FinetuneConfig) -> Any:
    """Build what a config names; return its task.

    Raises:
        ValueError: what it names cannot be made.
    """
    config = config.in_full()
    loop = InnerLoop.of(config.finetuning)
    GuidanceRows.of(loop.guidance, build_policy(config.choice, loop.interval))
    family = load_family(config.task.model_dump_json())
    family.prepare(progress=False)
    return load_task(config.task.model_dump_json(), config.task_seed)


def make_fine_tune(reports: int, config: Any, folder: Path) -> Trainable:
    """Make the trial of a config; it writes nothing of its own."""
    del folder
    return FineTuneTrial(config, reports)

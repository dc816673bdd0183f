"""What trials of simulators are: plain data that travel to workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from l2o.adaptation import LABEL_FREE
from l2o.configs.choice import PolicyChoice
from l2o.configs.schema import FineTuning, Named
from l2o.envs.fine_tuning.inner_loop import decision_interval
from l2o.envs.objectives import Metric
from l2o.envs.policy_choice import build_policy
from l2o.envs.simulators.base import Simulator
from l2o.envs.tasks.base import Task
from l2o.envs.tasks.build import build_task
from l2o.envs.tasks.simulated import simulated_family
from l2o.registry import unknown_name


@dataclass(frozen=True)
class Setting:
    """What all trials of one search have in common.

    Attributes:
        task: the family, which draws its own source images (`SimulatedFamily`).
        task_seed: of the one task: its network and its real images.
        finetuning: the inner training.
        choice: what sets its learning rates.
        images: drawn training images of a trial.
        validation_images: drawn images held out, where rewards ask for them.
        reward: what a trial is worth: a metric on `target_validation`, which needs its labels, ""
            the main one; or a name of `l2o.adaptation.LABEL_FREE`, which needs none.
        stacked: whether trials in memory are computed together.
        head_only: whether the new head alone is trained, on the frozen network's features.
    """

    task: Named
    task_seed: int = 0
    finetuning: FineTuning = field(default_factory=FineTuning)
    choice: PolicyChoice = field(default_factory=PolicyChoice)
    images: int = 512
    validation_images: int = 256
    reward: str = ""
    stacked: bool = True
    head_only: bool = False

    @property
    def label_free(self) -> bool:
        """Whether the labels of real validation images are not looked at."""
        return self.reward in LABEL_FREE

    @property
    def family(self) -> Any:
        """The family, made once in a process: a `TaskFamily` that is a `SimulatedFamily`."""
        return _family(self.task.model_dump_json())

    @property
    def simulator(self) -> Simulator:
        """What draws."""
        simulator: Simulator = self.family.simulator
        return simulator

    @property
    def base_task(self) -> Task:
        """The task, whose source images trials replace; sampled once in a process."""
        return _task(self.task.model_dump_json(), self.task_seed)

    @property
    def metric(self) -> Metric:
        """The metric that rewards are read from, where they need labels."""
        return self.base_task.build_objectives()[0].metric(self.reward or None)

    def check(self) -> None:
        """Make all that it names, so that a wrong name is an error before any trial.

        Raises:
            ValueError: unknown names, impossible values, or a task that may not be learned on.
        """
        family = self.family
        if self.head_only and self.finetuning.guidance:
            raise ValueError(
                f"head_only=true leaves the backbone as it is, and guidance "
                f"{', '.join(self.finetuning.guidance)} holds it; set finetuning.guidance={{}}"
            )
        build_policy(self.choice, decision_interval(self.finetuning))
        if not self.label_free:
            metrics = self.base_task.build_objectives()[0].metrics
            if self.reward and self.reward not in metrics:
                raise ValueError(unknown_name("reward", self.reward, [*metrics, *LABEL_FREE]))
        elif family.objective != "classification":
            raise ValueError(
                f"reward={self.reward!r} scores whole images, and task {family.name!r} is "
                f"{family.objective}; take a metric of it"
            )


class Trial(NamedTuple):
    """One fine-tune on what one distribution draws.

    Attributes:
        number: of the trial.
        distribution: over psi, as plain data.
        seed: that images, head and batches are drawn from.
        judged_on: a distribution that held-out drawn images are drawn from, on which the reward is
            read, as a curriculum has it; None: on real validation images.
        splits: scored besides.
    """

    number: int
    distribution: Mapping[str, Any]
    seed: int
    judged_on: Mapping[str, Any] | None = None
    splits: tuple[str, ...] = ()


class Result(NamedTuple):
    """What a trial came to.

    Attributes:
        number: the trial's.
        reward: the larger the better; NaN where it failed.
        scores: split -> metric -> value, of the splits that were asked for.
        error: why it failed, "" if it did not: nothing of a class was drawn, the renderer died, the
            fine-tune diverged.
        drawing: seconds that drawing took.
        training: seconds that the fine-tune and its scores took.
    """

    number: int
    reward: float
    scores: dict[str, dict[str, float]]
    error: str = ""
    drawing: float = 0.0
    training: float = 0.0


@cache
def _family(named: str) -> Any:
    family = build_task(Named.model_validate_json(named))
    simulated_family(family)
    return family


@cache
def _task(named: str, seed: int) -> Task:
    task: Task = _family(named).sample(seed)
    return task

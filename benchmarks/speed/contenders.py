"""What is compared: one environment and stacked environments, at the work of the bare loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import numpy as np

from l2o.benchmarks.speed.bare import BASE_LR, INTERVAL, KL_WEIGHT
from l2o.configs.schema import Options
from l2o.envs.environment import FineTuneEnv
from l2o.envs.stacked import StackedFineTuneEnv
from l2o.envs.tasks import Task, TaskFamily
from l2o.envs.tasks.digits.family import DigitsFamily

ENVIRONMENT: Options = {
    "base_lr": (BASE_LR, BASE_LR),
    "multipliers": {"kind": "log", "low": 0.1, "high": 10.0},
    "rewards": {"target_accuracy_change": 1.0},
}


class FewTasks(TaskFamily):
    """A few tasks, made beforehand, over and over: their making is not what is timed.

    Args:
        width: of the digits network.
        count: how many tasks.
    """

    name: ClassVar[str] = "few"
    split = "train"

    def __init__(self, width: int, count: int = 8) -> None:
        # Speed does not depend on how well the network was pretrained.
        family = DigitsFamily(split=self.split, networks=1, width=width, pretrain_steps=20)
        self.tasks = [family.sample(seed) for seed in range(count)]
        self._layers = family.max_layers

    @property
    def max_layers(self) -> int:
        """Layer groups of the network."""
        return self._layers

    def sample(self, seed: int) -> Task:
        """Return one of the tasks."""
        return self.tasks[seed % len(self.tasks)]


def settings(device: str, decisions: int) -> Options:
    """Return the fine-tuning settings: longer than what is timed, so that no episode ends."""
    return {
        "steps": decisions * INTERVAL,
        "interval": INTERVAL,
        "device": device,
        "guidance": {"proxy_kl": {"weight": KL_WEIGHT}},
    }


def stack(
    family: TaskFamily, finetuning: Options, count: int, precision: str
) -> StackedFineTuneEnv:
    """Return stacked environments."""
    return StackedFineTuneEnv(family, finetuning, ENVIRONMENT, num_envs=count, precision=precision)


def decide(env: FineTuneEnv | StackedFineTuneEnv) -> Callable[[], object]:
    """Begin episodes, and return what takes one decision in all of them: base LR times one."""
    env.reset(seed=0)
    assert env.action_space.shape is not None, "actions are arrays"
    return partial(env.step, np.zeros(env.action_space.shape, np.float32))

"""What is compared: the bare loop, one environment, stacked environments; all at the same work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from l2o.envs.environment import FineTuneEnv
from l2o.envs.stacked import StackedFineTuneEnv, Start
from l2o.envs.stacked.memory import predict_memory
from l2o.envs.tasks import Task, TaskFamily
from l2o.envs.tasks.digits.family import DigitsFamily

INTERVAL = 10
_ENVIRONMENT = {
    "base_lr": (0.01, 0.01),
    "multipliers": {"kind": "log", "low": 0.1, "high": 10.0},
    "rewards": {"target_accuracy_change": 1.0},
}


class FewTasks(TaskFamily):
    """A few tasks, made beforehand, over and over: their making is not what is timed.

    Args:
        width: of the digits network.
        count: how many tasks.
        split: of the digits family.
    """

    name: ClassVar[str] = "few"

    def __init__(self, width: int, count: int = 8, split: str = "train") -> None:
        # Speed does not depend on how well the network was pretrained.
        family = DigitsFamily(split=split, networks=1, width=width, pretrain_steps=20)
        self.split = split
        self.tasks = [family.sample(seed) for seed in range(count)]
        self._layers = family.max_layers

    @property
    def max_layers(self) -> int:
        """Layer groups of the network."""
        return self._layers

    def sample(self, seed: int) -> Task:
        """Return one of the tasks."""
        return self.tasks[seed % len(self.tasks)]


def settings(device: str, decisions: int) -> dict[str, Any]:
    """Return the fine-tuning settings: longer than what is timed, so that no episode ends."""
    return {
        "steps": decisions * INTERVAL,
        "interval": INTERVAL,
        "device": device,
        "guidance": {"proxy_kl": {"weight": 0.3}},
    }


class OneEnvironment:
    """`FineTuneEnv`, one decision at a time, base LR times one."""

    def __init__(self, family: TaskFamily, finetuning: dict[str, Any]) -> None:
        self.env = FineTuneEnv(family, finetuning, _ENVIRONMENT)
        self.env.reset(seed=0)
        self.action = np.zeros(family.max_layers, np.float32)

    def run(self) -> None:
        """Take one step of the environment."""
        self.env.step(self.action)


class StackedEnvironments:
    """`StackedFineTuneEnv` of N environments, likewise."""

    def __init__(
        self, family: TaskFamily, finetuning: dict[str, Any], count: int, precision: str
    ) -> None:
        self.env = StackedFineTuneEnv(
            family, finetuning, _ENVIRONMENT, num_envs=count, precision=precision
        )
        self.env.reset(seed=0)
        self.actions = np.zeros((count, family.max_layers), np.float32)

    def run(self) -> None:
        """Take one step of all environments."""
        self.env.step(self.actions)

    def not_captured(self) -> dict[str, str]:
        """Return what could not be captured as a CUDA graph, and why; empty is as it should be."""
        return self.env.runs.not_captured()


def predicted_memory(contender: StackedEnvironments, task: Task) -> int:
    """Return the bytes that stacked environments are predicted to take."""
    runs = contender.env.runs
    need = predict_memory(Start(task), runs, ["target_validation"])
    return need.total(runs.runs, runs.chunk)


def numbers_of(text: str) -> Sequence[int]:
    """Return the numbers of a list such as "1,8,32"."""
    return tuple(int(part) for part in text.split(","))

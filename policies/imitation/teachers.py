"""Teachers: a hand-tuned schedule at the right base LR, or another policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from l2o.configs.schema import Imitation, TrainConfig
from l2o.deciding.learned import LearnedPolicy
from l2o.deciding.policy import Policy
from l2o.deciding.schedule_policy import SchedulePolicy
from l2o.envs.build import build
from l2o.envs.stacked import StackedFineTuneEnv
from l2o.profiles import PROFILES
from l2o.schedules import SCHEDULES


class Teacher(Protocol):
    """Tells what to do in an environment."""

    def note(self, infos: Mapping[int, Mapping[str, Any]]) -> None:
        """Note how episodes have begun."""

    def __call__(self, observation: Tensor) -> Tensor:
        """Return the multipliers `[N, L]` of the next window; rows of padding do not matter."""


class ScheduleTeacher:
    """Sets the multipliers of a schedule at the right base LR, which the pupil is not told.

        multiplier_l = (right / base LR) · schedule(p) · profile(l)

    The right base LR of an optimizer is the geometric mean of the range that episodes draw from.

    Args:
        config: the training config; its `imitation` names schedule and profile.
        environment: the environment to act in.
    """

    def __init__(self, config: TrainConfig, environment: StackedFineTuneEnv) -> None:
        imitation = imitation_of(config)
        self.environment = environment
        self.policy = SchedulePolicy(
            build("schedule", SCHEDULES, imitation.schedule),
            build("profile", PROFILES, imitation.profile),
        )
        shared = config.environment.base_lr
        spans = [each.base_lr or shared for each in config.environment.optimizers] or [shared]
        self._right = [math.sqrt(low * high) for low, high in spans]
        self._factors = np.ones(environment.num_envs)

    def note(self, infos: Mapping[int, Mapping[str, Any]]) -> None:
        """Note with which base LR and optimizer episodes have begun."""
        for number, info in infos.items():
            if "base_lr" in info:
                self._factors[number] = self._right[info.get("optimizer", 0)] / info["base_lr"]

    def __call__(self, observation: Tensor) -> Tensor:
        """Return the multipliers `[N, L]` of the next window; 1 in rows of padding."""
        del observation
        runs = self.environment.runs
        interval = runs.interval
        chosen = torch.ones(runs.runs, runs.layers)
        for number in range(runs.runs):
            layout = runs.starts[number].layout
            length = float(runs.steps[number])
            # The middle of the window stands for it.
            done = int(runs.step[number])
            middle = min(1.0, (done + interval.window(done, int(length)) / 2) / length)
            layers = zip(layout.is_head, layout.depth, strict=True)
            rows = [[1.0, float(is_head), depth, middle, 1.0] for is_head, depth in layers]
            told, _ = self.policy(torch.tensor(rows), {})
            chosen[number, : len(rows)] = told * self._factors[number]
        return chosen


class PolicyTeacher:
    """Sets the multipliers of a learned policy, which may see more than the pupil does, or less.

    Args:
        policy: of the layer-shared kind, without memory; its signals come first in what is seen.

    Raises:
        ValueError: a policy of another kind.
    """

    def __init__(self, policy: Policy) -> None:
        if not isinstance(policy, LearnedPolicy) or policy.network.initial_state(1) is not None:
            raise ValueError("imitation.policy must be a learned policy without memory")
        self.policy = policy

    def note(self, infos: Mapping[int, Mapping[str, Any]]) -> None:
        """Do nothing: it goes by what it sees."""

    @torch.no_grad()
    def __call__(self, observation: Tensor) -> Tensor:
        """Return the multipliers of all fine-tunes at once."""
        outputs, _, _ = self.policy.network(observation[..., : len(self.policy.signals)])
        return self.policy.multipliers.best(outputs)


def imitation_of(config: TrainConfig) -> Imitation:
    """Return what a config says of imitation.

    Raises:
        ValueError: it has none.
    """
    if config.imitation is None:
        raise ValueError("the training config has no `imitation`")
    return config.imitation

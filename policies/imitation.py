"""Beginning with what an expert does: imitating a hand-tuned schedule, or another policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from l2o.bundle import load_policy
from l2o.configs.schema import Imitation, TrainConfig
from l2o.envs.build import build
from l2o.envs.finetuning import decision_interval
from l2o.envs.stacked import StackedFineTuneEnv
from l2o.envs.tasks import TASKS
from l2o.learned import LearnedPolicy
from l2o.multipliers import LogRange
from l2o.network import LayerPolicyNetwork
from l2o.policies.demonstrations import Demonstrations, decisions, sequences
from l2o.policies.networks import action_range, signal_spec
from l2o.policy import Policy
from l2o.profiles import PROFILES
from l2o.schedule_policy import SchedulePolicy
from l2o.schedules import SCHEDULES

SEEDS = 2**20
"""Demonstrations are drawn from environment seeds from here on; training's own are smaller."""


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
        imitation = _imitation(config)
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
        interval = decision_interval(runs.config)
        # The middle of the window stands for it; of windows that grow, their beginning.
        half = interval / 2 if isinstance(interval, int) else 0.0
        chosen = torch.ones(runs.runs, runs.layers)
        for number in range(runs.runs):
            layout = runs.starts[number].layout
            length = float(runs.steps[number])
            middle = min(1.0, (float(runs.step[number]) + half) / length)
            layers = zip(layout.is_head, layout.depth, strict=True)
            rows = [[1.0, float(is_head), depth, middle, 1.0] for is_head, depth in layers]
            told, _ = self.policy(torch.tensor(rows), {})
            chosen[number, : len(rows)] = told * self._factors[number]
        return chosen


class PolicyTeacher:
    """Sets the multipliers of a learned policy, which may see more than the pupil does.

    Args:
        policy: of the layer-shared kind, without memory.

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
        outputs, _, _ = self.policy.network(observation)
        return self.policy.multipliers.best(outputs)


def imitate(network: LayerPolicyNetwork, config: TrainConfig) -> dict[str, float]:
    """Fit a policy network to a teacher, on fine-tunes like those that training draws.

    The teacher is a schedule at the right base LR or, with `imitation.policy`, a policy with its
    own signals, of which the pupil sees those that it has.

    In the first half of the demonstrations the teacher acts, with noise; in the second the pupil
    does, and is told what the teacher would have done (Ross et al., A Reduction of Imitation
    Learning and Structured Prediction to No-Regret Online Learning). The loss is the mean squared
    error of actions in [-1, 1], over layers that are present. A recurrent network is fitted to
    whole episodes, with gradients through time.

    Args:
        network: changed in place.
        config: the training config, with `imitation`.

    Returns:
        Number of demonstrations, and the loss before and after.

    Raises:
        ValueError: no `imitation`, actions that are not on a log scale, or a policy to imitate
            that lacks signals of the pupil.
    """
    imitation = _imitation(config)
    multipliers = action_range(config)
    if not isinstance(multipliers, LogRange):
        raise ValueError("imitation needs environment.multipliers={kind: log}")
    scene = Scene(config, multipliers)
    generator = torch.Generator().manual_seed(config.seed)
    shown: list[Demonstrations] = []
    losses: list[float] = []
    with closing(scene.environment):
        for part in range(2):
            shown.append(scene.play(network if part else None, generator))
            seen, wanted = (sequences if network.recurrent else decisions)(shown)
            losses += _fit(network, seen, wanted, imitation, generator)
    return {"demonstrations": imitation.episodes, "before": losses[0], "after": losses[-1]}


class Scene:
    """Where demonstrations take place.

    Args:
        config: the training config.
        multipliers: the pupil's range.
    """

    def __init__(self, config: TrainConfig, multipliers: LogRange) -> None:
        self.config, self.multipliers = config, multipliers
        self.imitation = _imitation(config)
        pupil = signal_spec(config).names
        policy = None if self.imitation.policy is None else load_policy(self.imitation.policy)
        seen = pupil if policy is None else policy.signals.names
        if missing := set(pupil) - set(seen):
            raise ValueError(
                f"imitation.policy={self.imitation.policy!r} does not have the signals "
                f"{', '.join(sorted(missing))}; take them out of environment.signals"
            )
        self.columns = [seen.index(name) for name in pupil]
        # The target is not looked at.
        changed = {"rewards": {}, "signals": tuple(seen)}
        self.environment = StackedFineTuneEnv(
            build("task", TASKS, config.task),
            config.finetuning,
            config.environment.model_copy(update=changed),
            num_envs=config.environments,
            autoreset_mode="SameStep",
        )
        self.teacher: Teacher = (
            ScheduleTeacher(config, self.environment) if policy is None else PolicyTeacher(policy)
        )

    def play(
        self, network: LayerPolicyNetwork | None, generator: torch.Generator
    ) -> Demonstrations:
        """Play half of the episodes; return what was seen, and what the teacher would have done.

        Args:
            network: the pupil, if it is to act; None lets the teacher act, with noise.
            generator: draws the noise.
        """
        environment, encode = self.environment, self.multipliers.encode
        observation, _ = environment.reset(seed=self.config.seed + SEEDS * (1 + bool(network)))
        self.teacher.note(environment.reset_infos)
        seen, wanted, ended = [], [], 0
        starts = [torch.ones(environment.num_envs, dtype=torch.bool)]
        memory = None if network is None else network.initial_state(*observation.shape[:2])
        while ended < self.imitation.episodes / 2:
            whole = torch.from_numpy(observation)
            now, right = whole[..., self.columns], encode(self.teacher(whole))
            seen.append(now)
            wanted.append(right)
            if network is None:
                noise = torch.randn(right.shape, generator=generator) * self.imitation.noise
                actions = (right + noise).clamp(-1.0, 1.0)
            else:
                with torch.no_grad():
                    outputs, _, memory = network(now, memory)
                actions = outputs.squeeze(-1).clamp(-1.0, 1.0)
            observation, _, told, infos = environment.step_each(actions.numpy())
            self.teacher.note(infos)
            starts.append(torch.from_numpy(told.copy()))
            if memory is not None:
                memory[starts[-1]] = 0.0
            ended += int(told.sum())
        return Demonstrations(torch.stack(seen), torch.stack(wanted), torch.stack(starts[:-1]))


def _fit(
    network: LayerPolicyNetwork,
    seen: Tensor,
    wanted: Tensor,
    imitation: Imitation,
    generator: torch.Generator,
) -> list[float]:
    """Fit the network to decisions or sequences; return the mean loss of each pass over them."""
    size = max(1, 256 // (seen.shape[1] if network.recurrent else 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=imitation.learning_rate)
    passes = []
    for _ in range(imitation.epochs):
        losses = []
        for rows in torch.randperm(len(seen), generator=generator).split(size):
            chosen = seen[rows]
            present = chosen[..., 0]
            error = (_answers(network, chosen) - wanted[rows]).square() * present
            loss = error.sum() / present.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        passes.append(float(np.mean(losses)))
    return passes


def _answers(network: LayerPolicyNetwork, seen: Tensor) -> Tensor:
    """Return actions `[M, L]` of decisions; of a recurrent network, `[M, T, L]` of sequences."""
    if not network.recurrent:
        outputs, _, _ = network(seen)
        return outputs.squeeze(-1)
    state, actions = network.initial_state(seen.shape[0], seen.shape[2]), []
    for t in range(seen.shape[1]):
        outputs, _, state = network(seen[:, t], state)
        actions.append(outputs.squeeze(-1))
    return torch.stack(actions, dim=1)


def _imitation(config: TrainConfig) -> Imitation:
    if config.imitation is None:
        raise ValueError("the training config has no `imitation`")
    return config.imitation

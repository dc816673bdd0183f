"""Where demonstrations take place: fine-tunes like those that training draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from l2o.configs.schema import TrainConfig
from l2o.deciding.bundle import load_bundle
from l2o.envs.stacked import StackedFineTuneEnv
from l2o.envs.tasks.build import build_task
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.multipliers import LogRange
from l2o.policies.common.networks import action_range, signal_spec
from l2o.policies.imitation.candidates import Candidates, Preferred, moved
from l2o.policies.imitation.demonstrations import Demonstrations
from l2o.policies.imitation.teachers import (
    PolicyTeacher,
    ScheduleTeacher,
    Teacher,
    imitation_of,
)

SEEDS = 2**20
"""Demonstrations are drawn from environment seeds from here on; training's own are smaller."""


class Share(NamedTuple):
    """What one process plays.

    Attributes:
        config: the training config.
        first: number of its first environment.
        environments: how many it has.
        episodes: how many it plays, at least.
        pupil: who acts; None lets the teacher act.
        preferred: what the candidates' tries have shown, by group of this share.
    """

    config: TrainConfig
    first: int
    environments: int
    episodes: int
    pupil: LayerPolicyNetwork | None = None
    preferred: Preferred | None = None


def play(share: Share) -> tuple[Demonstrations, Preferred | None]:
    """Play a share of the demonstrations; return them, and what the candidates have shown."""
    scene = Scene(share)
    with closing(scene.environment):
        return scene.play()


class Scene:
    """Fine-tunes under the teacher or the pupil, and what the teacher would have done in each.

    Raises:
        ValueError: candidates that are not as many as a group's fine-tunes.
    """

    def __init__(self, share: Share) -> None:
        self.share, config = share, share.config
        self.imitation = imitation_of(config)
        multipliers = action_range(config)
        # `imitate` has refused any other.
        assert isinstance(multipliers, LogRange)
        self.multipliers = multipliers
        pupil = signal_spec(config).names
        policy = None if self.imitation.policy is None else load_bundle(self.imitation.policy)
        teacher = pupil if policy is None else policy.signals.names
        # The teacher's columns first, then what the pupil sees besides.
        seen = (*teacher, *(name for name in pupil if name not in teacher))
        self.columns = [seen.index(name) for name in pupil]
        self.candidates = self._make_candidates()
        # The target is looked at only where candidates are told apart by it.
        self.trying = self.candidates is not None and share.pupil is None
        rewards = {"final_target": 1.0} if self.trying else {}
        changed = {"rewards": rewards, "signals": tuple(seen)}
        self.environment = StackedFineTuneEnv(
            build_task(config.task),
            config.finetuning,
            config.environment.model_copy(update=changed),
            num_envs=share.environments,
            autoreset_mode="SameStep",
        )
        self.teacher: Teacher = (
            ScheduleTeacher(config, self.environment) if policy is None else PolicyTeacher(policy)
        )

    def _make_candidates(self) -> Candidates | None:
        tried = self.imitation.candidates
        if not tried:
            return None
        group = self.share.config.environment.group
        return Candidates(tried, self.imitation.temperature, group)

    def play(self) -> tuple[Demonstrations, Preferred | None]:
        """Play the episodes; the teacher acts with noise, and so does the pupil within a group."""
        environment, network = self.environment, self.share.pupil
        generator = torch.Generator().manual_seed(self._seed)
        observation, _ = environment.reset(seed=self._seed)
        self.teacher.note(environment.reset_infos)
        memory = None if network is None else network.initial_state(*observation.shape[:2])
        seen, base, heads = [], [], []
        starts = [torch.ones(environment.num_envs, dtype=torch.bool)]
        ended = 0
        while ended < self.share.episodes:
            whole = torch.from_numpy(observation)
            now, right = whole[..., self.columns], self.multipliers.encode(self.teacher(whole))
            seen.append(now)
            base.append(right)
            heads.append(self._heads(right))
            if network is None:
                actions = self._tried(right, heads[-1])
            else:
                with torch.no_grad():
                    outputs, _, memory = network(now, memory)
                actions = outputs.squeeze(-1)
            actions = actions + self._noise(actions, generator)
            observation, _, told, infos = environment.step_each(actions.clamp(-1.0, 1.0).numpy())
            self.teacher.note(infos)
            self._note(infos)
            starts.append(torch.from_numpy(told.copy()))
            if memory is not None:
                memory[starts[-1]] = 0.0
            ended += int(told.sum())
        shown = Demonstrations(torch.stack(seen), torch.stack(base), torch.stack(starts[:-1]))
        if self.candidates is None:
            return shown, None
        preferred = self.share.preferred or self.candidates.preferred()
        return self._preferring(shown, torch.stack(heads), preferred), preferred

    @property
    def _seed(self) -> int:
        """Candidates are tried on the fine-tunes that the pupil then plays; else those are new."""
        again = self.candidates is None and self.share.pupil is not None
        return self.share.config.seed + SEEDS * (1 + again) + self.share.first

    @property
    def _half(self) -> float:
        """Decades from the middle of the range to its end."""
        return float(np.log10(self.multipliers.high / self.multipliers.low)) / 2

    def _heads(self, like: Tensor) -> Tensor:
        """Return which layers are the head, `[N, L]`."""
        heads = torch.zeros_like(like)
        for number, start in self.environment.runs.starts.items():
            flags = torch.tensor(start.layout.is_head, dtype=like.dtype)
            heads[number, : len(flags)] = flags
        return heads

    def _tried(self, right: Tensor, heads: Tensor) -> Tensor:
        if self.candidates is None:
            return right
        decades = torch.from_numpy(self.candidates.offsets(len(right)))
        return moved(right, heads, decades, self._half)

    def _noise(self, actions: Tensor, generator: torch.Generator) -> Tensor | float:
        """Return noise: a pupil without it would do the same in all fine-tunes of a group."""
        if self.share.pupil is not None and self.environment.group == 1:
            return 0.0
        return torch.randn(actions.shape, generator=generator) * self.imitation.noise

    def _note(self, infos: Mapping[int, Mapping[str, Any]]) -> None:
        if self.candidates is None or not self.trying:
            return
        for number, info in infos.items():
            if "final_info" in info:
                self.candidates.note(number, self._gain(number, info["final_info"]))

    def _gain(self, number: int, ended: Mapping[str, Any]) -> float:
        """Return how well a fine-tune ended on the target; larger is better."""
        metric = self.environment.runs.starts[number].objective.metric()
        value = metric.gain(ended.get(f"target_{metric.name}", math.nan))
        failed = 0.0 if metric.direction == "max" else -1e6
        return failed if math.isnan(value) else value

    def _preferring(
        self, shown: Demonstrations, heads: Tensor, preferred: Preferred
    ) -> Demonstrations:
        """Return demonstrations of what is preferred; where nothing is known, no layer is there."""
        episodes = shown.starts.cumsum(dim=0) - 1
        decades = torch.zeros(*episodes.shape, 2)
        known = torch.zeros_like(shown.starts)
        group = self.environment.group
        for step, number in np.ndindex(*episodes.shape):
            found = preferred.get((number // group, int(episodes[step, number])))
            if found is not None:
                decades[step, number], known[step, number] = torch.from_numpy(found), True
        wanted = moved(
            shown.wanted.flatten(0, 1), heads.flatten(0, 1), decades.flatten(0, 1), self._half
        )
        seen = shown.seen * known[..., None, None]
        return Demonstrations(seen, wanted.view_as(shown.wanted), shown.starts)

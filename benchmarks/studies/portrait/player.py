"""Many fine-tunes at once under a policy that sees what it should, or something else."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium.utils import seeding
from torch import Tensor

from l2o.benchmarks.cells.episode_scores import seen_by
from l2o.benchmarks.statistics import Array
from l2o.benchmarks.studies.portrait.permutation import Numbers, Variant, permute
from l2o.configs.schema import TrainConfig
from l2o.deciding.learned import LearnedPolicy
from l2o.envs.episode_rules import TASK_SEEDS, EpisodeRules
from l2o.envs.stacked import StackedFineTune, Start
from l2o.envs.stacked.policies import SlotPolicies
from l2o.envs.tasks import TaskFamily
from l2o.envs.tasks.build import build_task
from l2o.networks.multipliers import Bins, MultiplierRange
from l2o.policies.common.evaluation import evaluation_task

META_TRAINING = "train"


@dataclass(frozen=True)
class Outcome:
    """What N fine-tunes came to.

    Attributes:
        accuracy: final accuracy on the real validation images of the target `[N]`.
        change: mean absolute change of log10 multipliers, over decisions and layers, against what
            the policy would have chosen had it seen the truth at that moment `[N]`.
        diverged: how many.
    """

    accuracy: Array
    change: Array
    diverged: int


class Player:
    """N fine-tunes, drawn as a policy's training drew them, played again and again.

    Tasks come from the meta-training split, from seeds that training does not draw, with the family
    arguments of `evaluation.task`; base LRs, optimizers, weights and withheld signals are drawn as
    the environment says. Actions are the policy's likeliest.

    Args:
        config: how the policy was trained.
        policy: the policy.
        count: N.
        seed: fine-tune i draws what an environment seeded `seed + i` draws.

    Raises:
        ValueError: tasks of another split than meta-training, or what has no stacked form.
    """

    def __init__(self, config: TrainConfig, policy: LearnedPolicy, count: int, seed: int) -> None:
        self.policy = policy
        self.seed = seed
        family = meta_training_family(config)
        environment = seen_by(policy, config, config.environment.validation).environment
        self._rules = EpisodeRules(family, config.finetuning, environment)
        family.prepare(progress=sys.stderr.isatty())
        self._withheld: list[list[int]] = []
        self._starts: dict[int, Start] = {}
        for number in range(count):
            self._starts[number] = self._draw(seed + number)
        self._runs = StackedFineTune(
            self._rules.loop,
            count,
            self._rules.rows,
            validate=environment.validation,
            signals=policy.signals,
            guidance_actions=policy.guidance_actions,
        )

    def _draw(self, seed: int) -> Start:
        rules, generator = self._rules, seeding.np_random(seed)[0]
        drawn = rules.draw(generator)
        self._withheld.append(rules.draw_withheld(generator))
        return Start(
            rules.sample(TASK_SEEDS + drawn["task_seed"]),
            seed=drawn["seed"],
            base_lr=drawn["base_lr"],
            optimizer=rules.draws.inner_optimizer(drawn),
            guidance_weights=drawn.get("guidance_weights"),
        )

    def play(self, variant: Variant | None = None) -> Outcome:
        """Fine-tune all from the start, with a variant's signals permuted; None permutes nothing.

        Permutations are drawn anew at each decision, the same ones for every variant.
        """
        runs, count = self._runs, len(self._starts)
        runs.reset(self._starts)
        layers = [len(runs.starts[number].layout.groups) for number in range(count)]
        seeing, knowing = self._policies(layers), self._policies(layers)
        generator = np.random.default_rng(self.seed)
        multipliers = torch.ones(count, runs.layers, dtype=torch.float64)
        change, decisions = np.zeros(count), np.zeros(count)
        while not runs.done.all():
            running = np.flatnonzero(~runs.done)
            truth = self._observe()
            shown = truth
            if variant is not None:
                guidance = len(self.policy.guidance_actions)
                spec = self.policy.signals
                shown = permute(truth, variant, spec, layers, running, generator, guidance)
            chosen = _decide(seeing, shown, running)
            right = chosen if variant is None else _decide(knowing, truth, running)
            for run in running.tolist():
                multipliers[run, : len(chosen[run])] = chosen[run].double()
                change[run] += _distance(chosen[run], right[run], self.policy.multipliers)
                decisions[run] += 1
            runs.set_multipliers(multipliers)
            runs.advance(~runs.done)
        scores = runs.evaluate(["target_validation"])["target_validation"]
        accuracy = scores[runs.starts[0].objective.main]
        return Outcome(accuracy, change / decisions, int(runs.diverged.sum()))

    def _policies(self, layers: list[int]) -> SlotPolicies:
        policies = SlotPolicies(self.policy.signals, self._runs.layers)
        for run, count in enumerate(layers):
            policies.begin(run, self.policy, count + len(self.policy.guidance_actions))
        return policies

    def _observe(self) -> Tensor:
        seen = self._runs.observation.clone()
        for run, columns in enumerate(self._withheld):
            seen[run][:, columns] = 0.0
        return seen


def meta_training_family(config: TrainConfig) -> TaskFamily:
    """Return the family whose tasks are drawn.

    Raises:
        ValueError: it is not of the meta-training split.
    """
    family = build_task(evaluation_task(config))
    if family.split != META_TRAINING:
        raise ValueError(
            f"the tasks are of the split {family.split!r}: importance may guide choices, so it "
            f"looks at {META_TRAINING!r} only; set task.options.split={META_TRAINING}"
        )
    return family


def _decide(policies: SlotPolicies, seen: Tensor, running: Numbers) -> dict[int, Tensor]:
    chosen: dict[int, Tensor] = {}
    for run, found in policies.decide(seen, running.tolist()).items():
        if isinstance(found, Exception):
            raise found
        chosen[run] = found
    return chosen


def _distance(one: Tensor, other: Tensor, span: MultiplierRange) -> float:
    """Return the mean |log10 ratio|; a multiplier of 0 counts as a tenth of the smallest other."""
    floor = 0.0
    if isinstance(span, Bins):
        floor = min(value for value in span.values if value > 0) / 10
    logs = [m.double().clamp_min(floor).log10() for m in (one, other)]
    return float((logs[0] - logs[1]).abs().mean())

"""Fine-tunes of many draws as one computation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from l2o.configs.schema import FineTuning
from l2o.deciding.policy import Policy
from l2o.envs.stacked.fine_tune import StackedFineTune
from l2o.envs.stacked.policies import SlotPolicies
from l2o.envs.stacked.start import Start
from l2o.envs.tasks.base import Task
from l2o.layers.groups import group_layers
from l2o.measures import Outputs


class StackedRun:
    """One of the fine-tunes of a stack that has ended.

    Attributes:
        diverged: whether it did.
        scores: split -> metric -> value.
    """

    def __init__(self, stack: StackedFineTune, run: int, splits: Sequence[str]) -> None:
        self._stack, self._run = stack, run
        self.diverged = bool(stack.diverged[run])
        self.scores = {
            split: {name: float(values[run]) for name, values in stack.scores[split].items()}
            for split in splits
        }

    def outputs(self, split: str) -> Outputs:
        """Return logits, labels and features of a split."""
        return self._stack.outputs(split, [self._run])[self._run]


def fine_tune_stacked(
    config: FineTuning,
    policy: Policy,
    tasks: Sequence[Task],
    seeds: Sequence[int],
    splits: Sequence[str],
) -> list[StackedRun]:
    """Fine-tune tasks of one network side by side, to the end.

    Args:
        config: the inner training.
        policy: sets the multipliers of all.
        tasks: one each, in memory.
        seeds: of head and batches, one each.
        splits: to score at the end.

    Raises:
        ValueError: a setting that has no stacked form.
    """
    starts = {
        run: Start(task, seed=seed)
        for run, (task, seed) in enumerate(zip(tasks, seeds, strict=True))
    }
    prototype: Any = tasks[0].build_model()
    groups = group_layers(prototype, head=prototype.get_classifier())
    layers = len(groups)
    stack = StackedFineTune(config, len(tasks), layers, signals=policy.signals)
    stack.reset(starts)
    policies = SlotPolicies(policy.signals, layers)
    for run in starts:
        steps = int(stack.steps[run])
        mine = policy.of_length(steps)
        mine.check(groups, total_steps=steps)
        policies.begin(run, mine, layers)
    while not stack.done.all():
        chosen = policies.decide(stack.observation, starts)
        multipliers = torch.ones(len(tasks), layers, dtype=torch.float64)
        for run, rates in chosen.items():
            if isinstance(rates, Exception):
                raise rates
            multipliers[run, : len(rates)] = rates.double()
        stack.set_multipliers(multipliers)
        stack.advance()
    stack.evaluate(splits)
    return [StackedRun(stack, run, splits) for run in starts]

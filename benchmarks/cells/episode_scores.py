"""Scoring policies on episodes that are the same for all of them, whatever each sees and does."""

from __future__ import annotations

from l2o.configs.schema import FineTuning, TrainConfig
from l2o.deciding.learned import LearnedPolicy
from l2o.intervals.plain import as_plain

FIRST_EPISODE = 2**21
"""Number of the first scored episode: evaluation while learning draws smaller ones."""


def seen_by(policy: LearnedPolicy, config: TrainConfig, validation: bool) -> TrainConfig:
    """Return a config that draws the same episodes, with a policy's signals, actions, interval.

    Args:
        policy: who acts.
        config: how episodes are drawn.
        validation: whether the policy is told the source validation loss. Its signals do not tell:
            one that was learned without has only seen zeros there.
    """
    changed = {
        "signals": policy.signals.names,
        "multipliers": policy.multipliers.to_dict(),
        "guidance_actions": policy.guidance_actions,
        "validation": validation,
        "rewards": {},
        "group": 1,
        "tasks": None,
    }
    environment = config.environment.model_copy(update=changed)
    interval = {"interval": as_plain(policy.interval)}
    finetuning = FineTuning.model_validate(config.finetuning.model_dump() | interval)
    return config.model_copy(update={"environment": environment, "finetuning": finetuning})

"""What a policy's card says of its training."""

from __future__ import annotations

from typing import Any

from l2o.configs.schema import TrainConfig
from l2o.policies.common.learner import Learner


def training_card(
    config: TrainConfig, learner: Learner, evaluation: dict[str, float]
) -> dict[str, Any]:
    """Return JSON-able facts for a card: how the policy was trained, and on what it was scored."""
    return {
        "name": config.name,
        "task_family": config.task.name,
        "seed": config.seed,
        "trained_on": {
            "fine_tunes": learner.episodes,
            "fine_tune_steps": learner.fine_tune_steps,
        },
        "results": {
            "evaluation": {
                **evaluation,
                "on": "real validation images of tasks not trained on, meta-training split; "
                "this evaluation also chose the policy among its checkpoints",
            }
        },
        "config": config.model_dump(mode="json"),
    }

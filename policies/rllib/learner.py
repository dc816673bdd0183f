"""RLlib's PPO learner, with passes that end where the policy has moved far enough."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from torch import Tensor

SLACK = 1.5
"""Times the target, as in stable-baselines3."""


class LayerPPO(PPOTorchLearner):
    """PPO that standardises advantages and stops its passes as `ppo` does.

    RLlib standardises over a batch in which every episode has one row more, for the value after its
    last decision. What stands there as an advantage is none, and is often large: it moves the mean
    of the real ones away from 0. Here each minibatch is standardised over its decisions.

    Beyond a mean of r - 1 - log r of 1.5 `target_kl`, r being the ratio of probabilities, nothing
    more is learned from the same decisions: gradients are computed, but not applied. RLlib itself
    goes through all passes, however far the policy moves.

    Its `learner_config_dict` has `target_kl`; None stops never.
    """

    moved = False

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Begin with the decisions of an iteration."""
        super().before_gradient_based_update(timesteps=timesteps)
        self.moved = False

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Tensor]
    ) -> Tensor:
        """Return the loss of a minibatch; note whether the policy has moved too far for it."""
        target = config.learner_config_dict.get("target_kl")
        if target is not None:
            kind = self.module[module_id].unwrapped().get_train_action_dist_cls()
            told = kind.from_logits(fwd_out[Columns.ACTION_DIST_INPUTS].detach())
            log_ratio = told.logp(batch[Columns.ACTIONS]) - batch[Columns.ACTION_LOGP]
            self.moved |= divergence(log_ratio, batch.get(Columns.LOSS_MASK)) > SLACK * target
        advantages = batch[Postprocessing.ADVANTAGES]
        own = standardized(advantages, batch.get(Columns.LOSS_MASK))
        loss: Tensor = super().compute_loss_for_module(
            module_id=module_id,
            config=config,
            batch={**batch, Postprocessing.ADVANTAGES: own},
            fwd_out=fwd_out,
        )
        return loss

    def apply_gradients(self, gradients_dict: dict[Any, Tensor]) -> None:
        """Take a step, unless the policy has moved far enough."""
        if not self.moved:
            super().apply_gradients(gradients_dict)


def divergence(log_ratio: Tensor, mask: Tensor | None = None) -> float:
    """Return the mean of r - 1 - log r (Schulman, Approximating KL Divergence, 2020).

    Args:
        log_ratio: log of r `[N]`.
        mask: which of them count; None: all.

    Example:
        >>> divergence(torch.zeros(3))
        0.0
    """
    each = log_ratio.exp() - 1.0 - log_ratio
    return float((each if mask is None else each[mask]).mean())


def standardized(advantages: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return (A - mean) / (std + 1e-8), both of the rows that count, and 0 in the others.

    Args:
        advantages: A `[N]`.
        mask: which of them count; None: all. A single one is returned as it is.

    Example:
        >>> standardized(torch.tensor([1.0, 3.0, 99.0]), torch.tensor([True, True, False]))
        tensor([-0.7071,  0.7071,  0.0000])
    """
    counts = torch.ones_like(advantages, dtype=torch.bool) if mask is None else mask.bool()
    real = advantages[counts]
    if len(real) > 1:
        real = (real - real.mean()) / (real.std() + 1e-8)
    result = torch.zeros_like(advantages)
    result[counts] = real
    return result

"""RLlib's PPO learner, with passes that end where the policy has moved far enough."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import SampleBatch
from torch import Tensor

SLACK = 1.5
"""Times the target, as in stable-baselines3."""


class LayerPPO(PPOTorchLearner):
    """PPO that learns from its decisions as `ppo` does.

    - RLlib gives every episode a row more, for the value after its last decision, and standardises
      advantages over all rows. What stands there as an advantage is none, and is often large. Here
      such rows are left out, and each minibatch is standardised.
    - RLlib's first pass goes through episodes one after the other, and only later ones are
      shuffled: the first minibatches would be of few episodes. Here all passes are shuffled.
    - Beyond a mean of r - 1 - log r of 1.5 `target_kl`, r being the ratio of probabilities, nothing
      more is learned from the same decisions: gradients are computed, but not applied. RLlib itself
      goes through all passes, however far the policy moves.

    Its `learner_config_dict` has `target_kl`; None stops never.
    """

    moved = False

    def _make_batch_if_necessary(self, training_data: Any) -> Any:
        batch = super()._make_batch_if_necessary(training_data)
        for name, rows in batch.policy_batches.items():
            batch.policy_batches[name] = decisions_of(rows)
        return batch

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
            self.moved |= divergence(log_ratio) > SLACK * target
        own = standardized(batch[Postprocessing.ADVANTAGES])
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


def decisions_of(rows: SampleBatch) -> SampleBatch:
    """Return the rows of a batch that are decisions, in a random order."""
    places = torch.nonzero(rows[Columns.LOSS_MASK]).flatten()
    places = places[torch.randperm(len(places))]
    return SampleBatch({name: values[places] for name, values in rows.items()})


def divergence(log_ratio: Tensor) -> float:
    """Return the mean of r - 1 - log r (Schulman, Approximating KL Divergence, 2020).

    Args:
        log_ratio: log of r `[N]`.

    Example:
        >>> divergence(torch.zeros(3))
        0.0
    """
    return float((log_ratio.exp() - 1.0 - log_ratio).mean())


def standardized(advantages: Tensor) -> Tensor:
    """Return (A - mean) / (std + 1e-8) of advantages `[N]`; a single one as it is.

    Example:
        >>> standardized(torch.tensor([1.0, 3.0]))
        tensor([-0.7071,  0.7071])
    """
    if len(advantages) < 2:
        return advantages
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)

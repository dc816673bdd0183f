"""REINFORCE on parallel fine-tunes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from l2o.checks import check_number
from l2o.configs.schema import TrainConfig
from l2o.networks.multipliers import Bins
from l2o.policies.common.networks import action_range, build_network, signal_spec
from l2o.policies.common.whole_episodes import WholeEpisodeLearner
from l2o.policies.reinforce.baselines import BASELINES, discounted_returns
from l2o.policies.reinforce.rollout import Actor, Batch, replay
from l2o.registry import lookup


class ReinforceLearner(WholeEpisodeLearner):
    """REINFORCE (Williams, Simple Statistical Gradient-Following Algorithms, 1992).

        maximise  mean_t [ (R_t − b_t) · log π(a_t | o_1 ... o_t) + entropy · H(π) ]
        R_t = Σ_k γ^k r_{t+k}

    One gradient step per iteration, from whole episodes, through the recurrent state. With
    discount 0, as in ASG's release, each decision answers for the window that follows it alone.

    Args:
        config: the training config.
        episodes: fine-tunes per iteration; None: as many as there are environments.
        learning_rate: of Adam.
        discount: γ.
        baseline: what is subtracted from returns; a key of `BASELINES`.
        normalise: divide what is left by its standard deviation, decision by decision.
        entropy: weight of the entropy bonus.
        max_grad_norm: gradient clipping.
        log_std: initial log standard deviation of continuous actions.

    Raises:
        ValueError: values out of range, or a network that does not fit the environment.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        episodes: int | None = None,
        learning_rate: float = 3e-3,
        discount: float = 0.0,
        baseline: str = "decision_mean",
        normalise: bool = True,
        entropy: float = 0.0,
        max_grad_norm: float = 1.0,
        log_std: float = -1.0,
    ) -> None:
        super().__init__(config, episodes)
        check_number("algorithm.options.discount", discount, 0.0, 1.0)
        check_number("algorithm.options.learning_rate", learning_rate, above=True)
        check_number("algorithm.options.entropy", entropy)
        check_number("algorithm.options.max_grad_norm", max_grad_norm, above=True)
        check_number("algorithm.options.log_std", log_std, -20.0, 20.0)
        self.discount, self.normalise, self.entropy = discount, normalise, entropy
        self.max_grad_norm = max_grad_norm
        self.baseline = lookup("baseline", BASELINES, baseline)
        self._open()
        try:
            self._make(learning_rate, log_std)
        except BaseException:
            # Nobody else could end their processes.
            self.environments.close()
            raise

    def _make(self, learning_rate: float, log_std: float) -> None:
        layers = (self.environments.observation_space.shape or (0,))[0]
        torch.manual_seed(self.config.seed)
        self.network = build_network(self.config, layers)
        # Refused here if it does not fit: before any work, not at the first export.
        self.policy()
        bins = isinstance(action_range(self.config), Bins)
        self.log_std = None if bins else nn.Parameter(torch.tensor(log_std))
        self.optimizer = torch.optim.Adam(self._parameters(), lr=learning_rate)
        self.actor = Actor(self.environments, self.network, self.log_std)
        self._seed()

    def _parameters(self) -> list[nn.Parameter]:
        own = [] if self.log_std is None else [self.log_std]
        return [*self.network.parameters(), *own]

    def _collect(self) -> tuple[Batch, list[dict[str, Any]]]:
        """Act until enough episodes have ended."""
        episodes = self.actor.collect(self.count)
        return Batch.of(episodes), [episode.info for episode in episodes]

    def _learn(self, batch: Batch) -> dict[str, float]:
        """Take one gradient step."""
        advantages = torch.from_numpy(self._advantages(batch)).float()
        mask = torch.from_numpy(batch.mask)
        log_probs, entropies = replay(self.network, self.log_std, batch)
        objective = (advantages * log_probs + self.entropy * entropies)[mask].mean()
        self.optimizer.zero_grad()
        (-objective).backward()
        norm = nn.utils.clip_grad_norm_(self._parameters(), self.max_grad_norm)
        self.optimizer.step()
        return {
            "entropy": float(entropies.detach()[mask].mean()),
            "gradient_norm": float(norm),
            "reward": float(batch.rewards[batch.mask].mean()),
            **self._behaviour(batch),
        }

    def _advantages(self, batch: Batch) -> NDArray[np.float64]:
        returns = discounted_returns(batch.rewards, self.discount)
        left = (returns - self.baseline(returns, batch.rewards, batch.mask)) * batch.mask
        if not self.normalise:
            return left
        count = np.maximum(batch.mask.sum(axis=0), 1)
        scale = np.sqrt((left**2).sum(axis=0) / count)
        return np.asarray(left / np.where(scale > 0, scale, 1.0))

    def _behaviour(self, batch: Batch) -> dict[str, float]:
        """Return the mean multipliers that were tried: of head, backbone and guidance."""
        signals = signal_spec(self.config)
        if "is_head" not in signals.names:
            is_head = torch.zeros(batch.actions.shape[-1], dtype=torch.bool)
            is_head[-1] = True
            head = is_head.expand_as(batch.actions)
        else:
            head = batch.observations[..., signals.index("is_head")] > 0
        present = batch.observations[..., 0] > 0
        real = torch.from_numpy(batch.mask)[..., None] & present
        tried = action_range(self.config).decode(batch.actions)
        # Rows of guidance terms are the last that are there.
        layers = present.sum(-1, keepdim=True) - len(self.config.environment.guidance_actions)
        layer = present.cumsum(-1) <= layers
        parts = {"multiplier_head": real & head, "multiplier_backbone": real & ~head & layer}
        parts["multiplier_guidance"] = real & ~layer
        return {name: float(tried[part].mean()) for name, part in parts.items() if part.any()}

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimizer and counters; episodes under way are not kept."""
        return {
            **super().state_dict(),
            "log_std": None if self.log_std is None else self.log_std.detach().clone(),
            "torch_rng": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on; the environments begin new episodes, drawn from seeds not used before."""
        super().load_state_dict(state)
        if self.log_std is not None:
            self.log_std.data.copy_(state["log_std"])
        self.actor.forget()
        torch.set_rng_state(state["torch_rng"])

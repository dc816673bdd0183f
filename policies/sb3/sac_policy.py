"""The layer-shared network as a policy of stable-baselines3's SAC."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.sac.policies import SACPolicy
from torch import Tensor, nn

from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.policies.sb3.policy import make_layer_network
from l2o.policies.sb3.squashed import squashed_gaussian

LOG_STD = (-10.0, 2.0)
"""Bounds of the log standard deviation."""


class LayerActor(nn.Module):
    """A `LayerPolicyNetwork` whose outputs are means of squashed Gaussians, one per layer.

    Args:
        network: the network, the very one that deployment runs.
        log_std: initial log standard deviation, before squashing; learned, one for all layers.
        target_entropy: per layer that is present.
    """

    optimizer: torch.optim.Optimizer

    def __init__(self, network: LayerPolicyNetwork, log_std: float, target_entropy: float) -> None:
        super().__init__()
        self.network = network
        self.log_std = nn.Parameter(torch.tensor(log_std))
        self.target_entropy = target_entropy

    def forward(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Return actions `[N, L]` in [-1, 1]."""
        if deterministic:
            return self._means(obs).clamp(-1.0, 1.0)
        return self.draw(obs)[0].clamp(-1.0, 1.0)

    def draw(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Draw actions `[N, L]`; return them with their log-probability `[N]`.

        Layers that are padding get actions, too, which nothing sees: they do not count.
        """
        each = squashed_gaussian(self._means(obs), self.log_std.clamp(*LOG_STD))
        actions = each.rsample()
        return actions, (each.log_prob(actions) * obs[..., 0]).sum(dim=-1)

    def action_log_prob(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Draw actions; return them with log π + target entropy · number of layers.

        SAC has one target for all observations, but networks differ in depth. So the target goes
        in here, and SAC's own is 0. In the soft value this counts entropy from the target on: a
        step at the target neither costs nor gains, so ending an episode early, by divergence,
        is no way around the entropy term.
        """
        actions, log_prob = self.draw(obs)
        return actions, log_prob + self.target_entropy * obs[..., 0].sum(dim=-1)

    def set_training_mode(self, mode: bool) -> None:
        """Set the mode, as stable-baselines3 does."""
        self.train(mode)

    def _means(self, obs: Tensor) -> Tensor:
        outputs: Tensor = self.network(obs.float())[0]
        return outputs.squeeze(-1)


class LayerCritics(nn.Module):
    """Q-functions: networks of their own, the action being one more signal of each layer.

        Q(o, a) = value of LayerPolicyNetwork([o_l, a_l] for all l)

    The value is made from the mean over layers that are present, so padding has no part in it.

    Args:
        features: F.
        hidden: width.
        critics: their number.
    """

    optimizer: torch.optim.Optimizer

    def __init__(self, features: int, hidden: int, critics: int = 2) -> None:
        super().__init__()
        made = (LayerPolicyNetwork(features + 1, 1, hidden) for _ in range(critics))
        self.networks = nn.ModuleList(made)

    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """Return each critic's values `[N, 1]` of observations `[N, L, F]` and actions `[N, L]`."""
        seen = torch.cat([obs.float(), actions.unsqueeze(-1)], dim=-1)
        return tuple(network(seen)[1].unsqueeze(-1) for network in self.networks)

    def set_training_mode(self, mode: bool) -> None:
        """Set the mode, as stable-baselines3 does."""
        self.train(mode)


class LayerSACPolicy(SACPolicy):
    """Actor and critics of SAC that are shared by all layers.

    Args:
        observation_space: `Box [L, F]`.
        action_space: `Box(-1, 1) [L]`.
        lr_schedule: of the optimizers.
        hidden: width of the networks.
        make_network: makes the actor's untrained network; None makes a plain one of that width.
        log_std: initial log standard deviation, before squashing.
        target_entropy: per layer that is present. SAC's own `target_entropy` must be 0.
        **kwargs: as of `SACPolicy`.

    Raises:
        ValueError: spaces of other kinds.

    Example:
        >>> from stable_baselines3 import SAC
        >>> SAC(LayerSACPolicy, environment, target_entropy=0.0)  # doctest: +SKIP
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        hidden: int = 64,
        make_network: Callable[[], LayerPolicyNetwork] | None = None,
        log_std: float = -1.0,
        target_entropy: float = -1.0,
        **kwargs: Any,
    ) -> None:
        if not isinstance(action_space, spaces.Box):
            raise ValueError(f"actions must be Box [L], got {action_space}")
        self.hidden = hidden
        self.make_network = partial(
            make_layer_network, observation_space, action_space, hidden, make_network
        )
        self.initial_log_std = log_std
        self.layer_target_entropy = target_entropy
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def make_actor(self, features_extractor: nn.Module | None = None) -> LayerActor:  # type: ignore[override]
        """Return the untrained actor."""
        return LayerActor(self.make_network(), self.initial_log_std, self.layer_target_entropy)

    def make_critic(self, features_extractor: nn.Module | None = None) -> LayerCritics:  # type: ignore[override]
        """Return untrained critics."""
        assert self.observation_space.shape is not None
        return LayerCritics(self.observation_space.shape[1], self.hidden)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        assert isinstance(observation, Tensor)
        actions: Tensor = self.actor(observation, deterministic)
        return actions

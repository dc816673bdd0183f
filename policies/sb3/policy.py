"""The layer-shared network as a stable-baselines3 policy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn
from torch.distributions import Normal

from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.policies.sb3.distributions import LayerDistribution, layer_distribution
from l2o.policies.sb3.noise import LastingNoise


class LayerActorCriticPolicy(ActorCriticPolicy):
    """The actor is a `LayerPolicyNetwork`, the very one that deployment runs; so may the critic be.

    Args:
        observation_space: `Box [L, F]`.
        action_space: `Box [L]` (Gaussian actions) or `MultiDiscrete` with equal bins per layer.
        lr_schedule: of the optimizer.
        hidden: width of the network.
        make_network: makes the untrained network; None makes a plain one of that width.
        separate_critic: whether the critic is a network of its own. One that shares the actor's
            layers moves the policy whenever it learns.
        log_std: initial log standard deviation of Gaussian actions.
        noise: what actions deviate by where they are tried; None: independent noise.
        head_at: the column of the observation that tells heads, for `noise`.
        **kwargs: as of `ActorCriticPolicy`.

    Raises:
        ValueError: spaces of other kinds.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        hidden: int = 64,
        make_network: Callable[[], LayerPolicyNetwork] | None = None,
        separate_critic: bool = False,
        log_std: float = -1.0,
        noise: LastingNoise | None = None,
        head_at: int = 0,
        **kwargs: Any,
    ) -> None:
        self.hidden = hidden
        self.make_network = make_network
        self.separate_critic = separate_critic
        self.initial_log_std = log_std
        self.noise, self.head_at = noise, head_at
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.network = make_layer_network(
            self.observation_space, self.action_space, self.hidden, self.make_network
        )
        features = self.network.features
        own = LayerPolicyNetwork(features, 1, self.hidden) if self.separate_critic else None
        self.critic = own
        gaussian = isinstance(self.action_space, spaces.Box)
        start = torch.tensor(self.initial_log_std)
        self.log_std = nn.Parameter(start, requires_grad=gaussian)
        kwargs = {"lr": lr_schedule(1), **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.parameters(), **kwargs)

    def _run(self, observation: PyTorchObs) -> tuple[LayerDistribution, Tensor]:
        distribution, value, _ = self._decide(observation, None)
        return distribution, value

    def _decide(
        self, observation: PyTorchObs, memory: Tensor | None
    ) -> tuple[LayerDistribution, Tensor, Tensor | None]:
        """Return the action distribution, the value `[N, 1]` and the next memory."""
        assert isinstance(observation, Tensor)
        outputs, value, memory = self.network(observation.float(), memory)
        if self.critic is not None:
            value = self.critic(observation.float())[1]
        log_std = self.log_std if self.log_std.requires_grad else None
        distribution = layer_distribution(outputs, log_std, observation[..., 0])
        return distribution, value.unsqueeze(-1), memory

    def forward(
        self, obs: PyTorchObs, deterministic: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return actions, values and log-probabilities."""
        distribution, value = self._run(obs)
        actions = self._act(distribution, obs, deterministic)
        return actions, value, distribution.log_prob(actions)

    def _act(self, distribution: LayerDistribution, obs: PyTorchObs, deterministic: bool) -> Tensor:
        if deterministic or self.noise is None:
            return distribution.get_actions(deterministic=deterministic)
        assert isinstance(obs, Tensor)
        assert isinstance(distribution.each, Normal)
        noise = self.noise(obs[..., self.head_at].float())
        return distribution.each.loc + distribution.each.scale * noise

    def evaluate_actions(
        self, obs: PyTorchObs, actions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return values, log-probabilities and entropies of given actions."""
        distribution, value = self._run(obs)
        return value, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: PyTorchObs) -> LayerDistribution:
        """Return the action distribution."""
        return self._run(obs)[0]

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Return the values `[N, 1]`."""
        return self._run(obs)[1]


def make_layer_network(
    observation_space: spaces.Space,
    action_space: spaces.Space,
    hidden: int,
    make_network: Callable[[], LayerPolicyNetwork] | None = None,
) -> LayerPolicyNetwork:
    """Make the untrained network that spaces ask for; without `make_network` a plain one.

    Raises:
        ValueError: spaces of other kinds than `[L, F]` and `[L]`, or a network that does not fit.
    """
    if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 2:
        raise ValueError(f"observations must be Box [L, F], got {observation_space}")
    wanted = (observation_space.shape[1], outputs_of(action_space))
    network = (make_network or partial(LayerPolicyNetwork, *wanted, hidden))()
    if (network.features, network.outputs) != wanted:
        raise ValueError(
            f"the network has (features, outputs) {network.features, network.outputs}, "
            f"the spaces ask for {wanted}"
        )
    return network


def outputs_of(action_space: spaces.Space) -> int:
    """Return how many numbers per layer the network must give for an action space."""
    if isinstance(action_space, spaces.Box):
        return 1
    if isinstance(action_space, spaces.MultiDiscrete) and len(set(action_space.nvec.tolist())) == 1:
        return int(action_space.nvec[0])
    raise ValueError(f"actions must be Box or MultiDiscrete with equal bins, got {action_space}")

"""Evolution strategies on parallel fine-tunes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, vmap

from l2o.checks import check_number
from l2o.configs.schema import TrainConfig
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.policies.common.networks import build_layer_network
from l2o.policies.common.refusals import check_continuous
from l2o.policies.common.whole_episodes import WholeEpisodeLearner
from l2o.policies.evolution.gradient import Array, antithetic_noise, estimate_gradient
from l2o.policies.imitation import imitate

Played = tuple[Array, Array]
"""Noise `[G, n, P]` and returns `[G, n]` of G episodes."""


class EvolutionLearner(WholeEpisodeLearner):
    """Evolution strategies (Salimans et al., Evolution Strategies as a Scalable Alternative).

    Each environment runs a perturbed policy, θ + σ ε, for a whole fine-tune, without noise in its
    actions; those of a group (`environment.group`) share the episode, in pairs of ε and −ε.

        θ ← Adam(θ, estimate_gradient)

    Args:
        config: the training config.
        episodes: fine-tunes per iteration; None: as many as there are environments.
        learning_rate: of Adam.
        sigma: σ.

    Raises:
        ValueError: values out of range, groups that are not even, actions that are not on a log
            scale, or a recurrent or asg_2020 network.
    """

    network: LayerPolicyNetwork

    def __init__(
        self,
        config: TrainConfig,
        *,
        episodes: int | None = None,
        learning_rate: float = 0.01,
        sigma: float = 0.05,
    ) -> None:
        super().__init__(config, episodes)
        check_number("algorithm.options.learning_rate", learning_rate, above=True)
        check_number("algorithm.options.sigma", sigma, above=True)
        self._check(config)
        self.group, self.sigma = config.environment.group, sigma
        torch.manual_seed(config.seed)
        self.network = build_layer_network(config)
        # The critic has no part in it.
        self._names = [n for n, _ in self.network.named_parameters() if not n.startswith("value.")]
        self._tensors = [self.network.get_parameter(name) for name in self._names]
        self.optimizer = torch.optim.Adam(self._tensors, lr=learning_rate)
        self._random = np.random.default_rng(config.seed)
        self._run = vmap(self._decide)
        self._seen: NDArray[np.float32] | None = None
        self._open()
        self._seed()

    @staticmethod
    def _check(config: TrainConfig) -> None:
        if not config.stacked or config.environment.group % 2:
            raise ValueError(
                "algorithm evolution compares pairs on the same episode; set stacked=true and "
                f"environment.group to an even number, not {config.environment.group}"
            )
        if config.network.kind != "layer_shared" or config.network.recurrent:
            raise ValueError(
                "algorithm evolution has no recurrent policy; set network.kind=layer_shared and "
                "network.recurrent=false"
            )
        check_continuous(config, "evolution")

    def _decide(self, tensors: dict[str, Tensor], observation: Tensor) -> Tensor:
        outputs: Tensor = functional_call(self.network, tensors, (observation,))[0]
        return outputs.squeeze(-1).clamp(-1.0, 1.0)

    def _collect(self) -> tuple[Played, list[dict[str, Any]]]:
        """Play until enough groups have ended; return their noise and returns, and their infos."""
        if self.iterations == 0 and self.config.imitation is not None:
            imitate(self.network, self.config)
            self.episodes += self.config.imitation.episodes
        if self._seen is None:
            self._begin()
        noise: list[Array] = []
        returns: list[Array] = []
        infos: list[dict[str, Any]] = []
        while len(infos) < self.count:
            for group, told in self._step():
                members = slice(group * self.group, (group + 1) * self.group)
                noise.append(self._noise[members].copy())
                returns.append(self._returns[members].copy())
                infos += told
                self._perturb(group)
        return (np.stack(noise), np.stack(returns)), infos

    def _begin(self) -> None:
        seen = self.environments.reset()
        assert isinstance(seen, np.ndarray)
        self._seen = seen
        number = self.environments.num_envs
        size = sum(tensor.numel() for tensor in self._tensors)
        self._noise = np.zeros((number, size))
        self._returns = np.zeros(number)
        self._stacked = {
            name: torch.zeros(number, *tensor.shape)
            for name, tensor in zip(self._names, self._tensors, strict=True)
        }
        for group in range(number // self.group):
            self._perturb(group)

    @torch.no_grad()
    def _perturb(self, group: int) -> None:
        """Give a group new policies around the newest parameters."""
        members = slice(group * self.group, (group + 1) * self.group)
        self._noise[members] = antithetic_noise(self.group, self._noise.shape[1], self._random)
        self._returns[members] = 0.0
        moved = torch.from_numpy(self._noise[members]).float() * self.sigma
        parts = moved.split([tensor.numel() for tensor in self._tensors], dim=1)
        for name, tensor, part in zip(self._names, self._tensors, parts, strict=True):
            self._stacked[name][members] = tensor + part.view(-1, *tensor.shape)

    def _step(self) -> list[tuple[int, list[dict[str, Any]]]]:
        """Step all environments; return the groups that ended, with their infos."""
        assert self._seen is not None
        with torch.no_grad():
            actions = self._run(self._stacked, torch.from_numpy(self._seen)).numpy()
        seen, rewards, ended, infos = self.environments.step(actions)
        assert isinstance(seen, np.ndarray)
        self._seen = seen
        self._returns += rewards
        firsts = np.flatnonzero(ended[:: self.group]).tolist()
        return [(g, [infos[g * self.group + i] for i in range(self.group)]) for g in firsts]

    def _learn(self, played: Played) -> dict[str, float]:
        """Take a step along the estimated gradient."""
        gradient = torch.from_numpy(estimate_gradient(*played, self.sigma)).float()
        parts = gradient.split([tensor.numel() for tensor in self._tensors])
        for tensor, part in zip(self._tensors, parts, strict=True):
            tensor.grad = -part.view_as(tensor)
        self.optimizer.step()
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on; the environments begin new episodes, drawn from seeds not used before."""
        super().load_state_dict(state)
        self._random = np.random.default_rng([self.config.seed, self.iterations])
        self._seen = None

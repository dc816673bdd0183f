"""The layer-shared network as a module of RLlib: one actor and critic, blind to padding."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchDistribution
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from l2o.configs.schema import TrainConfig
from l2o.policies.common.networks import build_layer_network


class LayerGaussian(TorchDistribution):
    """Independent Gaussians over layers; only layers that are present count.

    Args:
        mean: `[..., L]`.
        std: `[..., L]`, positive.
        present: mask `[..., L]`.

    Example:
        >>> one = LayerGaussian(torch.zeros(2), torch.ones(2), torch.tensor([1.0, 0.0]))
        >>> float(one.entropy()) == float(Normal(0.0, 1.0).entropy())
        True
    """

    def __init__(self, mean: Tensor, std: Tensor, present: Tensor) -> None:
        self.present = present
        super().__init__(mean, std)

    def _get_torch_distribution(self, mean: Tensor, std: Tensor) -> Normal:
        return Normal(mean, std, validate_args=False)

    def logp(self, value: Tensor, **_: Any) -> Tensor:
        """Return the log-probability `[...]` of actions `[..., L]`."""
        return (self._dist.log_prob(value) * self.present).sum(dim=-1)

    def entropy(self) -> Tensor:
        """Return the entropy `[...]`."""
        return (self._dist.entropy() * self.present).sum(dim=-1)

    def kl(self, other: LayerGaussian, **_: Any) -> Tensor:
        """Return the divergence `[...]` from another one."""
        return (kl_divergence(self._dist, other._dist) * self.present).sum(dim=-1)

    @staticmethod
    def required_input_dim(space: Any, **_: Any) -> int:
        """Return how many numbers it is made of."""
        return 3 * int(space.shape[0])

    @classmethod
    def from_logits(cls, logits: Tensor, **_: Any) -> LayerGaussian:
        """Return the one that numbers `[..., 3 L]` stand for: means, log std, mask."""
        mean, log_std, present = logits.chunk(3, dim=-1)
        return cls(mean, log_std.exp(), present)

    def to_deterministic(self) -> Any:
        """Return what gives its means."""
        from ray.rllib.core.distribution.torch.torch_distribution import TorchDeterministic

        return TorchDeterministic(loc=self._dist.loc)


class LayerModule(TorchRLModule, ValueFunctionAPI):
    """A `LayerPolicyNetwork`, the very one that deployment runs, as actor and critic.

    Its model config has `train`, a training config as JSON, and `log_std`.
    """

    def setup(self) -> None:
        """Make the untrained network."""
        config = TrainConfig.model_validate_json(self.model_config["train"])
        self.network = build_layer_network(config)
        self.log_std = nn.Parameter(torch.tensor(float(self.model_config["log_std"])))
        self.action_dist_cls = LayerGaussian

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        observation = batch[Columns.OBS].float()
        outputs, value, _ = self.network(observation, None)
        means = outputs.squeeze(-1)
        present = observation[..., 0]
        told = torch.cat([means, self.log_std.expand_as(means), present], dim=-1)
        return {Columns.ACTION_DIST_INPUTS: told, Columns.EMBEDDINGS: value}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Return the values `[N]`."""
        if embeddings is not None:
            value: Tensor = embeddings
            return value
        result: Tensor = self.network(batch[Columns.OBS].float(), None)[1]
        return result

    def get_inference_action_dist_cls(self) -> type[LayerGaussian]:
        """Return the distribution of actions."""
        return LayerGaussian

    get_exploration_action_dist_cls = get_train_action_dist_cls = get_inference_action_dist_cls

"""Action distributions over layers, blind to the padding of shallower networks."""

from __future__ import annotations

import torch
from stable_baselines3.common.distributions import Distribution
from torch import Tensor, nn
from torch.distributions import Categorical, Normal


class LayerDistribution(Distribution):
    """Independent actions per layer; only layers that are present count.

    Padded rows get actions too, since action spaces have one shape, but the environment ignores
    them: counting their log-probabilities would only add noise to the policy ratio.

    Args:
        each: a batch of distributions `[N, L]`.
        present: mask `[N, L]`.
    """

    def __init__(self, each: Normal | Categorical, present: Tensor) -> None:
        super().__init__()
        self.each = each
        self.present = present

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability `[N]` of actions `[N, L]`."""
        return (self.each.log_prob(x) * self.present).sum(dim=-1)

    def entropy(self) -> Tensor:
        """Return the entropy `[N]`."""
        return (self.each.entropy() * self.present).sum(dim=-1)

    def sample(self) -> Tensor:
        """Draw actions `[N, L]`."""
        return self.each.sample()

    def mode(self) -> Tensor:
        """Return the likeliest actions `[N, L]`."""
        return self.each.mode

    def proba_distribution_net(self, *args: object, **kwargs: object) -> nn.Module:
        """Return nothing of use: the layer-shared network gives the parameters."""
        return nn.Identity()

    def proba_distribution(self, *args: object, **kwargs: object) -> LayerDistribution:
        """Return itself: it is made with its parameters."""
        return self

    def actions_from_params(self, *args: object, **kwargs: object) -> Tensor:
        """Draw actions."""
        return self.sample()

    def log_prob_from_params(self, *args: object, **kwargs: object) -> tuple[Tensor, Tensor]:
        """Draw actions and return their log-probability with them."""
        actions = self.sample()
        return actions, self.log_prob(actions)


def layer_distribution(
    outputs: Tensor, log_std: Tensor | None, present: Tensor
) -> LayerDistribution:
    """Make the distribution of network outputs `[N, L, outputs]`.

    With `log_std` the outputs `[N, L, 1]` are means of Gaussians, else logits of bins.
    """
    if log_std is None:
        return LayerDistribution(Categorical(logits=outputs, validate_args=False), present)
    means = outputs.squeeze(-1)
    std = torch.ones_like(means) * log_std.exp()
    return LayerDistribution(Normal(means, std, validate_args=False), present)

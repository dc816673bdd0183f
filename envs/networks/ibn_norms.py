"""Instance norm made of a batch norm that is already pretrained."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


class HalfInstanceNorm(nn.Module):
    """Instance norm of the first half of the channels, batch norm of the rest, both affine.

        y = [γ₁ · (x₁ − μ_instance) / σ_instance + β₁,  BN(x₂)]

    Affine parameters of both, and the statistics of the batch norm, are those of the batch norm
    that it takes the place of; and so is the rectifier, where that has one of its own, as timm's.

    Args:
        norm: the batch norm.

    Example:
        >>> HalfInstanceNorm(nn.BatchNorm2d(8))(torch.rand(2, 8, 4, 4)).shape
        torch.Size([2, 8, 4, 4])
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.first = norm.num_features // 2
        self.instance = _instance_norm(norm, slice(0, self.first))
        rest = slice(self.first, None)
        self.batch = nn.BatchNorm2d(
            norm.num_features - self.first, norm.eps, norm.momentum, norm.affine
        )
        state = {
            name: tensor[rest] if tensor.dim() else tensor
            for name, tensor in norm.state_dict().items()
        }
        self.batch.load_state_dict(state)
        self.act = _after(norm)
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised maps `[N, C, H, W]`."""
        normed, rest = x[:, : self.first], x[:, self.first :]
        parts = [self.instance(normed.contiguous()), self.batch(rest.contiguous())]
        made: Tensor = self.act(torch.cat(parts, dim=1))
        return made


def whole_instance_norm(norm: nn.BatchNorm2d) -> nn.Module:
    """Return instance norm in the place of a batch norm, with its parameters and rectifier."""
    made, after = _instance_norm(norm, slice(None)), _after(norm)
    if isinstance(after, nn.Identity):
        return made
    return nn.Sequential(OrderedDict(instance=made, act=after)).train(norm.training)


def _instance_norm(norm: nn.BatchNorm2d, part: slice) -> nn.InstanceNorm2d:
    """Return instance norm with a batch norm's affine parameters, of some of its channels."""
    channels = len(range(norm.num_features)[part])
    made = nn.InstanceNorm2d(channels, eps=norm.eps, affine=True)
    if norm.affine:
        with torch.no_grad():
            made.weight.copy_(norm.weight[part])
            made.bias.copy_(norm.bias[part])
    return made


def _after(norm: nn.BatchNorm2d) -> nn.Module:
    """Return what a batch norm of timm's does after it normalised."""
    own = [each for each in norm.children() if not isinstance(each, nn.Identity)]
    return nn.Sequential(*own) if len(own) > 1 else next(iter(own), nn.Identity())

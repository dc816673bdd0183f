"""Gaussian actions squashed into the action range, with the deployed action as their mode."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx
from torch.distributions import AffineTransform, Normal, TanhTransform, TransformedDistribution

EDGE = 0.99
"""tanh of the mean at the ends of the action range. 1 would be infinitely far out."""


def squashed_gaussian(means: Tensor, log_std: Tensor) -> TransformedDistribution:
    """Return the distribution of a = tanh(u) / EDGE, u ~ N(atanh(EDGE · clamp(m, -1, 1)), std²).

    A deployed policy acts m, clamped to [-1, 1], and so do imitation, anchors and the other
    algorithms read the network's outputs. SAC's usual tanh(m) would be another policy. Taking
    m through atanh first makes clamp(m) the action at zero noise, at the range's ends, too: a is
    up to 1 / EDGE, a hair beyond them, and environments clamp it. Without noise da/dm is 1.

    Args:
        means: network outputs m, any shape.
        log_std: log standard deviation of u, broadcastable.

    Example:
        >>> squashed_gaussian(torch.tensor([0.5]), torch.tensor(-30.0)).sample()
        tensor([0.5000])
    """
    middle = torch.atanh(EDGE * clamp_inward(means))
    std = log_std.exp().expand_as(middle)
    # With caches, log-probabilities of fresh samples need no inversion, which is ill-conditioned.
    squash = [TanhTransform(cache_size=1), AffineTransform(0.0, 1.0 / EDGE, cache_size=1)]
    return TransformedDistribution(Normal(middle, std, validate_args=False), squash)


def clamp_inward(values: Tensor) -> Tensor:
    """Clamp to [-1, 1]; outside, only gradients whose descent leads back in pass.

    A plain clamp has no gradient there: outputs of an anchored network that begin outside would
    stay. Source: Hausknecht and Stone, Deep Reinforcement Learning in Parameterized Action Space
    (there the gradients are inverted).

    Example:
        >>> values = torch.tensor([2.0, 2.0, 0.5], requires_grad=True)
        >>> (clamp_inward(values) * torch.tensor([1.0, -1.0, -1.0])).sum().backward()
        >>> values.grad
        tensor([ 1.,  0., -1.])
    """
    clamped: Tensor = _ClampInward.apply(values)
    return clamped


class _ClampInward(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return values.clamp(-1.0, 1.0)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors  # type: ignore[attr-defined]
        (gradient,) = gradients
        inward = (values.abs() <= 1.0) | (values * gradient > 0.0)
        return gradient * inward

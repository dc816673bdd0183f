"""Self-training by angles: angular visual hardness in the place of the softmax."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from l2o.adaptation.base import Side
from l2o.adaptation.cbst import CBST
from l2o.adaptation.self_training import wide

_INSIDE = 1.0 - 1e-7
"""Cosines are held within it: the slope of arccos is infinite at 1."""


@dataclass(eq=False)
class AVH(CBST):
    """CBST whose confidences are angles between the last features and the classes' weights.

        A(u, v) = arccos(u·v / ‖u‖‖v‖),   c_k = (π − A(x, w_k)) / Σ_j (π − A(x, w_j))

    Source: Chen et al., Angular Visual Hardness, ICML 2020. Norms of features and of weights, which
    an easy source inflates, play no part in it.

    Args:
        share: of each class: {first, growth, most}.
        seed: of nothing.

    Raises:
        ValueError: a share out of range.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 3))
        >>> from l2o.adaptation import HeadInputs
        >>> with HeadInputs(model[2]) as caught, torch.no_grad():
        ...     outputs = model(torch.randn(4, 2))
        ...     side = Side(outputs, caught.features, last=caught.last)
        >>> AVH().confidences(side).detach().sum(dim=1)
        tensor([1., 1., 1., 1.])
    """

    def confidences(self, side: Side) -> Tensor:
        """Return c, of the outputs' shape.

        Raises:
            ValueError: the last layer's inputs were not caught.
        """
        if side.last is None:
            raise ValueError("avh looks at the last layer; catch it by l2o.adaptation.HeadInputs")
        near = math.pi - angles(side.last.inputs, side.last.weight)
        shares = near / near.sum(dim=1, keepdim=True)
        if shares.shape[2:] != side.outputs.shape[2:]:  # maps that are scaled up after the head
            shares = functional.interpolate(shares, side.outputs.shape[2:], mode="bilinear")
        return shares


def angles(features: Tensor, weight: Tensor) -> Tensor:
    """Return A(x, w_k) in radians, `[N, K]` or `[N, K, H, W]`.

    Args:
        features: `[N, D]` or `[N, D, H, W]`.
        weight: `[K, D]`.

    Example:
        >>> angles(torch.tensor([[1.0, 0.0]]), torch.tensor([[-2.0, 0.0], [0.0, 1.0]]))
        tensor([[3.1411, 1.5708]])
    """
    units = functional.normalize(wide(features), dim=1)
    classes = functional.normalize(wide(weight), dim=1)
    cosines = torch.einsum("nd...,kd->nk...", units, classes)
    return torch.arccos(cosines.clamp(-_INSIDE, _INSIDE))


def visual_hardness(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Return AVH(x) = A(x, w_y) / Σ_k A(x, w_k), of the shape of the labels: 0 is the easiest.

    Args:
        features: `[N, D]` or `[N, D, H, W]`.
        weight: `[K, D]`.
        labels: int64 `[N]` or `[N, H, W]`.

    Example:
        >>> weight = torch.eye(2)
        >>> visual_hardness(torch.tensor([[1.0, 1.0]]), weight, torch.tensor([0]))
        tensor([0.5000])
    """
    every = angles(features, weight)
    return every.gather(1, labels.unsqueeze(1)).squeeze(1) / every.sum(dim=1)

"""Maximum mean discrepancy with several kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from l2o.adaptation.feature_term import FeatureTerm
from l2o.checks import check_number


@dataclass(eq=False)
class MMD(FeatureTerm):
    """mean k(s, s') + mean k(t, t') − 2 mean k(s, t),   k(x, y) = Σ_a exp(−‖x − y‖² / 2σ_a²).

    σ_a² = a · mean ‖x_i − x_j‖² over the batch of both, a constant for the gradient. The means are
    over all pairs, so the term is never negative. Source: Long et al., Learning Transferable
    Features with Deep Adaptation Networks, ICML 2015.

    Args:
        weight: not negative.
        pixels: of maps, positions of each image that are compared; 0: their mean.
        seed: of nothing.
        scales: the a of the kernels, above 0.

    Raises:
        ValueError: a weight or scale out of range, or no scale.

    Example:
        >>> MMD()(torch.ones(4, 3), torch.ones(4, 3))
        tensor(0.)
    """

    scales: Any = (0.125, 0.25, 0.5, 1.0, 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.scales = tuple(self.scales)
        if not self.scales:
            raise ValueError("scales is empty; give at least one, such as [1.0]")
        for scale in self.scales:
            check_number("a scale of scales", scale, above=True)

    def distance(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        """Return the squared discrepancy."""
        del progress
        both = torch.cat([source, target])
        squares = both.square().sum(dim=1)
        distances = (squares[:, None] + squares[None] - 2.0 * both @ both.T).clamp_min(0.0)
        mean = distances.detach().mean().clamp_min(torch.finfo(both.dtype).tiny)
        kernel = torch.stack([torch.exp(-distances / (2.0 * a * mean)) for a in self.scales]).sum(0)
        n = len(source)
        within = kernel[:n, :n].mean() + kernel[n:, n:].mean()
        return (within - 2.0 * kernel[:n, n:].mean()).clamp_min(0.0)

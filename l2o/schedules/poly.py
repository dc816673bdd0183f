"""The polynomial schedule."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from l2o.checks import check_number
from l2o.schedules.base import Schedule


@dataclass(frozen=True)
class Poly(Schedule):
    """From 1 to 0 as a power of what is left: (1 − p)^power.

    `torch.optim.lr_scheduler.PolynomialLR`. Source: Chen et al., DeepLab: Semantic Image
    Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully Connected CRFs, 2017
    (power 0.9); used on GTA5 by Chen et al., Automated Synthetic-to-Real Generalization, ICML 2020.

    Args:
        power: the exponent, above 0; 1 is a line.

    Raises:
        ValueError: `power` is 0, negative or not finite.

    Example:
        >>> Poly(power=2.0)(torch.tensor([0.0, 0.5, 1.0]))
        tensor([1.0000, 0.2500, 0.0000])
    """

    power: float = 0.9

    def __post_init__(self) -> None:
        check_number("power", self.power, above=True)

    def compute(self, progress: Tensor) -> Tensor:
        """Return the factors."""
        return (1.0 - progress) ** self.power

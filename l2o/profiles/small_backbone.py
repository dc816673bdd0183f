"""The small-backbone profile: a small learning rate for all but the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from l2o.checks import check_number
from l2o.profiles.base import Profile


@dataclass(frozen=True)
class SmallBackbone(Profile):
    """1 for the head, `factor` for every other layer.

    The "small LR" baseline of Chen et al., Automated Synthetic-to-Real Generalization, ICML 2020.

    Args:
        factor: of the backbone, not negative.

    Raises:
        ValueError: `factor` is negative or not finite.

    Example:
        >>> depth = torch.tensor([0.0, 0.5, 1.0])
        >>> SmallBackbone()(torch.tensor(0.0), depth, depth.eq(1).float(), torch.ones(3))
        tensor([0.1000, 0.1000, 1.0000])
    """

    factor: float = 0.1
    needs_head: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("factor", self.factor)

    def compute(self, progress: Tensor, depth: Tensor, is_head: Tensor, present: Tensor) -> Tensor:
        """Return 1 or `factor`."""
        del progress, depth, present
        return is_head + (1.0 - is_head) * self.factor

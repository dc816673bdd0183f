"""The frozen-backbone profile: only the head is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from l2o.profiles.base import Profile


@dataclass(frozen=True)
class FrozenBackbone(Profile):
    """1 for the head, 0 for every other layer.

    The "oracle on proxy" baseline of Chen et al., Automated Synthetic-to-Real Generalization,
    ICML 2020: what the backbone knew of the proxy is kept whole.

    Example:
        >>> depth = torch.tensor([0.0, 0.5, 1.0])
        >>> FrozenBackbone()(torch.tensor(0.0), depth, depth.eq(1).float(), torch.ones(3))
        tensor([0., 0., 1.])
    """

    needs_head: ClassVar[bool] = True

    def compute(self, progress: Tensor, depth: Tensor, is_head: Tensor, present: Tensor) -> Tensor:
        """Return the head's flags."""
        del progress, depth, present
        return is_head

"""The gradual-unfreezing profile: from the head down, one layer after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from l2o.checks import check_number
from l2o.profiles.base import Profile, has_come, rank_from_head


@dataclass(frozen=True)
class GradualUnfreezing(Profile):
    """0 until a layer's turn comes, then 1: of L layers, that with r above it at p = until·r/(L−1).

    The head is trained from the start, the first layer from `until` on, the others at even
    distances between. Source: Howard and Ruder, Universal Language Model Fine-tuning for Text
    Classification, ACL 2018 (there: one layer per epoch).

    Args:
        until: the share of the training after which every layer is trained, in [0, 1].

    Raises:
        ValueError: `until` is out of range.

    Example:
        >>> depth = torch.tensor([0.0, 0.5, 1.0])
        >>> GradualUnfreezing()(torch.tensor(0.3), depth, depth.eq(1).float(), torch.ones(3))
        tensor([0., 1., 1.])
    """

    until: float = 0.5
    needs_progress: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("until", self.until, 0.0, 1.0)

    def compute(self, progress: Tensor, depth: Tensor, is_head: Tensor, present: Tensor) -> Tensor:
        """Return 1 for the layers whose turn has come."""
        del is_head
        below_head = (present.sum(dim=-1, keepdim=True) - 1.0).clamp_min(1.0)
        turn = self.until * rank_from_head(depth, present) / below_head
        return has_come(turn, progress).to(depth.dtype)

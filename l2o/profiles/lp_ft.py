"""The LP-FT profile: linear probing, then fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from l2o.checks import check_number
from l2o.profiles.base import Profile, has_come


@dataclass(frozen=True)
class LPFT(Profile):
    """1 for the head; 0 for every other layer while p < until, then 1.

    Source: Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution, ICLR 2022 (there each phase has a tuned learning rate of its own).

    Args:
        until: the share of the training in which only the head is trained, in [0, 1].

    Raises:
        ValueError: `until` is out of range.

    Example:
        >>> depth = torch.tensor([0.0, 0.5, 1.0])
        >>> LPFT()(torch.tensor(0.3), depth, depth.eq(1).float(), torch.ones(3))
        tensor([0., 0., 1.])
    """

    until: float = 0.5
    needs_progress: ClassVar[bool] = True
    needs_head: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("until", self.until, 0.0, 1.0)

    def compute(self, progress: Tensor, depth: Tensor, is_head: Tensor, present: Tensor) -> Tensor:
        """Return 1 for what is trained."""
        del depth, present
        thawed = has_come(self.until, progress).to(is_head.dtype)
        return is_head + (1.0 - is_head) * thawed

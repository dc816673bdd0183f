"""The layer-wise decay profile: the nearer the input, the smaller the learning rate."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from l2o.checks import check_number
from l2o.profiles.base import Profile, rank_from_head


@dataclass(frozen=True)
class LayerwiseDecay(Profile):
    """decay^r for the layer with r others above it: 1 for the head, decay for the one below, ...

    Source: Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, ACL
    2018 (discriminative fine-tuning); Clark et al., ELECTRA, ICLR 2020; Bao et al., BEiT: BERT
    Pre-Training of Image Transformers, ICLR 2022 (decay 0.65).

    Args:
        decay: the factor from one layer to the next, in (0, 1].

    Raises:
        ValueError: `decay` is out of range.

    Example:
        >>> depth = torch.tensor([0.0, 0.5, 1.0])
        >>> LayerwiseDecay(0.5)(torch.tensor(0.0), depth, depth.eq(1).float(), torch.ones(3))
        tensor([0.2500, 0.5000, 1.0000])
    """

    decay: float = 0.65

    def __post_init__(self) -> None:
        check_number("decay", self.decay, 0.0, 1.0, above=True)

    def compute(self, progress: Tensor, depth: Tensor, is_head: Tensor, present: Tensor) -> Tensor:
        """Return the powers of `decay`."""
        del progress, is_head
        return self.decay ** rank_from_head(depth, present)

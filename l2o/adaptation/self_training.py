"""The contract of self-training: rounds of predicting, selecting, and training on the selected."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from l2o.adaptation.base import IGNORED, Adaptation, Batch, Phase, Side
from l2o.adaptation.selection import Selection
from l2o.adaptation.shares import Share


@dataclass(eq=False)
class SelfTraining(Adaptation):
    """Cross-entropy on source labels and on pseudo-labels, weighted as the images are mixed.

        (n_s · L_source + n_t · L_target) / (n_s + n_t)

    A member says by which rule a round selects (`selection`), what takes the place of
    probabilities (`confidences`), and what is minimised on the pseudo-labelled images
    (`target_loss`).

    Args:
        share: of the predictions that a round selects: {first, growth, most}.
        seed: of networks of its own.

    Attributes:
        draws_all: whether target batches are of all images, and not of those with a label alone.
        soft: whether its rule gives soft labels.

    Raises:
        ValueError: a share out of range.
    """

    relabels: ClassVar[bool] = True
    draws_all: ClassVar[bool] = False
    soft: ClassVar[bool] = False

    share: Any = field(default_factory=Share)
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.share, Share):
            given = self.share if isinstance(self.share, dict) else {"first": self.share}
            try:
                self.share = Share(**given)
            except TypeError as error:
                raise ValueError(
                    f"share={self.share!r} must be a number or any of first, growth, most"
                ) from error

    @abstractmethod
    def selection(self, number: int) -> Selection:
        """Return a fresh rule for a round, counted from 0."""

    def confidences(self, side: Side) -> Tensor:
        """Return what the rule sees of predictions: probabilities, of the outputs' shape."""
        return torch.softmax(wide(side.outputs), dim=1)

    def target_loss(self, side: Side) -> Tensor:
        """Return the mean loss of pseudo-labelled images, a scalar."""
        assert side.labels is not None
        return kept_cross_entropy(side.outputs, side.labels, side.soft)

    def loss(self, batch: Batch, phase: Phase) -> Tensor:
        """Return the mean over both parts of the batch."""
        del phase
        source, target = len(batch.source.outputs), len(batch.target.outputs)
        if not target:
            return batch.source_loss
        total = source * batch.source_loss + target * self.target_loss(batch.target)
        return total / (source + target)


def kept_cross_entropy(outputs: Tensor, labels: Tensor, soft: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy of what has a label; 0, with a gradient of 0, if nothing has.

    Args:
        outputs: logits `[N, K]` or `[N, K, H, W]`.
        labels: int64 `[N]` or `[N, H, W]`, `IGNORED` where none counts.
        soft: labels of the outputs' shape instead of the hard ones, where these count.

    Example:
        >>> kept_cross_entropy(torch.zeros(2, 4), torch.tensor([1, IGNORED]))
        tensor(1.3863)
    """
    kept = labels != IGNORED
    count = kept.sum().clamp_min(1)
    if soft is None:
        total = functional.cross_entropy(
            wide(outputs), labels, ignore_index=IGNORED, reduction="sum"
        )
        return total / count
    each = -(soft.detach() * functional.log_softmax(wide(outputs), dim=1)).sum(dim=1)
    return torch.where(kept, each, torch.zeros_like(each)).sum() / count


def wide(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 or better: half precision has too few digits for sums."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))

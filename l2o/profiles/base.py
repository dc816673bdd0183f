"""The contract of layer profiles: where a layer lies, and when -> factor on its learning rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Profile(ABC):
    """How the learning rate is shared out over the layers. Members are frozen dataclasses.

    Attributes:
        needs_progress: True if the factors move during the training.
        needs_head: True if it makes no sense without knowing which layer is the head.

    Example:
        >>> class Deeper(Profile):
        ...     def compute(self, progress, depth, is_head, present):
        ...         return depth
        >>> depth = torch.tensor([0.0, 0.5, 1.0])
        >>> Deeper()(torch.tensor(0.0), depth, depth.eq(1).float(), torch.ones(3))
        tensor([0.0000, 0.5000, 1.0000])
    """

    needs_progress: ClassVar[bool] = False
    needs_head: ClassVar[bool] = False

    @abstractmethod
    def compute(self, progress: Tensor, depth: Tensor, is_head: Tensor, present: Tensor) -> Tensor:
        """Return the factors of the layers; those of absent ones do not matter."""

    def __call__(self, progress: Tensor, depth: Tensor, is_head: Tensor, present: Tensor) -> Tensor:
        """Return the factors `[..., L]`, finite and not negative, zero for absent layers.

        Args:
            progress: `[...]`, share of the training done, in [0, 1].
            depth: `[..., L]`, 0 at the input, 1 at the head; only its order counts.
            is_head: `[..., L]`, 1 for the head.
            present: `[..., L]`, 1 for a layer, 0 for padding.
        """
        return self.compute(progress, depth, is_head, present) * present


def rank_from_head(depth: Tensor, present: Tensor) -> Tensor:
    """Return how many layers lie above each one, `[..., L]`: 0 for the deepest, the head."""
    above = (depth.unsqueeze(-2) > depth.unsqueeze(-1)).to(depth.dtype)
    return (above * present.unsqueeze(-2)).sum(dim=-1)


def has_come(turn: Tensor | float, progress: Tensor) -> Tensor:
    """Return whether a progress `[...]` has reached each layer's turn `[..., L]`, as booleans.

    Example:
        >>> has_come(torch.tensor([0.0, 0.5, 1.0]), torch.tensor(0.5))
        tensor([ True,  True, False])
    """
    # Progress is a rounded i / T: the step at a turn must not miss it.
    return progress.unsqueeze(-1) >= turn - 1e-6

"""Multipliers from sizes of steps: how far a step may move a layer, relative to its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from l2o.signals.learning_rate import BaseLR, Multiplier
from l2o.signals.update import UpdateNorm

SEEN = (
    *("present", "is_head", "base_lr", "multiplier", "update_norm", "has_gradient"),
    *("progress", "has_progress"),
)
"""Signals that `relative_multipliers` and `cosine` look at."""


def relative_multipliers(
    seen: Mapping[str, Tensor],
    wanted: Tensor,
    first_lr: float,
    change: float,
    measure: str = "update_norm",
) -> Tensor:
    """Return multiplier · wanted · ‖θ‖ / ‖Δθ‖ of each layer, Δθ the last step's update.

    A multiplier changes by a factor of `change` at most. A layer of which nothing was measured yet
    gets the learning rate `first_lr`, and one that did not move keeps its multiplier. The ratio of
    norms is that of You et al., Large Batch Training of Convolutional Networks, 2017.

    Args:
        seen: features by name, as signals encode them, `[..., L]` each.
        wanted: ‖Δθ‖ / ‖θ‖ that a step is to have, `[..., L]`.
        first_lr: the learning rate before the first measurement.
        change: largest factor between two decisions.
        measure: the signal that ‖Δθ‖ / ‖θ‖ is read from: that of the whole layer, or
            `largest_update`, that of the tensor which moves most.

    Example:
        >>> one = torch.ones(1)
        >>> seen = {"base_lr": -0.5 * one, "multiplier": 0 * one, "update_norm": -0.5 * one}
        >>> seen |= {"present": one, "has_gradient": one}
        >>> relative_multipliers(seen, torch.tensor([0.05]), 1e-4, 10.0)  # moved by 0.01
        tensor([5.])
    """
    base_lr = 10.0 ** (seen["base_lr"] * BaseLR.scale)
    before = 10.0 ** (seen["multiplier"] * Multiplier.scale)
    target = before * wanted / 10.0 ** (seen[measure] * UpdateNorm.scale)
    target = torch.minimum(torch.maximum(target, before / change), before * change)
    moved = seen[measure] > -UpdateNorm.limit
    measured = seen["has_gradient"] * seen["present"] > 0
    chosen = torch.where(moved, target, before)
    return torch.where(measured, chosen, first_lr / base_lr)


def cosine(progress: Tensor) -> Tensor:
    """Return ½ (1 + cos πt) of the share t of the training that is done; 1 where t is 0."""
    return 0.5 * (1.0 + torch.cos(math.pi * progress))

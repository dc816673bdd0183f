"""What may be chosen of the `textures` family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from l2o.envs.tasks.axes import Axis
from l2o.envs.tasks.proxy.options import ProxyOptions


@dataclass(frozen=True, kw_only=True)
class TexturesOptions(ProxyOptions):
    """Options of `TexturesFamily`. An axis is a number, or a pair from which each task draws.

    Example:
        >>> TexturesOptions(exemplars=3).split
        'heldout'
    """

    split: str = "heldout"
    """Split of networks and data: "train" or "heldout"."""
    pretrain_steps: int | Sequence[int] = 1200
    """Steps of the pretraining; several alternate. After few there is little to keep."""
    base_lr: float = 0.01
    """Default base learning rate."""
    exemplars: Axis = (2, 4)
    """Number of patches of each class that noise is made from."""
    contrast: Axis = (1.1, 1.3)
    """Synthetic contrast varies up to this factor, up and down."""
    brightness: Axis = (0.05, 0.1)
    """Largest shift of a synthetic image's channels, all alike."""
    tint: Axis = (0.02, 0.05)
    """Largest shift of a synthetic image's channels, each for itself."""

"""What may be chosen of the `composed` family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from l2o.envs.tasks.axes import Axis
from l2o.envs.tasks.proxy.options import ProxyOptions


@dataclass(frozen=True, kw_only=True)
class ComposedOptions(ProxyOptions):
    """Options of `ComposedFamily`. An axis is a number, or a pair from which each task draws.

    Example:
        >>> ComposedOptions(split="heldout", pretraining="same").classes
        (3, 5, 8)
    """

    split: str = "train"
    """Split of networks, data and members: "train", "validation" or "heldout"."""
    networks: int = 256
    """Pretrained networks that tasks draw from, cached on disk; each has its own target."""
    kind: str | Sequence[str] | None = None
    """Kinds of data; null takes the split's."""
    pretraining: str | Sequence[str] | None = None
    """Kinds of pretraining; null takes the split's, in its shares, and a list equal shares."""
    architecture: str | Sequence[str] | None = None  # type: ignore[assignment]
    """Of the networks; null takes the split's. Several alternate among the networks."""
    width: int | Sequence[int] = (4, 8)
    """Channels of the first convolution, or what stands for them; several alternate."""
    depth: int | Sequence[int] | None = (2, 3, 4, 5, 8, 28)
    """Number of convolutions or blocks; of several, an architecture takes those it comes in."""
    pretrain_steps: int | Sequence[int] = 200
    """Steps of a whole pretraining; "weak" takes 0.3 of it, "overtrained" 2, "none" 0.1."""
    classes: int | Sequence[int] = (3, 5, 8)
    """Number of classes; a network and its tasks have one of several that their kind comes in."""
    source_images: Axis = (128, 1024)
    """Number of synthetic training images; of a pair (low, high) its logarithm is drawn."""
    label_noise: Axis = (0.0, 0.3)
    """Share of wrong labels among the training images, for the half of the tasks that has any."""
    imbalance: Axis = (1.0, 5.0)
    """How many times as frequent the commonest class is as the rarest; half the tasks are even."""
    steps: int | Sequence[int] = 200
    """Length of the fine-tune; a task draws one of several."""
    base_lr: float = 0.03
    """Default base learning rate."""

"""What may be chosen of every family whose tasks fine-tune one of a pool of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from l2o.envs.tasks.axes import Axis


@dataclass(frozen=True, kw_only=True)
class ProxyOptions:
    """Options that such families share; each has more of its own.

    They are checked, and ranges and lists made of them, by the family that takes them.

    Example:
        >>> ProxyOptions(networks=2).steps
        300
    """

    split: str = "train"
    """Split of networks and data: "train" or "heldout"."""
    networks: int = 4
    """Pretrained networks that tasks draw from, cached on disk under `$L2O_CACHE`."""
    first_network: int = 0
    """Number of the pool's first network; another one gives networks that a pool from 0 has not."""
    architecture: str | Sequence[str] = ("conv",)
    """Of the networks: conv, residual, mlp, vit, mixer, batchnorm, depthwise, layernorm, flat, or
    deep; several alternate among the networks."""
    width: int | Sequence[int] = (8,)
    """Channels of the first convolution, or what stands for them; several alternate."""
    depth: int | Sequence[int] | None = None
    """Number of convolutions or blocks; null is 4 for conv, 3 for depthwise, 8 for deep, 2 for all
    others. Of several, an architecture takes those that it comes in: conv 3 to 5, residual, mlp,
    batchnorm and flat 2 to 4, vit and mixer 2 and 3, depthwise 3 and 5, layernorm 2 and 4, deep 8,
    14 and 28."""
    pretrain_steps: int | Sequence[int] = 1500
    """Steps of the pretraining; several alternate. After few there is little to keep."""
    source_images: Axis = (512, 1024)
    """Number of synthetic training images, or a pair (low, high) from which each task draws."""
    source_validation_images: int = 256
    """Size of the synthetic validation set."""
    target_validation_images: int = 256
    """Size of the real set that rewards may look at."""
    target_test_images: int = 512
    """Size of the real set that only scores."""
    proxy_test_images: int = 256
    """Size of the set that scores what is kept of the proxy."""
    steps: int | Sequence[int] = 300
    """Length of the fine-tune; a task draws one of several."""
    batch_size: int | Sequence[int] = 32
    """Synthetic images per optimizer step; a task draws one of several."""
    base_lr: float = 0.03
    """Default base learning rate."""

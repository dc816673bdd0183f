"""The order in which a fine-tune reads its examples."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def batches(examples: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Yield index tensors forever: each epoch a new permutation, a last short batch dropped."""
    generator = torch.Generator().manual_seed(seed)
    size = min(batch_size, examples)
    while True:
        order = torch.randperm(examples, generator=generator)
        yield from order[: examples // size * size].split(size)

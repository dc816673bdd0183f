"""A forest of regression trees as tensors: nothing but comparisons, so nothing to trust."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from l2o.networks.base import Device


class Forest(nn.Module):
    """mean over trees of the values at the leaf that features lead to.

    At a node, features go left where x[feature] ≤ threshold, else right; a leaf's children are
    itself. Source: Breiman, Random Forests, Machine Learning 45, 2001.

    Args:
        trees: how many.
        nodes: of the largest tree; smaller ones are padded.
        depth: of the deepest tree: comparisons on the way to a leaf.
        outputs: numbers per leaf.
        device: where its tensors lie.

    Raises:
        ValueError: a size below 1.

    Example:
        >>> forest = Forest(trees=2, nodes=1, depth=1, outputs=3)
        >>> forest(torch.zeros(5, 7)).shape
        torch.Size([5, 3])
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor

    def __init__(
        self, trees: int, nodes: int, depth: int, outputs: int, device: Device = "cpu"
    ) -> None:
        super().__init__()
        for name, size in (("trees", trees), ("nodes", nodes), ("depth", depth)):
            if size < 1:
                raise ValueError(f"a forest's {name} must be at least 1, got {size}")
        self.depth = depth
        shape = (trees, nodes)
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int32, device=device))
        self.register_buffer("threshold", torch.zeros(shape, dtype=torch.float32, device=device))
        values = torch.zeros(*shape, outputs, dtype=torch.float32, device=device)
        self.register_buffer("value", values)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[N, outputs]` of features `[N, K]`."""
        trees = torch.arange(len(self.feature), device=features.device)
        node = torch.zeros(len(features), len(trees), dtype=torch.int64, device=features.device)
        for _ in range(self.depth):
            found = features.gather(1, self.feature[trees, node].long())
            goes_left = found <= self.threshold[trees, node]
            node = torch.where(goes_left, self.left[trees, node], self.right[trees, node]).long()
        return self.value[trees, node].mean(dim=1)

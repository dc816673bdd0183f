"""One forward pass of a network, as a module that compilation and several processes can wrap."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Forward(nn.Module):
    """Returns a network's features and outputs: what its loss and its guidance look at.

    Args:
        model: by timm's convention.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return `forward_features` and `forward_head` of them."""
        features = self.model.forward_features(images)
        return features, self.model.forward_head(features)

"""The pretrained network as a task gives it: with a new head, and with its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from l2o.envs.tasks.proxy.networks import SmallNetwork
from l2o.envs.tasks.proxy.recipe import ProxyRecipe


@dataclass(frozen=True)
class PretrainedBuilder:
    """Builds the pretrained network with its new head when called; the same weights every time.

    Attributes:
        recipe: how the network was pretrained.
        weights: its state dict; copied, never handed out.
        head_seed: what the new head's weights are drawn from.
        num_classes: size of the new head.
    """

    recipe: ProxyRecipe
    weights: Mapping[str, Tensor]
    head_seed: int
    num_classes: int = 10

    def __call__(self) -> SmallNetwork:
        """Return the pretrained network with its new head."""
        model = self.proxy_model()
        model.reset_classifier(self.num_classes, torch.Generator().manual_seed(self.head_seed))
        return model

    def proxy_model(self) -> SmallNetwork:
        """Return the pretrained network with its own head."""
        model = self.recipe.build()
        model.load_state_dict(dict(self.weights))
        return model

    def proxy_head(self) -> nn.Module:
        """Return the pretrained network's own head, frozen."""
        return self.proxy_model().get_classifier().requires_grad_(False)

    def proxy_logits(self, images: Tensor) -> Tensor:
        """Return the pretrained network's predictions, in evaluation mode."""
        with torch.no_grad():
            logits: Tensor = self.proxy_model().eval()(images)
        return logits

"""Stacking by substitution, with chains of convolutions computed by kernels of our own on CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2o.envs.stacked.chains import ChainedConv2d, chain_convolutions
from l2o.envs.stacked.kernels import gather_images, load_kernels, supports
from l2o.envs.stacked.layers import STACKED
from l2o.envs.stacked.maps import WantedMaps
from l2o.envs.stacked.substituted import SubstitutedStack


class CompiledStack(SubstitutedStack):
    """Like `SubstitutedStack`, with kernels compiled for this processor.

    Activations are `[B, N·C, H, W]` or `[B, N·F]` with the images of a batch innermost in memory.
    The model's code is traced by `torch.fx`, so that convolutions can be joined into chains.

    Raises:
        ValueError: as `SubstitutedStack`.
        Exception: on first use, whatever `torch.fx` says of a model that it cannot trace.
    """

    name: ClassVar[str] = "compiled"
    layers: ClassVar[Mapping[type[nn.Module], Callable[..., nn.Module]]] = {
        **STACKED,
        nn.Conv2d: ChainedConv2d,
    }

    @cached_property
    def _features(self) -> Any:
        return chain_convolutions(self._model, "forward_features")

    @cached_property
    def _watched(self) -> dict[Any, Any]:
        return {}

    def arrange(self, examples: Tensor) -> Tensor:
        """Return `[B, N·C, ...]`, images innermost."""
        inputs = examples.flatten(1, 2)
        return inputs.permute(*range(1, inputs.dim()), 0).contiguous().movedim(-1, 0)

    def gather(self, pool: Tensor, rows: Tensor) -> Tensor:
        """Return rows `[B, N]` of a pool of images, arranged."""
        return gather_images(pool, rows)

    def features(self, inputs: Tensor) -> Tensor:
        """Return `[B, N·F]`."""
        features: Tensor = self._features(inputs)
        return features

    def features_and_maps(
        self, inputs: Tensor, wanted: WantedMaps
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return features `[B, N·F]` and maps."""
        asked = (tuple(wanted.shapes), wanted.rectified)
        if asked not in self._watched:
            self._watched[asked] = chain_convolutions(self._model, "forward_features", *asked)
        features, maps = self._watched[asked](inputs)
        return features, wanted.by_network(maps, self.count)


def compilable(model: nn.Module) -> bool:
    """Return whether kernels of ours compute this model's convolutions, and there are some."""
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    on_cpu = all(p.device.type == "cpu" for p in model.parameters())
    some = bool(convolutions) and all(map(supports, convolutions))
    return on_cpu and some and not torch.is_autocast_enabled("cpu") and load_kernels() is not None

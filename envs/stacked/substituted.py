"""Stacking by substitution: the model's own code on layers that hold N networks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2o.envs.stacked.in_place import RectifyInPlace
from l2o.envs.stacked.layers import STACKED, unstackable
from l2o.envs.stacked.maps import WantedMaps
from l2o.envs.stacked.stack import TENSORS, Stack
from l2o.guidance import LayerMaps


class SubstitutedStack(Stack):
    """Convolutions become grouped convolutions, linear maps batched products, and so on.

    Activations are `[B, N·C, H, W]` or `[B, N·F]`. Images are laid out channels last: for grouped
    convolutions of few channels that is two to four times faster on CPUs.

    Raises:
        ValueError: a layer has no stacked form, or parameters are shared or lie outside layers.
    """

    name: ClassVar[str] = "substituted"
    layers: ClassVar[Mapping[type[nn.Module], Callable[..., nn.Module]]] = STACKED

    def __init__(
        self,
        model: Any,
        proxy_head: nn.Module,
        tensors: TENSORS,
        proxy_tensors: TENSORS,
        count: int,
    ) -> None:
        super().__init__(model, proxy_head, tensors, proxy_tensors, count)
        self._model: Any = substitute(model, tensors, count, self.layers)
        self._proxy = substitute(proxy_head, proxy_tensors, count, self.layers)

    def arrange(self, examples: Tensor) -> Tensor:
        """Return `[B, N·C, ...]`."""
        inputs = examples.flatten(1, 2)
        if inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs

    def features(self, inputs: Tensor) -> Tensor:
        """Return `[B, N·F]`."""
        with RectifyInPlace(inputs):
            features: Tensor = self._model.forward_features(inputs)
        return features

    def features_and_maps(
        self, inputs: Tensor, wanted: WantedMaps
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return features `[B, N·F]` and maps."""
        with LayerMaps(self._model, list(wanted.shapes)) as caught:
            with RectifyInPlace(inputs, caught.maps):
                features: Tensor = self._model.forward_features(inputs)
            maps = {name: wanted.finish(found) for name, found in caught.maps.items()}
        return features, wanted.by_network(maps, self.count)

    def by_network(self, features: Tensor) -> Tensor:
        """Return `[B, N, F]`."""
        return features.unflatten(1, (self.count, -1))

    def logits(self, features: Tensor) -> Tensor:
        """Return the classifiers' logits."""
        logits: Tensor = self._model.forward_head(features)
        return logits.unflatten(1, (self.count, -1))

    def proxy_logits(self, features: Tensor) -> Tensor:
        """Return the proxy heads' logits."""
        logits: Tensor = self._proxy(features)
        return logits.unflatten(1, (self.count, -1))


def substitute(
    model: nn.Module,
    tensors: TENSORS,
    count: int,
    layers: Mapping[type[nn.Module], Callable[..., nn.Module]] = STACKED,
) -> nn.Module:
    """Return a copy of the model whose layers are stacked and use these tensors.

    Args:
        model: one network.
        tensors: parameters and buffers of N networks.
        count: N.
        layers: kind of layer -> what makes its stacked form.

    Raises:
        ValueError: the model cannot be stacked so; the message says why.
    """
    _check(model)
    # The copy's own weights are dropped at once, so they are shared, not copied.
    memo = {id(t): t for t in (*model.parameters(), *model.buffers())}
    stacked = copy.deepcopy(model, memo)
    for name, layer in list(stacked.named_modules()):
        make = layers.get(type(layer))
        if make is None:
            continue
        # Made from the model's own layer, not the copy's: its mode is that of what is stacked.
        replacement = make(model.get_submodule(name), count)
        for key in (*layer._parameters, *layer._buffers):
            path = f"{name}.{key}" if name else key
            setattr(replacement, key, tensors.get(path))
        if not name:
            return replacement
        parent, _, attribute = name.rpartition(".")
        setattr(stacked.get_submodule(parent), attribute, replacement)
    return stacked


def _check(model: nn.Module) -> None:
    owners: dict[int, str] = {}
    for name, module in model.named_modules():
        reason = unstackable(module) if not any(module.children()) else None
        if reason is not None:
            raise ValueError(f"{name or 'model'}: {reason}")
        if type(module) in STACKED:
            for key, tensor in module.named_parameters(recurse=False):
                other = owners.setdefault(id(tensor), name)
                if other != name:
                    raise ValueError(f"{name}.{key} is shared with {other}")
    held = {id(t) for m in model.modules() if type(m) in STACKED for t in m.parameters()}
    loose = [name for name, tensor in model.named_parameters() if id(tensor) not in held]
    if loose:
        raise ValueError(f"parameter {loose[0]} lies outside the known layers")

"""What a network answers on a batch: the features its head is given, its outputs, the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from l2o.layers.groups import LayerGroup


class Answers:
    """Listens to the forward passes of a model.

    Args:
        model: the network.
        groups: its layer groups; features are what the first module of the head is given.

    Attributes:
        features: of the newest batch, `[N, D]`, or None: maps are averaged over their pixels.
        outputs: of the newest batch, or None where they are no tensor and have no `logits`.
    """

    def __init__(self, model: nn.Module, groups: tuple[LayerGroup, ...]) -> None:
        self._model = model
        self._head = _head_module(model, groups)
        self.features: Tensor | None = None
        self.outputs: Tensor | None = None

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen within."""
        handles = [self._model.register_forward_hook(self._take_outputs)]
        if self._head is not None:
            handles.append(self._head.register_forward_pre_hook(self._take_features))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self.features = self.outputs = None

    def _take_outputs(self, module: nn.Module, given: Any, outputs: Any) -> None:
        del module, given
        found = getattr(outputs, "logits", outputs)
        self.outputs = found.detach() if isinstance(found, Tensor) else None

    def _take_features(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        del module
        found = given[0] if given else None
        self.features = None
        if isinstance(found, Tensor) and found.dim() >= 2 and found.is_floating_point():
            self.features = flat_features(found.detach())


def class_numbers(labels: Any) -> Tensor | None:
    """Return labels `[N]` if they are class numbers, one for each example; else None.

    Example:
        >>> class_numbers(torch.tensor([0, 2])), class_numbers(torch.tensor([0.5, 1.0]))
        (tensor([0, 2]), None)
    """
    if not isinstance(labels, Tensor) or labels.dim() != 1 or not len(labels):
        return None
    if labels.is_floating_point() or labels.is_complex() or int(labels.min()) < 0:
        return None
    return labels.long()


def find_labels(batch: Any) -> Any:
    """Return what is usually a batch's labels: its second part, or what is called so; else None.

    Example:
        >>> find_labels({"pixel_values": 1, "labels": 2}), find_labels((1, 2)), find_labels(3)
        (2, 2, None)
    """
    if isinstance(batch, Mapping):
        return next((batch[name] for name in ("labels", "label", "targets") if name in batch), None)
    return batch[1] if isinstance(batch, list | tuple) and len(batch) > 1 else None


Labels = Callable[[Any], Any]


def hits(outputs: Tensor | None, labels: Tensor | None) -> Tensor | None:
    """Return 1 where a class is right, else 0; None where these are no scores of classes."""
    if outputs is None or labels is None or outputs.dim() != 2 or len(outputs) != len(labels):
        return None
    if outputs.shape[1] < 2 or int(labels.max()) >= outputs.shape[1]:
        return None
    right = outputs.argmax(dim=1) == labels.to(outputs.device)
    return (right & torch.isfinite(outputs).all(dim=1)).double().cpu()


def flat_features(features: Tensor) -> Tensor:
    """Return `[N, D]` of maps `[N, D, H, W]` or tokens `[N, T, D]`."""
    if features.dim() == 4:
        return features.mean(dim=(2, 3))
    return features.mean(dim=1) if features.dim() == 3 else features.flatten(1)


def _head_module(model: nn.Module, groups: tuple[LayerGroup, ...]) -> nn.Module | None:
    """Return the module that owns the first weight of the head, None where there is no head."""
    heads = {id(p) for group in groups if group.is_head for p in group.parameters}
    for module in model.modules():
        if any(id(p) in heads for p in module.parameters(recurse=False)):
            return module
    return None

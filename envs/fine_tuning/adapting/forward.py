"""One forward pass over images of both domains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from l2o.adaptation import HeadInputs, LastLayer, Side


@dataclass(frozen=True)
class Seen:
    """What came of the images of one domain: the backbone's features, and what methods look at."""

    backbone: Any
    side: Side


def split_batch(
    forward: Any, source: Tensor, target: Tensor, caught: HeadInputs
) -> tuple[Seen, Seen]:
    """Run a network once on both domains, or twice where their images differ in size.

    Args:
        forward: images -> features of the backbone, outputs.
        source: images `[N, ...]`.
        target: images `[M, ...]`.
        caught: hooks on the network's head.
    """
    if source.shape[1:] != target.shape[1:]:
        return _seen(forward(source), caught), _seen(forward(target), caught)
    both = _seen(forward(torch.cat([source, target])), caught)
    middle = len(source)
    return _cut(both, slice(None, middle)), _cut(both, slice(middle, None))


def _seen(answer: tuple[Any, Tensor], caught: HeadInputs) -> Seen:
    backbone, outputs = answer
    return Seen(backbone, Side(outputs, caught.features, last=caught.last))


def _cut(seen: Seen, part: slice) -> Seen:
    side = seen.side
    assert side.last is not None
    last = LastLayer(side.last.inputs[part], side.last.weight, side.last.bias)
    backbone = seen.backbone[part] if isinstance(seen.backbone, Tensor) else _tree(seen, part)
    return Seen(backbone, Side(side.outputs[part], side.features[part], last=last))


def _tree(seen: Seen, part: slice) -> Any:
    """Return a part of features that are several tensors."""
    if isinstance(seen.backbone, dict):
        return {name: value[part] for name, value in seen.backbone.items()}
    return type(seen.backbone)(value[part] for value in seen.backbone)


def labelled(side: Side, labels: Tensor, soft: Tensor | None) -> Side:
    """Return a side with labels; outputs and soft labels are scaled to the labels' size."""
    outputs = at_size_of(side.outputs, labels)
    soft = None if soft is None else at_size_of(soft, labels)
    return replace(side, outputs=outputs, labels=labels, soft=soft)


def at_size_of(maps: Tensor, labels: Tensor) -> Tensor:
    """Return maps `[N, K, H, W]` at the size of labels `[N, H, W]`; of images, as they are."""
    if maps.dim() < 4 or maps.shape[2:] == labels.shape[1:]:
        return maps
    return functional.interpolate(maps, size=labels.shape[1:], mode="bilinear")

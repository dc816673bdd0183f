"""The target's side of training batches: images, and pseudo-labels that move along with them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from l2o.envs.fine_tuning.adapting.rounds import Round
from l2o.envs.tasks.base import Examples, LabelledData, Loading, TargetImages
from l2o.envs.tasks.loading import load_batches

Target = tuple[Tensor, Tensor | None, Tensor | None]
"""Images, labels, soft labels."""


class Relabelled:
    """A data set with other labels.

    Args:
        data: of images, whose labels are not looked at.
        labels: `[N]`.
    """

    def __init__(self, data: LabelledData, labels: Tensor) -> None:
        self.data, self.labels = data, labels

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.data[index][0], self.labels[index]


def target_batches(
    images: TargetImages,
    found: Round | None,
    orders: Iterable[Tensor],
    loading: Loading,
    device: torch.device,
    seed: int,
    first: int,
) -> Iterator[Target]:
    """Yield batches of the target on a device.

    Args:
        images: of the target.
        found: pseudo-labels; None: they have none.
        orders: places of the images of each batch.
        loading: how data that are not in memory are read.
        device: of the batches.
        seed: of what transforms draw.
        first: number of the first example among those that are read.

    Raises:
        ValueError: soft labels of pixels, where masks are cut along with their images.
    """
    data = images.train
    if isinstance(data, Examples):
        yield from _of_memory(data, found, orders, device)
        return
    if found is not None:
        data = _relabelled(data, found)
    orders, read = itertools.tee(orders)
    batches = load_batches(data, read, loading, device, seed, first)
    for order, (inputs, labels) in zip(orders, batches, strict=True):
        if found is None:
            yield inputs, None, None
            continue
        yield inputs, labels, None if found.soft is None else found.soft[order].to(device)


def _of_memory(
    data: Examples, found: Round | None, orders: Iterable[Tensor], device: torch.device
) -> Iterator[Target]:
    held = data.images.to(device)
    labels = None if found is None else _stacked(found.labels).to(device)
    soft = None if found is None or found.soft is None else found.soft.to(device)
    for order in orders:
        index = order.to(device)
        chosen = None if labels is None else labels[index]
        yield held[index], chosen, None if soft is None else soft[index]


def _stacked(labels: Tensor | list[Tensor]) -> Tensor:
    """Return labels as one tensor of whole numbers."""
    return labels if isinstance(labels, Tensor) else torch.stack(labels).long()


def _relabelled(data: Any, found: Round) -> LabelledData:
    if isinstance(found.labels, Tensor):
        return Relabelled(data, found.labels)
    if not hasattr(data, "relabelled"):
        return Relabelled(data, _stacked(found.labels))
    if found.soft is not None and hasattr(data, "given"):
        raise ValueError(
            "soft labels of pixels cannot be cut along with images that are cropped in training; "
            "take method cbst or mrkld"
        )
    relabelled: LabelledData = data.relabelled(
        found.labels if hasattr(data, "given") else _stacked(found.labels)
    )
    return relabelled

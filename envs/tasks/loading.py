"""Reading data sets that are not in memory: batches to train on, and to score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from l2o.envs.tasks.base import LabelledData, Loading

Batch = tuple[Tensor, Tensor]
"""Inputs and labels."""

_SPREAD = 0x9E3779B97F4A7C15
"""Odd and large, so that the seeds of different fine-tunes' examples lie far apart."""


class _Drawn(Dataset[Batch]):
    """A data set whose random transforms draw by an example's number among those that are read.

    So they draw the same whatever process reads the example, and leave the global state alone.
    """

    def __init__(self, data: LabelledData, seed: int) -> None:
        self.data = data
        self.seed = seed

    def __getitem__(self, place: tuple[int, int]) -> Any:
        number, index = place
        # Not torch.random.fork_rng: it takes three times as long, for every example.
        generator = torch.default_generator
        before = generator.get_state()
        generator.manual_seed((self.seed * _SPREAD + number) % 2**63)
        try:
            return self.data[index]
        finally:
            generator.set_state(before)


def load_batches(
    data: LabelledData,
    orders: Iterable[Tensor],
    loading: Loading,
    device: torch.device,
    seed: int,
    first: int = 0,
) -> Iterator[Batch]:
    """Yield batches on a device, of the examples that index tensors name.

    Args:
        data: what is read.
        orders: indices of each batch.
        loading: how; what is read does not depend on it.
        device: of the batches.
        seed: of what transforms draw.
        first: number of the first example among those that are read: a run that goes on has read
            others before.

    Raises:
        ValueError: examples are no pairs of tensors that can be made batches of.
    """
    _check(data)
    loader: DataLoader[Batch] = DataLoader(
        _Drawn(data, seed),
        batch_sampler=_places(orders, first),
        num_workers=loading.workers,
        pin_memory=device.type == "cuda",
        # The loader seeds its processes from here, and not from torch's global generator.
        generator=torch.Generator(),
    )
    return _on_device(loader, device)


def scoring_batches(data: LabelledData, loading: Loading, device: torch.device) -> Iterator[Batch]:
    """Yield all examples of a split, in order, as batches on a device.

    Raises:
        ValueError: likewise.
    """
    order = torch.arange(len(data)).split(loading.scoring_batch)
    return load_batches(data, order, loading, device, seed=0)


def _places(orders: Iterable[Tensor], number: int) -> Any:
    """Yield lists of (number among those that are read, index)."""
    for order in orders:
        indices = order.tolist()
        yield list(enumerate(indices, start=number))
        number += len(indices)


def _on_device(loader: DataLoader[Batch], device: torch.device) -> Iterator[Batch]:
    for inputs, labels in loader:
        yield inputs.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def _check(data: LabelledData) -> None:
    """Raise ValueError unless a data set's first example is what a loader can make batches of."""
    if len(data) == 0:
        raise ValueError(f"{type(data).__name__} has no examples; there is nothing to read")
    with torch.random.fork_rng(devices=[]):
        example: Any = data[0]
    if not isinstance(example, tuple | list) or len(example) != 2:
        raise ValueError(
            f"an example of {type(data).__name__} is {type(example).__name__}; it must be a pair "
            "of input and label"
        )
    image, label = example
    if not isinstance(image, Tensor) or not image.is_floating_point():
        found = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(
            f"an input of {type(data).__name__} is {found}; it must be a float tensor as the "
            "network takes it: make it one in the data set's transform"
        )
    if not isinstance(label, Tensor | int | float):
        raise ValueError(
            f"a label of {type(data).__name__} is {type(label).__name__}; it must be a number or "
            "a tensor"
        )

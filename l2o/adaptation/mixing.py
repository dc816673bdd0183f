"""Which pseudo-labelled images a training batch has: all alike, classes evenly, the rare ones."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from l2o.checks import check_number


def target_orders(
    counts: Tensor,
    size: int,
    seed: int,
    *,
    balanced: bool = False,
    rare: int = 0,
    probability: float = 0.8,
) -> Iterator[Tensor]:
    """Yield places of images `[size]` forever: those of each batch.

    Plainly, each pass is a new permutation. Balanced, each image is drawn by a class that is drawn
    evenly among those that occur. With `rare`, each image is, with a probability, one that holds
    one of the so many rarest classes, drawn evenly among them (Zou et al., 2018: 3, and 0.8).

    Args:
        counts: how many labels of each class each image has, `[N, K]`; rows without any are drawn
            plainly alone.
        size: of a batch.
        seed: of the draws.
        balanced: whether classes are drawn evenly.
        rare: classes that are mined; 0: none.
        probability: of mining, in [0, 1].

    Raises:
        ValueError: no images, or a probability out of range.

    Example:
        >>> counts = torch.tensor([[9, 0], [9, 0], [9, 0], [0, 1]])
        >>> drawn = next(target_orders(counts, 1000, seed=0, balanced=True))
        >>> 0.4 < (drawn == 3).float().mean() < 0.6
        tensor(True)
    """
    if not len(counts):
        raise ValueError("there are no images to draw from; skip the round")
    check_number("probability", probability, 0.0, 1.0)
    generator = torch.Generator().manual_seed(seed)
    held = counts > 0
    present = torch.nonzero(held.any(dim=0)).flatten()
    mined = _rarest(counts, rare)
    for plain in _permuted(len(counts), size, generator):
        order = plain
        if balanced and len(present):
            order = _by_class(held, present, size, generator)
        if len(mined):
            chosen = torch.rand(size, generator=generator) < probability
            order = torch.where(chosen, _by_class(held, mined, size, generator), order)
        yield order


def _permuted(images: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of successive permutations, which run on over their ends."""
    held = torch.zeros(0, dtype=torch.int64)
    while True:
        while len(held) < size:
            held = torch.cat([held, torch.randperm(images, generator=generator)])
        yield held[:size]
        held = held[size:]


def _by_class(held: Tensor, classes: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Draw a class of some for each place, then an image that holds it."""
    drawn = classes[torch.randint(len(classes), (size,), generator=generator)]
    weights = held.T.double()[drawn]
    return torch.multinomial(weights, 1, generator=generator)[:, 0]


def _rarest(counts: Tensor, rare: int) -> Tensor:
    """Return the classes that have the fewest labels, but some."""
    total = counts.sum(dim=0)
    order = total.argsort(stable=True)
    return order[total[order] > 0][:rare]

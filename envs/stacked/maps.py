"""The outputs of named layers of N stacked networks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from l2o.envs.fine_tuning.teacher import the_contrastive
from l2o.envs.stacked.start import Prepared
from l2o.guidance import Guidance, LayerMaps


@dataclass(frozen=True)
class WantedMaps:
    """Which layers' outputs a stack must give beside the features.

    Attributes:
        shapes: name -> shape of one network's output for one image.
        rectified: whether they are wanted rectified.
    """

    shapes: Mapping[str, tuple[int, ...]]
    rectified: bool = False

    @classmethod
    def of(cls, terms: Iterable[Guidance[Any]], like: Prepared) -> WantedMaps | None:
        """Return what the guidance of networks such as this one looks at, None if no maps.

        Raises:
            ValueError: a layer that the network does not have, or does not run for its features.
        """
        term = the_contrastive(list(terms))
        if term is None:
            return None
        with LayerMaps(like.model, term.layers) as caught, torch.no_grad():
            like.model.forward_features(like.source.images[:1])
            shapes = {name: tuple(found.shape[1:]) for name, found in caught.maps.items()}
        if missing := [name for name in term.layers if name not in shapes]:
            raise ValueError(
                f"layer {missing[0]!r} is not run for the features of "
                f"{type(like.model).__name__}; name a layer of its backbone"
            )
        return cls({name: shapes[name] for name in term.layers}, term.rectify)

    def finish(self, found: Tensor) -> Tensor:
        """Return a map as it is wanted: rectified, or as it is."""
        return found.relu() if self.rectified else found

    def bytes_of_one(self, size: int) -> int:
        """Return the bytes of one image's maps, of numbers of this size."""
        return size * sum(math.prod(shape) for shape in self.shapes.values())

    def by_network(self, maps: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
        """Return `[B, N, ...]` of maps in which one dimension holds N networks side by side.

        Example:
            >>> wanted = WantedMaps({"fc": (4,), "conv": (4, 2, 2)})
            >>> both = {"fc": torch.zeros(5, 12), "conv": torch.zeros(5, 12, 2, 2)}
            >>> [tuple(one.shape) for one in wanted.by_network(both, count=3).values()]
            [(5, 3, 4), (5, 3, 4, 2, 2)]
        """
        return {name: _split(maps[name], shape, count) for name, shape in self.shapes.items()}


def _split(stacked: Tensor, shape: tuple[int, ...], count: int) -> Tensor:
    for at, size in enumerate(shape):
        if tuple(stacked.shape[1:]) == (*shape[:at], count * size, *shape[at + 1 :]):
            return stacked.unflatten(1 + at, (count, size)).movedim(1 + at, 1)
    raise ValueError(
        f"a map of shape {tuple(stacked.shape)} does not hold those of {count} networks, {shape}"
    )

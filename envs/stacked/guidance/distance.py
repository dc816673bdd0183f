"""Distances from the start, of N fine-tunes: one pass over the flat buffer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from l2o.envs.stacked.guidance.base import Room, StackedTerm
from l2o.envs.stacked.start import Prepared


class StackedDistance(StackedTerm):
    """½ Σ c (θ − θ₀)², with a curvature c for each parameter; zero for the head.

    Its gradient c (θ − θ₀) is known, so no graph is built for it.
    """

    needs_start: ClassVar[bool] = True

    def __init__(self, term: Any, room: Room) -> None:
        super().__init__(term, room)
        size = room.count * room.layout.numel
        self.curvature = torch.zeros(size, dtype=room.dtype, device=room.device)

    @abstractmethod
    def curvatures(self, start: Prepared) -> Mapping[str, Tensor]:
        """Return c by name; parameters without one have none."""

    @torch.no_grad()
    def load(self, starts: Mapping[int, Prepared]) -> None:
        """Note the curvatures of fine-tunes that begin."""
        views = self.room.layout.views(self.curvature, self.room.count)
        for position, start in starts.items():
            found = self.curvatures(start)
            for name, view in zip(self.room.layout.names, views, strict=True):
                view[position] = found[name].to(view) if name in found else 0.0

    def pull(self, gradients: Tensor, moved: Tensor, weights: Tensor) -> None:
        """Add w · c (θ − θ₀), or nothing for a network above the cap."""
        layout, count = self.room.layout, self.room.count
        slope = moved * self.curvature
        if self.cap is not None:
            rows = layout.rows(slope.mul(moved), count)
            distance = torch.stack([row.sum(dim=1) for row in rows]).sum(dim=0) / 2
            weights = torch.where(weights * distance > self.cap, 0.0, weights)
        for row, gradient in zip(layout.rows(slope, count), layout.rows(gradients, count)):
            gradient.addcmul_(row, weights[:, None])


class StackedL2SP(StackedDistance):
    """`l2o.guidance.L2SP`."""

    def curvatures(self, start: Prepared) -> Mapping[str, Tensor]:
        """Return ones for the backbone."""
        return {name: torch.ones_like(start.tensors[name]) for name in start.backbone}


class StackedSynapticIntelligence(StackedDistance):
    """`l2o.guidance.SynapticIntelligence`."""

    def __init__(self, term: Any, room: Room) -> None:
        super().__init__(term, room)
        self.importance: Mapping[str, Tensor] | None = term.importance

    def curvatures(self, start: Prepared) -> Mapping[str, Tensor]:
        """Return 2 Ω for the backbone."""
        found = self.importance if self.importance is not None else start.importance
        return {name: 2 * found[name] for name in start.backbone}

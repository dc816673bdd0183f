"""Drawn garments, kept on disk once they are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from l2o.envs.simulators import Simulator
from l2o.envs.tasks.proxy.cache import cache_path, load_or_make


class Drawn(NamedTuple):
    """Labelled drawings.

    Attributes:
        images: uint8 `[N, H, W]`, grey.
        labels: int64 `[N]`.
    """

    images: Tensor
    labels: Tensor


def draw_garments(simulator: Simulator, psi: Mapping[str, Any], count: int, seed: int) -> Drawn:
    """Return drawings: from the cache, or drawn anew, a few milliseconds each.

    Args:
        simulator: what draws.
        psi: a point of its parameters.
        count: how many.
        seed: what they are drawn from.

    Raises:
        ValueError: a point that is not in the simulator's space.
    """
    point = simulator.parameters.complete(psi)
    recipe = {
        "version": simulator.version,
        "psi": point,
        "size": simulator.size,
        "count": count,
        "seed": seed,
    }
    shapes = {"images": (count, simulator.size, simulator.size), "labels": (count,)}

    def make() -> dict[str, Tensor]:
        rendered = simulator.render(point, count, seed)
        images = torch.from_numpy(rendered.images[..., 0].copy())
        return {"images": images, "labels": torch.from_numpy(rendered.labels)}

    return Drawn(**load_or_make(cache_path("garments", recipe), make, shapes))

"""Drawn garments, kept on disk once they are drawn."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from l2o.envs.simulators import Distribution, Point, Simulator
from l2o.envs.simulators.distributions import Fixed
from l2o.envs.tasks.proxy.cache import cache_path, load_or_make


class Drawn(NamedTuple):
    """Labelled drawings.

    Attributes:
        images: uint8 `[N, H, W]`, grey.
        labels: int64 `[N]`.
    """

    images: Tensor
    labels: Tensor


def draw_garments(
    simulator: Simulator,
    psi: Point | Distribution,
    count: int,
    seed: int,
    keep: bool = True,
) -> Drawn:
    """Return drawings: from the cache, or drawn anew, a few milliseconds each.

    Args:
        simulator: what draws.
        psi: a point of its parameters, or a distribution over points, each image drawing its own.
        count: how many.
        seed: what they are drawn from.
        keep: whether they are kept; a search over psi asks for none of its drawings again.

    Raises:
        ValueError: a point that is not in the simulator's space.
    """
    given: Any = psi
    plain = getattr(given, "to_plain", lambda: simulator.parameters.complete(given))
    told: Any = plain()
    if told.get("kind") == Fixed.kind:
        # One point is drawn to the same bits, however it is given.
        psi = told = told["psi"]
    recipe = {
        "version": simulator.version,
        "psi": told,
        "size": simulator.size,
        "count": count,
        "seed": seed,
    }
    shapes = {"images": (count, simulator.size, simulator.size), "labels": (count,)}

    def make() -> dict[str, Tensor]:
        rendered = simulator.render(psi, count, seed)
        images = torch.from_numpy(rendered.images[..., 0].copy())
        return {"images": images, "labels": torch.from_numpy(rendered.labels)}

    if not keep:
        return Drawn(**make())
    return Drawn(**load_or_make(cache_path("garments", recipe), make, shapes))

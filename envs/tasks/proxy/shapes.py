"""Shapes of networks that a family's pool alternates among."""

from __future__ import annotations

from collections.abc import Sequence

from l2o.envs.tasks.axes import check_choices
from l2o.envs.tasks.proxy.networks import NETWORKS


def list_shapes(
    architecture: str, widths: Sequence[int], depth: int | Sequence[int] | None
) -> list[tuple[str, int, int]]:
    """Return the shapes (architecture, width, depth) that an architecture's networks alternate."""
    known = NETWORKS[architecture].depths
    if depth is None:
        depths: tuple[int, ...] = (NETWORKS[architecture].usual_depth,)
    else:
        every = sorted({each for kind in NETWORKS.values() for each in kind.depths})
        chosen = check_choices("depth", depth, every)
        depths = tuple(each for each in chosen if each in known)
    if not depths:
        raise ValueError(
            f"depth={depth!r} has none of the depths that {architecture} comes in; "
            f"add one of {list(known)}."
        )
    return [(architecture, width, depth) for depth in depths for width in widths]

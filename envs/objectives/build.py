"""From what names an objective to the objective."""

from __future__ import annotations

from l2o.configs.schema import Named
from l2o.envs.build import build
from l2o.envs.objectives import OBJECTIVES, Objective


def build_objective(named: str | Named | Objective, outputs: int | None = None) -> Objective:
    """Make the objective that a task or a config names; one that is made already stays.

    Args:
        named: a name of `OBJECTIVES`, or `package.module:Name` of your own, with options or not.
        outputs: size of the network's new head; None where it is not known.

    Raises:
        ValueError: an unknown name or option, with the nearest match, or no objective.

    Example:
        >>> build_objective("segmentation", outputs=19).metric().name
        'miou'
    """
    if isinstance(named, Objective):
        return named
    found = build("objective", OBJECTIVES, named, outputs=outputs)
    if not isinstance(found, Objective):
        name = named if isinstance(named, str) else named.name
        raise ValueError(
            f"{name!r} gives {type(found).__name__}, which is no objective; derive it from "
            "l2o.envs.objectives.Objective"
        )
    return found

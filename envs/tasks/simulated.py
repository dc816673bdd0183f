"""Families whose synthetic images a simulator draws: what learning to simulate asks of one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from l2o.envs.simulators import Distribution, Point, Simulator
from l2o.envs.tasks.base import LabelledData, TaskFamily


@runtime_checkable
class SimulatedFamily(Protocol):
    """A family of tasks that draws its source images itself, from parameters psi.

    `l2o train simulator-...` learns a distribution over psi for any such family, one of your own
    included. Its tasks' source images may be from elsewhere: they are put in their place.

    Attributes:
        simulator: what draws.
    """

    simulator: Simulator

    def simulated(self, psi: Point | Distribution, count: int, seed: int) -> LabelledData:
        """Draw source images, labelled as the family's tasks are.

        Args:
            psi: one point, or a distribution from which each image draws its own.
            count: number of images.
            seed: that they are drawn from.

        Raises:
            ValueError: a point that is not in the space, or nothing of a class was drawn.
        """


def simulated_family(family: TaskFamily) -> SimulatedFamily:
    """Return a family as one that draws its source images.

    Raises:
        ValueError: it is none; the message has the remedy.
    """
    if not isinstance(family, SimulatedFamily):
        raise ValueError(
            f"task family {family.name!r} has no simulator to learn; take digits or garments, or "
            "give a family of your own `simulator` and `simulated(psi, count, seed)`"
        )
    return family

"""Tasks composed of kinds of data, gaps, pretrainings and networks: no single rule fits them."""

from l2o.envs.tasks.composed.facts import AXES, facts
from l2o.envs.tasks.composed.family import ComposedFamily

__all__ = ["AXES", "ComposedFamily", "facts"]

"""Simulators: labelled synthetic images from named, bounded, documented parameters."""

from l2o.envs.simulators.base import Rendered, Simulator
from l2o.envs.simulators.dimensions import Categorical, Continuous, Dimension, Integer
from l2o.envs.simulators.space import Distribution, Point, Space
from l2o.registry import ImportedTable

SIMULATORS: ImportedTable[type[Simulator]] = ImportedTable(
    {
        "digits": "l2o.envs.simulators.digits:DigitsSimulator",
        "garments": "l2o.envs.simulators.garments:GarmentsSimulator",
        "blender": "l2o.envs.simulators.blender:BlenderSimulator",
    }
)
"""By name; each is imported when used, since drawing may need a library of its own."""

__all__ = [
    "SIMULATORS",
    "Categorical",
    "Continuous",
    "Dimension",
    "Distribution",
    "Integer",
    "Point",
    "Rendered",
    "Simulator",
    "Space",
]

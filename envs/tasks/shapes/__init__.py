"""Shapes to be segmented: flat drawings as the source, textured scenes as the target."""

from l2o.envs.tasks.shapes.family import ShapesFamily
from l2o.envs.tasks.shapes.network import ShapesNetwork

__all__ = ["ShapesFamily", "ShapesNetwork"]

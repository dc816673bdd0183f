"""A user's Blender scene as a simulator."""

from l2o.envs.simulators.blender.simulator import BlenderSimulator

__all__ = ["BlenderSimulator"]

"""Garments drawn by a program, in the ten classes of Fashion-MNIST."""

from l2o.envs.simulators.garments.parameters import PARAMETERS
from l2o.envs.simulators.garments.simulator import CLASSES, GarmentsSimulator

__all__ = ["CLASSES", "PARAMETERS", "GarmentsSimulator"]

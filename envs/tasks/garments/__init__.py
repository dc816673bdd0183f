"""Garments: drawn ones as the source, photographs of Fashion-MNIST as the target."""

from l2o.envs.tasks.garments.family import GarmentsFamily
from l2o.envs.tasks.garments.photographs import fetch_photographs, load_photographs

__all__ = ["GarmentsFamily", "fetch_photographs", "load_photographs"]

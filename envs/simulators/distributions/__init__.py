"""Distributions over a simulator's parameters: what each image of a set draws its point from."""

from l2o.envs.simulators.distributions.base import PointDistribution
from l2o.envs.simulators.distributions.fixed import Fixed
from l2o.envs.simulators.distributions.product import Product
from l2o.envs.simulators.distributions.structured import Structured
from l2o.envs.simulators.distributions.uniform import Uniform

DISTRIBUTIONS: dict[str, type[PointDistribution]] = {
    "point": Fixed,
    "uniform": Uniform,
    "structured": Structured,
    "product": Product,
}
"""By the `kind` in a file or a config; no dotted paths, so that a file never names code."""

__all__ = [
    "DISTRIBUTIONS",
    "Fixed",
    "PointDistribution",
    "Product",
    "Structured",
    "Uniform",
]

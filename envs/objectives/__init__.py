"""Objectives: what a task's outputs mean, how they are trained and how they are scored."""

from l2o.envs.objectives.base import Metric, Objective
from l2o.envs.objectives.classification import Classification
from l2o.envs.objectives.regression import Regression
from l2o.envs.objectives.segmentation import Segmentation

OBJECTIVES: dict[str, type[Objective]] = {
    "classification": Classification,
    "segmentation": Segmentation,
    "regression": Regression,
}

__all__ = [
    "OBJECTIVES",
    "Classification",
    "Metric",
    "Objective",
    "Regression",
    "Segmentation",
]

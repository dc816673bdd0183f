"""Stacked optimizers, by the inner optimizer they mirror."""

from typing import Any

from l2o.envs.optimizers import SGD, Adam, AdamW, Lion, RMSprop, SGDLRMomentum
from l2o.envs.stacked.optimizers.adam import StackedAdam
from l2o.envs.stacked.optimizers.base import StackedOptimizer
from l2o.envs.stacked.optimizers.lion import StackedLion
from l2o.envs.stacked.optimizers.rmsprop import StackedRMSprop
from l2o.envs.stacked.optimizers.sgd import StackedSGD
from l2o.envs.stacked.optimizers.sgd_lr_momentum import StackedSGDLRMomentum

STACKED_OPTIMIZERS: dict[type[Any], type[Any]] = {
    SGD: StackedSGD,
    SGDLRMomentum: StackedSGDLRMomentum,
    Adam: StackedAdam,
    AdamW: StackedAdam,
    RMSprop: StackedRMSprop,
    Lion: StackedLion,
}

__all__ = [
    "STACKED_OPTIMIZERS",
    "StackedAdam",
    "StackedLion",
    "StackedOptimizer",
    "StackedRMSprop",
    "StackedSGD",
    "StackedSGDLRMomentum",
]

"""Inner optimizers: what trains the network while a policy sets its learning rates."""

from l2o.envs.optimizers.adam import Adam
from l2o.envs.optimizers.adamw import AdamW
from l2o.envs.optimizers.base import InnerOptimizer
from l2o.envs.optimizers.rmsprop import RMSprop
from l2o.envs.optimizers.sgd import SGD
from l2o.envs.optimizers.sgd_lr_momentum import SGDLRMomentum

OPTIMIZERS: dict[str, type[InnerOptimizer]] = {
    "sgd": SGD,
    "sgd_lr_momentum": SGDLRMomentum,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
}

__all__ = ["OPTIMIZERS", "Adam", "AdamW", "InnerOptimizer", "RMSprop", "SGD", "SGDLRMomentum"]

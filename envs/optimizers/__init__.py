"""Inner optimizers: what trains the network while a policy sets its learning rates."""

from l2o.envs.optimizers.adam import Adam
from l2o.envs.optimizers.adamw import AdamW
from l2o.envs.optimizers.base import InnerOptimizer
from l2o.envs.optimizers.dadapt_adam import DAdaptAdam
from l2o.envs.optimizers.dog import DoG
from l2o.envs.optimizers.extra import ExtraOptimizer
from l2o.envs.optimizers.hypergradient_sgd import HypergradientDescent
from l2o.envs.optimizers.l_dog import LDoG
from l2o.envs.optimizers.lion import Lion
from l2o.envs.optimizers.prodigy import Prodigy
from l2o.envs.optimizers.rmsprop import RMSprop
from l2o.envs.optimizers.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from l2o.envs.optimizers.sgd import SGD
from l2o.envs.optimizers.sgd_lr_momentum import SGDLRMomentum

OPTIMIZERS: dict[str, type[InnerOptimizer]] = {
    "sgd": SGD,
    "sgd_lr_momentum": SGDLRMomentum,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RMSprop,
    "lion": Lion,
    "hypergradient_sgd": HypergradientDescent,
    "schedule_free_sgd": ScheduleFreeSGD,
    "schedule_free_adamw": ScheduleFreeAdamW,
    "prodigy": Prodigy,
    "dadapt_adam": DAdaptAdam,
    "dog": DoG,
    "l_dog": LDoG,
}

__all__ = [
    "OPTIMIZERS",
    "Adam",
    "AdamW",
    "DAdaptAdam",
    "DoG",
    "ExtraOptimizer",
    "HypergradientDescent",
    "InnerOptimizer",
    "LDoG",
    "Lion",
    "Prodigy",
    "RMSprop",
    "SGD",
    "SGDLRMomentum",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
]

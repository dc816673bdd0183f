"""Schedules: how the learning rate moves over a training, as pure functions of progress."""

from l2o.schedules.asg import ASG
from l2o.schedules.base import Schedule
from l2o.schedules.constant import Constant
from l2o.schedules.cosine import Cosine
from l2o.schedules.linear import Linear
from l2o.schedules.one_cycle import OneCycle
from l2o.schedules.poly import Poly
from l2o.schedules.step import Step
from l2o.schedules.warmup_cosine import WarmupCosine
from l2o.schedules.wsd import WSD

SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "cosine": Cosine,
    "linear": Linear,
    "step": Step,
    "warmup_cosine": WarmupCosine,
    "one_cycle": OneCycle,
    "poly": Poly,
    "wsd": WSD,
    "asg": ASG,
}

__all__ = [
    "ASG",
    "SCHEDULES",
    "Schedule",
    "Constant",
    "Cosine",
    "Linear",
    "OneCycle",
    "Poly",
    "Step",
    "WSD",
    "WarmupCosine",
]

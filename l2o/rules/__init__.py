"""Rules: policies that are neither learned nor schedules, rivals of learned ones."""

from l2o.rules.auto_rgn import AutoRGN
from l2o.rules.base import Rule
from l2o.rules.constant_layers import ConstantLayers
from l2o.rules.lamb import LAMB
from l2o.rules.lars import LARS
from l2o.rules.random import Random
from l2o.rules.relative_step import RelativeStep
from l2o.rules.trust_ratio import TrustRatio

RULES: dict[str, type[Rule]] = {
    "trust_ratio": TrustRatio,
    "lars": LARS,
    "lamb": LAMB,
    "auto_rgn": AutoRGN,
    "random": Random,
    "constant_layers": ConstantLayers,
}

__all__ = [
    "LAMB",
    "LARS",
    "RULES",
    "AutoRGN",
    "ConstantLayers",
    "Random",
    "RelativeStep",
    "Rule",
    "TrustRatio",
]

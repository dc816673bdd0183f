"""Rules: policies that are neither learned nor schedules, rivals of learned ones."""

from l2o.rules.auto_rgn import AutoRGN
from l2o.rules.base import Rule
from l2o.rules.constant_layers import ConstantLayers
from l2o.rules.random import Random

RULES: dict[str, type[Rule]] = {
    "auto_rgn": AutoRGN,
    "random": Random,
    "constant_layers": ConstantLayers,
}

__all__ = ["RULES", "AutoRGN", "ConstantLayers", "Random", "Rule"]

"""Modes: how multipliers reach a live optimizer."""

from l2o.modes.base import Mode
from l2o.modes.choose import choose_mode
from l2o.modes.groups import GroupRates
from l2o.modes.split import SplitGroup
from l2o.modes.update_scale import UpdateScale

MODES: dict[str, type[Mode]] = {"groups": GroupRates, "update_scale": UpdateScale}

__all__ = ["MODES", "GroupRates", "Mode", "SplitGroup", "UpdateScale", "choose_mode"]

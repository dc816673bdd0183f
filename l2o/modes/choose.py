"""Which mode suits an optimizer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import optim
from torch.optim import Optimizer

from l2o.groups import LayerGroup
from l2o.modes.groups import needs_split
from l2o.momentum_lr_sgd import MomentumLRSGD

ONE_RATE_PER_GROUP: tuple[type[Optimizer], ...] = (
    optim.SGD,
    optim.Adam,
    optim.AdamW,
    optim.NAdam,
    optim.RAdam,
    optim.Adamax,
    optim.Adagrad,
    optim.Adadelta,
    optim.RMSprop,
    MomentumLRSGD,
)
"""Optimizers that read each param group's LR afresh at every step."""


def choose_mode(optimizer: Optimizer, groups: Sequence[LayerGroup]) -> tuple[str, str]:
    """Return the mode's name and the reason.

    Others than `ONE_RATE_PER_GROUP` get `update_scale`: some take a single group (LBFGS), some
    refuse different rates (Prodigy), some read the LR only once (Rprop). Scaling the update itself
    is right for all of them.
    """
    name = type(optimizer).__name__
    if not isinstance(optimizer, ONE_RATE_PER_GROUP):
        return "update_scale", f"{name} is not known to follow one LR per param group"
    scheduled = any("initial_lr" in group for group in optimizer.param_groups)
    if scheduled and needs_split(optimizer, groups):
        return "update_scale", "an LR scheduler already counts the param groups"
    return "groups", f"{name} follows one LR per param group"

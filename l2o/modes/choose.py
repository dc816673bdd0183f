"""Which mode suits an optimizer."""

from __future__ import annotations

from torch import optim
from torch.optim import Optimizer

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
    optim.ASGD,
    optim.SparseAdam,
    *((optim.Muon,) if hasattr(optim, "Muon") else ()),
    MomentumLRSGD,
)
"""Optimizers that read each param group's LR afresh at every step."""

ALSO_ONE_RATE_PER_GROUP = frozenset({"schedulefree", "bitsandbytes"})
"""Packages all of whose optimizers do, and whose weights are not all that a step moves."""

_ONE_FOR_ALL = "refuses different learning rates"

REFUSES_RATES = {
    "LBFGS": "takes a single param group",
    **dict.fromkeys(
        (
            "Prodigy",
            "DAdaptAdaGrad",
            "DAdaptAdam",
            "DAdaptAdan",
            "DAdaptAdanIP",
            "DAdaptLion",
            "DAdaptSGD",
        ),
        _ONE_FOR_ALL,
    ),
}
"""Class names of optimizers that raise if param groups differ in their LR, and why."""

BENDS_RATES = {
    "Rprop": "reads the learning rate at its first step only",
    "Adafactor": "bounds the learning rate by a schedule of its own",
}
"""Class names of optimizers whose updates do not follow the LR, and why."""


def refusal(optimizer: Optimizer) -> str | None:
    """Return why an optimizer refuses different learning rates, or None if it does not."""
    return _known(optimizer, REFUSES_RATES)


def _known(optimizer: Optimizer, table: dict[str, str]) -> str | None:
    names = (base.__name__ for base in type(optimizer).__mro__)
    return next((f"{name} {table[name]}" for name in names if name in table), None)


def choose_mode(optimizer: Optimizer) -> tuple[str, str]:
    """Return the mode's name and the reason.

    Those in no table get `update_scale`: scaling the update itself is right whatever an optimizer
    makes of its learning rates, as long as the weights are all that it moves.

    Example:
        >>> import torch
        >>> choose_mode(torch.optim.Rprop([torch.ones(2, requires_grad=True)]))
        ('update_scale', 'Rprop reads the learning rate at its first step only')
    """
    kind = type(optimizer)
    if reason := _known(optimizer, REFUSES_RATES | BENDS_RATES):
        return "update_scale", reason
    if any(group.get("lr") is None for group in optimizer.param_groups):
        return "update_scale", f"{kind.__name__} has param groups without a learning rate"
    packages = {base.__module__.partition(".")[0] for base in kind.__mro__}
    if isinstance(optimizer, ONE_RATE_PER_GROUP) or packages & ALSO_ONE_RATE_PER_GROUP:
        return "groups", f"{kind.__name__} follows one learning rate per param group"
    return "update_scale", f"{kind.__name__} is not known to follow one LR per param group"

"""Which mode suits an optimizer."""

from __future__ import annotations

import inspect

from torch import optim
from torch.optim import Optimizer

from l2o.optimizers.lion import Lion
from l2o.optimizers.momentum_lr_sgd import MomentumLRSGD

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
    Lion,
)
"""Optimizers that read each param group's LR afresh at every step."""

ALSO_ONE_RATE_PER_GROUP = frozenset({"schedulefree", "bitsandbytes"})
"""Packages all of whose optimizers do."""

ONLY_RATES = {"schedulefree": "moves weights that it keeps to itself, too"}
"""Packages of optimizers whose update cannot be scaled from outside, and why."""

_ONE_FOR_ALL = "refuses different learning rates"

ONLY_SCALED = {
    "LBFGS": "takes a single param group",
    "Rprop": "reads the learning rate at its first step only",
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
"""Class names of optimizers that cannot be driven by different LRs, and why."""

BETTER_SCALED = {
    "Adafactor": "bounds the learning rate by a schedule of its own",
}
"""Class names of optimizers whose updates follow the LR only so far, and why."""


def refusal(optimizer: Optimizer, mode: str) -> str | None:
    """Return why a mode cannot drive an optimizer, or None if it can.

    Example:
        >>> import torch
        >>> refusal(torch.optim.LBFGS([torch.ones(2, requires_grad=True)]), "groups")
        "LBFGS takes a single param group; use mode='update_scale' or 'auto'"
    """
    if mode == "update_scale":
        reason = next(
            (ONLY_RATES[package] for package in _packages(optimizer) if package in ONLY_RATES), None
        )
        return reason and f"{type(optimizer).__name__} {reason}; use mode='groups' or 'auto'"
    reason = _known(optimizer, ONLY_SCALED)
    if any(group.get("lr") is None for group in optimizer.param_groups):
        reason = f"{type(optimizer).__name__} has param groups without a learning rate"
    return reason and f"{reason}; use mode='update_scale' or 'auto'"


def _known(optimizer: Optimizer, table: dict[str, str]) -> str | None:
    names = (base.__name__ for base in type(optimizer).__mro__)
    return next((f"{name} {table[name]}" for name in names if name in table), None)


def _steps_as_known(kind: type[Optimizer]) -> bool:
    """Return whether a class has the very step of a known one.

    A step of its own may do anything with the user's param groups, such as clipping each: they
    must not be split then.
    """
    mine = inspect.unwrap(kind.step)
    return any(
        mine is inspect.unwrap(known.step)
        for known in ONE_RATE_PER_GROUP
        if issubclass(kind, known)
    )


def _packages(optimizer: Optimizer) -> set[str]:
    return {base.__module__.partition(".")[0] for base in type(optimizer).__mro__}


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
    if reason := _known(optimizer, ONLY_SCALED | BETTER_SCALED):
        return "update_scale", reason
    if any(group.get("lr") is None for group in optimizer.param_groups):
        return "update_scale", f"{kind.__name__} has param groups without a learning rate"
    base = next((known for known in ONE_RATE_PER_GROUP if isinstance(optimizer, known)), None)
    if base is not None and not _steps_as_known(kind):
        return "update_scale", f"{kind.__name__} has a step of its own, not that of {base.__name__}"
    if base is not None or _packages(optimizer) & ALSO_ONE_RATE_PER_GROUP:
        return "groups", f"{kind.__name__} follows one learning rate per param group"
    return "update_scale", f"{kind.__name__} is not known to follow one LR per param group"

"""Plugging a policy in, as a user does, and which policies fit which network."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import nn
from torch.optim import Optimizer

import l2o
from l2o.benchmarks.hostile.cell import PLAIN, Cell

FIXED_GROUPS = 7
"""Layer groups of the policies that need a fixed number of them."""


def control(cell: Cell, optimizer: Optimizer, model: nn.Module) -> l2o.LRController | None:
    """Plug the cell's policy in, as the README says; with seven layer groups if it needs them."""
    if cell.policy == PLAIN:
        return None
    policy = l2o.load_policy(cell.policy)
    if drives(policy, model, None):
        return l2o.LRController(policy, optimizer, model, total_steps=cell.told)
    groups = l2o.group_layers(model, max_groups=FIXED_GROUPS)
    return l2o.LRController(policy, optimizer, groups=groups, total_steps=cell.told)


def drives(policy: l2o.Policy, model: nn.Module, most: int | None) -> bool:
    """Tell whether a policy drives a model of at most so many layer groups (None: as they are)."""
    try:
        policy.check(l2o.group_layers(model, max_groups=most), None)
    except ValueError:
        return False
    return True


def drivers(policies: Sequence[str], network: str, model: nn.Module) -> list[str]:
    """Return which of the policies, or of all that ship, can drive a network; log the others."""
    able = []
    for name in policies or l2o.list_policies():
        policy = l2o.load_policy(name)
        if any(drives(policy, model, most) for most in (None, FIXED_GROUPS)):
            able.append(name)
        else:
            logging.getLogger(__name__).warning("%s cannot drive %s: left out", name, network)
    return able

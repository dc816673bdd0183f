"""Plugging a policy in, as a user does; which policies fit which network; the steps of a loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import l2o
from l2o.benchmarks.studies.harm.cell import PLAIN, Cell


def control(cell: Cell, optimizer: Optimizer, model: nn.Module) -> l2o.LRController | None:
    """Plug the cell's policy in, as the README says; layers are merged where it has to be so."""
    if cell.policy == PLAIN:
        return None
    policy = l2o.load_policy(cell.policy)
    if (count := fixed_groups(policy)) is None:
        return l2o.LRController(policy, optimizer, model, total_steps=cell.told)
    groups = l2o.group_layers(model, max_groups=count)
    return l2o.LRController(policy, optimizer, groups=groups, total_steps=cell.told)


def fixed_groups(policy: l2o.Policy) -> int | None:
    """Return the number of layer groups that a policy needs; None where any will do."""
    return getattr(policy, "groups", None)


def drivers(policies: Sequence[str], network: str, model: nn.Module, steps: int) -> list[str]:
    """Return which of the policies, or of all that ship, can drive a network; log the others."""
    able = []
    for name in policies or l2o.list_policies():
        policy = l2o.load_policy(name)
        try:
            policy.check(l2o.group_layers(model, max_groups=fixed_groups(policy)), steps)
        except ValueError:
            logging.getLogger(__name__).warning("%s cannot drive %s: left out", name, network)
        else:
            able.append(name)
    return able


def take_steps(
    count: int,
    next_loss: Callable[[], Tensor],
    optimizer: Optimizer,
    controller: l2o.LRController | None = None,
    after: Callable[[int], object] = lambda step: None,
) -> list[float]:
    """Train, and return the loss of every step; `after` is called with the steps done."""
    losses = []
    for step in range(1, count + 1):
        loss = next_loss()
        if controller is not None:
            controller.observe(loss=loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        after(step)
    return losses


@torch.no_grad()
def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of right answers; logits that are not finite are wrong."""
    right = (logits.argmax(dim=1) == labels) & torch.isfinite(logits).all(dim=1)
    return float(right.double().mean())

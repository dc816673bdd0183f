"""accelerate: a controller for what `accelerator.prepare` returned."""

from __future__ import annotations

from typing import Any

from torch import nn

from l2o.control.controller import LRController
from l2o.deciding.given import as_policy
from l2o.deciding.policy import Policy
from l2o.extras import needed_by
from l2o.integrations.base import check_options

with needed_by("l2o.integrations.accelerate"):
    from accelerate import Accelerator
    from accelerate.optimizer import AcceleratedOptimizer


def attach(
    accelerator: Accelerator,
    policy: str | Policy,
    optimizer: AcceleratedOptimizer,
    model: nn.Module,
    **options: Any,
) -> LRController:
    """Return a controller of a prepared optimizer; `save_state` and `load_state` carry its state.

    Attach after `prepare` and before `load_state`. Optimizer steps are counted, not batches: with
    gradient accumulation `total_steps` is the number of updates.

    Args:
        accelerator: what prepared the rest.
        policy: a policy, or the name or folder of one.
        optimizer: as `prepare` returned it.
        model: as `prepare` returned it.
        **options: of `LRController`.

    Raises:
        TypeError: the optimizer was not prepared by accelerate.
    """
    if not isinstance(optimizer, AcceleratedOptimizer):
        kind = type(optimizer).__name__
        raise TypeError(f"pass the optimizer that accelerator.prepare returned, got a {kind}")
    return LRController(
        as_policy(policy),
        optimizer.optimizer,
        accelerator.unwrap_model(model),
        **check_options(options),
    )

"""A schedule of the base learning rate, on top of which policies set their multipliers."""

from __future__ import annotations

import torch
from torch.optim import Optimizer

from l2o.schedules import Schedule


class BaseSchedule:
    """Moves the learning rates of an optimizer by a schedule, at each step.

        lr = schedule(i / T) · initial_lr

    A controller of the optimizer multiplies what the policy decides on top (`l2o.control.rates`).

    Args:
        optimizer: its rates now are the base.
        schedule: of them; None: they stay as they are.
        steps: T, the length of the training.

    Example:
        >>> from l2o.schedules import Linear
        >>> optimizer = torch.optim.SGD([torch.ones(1)], lr=0.4)
        >>> schedule = BaseSchedule(optimizer, Linear(), steps=4)
        >>> schedule.set(1)
        >>> schedule.factor(1), round(optimizer.param_groups[0]["lr"], 3)
        (0.75, 0.3)
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule | None, steps: int) -> None:
        self._optimizer, self._steps = optimizer, steps
        self._schedule = None if schedule is None else schedule.of_length(steps)
        if self._schedule is not None:
            for group in optimizer.param_groups:
                # As torch's schedulers note it: what multipliers refer to.
                group.setdefault("initial_lr", group["lr"])
            self.set(0)

    def factor(self, step: int) -> float:
        """Return the factor on the base learning rate at a step, counted from 0."""
        if self._schedule is None:
            return 1.0
        progress = torch.tensor(step / self._steps, dtype=torch.float64, device="cpu")
        return float(self._schedule(progress))

    def set(self, step: int) -> None:
        """Set the rates of a step, counted from 0."""
        if self._schedule is None:
            return
        factor = self.factor(step)
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

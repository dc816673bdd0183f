"""How long one decision takes, over the number of layer groups."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from l2o.benchmarks.speed.training import POLICY
from l2o.control.controller import LRController
from l2o.deciding.bundle import load_policy

GROUPS = (8, 32, 128)
_WARM_UP = 20


class Still(Optimizer):
    """An optimizer that does nothing: what its steps take is the controller's."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.1})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Leave everything as it is."""


class Clock:
    """Sums the time spent in the methods it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrap(self, owner: object, name: str) -> None:
        """Replace a method of an object by one that is timed."""
        method: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                self.seconds += time.perf_counter() - started

        setattr(owner, name, timed)


def time_decision(groups: int, device: torch.device, repeats: int) -> dict[str, Any]:
    """Return the medians of one decision and what comes with it, in microseconds.

    - *Reading* is what looks at parameters and gradients: the copy before the step and the sums
      of squares after it, up to one small array on the host. It grows with the network.
    - The *decision* is all else that a step which decides takes beyond one that does not: signals,
      guard, policy, new multipliers, history.
    - A *quiet* step is both hooks of a step that does not decide.

    Layers are tiny (16 x 16), and the optimizer does nothing.

    Args:
        groups: number of layer groups, of two tensors each.
        device: of the parameters.
        repeats: decisions timed.
    """
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(16, 16) for _ in range(groups)]).to(device)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer = Still(model.parameters())
    controller = LRController(
        load_policy(POLICY),
        optimizer,
        model,
        total_steps=100 * repeats,
        interval=2,
        mode="groups",
    )
    clock = Clock()
    for name in ("before_step", "read"):
        clock.wrap(controller.meter, name)
    loss = torch.ones((), device=device)
    found: dict[str, list[float]] = {"decision_us": [], "reading_us": [], "quiet_us": []}
    for number in range(repeats + _WARM_UP):
        times = []
        for _ in range(2):
            controller.observe(loss=loss)
            clock.seconds = 0.0
            started = time.perf_counter()
            optimizer.step()
            times.append(time.perf_counter() - started)
        quiet, deciding = times
        if number >= _WARM_UP:
            found["decision_us"].append(deciding - quiet - clock.seconds)
            found["reading_us"].append(clock.seconds)
            found["quiet_us"].append(quiet)
    medians = {key: statistics.median(seconds) * 1e6 for key, seconds in found.items()}
    return {"groups": groups, **medians, "repeats": repeats}

"""How long one decision takes, over the number of layer groups."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import nn
from torch.optim import Optimizer

from l2o.benchmarks.speed.base import Measured, Measurement, Numbers, numbers_of
from l2o.benchmarks.speed.training import POLICY
from l2o.benchmarks.studies.options import Device, count
from l2o.control.controller import LRController
from l2o.deciding.bundle import load_bundle

GROUPS = (8, 32, 128)
_WARM_UP = 20


@dataclass(frozen=True)
class Decided:
    """Medians of one decision and what comes with it, in microseconds.

    Attributes:
        decision_us: all else that a step which decides takes beyond one that does not: signals,
            guard, policy, new multipliers, history.
        reading_us: what looks at parameters and gradients: the copy before the step and the sums of
            squares after it, up to one small array on the host. It grows with the network.
        quiet_us: both hooks of a step that does not decide.
    """

    groups: int
    decision_us: float
    reading_us: float
    quiet_us: float
    repeats: int


@dataclass(frozen=True, kw_only=True)
class Decision(Measurement[Decided]):
    """Measure how long one decision takes, over the number of layer groups.

    Layers are tiny (16 x 16), and the optimizer does nothing.
    """

    examples = ("l2o speed decision --groups 8,32 --repeats 200",)
    title = "Decisions"
    columns = {
        "layer groups": lambda row: str(row.groups),
        "decision, µs": lambda row: f"{row.decision_us:,.0f}",
        "reading the parameters, µs": lambda row: f"{row.reading_us:,.0f}",
    }
    measured = Measured[Decided]
    device: Device = "cpu"
    groups: Numbers = "8,32,128"
    repeats: Annotated[int, count("Decisions timed.")] = 2000

    def rows(self) -> Iterator[Decided]:
        """Time the decisions."""
        for groups in numbers_of(self.groups):
            yield time_decision(groups, self.where, self.repeats)


class Still(Optimizer):
    """An optimizer that does nothing: what its steps take is the controller's."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.1})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Leave everything as it is."""


def _watch(owner: object, name: str, spent: list[float]) -> None:
    """Replace a method of an object by one that notes the seconds of each call."""
    method: Callable[..., Any] = getattr(owner, name)

    def timed(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*arguments, **options)
        finally:
            spent.append(time.perf_counter() - started)

    setattr(owner, name, timed)


def time_decision(groups: int, device: torch.device, repeats: int) -> Decided:
    """Time so many decisions over so many layer groups, of two tensors each."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(16, 16) for _ in range(groups)]).to(device)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer = Still(model.parameters())
    policy, steps = load_bundle(POLICY), 100 * repeats
    controller = LRController(
        policy, optimizer, model, total_steps=steps, interval=2, mode="groups"
    )
    spent: list[float] = []
    for name in ("before_step", "read"):
        _watch(controller.meter, name, spent)
    loss = torch.ones((), device=device)
    found = []
    for number in range(repeats + _WARM_UP):
        times = []
        for _ in range(2):
            controller.observe(loss=loss)
            spent.clear()
            started = time.perf_counter()
            optimizer.step()
            times.append(time.perf_counter() - started)
        quiet, deciding = times
        if number >= _WARM_UP:
            reading = sum(spent)
            found.append((deciding - quiet - reading, reading, quiet))
    decided, reading, still = (1e6 * statistics.median(each) for each in zip(*found, strict=True))
    return Decided(groups, decided, reading, still, repeats)

"""A training step with and without the controller, the decision, import time and memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated

import torch

from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.speed.base import Figure, Measured, Measurement, hold, mebibytes
from l2o.benchmarks.speed.decision import GROUPS, Decided, Decision, time_decision
from l2o.benchmarks.speed.footprint import Held, memory_added
from l2o.benchmarks.speed.large import RESNET, RESNET50, VIT
from l2o.benchmarks.speed.overhead import MODES, Row, rows_of_steps, rows_of_windows
from l2o.benchmarks.speed.syncs import HostReads, cuda_syncs
from l2o.benchmarks.speed.training import OPTIMIZERS, POLICY, Training, Workload
from l2o.benchmarks.studies.options import Device, Quick, count

_IMPORTS = {
    "import torch": "import torch",
    "import l2o": "import l2o",
    "l2o.LRController and load_policy": "import l2o; l2o.LRController; l2o.load_policy",
}
_TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


@dataclass(frozen=True)
class Waits:
    """How often the host waits for the device, per step between decisions.

    `cuda_syncs` are those that CUDA reports beyond the ones of the step without a controller; None
    where there is no CUDA device.
    """

    mode: str
    per_step: float
    cuda_syncs: float | None = None


@dataclass(frozen=True)
class Costs(Measured[Row]):
    """A row per network, optimizer, mode and interval; figures; other costs."""

    rows: Sequence[Row]
    decisions: Sequence[Decided] = ()
    imports_ms: Mapping[str, float] = field(default_factory=dict)
    memory: Sequence[Held] = ()
    host_reads: Sequence[Waits] = ()


@dataclass(frozen=True, kw_only=True)
class Controller(Measurement[Row]):
    """Measure what a controller adds to a training step, to memory and to imports."""

    examples = (
        "l2o speed controller --json controller.json",
        "l2o speed controller --device cuda --json controller-cuda.json",
    )
    title = "Added to a step"
    columns = {
        "network": lambda row: row.model,
        "optimizer": lambda row: row.optimizer,
        "mode": lambda row: f"`{row.mode}`",
        "K": lambda row: str(row.interval),
        "step, ms": lambda row: f"{row.step_ms:,.0f}",
        "added, %": lambda row: _percent(row.percent, row.percent_interval),
        "by whole steps, %": lambda row: _percent(row.whole_percent, row.whole_percent_interval),
    }
    facts = {"policy": POLICY, "seeds": (0, 1)}
    measured = Costs
    device: Device = "cpu"
    rounds: Annotated[int | None, count("Pairs of steps (cuda: windows) per row.")] = None
    quick: Quick = False

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """What is trained."""
        chosen = (RESNET, VIT) if self.where.type == "cpu" else (RESNET50,)
        return chosen[:1] if self.quick else chosen

    def rows(self) -> Iterator[Row]:
        """Measure what is added to a step."""
        on_cpu = self.where.type == "cpu"
        rounds = self.rounds or (6 if self.quick else 20 if on_cpu else 15)
        for workload in self.workloads:
            for optimizer in OPTIMIZERS:
                if on_cpu:
                    yield from rows_of_steps(workload, optimizer, rounds)
                else:
                    yield from rows_of_windows(workload, optimizer, self.where, rounds)

    def answer(self) -> Costs:
        """Measure all of it."""
        rows, where = list(self.rows()), self.where
        repeats, imports = (200, 3) if self.quick else (2000, 7)
        costs = Costs(
            rows,
            decisions=[time_decision(n, where, repeats) for n in GROUPS],
            imports_ms=time_imports(imports),
            memory=[memory_added(w, "SGD", where, m) for w in self.workloads for m in MODES],
            host_reads=[host_reads(self.workloads[0], where, mode) for mode in MODES],
        )
        return replace(costs, figures=self._figures(costs))

    def _figures(self, costs: Costs) -> list[Figure]:
        plain, scaled = (_worst(costs, mode) for mode in MODES)
        if self.where.type != "cpu":
            syncs = max(each.cuda_syncs or 0.0 for each in costs.host_reads)
            name = f"{self.device_name}, ResNet-50-size, bf16, groups, K = 10: overhead per step, %"
            waits = f"{self.device_name}: host syncs per optimizer step between decisions"
            return [hold(name, plain, 1.0, 0.2, False), hold(waits, syncs, 0, 0, False)]
        decision = next(each for each in costs.decisions if each.groups == 32).decision_us / 1e3
        return [
            hold("CPU, groups, K = 10: overhead per step, %", plain, 2.0, 0.5, False),
            hold("CPU, update_scale, K = 10: overhead per step, %", scaled, 6.0, 3.0, False),
            hold("CPU, 32 groups: one decision, ms", decision, 0.5, 0.1, False),
        ]

    def tables(self, answer: Measured[Row]) -> list[Table]:
        """Return what is added to a step, decisions, other costs and figures."""
        assert isinstance(answer, Costs), "what `answer` returns"
        first, *others = super().tables(answer)
        decisions = Table.of(Decision.title, answer.decisions, Decision.columns)
        return [first, decisions, other_costs(answer), *others]


def time_imports(repeats: int) -> dict[str, float]:
    """Return the median milliseconds of each import, each in a process of its own, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in _IMPORTS}
    for _ in range(repeats):
        for name, statement in _IMPORTS.items():
            command = [sys.executable, "-c", _TIMED.format(statement)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[name].append(float(done.stdout))
    return {name: statistics.median(times) * 1e3 for name, times in seconds.items()}


def host_reads(workload: Workload, device: torch.device, mode: str) -> Waits:
    """Count how often the host waits in four steps between decisions."""
    steps, optimizer = 4, "AdamW, fused"
    training = Training(workload, optimizer, device, mode, interval=steps + 1)
    training.steps(steps + 1)
    with HostReads() as reads:
        training.steps(steps)
    if device.type != "cuda":
        return Waits(mode, reads.total / steps)
    bare = Training(workload, optimizer, device)
    bare.step()
    training.step()
    mine, plain = (cuda_syncs(partial(each.steps, steps)) for each in (training, bare))
    return Waits(mode, reads.total / steps, (mine - plain) / steps)


def _worst(costs: Costs, mode: str) -> float:
    """Return the largest overhead at K = 10 over networks and optimizers."""
    return max(row.percent for row in costs.rows if (row.mode, row.interval) == (mode, 10))


def other_costs(costs: Costs) -> Table:
    """Return import times, memory and host reads."""
    rows = [(name, f"{value:,.0f} ms") for name, value in costs.imports_ms.items()]
    rows += [
        (
            f"memory held, {held.model}, `{held.mode}`",
            f"{mebibytes(held.bytes)}, {held.per_weight:.2f} times the weights",
        )
        for held in costs.memory
    ]
    reads = "values read by the host per step between decisions"
    rows += [(f"{reads}, `{waits.mode}`", f"{waits.per_step:g}") for waits in costs.host_reads]
    return Table("Other costs", ("what", "measured"), rows)


def _percent(value: float, ends: Sequence[float]) -> str:
    return f"{value:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]"

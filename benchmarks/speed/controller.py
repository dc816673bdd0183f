"""A training step with and without the controller, the decision, import time and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import torch

from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.speed.decision import GROUPS, Decided, decision_table, time_decision
from l2o.benchmarks.speed.figures import Figure, Verdict, verdict_table
from l2o.benchmarks.speed.footprint import memory_added, time_imports
from l2o.benchmarks.speed.large import RESNET, RESNET50, VIT
from l2o.benchmarks.speed.overhead import MODES, Row, rows_of_steps, rows_of_windows
from l2o.benchmarks.speed.stacked import mebibytes
from l2o.benchmarks.speed.syncs import HostReads, cuda_syncs
from l2o.benchmarks.speed.timing import Measured, device_name
from l2o.benchmarks.speed.training import OPTIMIZERS, POLICY, Training, Workload
from l2o.benchmarks.studies.base import Study
from l2o.benchmarks.studies.options import Device, Json, Quick, count
from l2o.envs.runtime.device import resolve_device


@dataclass(frozen=True)
class Held:
    """Bytes that a controller holds; over those of the weights, and of that its copy of them."""

    model: str
    mode: str
    bytes: int
    weights: int
    per_weight: float
    copy_per_weight: float


@dataclass(frozen=True)
class Waits:
    """How often the host waits for the device, per step between decisions.

    `cuda_syncs` are those that CUDA reports beyond the ones of the step without a controller; None
    where there is no CUDA device.
    """

    mode: str
    per_step: float
    cuda_syncs: float | None = None


@dataclass(frozen=True, kw_only=True)
class Answer(Measured):
    """A row per network, optimizer, mode and interval; other costs; figures."""

    policy: str = POLICY
    seeds: Sequence[int] = (0, 1)
    rows: Sequence[Row]
    decisions: Sequence[Decided]
    imports_ms: Mapping[str, float]
    memory: Sequence[Held]
    host_reads: Sequence[Waits]
    figures: Sequence[Verdict] = ()


@dataclass(frozen=True, kw_only=True)
class Controller(Study[Answer]):
    """Measure what a controller adds to a training step, to memory and to imports."""

    examples = (
        "l2o speed controller --json controller.json",
        "l2o speed controller --device cuda --json controller-cuda.json",
    )
    device: Device = "cpu"
    rounds: Annotated[int | None, count("Pairs of steps (cuda: windows) per row.")] = None
    quick: Quick = False
    json: Json = None

    def answer(self) -> Answer:
        """Measure all of it."""
        where = resolve_device(self.device)
        on_cpu = where.type == "cpu"
        workloads = (RESNET, VIT) if on_cpu else (RESNET50,)
        workloads = workloads[:1] if self.quick else workloads
        measured = Answer(
            benchmark="controller",
            device=device_name(where),
            rows=[r for w in workloads for o in OPTIMIZERS for r in self._rows(w, o, where)],
            decisions=[time_decision(n, where, 200 if self.quick else 2000) for n in GROUPS],
            imports_ms=time_imports(3 if self.quick else 7),
            memory=[
                Held(**memory_added(workload, "SGD", where, mode))
                for workload in workloads
                for mode in MODES
            ],
            host_reads=[host_reads(workloads[0], where, mode) for mode in MODES],
        )
        figures = _figures_on_cpu(measured) if on_cpu else _figures_on_gpu(measured)
        return replace(measured, figures=[figure.verdict for figure in figures])

    def tables(self, answer: Answer) -> list[Table]:
        """Return the tables."""
        return tables(answer)

    def _rows(self, workload: Workload, optimizer: str, device: torch.device) -> list[Row]:
        if device.type == "cpu":
            rounds = self.rounds or (6 if self.quick else 20)
            return rows_of_steps(workload, optimizer, rounds, partial(print, flush=True))
        rounds = self.rounds or (6 if self.quick else 15)
        return rows_of_windows(workload, optimizer, device, rounds)


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


def _worst(answer: Answer, mode: str) -> float:
    """Return the largest overhead at K = 10 over networks and optimizers."""
    return max(row.percent for row in answer.rows if (row.mode, row.interval) == (mode, 10))


def _figures_on_cpu(answer: Answer) -> list[Figure]:
    decision = next(each for each in answer.decisions if each.groups == 32).decision_us / 1e3
    scaled = _worst(answer, "update_scale")
    return [
        Figure(
            "CPU, groups, K = 10: overhead per step, %", _worst(answer, "groups"), 2.0, 0.5, False
        ),
        Figure("CPU, update_scale, K = 10: overhead per step, %", scaled, 6.0, 3.0, False),
        Figure("CPU, 32 groups: one decision, ms", decision, 0.5, 0.1, False),
    ]


def _figures_on_gpu(answer: Answer) -> list[Figure]:
    name = f"{answer.device}, ResNet-50-size, bf16, groups, K = 10: overhead per step, %"
    syncs = max(waits.cuda_syncs or 0.0 for waits in answer.host_reads)
    return [
        Figure(name, _worst(answer, "groups"), 1.0, 0.2, False),
        Figure(
            f"{answer.device}: host syncs per optimizer step between decisions", syncs, 0, 0, False
        ),
    ]


def tables(answer: Answer) -> list[Table]:
    """Return overhead, decisions, other costs and figures."""
    columns = ("network", "optimizer", "mode", "K", "step, ms", "added, %", "from whole steps, %")
    rows = [
        (
            *(row.model, row.optimizer, f"`{row.mode}`", str(row.interval), f"{row.step_ms:,.0f}"),
            _percent(row.percent, row.percent_interval),
            _percent(row.whole_percent, row.whole_percent_interval),
        )
        for row in answer.rows
    ]
    costs = [(name, f"{value:,.0f} ms") for name, value in answer.imports_ms.items()]
    costs += [
        (
            f"memory held, {held.model}, `{held.mode}`",
            f"{mebibytes(held.bytes)}, {held.per_weight:.2f} times the weights",
        )
        for held in answer.memory
    ]
    costs += [
        (f"values read by the host per step, `{waits.mode}`", f"{waits.per_step:g}")
        for waits in answer.host_reads
    ]
    return [
        Table("Added to a step", columns, rows),
        decision_table(answer.decisions),
        Table("Other costs", ("what", "measured"), costs),
        verdict_table(answer.figures),
    ]


def _percent(value: float, ends: Sequence[float]) -> str:
    return f"{value:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]"

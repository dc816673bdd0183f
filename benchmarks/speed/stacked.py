"""Stacked fine-tunes against the bare loop and against one environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
import typer

from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.speed.bare import BareLoop
from l2o.benchmarks.speed.base import Measurement, mebibytes, ratio, time_alternately
from l2o.benchmarks.speed.contenders import (
    INTERVAL,
    FewTasks,
    OneEnvironment,
    StackedEnvironments,
    numbers_of,
    predicted_memory,
    settings,
)
from l2o.benchmarks.speed.figures import Figure
from l2o.benchmarks.speed.memory import measured_on_device, measured_on_host
from l2o.benchmarks.studies.options import Device, count

_CPU_COUNTS, _CUDA_COUNTS = (1, 8, 16, 32, 128, 512), (1, 8, 32, 128, 256, 512, 1024)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A contender on a width of network.

    Attributes:
        runs: fine-tunes at once.
        ratio: its steps per second over the bare loop's.
        not_captured: what could not be captured as a CUDA graph, and why; empty is as it should be.
    """

    width: int
    name: str
    runs: int
    steps_per_second: float
    microseconds_per_step: float
    best_microseconds_per_step: float
    ratio: float
    predicted_memory_bytes: int | None = None
    measured_memory_bytes: int | None = None
    not_captured: Mapping[str, str] | None = None
    seconds: Sequence[float] = ()


@dataclass(frozen=True, kw_only=True)
class Stacked(Measurement[Row]):
    """Measure stacked fine-tunes against the bare loop and one environment, at the same work."""

    examples = (
        "l2o speed stacked --numbers 1,16 --memory --json stacked.json",
        "l2o speed stacked --device cuda --precision bf16 --json stacked-cuda.json",
    )
    facts = {"interval": INTERVAL, "seeds": [0]}
    device: Device = "cpu"
    numbers: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Fine-tunes at once, as 1,8,32.")
    ] = None
    rounds: Annotated[int, count("Times that each is measured.")] = 7
    precision: Annotated[str, typer.Option(help="float32, tf32 (CUDA) or bf16")] = "float32"
    memory: Annotated[
        bool, typer.Option("--memory", help="On CPU: measure memory, too, in a process per N.")
    ] = False

    def rows(self) -> Iterator[Row]:
        """Measure each width."""
        on_cpu = self.where.type == "cpu"
        usual = _CPU_COUNTS if on_cpu else _CUDA_COUNTS
        counts = numbers_of(self.numbers) if self.numbers else usual
        yield from self._rows(8, counts, self.where)
        if on_cpu and 16 in counts:
            yield from self._rows(16, (16,), self.where)

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        """Return what the device is held to."""
        return figures_on_cpu(rows) if self.where.type == "cpu" else figures_on_gpu(rows)

    def table(self, rows: Sequence[Row]) -> Table:
        """Return the contenders."""
        columns = ("width", "what", "steps/s", "ratio to the bare loop", "µs per step")
        memory = ("memory, predicted", "measured")
        cells = [
            (
                *(str(row.width), row.name, f"{row.steps_per_second:,.0f}", f"{row.ratio:.2f}"),
                f"{row.microseconds_per_step:,.0f}",
                *map(mebibytes, (row.predicted_memory_bytes, row.measured_memory_bytes)),
            )
            for row in rows
        ]
        return Table("Stacked fine-tunes", (*columns, *memory), cells)

    def _rows(self, width: int, counts: Sequence[int], device: torch.device) -> Iterator[Row]:
        family = FewTasks(width)
        # Two decisions measure memory, one warms up, one is to spare.
        finetuning = settings(str(device), self.rounds + 4)
        stacks: dict[str, StackedEnvironments] = {}
        memory: dict[str, int | None] = {}
        for number in counts:
            name = f"stacked {number}"
            make = partial(StackedEnvironments, family, finetuning, number, self.precision)
            stacks[name], memory[name] = measured_on_device(make, device)
            if self.memory and device.type == "cpu":
                memory[name] = measured_on_host(family, finetuning, number, self.precision)
        contenders: dict[str, BareLoop | OneEnvironment | StackedEnvironments] = {
            "bare loop": BareLoop(family.sample(0), device, interval=INTERVAL),
            "FineTuneEnv": OneEnvironment(family, finetuning),
            **stacks,
        }
        runs = {name: each.run for name, each in contenders.items()}
        times = time_alternately(runs, self.rounds, device)
        for name, spent in times.items():
            stack = stacks.get(name)
            number = int(name.split()[1]) if stack else 1
            steps = number * INTERVAL
            yield Row(
                width=width,
                name=name,
                runs=number,
                steps_per_second=steps / spent.median,
                microseconds_per_step=spent.median / steps * 1e6,
                best_microseconds_per_step=spent.best / steps * 1e6,
                ratio=ratio(times["bare loop"], spent, number),
                predicted_memory_bytes=predicted_memory(stack, family.sample(0)) if stack else None,
                measured_memory_bytes=memory.get(name),
                not_captured=stack.not_captured() if stack else None,
                seconds=spent.seconds,
            )


def figures_on_cpu(rows: Sequence[Row]) -> list[Figure]:
    """Return the figures that a CPU is held to, of the rows that were measured."""
    found = {(row.width, row.name): row.ratio for row in rows}
    made = [
        Figure(f"CPU, one thread, N = 16, width {width}: ratio to the bare loop", at, must, goal)
        for width, must, goal in ((8, 2.5, 4.0), (16, 1.5, 2.5))
        if (at := found.get((width, "stacked 16"))) is not None
    ]
    name = "FineTuneEnv, N = 1: time over the bare loop's"
    return [*made, Figure(name, 1 / found[8, "FineTuneEnv"], 1.15, 1.05, at_least=False)]


def figures_on_gpu(rows: Sequence[Row]) -> list[Figure]:
    """Return the figures that a GPU is held to, of the rows that were measured."""
    found = {row.runs: row for row in rows if "stacked" in row.name}
    made = []
    if 256 in found:
        name = "GPU, N = 256, width 8: ratio to the bare loop"
        made.append(Figure(name, found[256].ratio, 40, 150))
    fastest = found[max(found)].steps_per_second
    made.append(Figure("GPU, largest N: fine-tune steps per second", fastest, 20_000, 100_000))
    if 32 in found and 512 in found:
        few, many = (found[number].microseconds_per_step for number in (32, 512))
        # The dearest on the way, too: cost must not rise in between either.
        dearest = max(row.microseconds_per_step for n, row in found.items() if 32 < n <= 512)
        name = "GPU, cost per environment, N = 512 over N = 32"
        made.append(Figure(name, many / few, 1.0, 0.9, at_least=False))
        made.append(Figure(f"{name}, dearest N up to 512", dearest / few, 1.0, 1.0, at_least=False))
    return made

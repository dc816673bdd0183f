"""Stacked fine-tunes against the bare loop and against one environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from l2o.benchmarks.speed.bare import INTERVAL, BareLoop
from l2o.benchmarks.speed.base import Figure, Measured, Measurement, hold, mebibytes, numbers_of
from l2o.benchmarks.speed.contenders import ENVIRONMENT, FewTasks, decide, settings
from l2o.benchmarks.speed.memory import begin, measured_on_host, predicted_memory
from l2o.benchmarks.speed.timing import Pace, ratio, time_alternately
from l2o.benchmarks.studies.options import Device, count
from l2o.envs.environment import FineTuneEnv

_CPU_COUNTS, _CUDA_COUNTS = (1, 8, 16, 32, 128, 512), (1, 8, 32, 128, 256, 512, 1024)


@dataclass(frozen=True, kw_only=True)
class Row(Pace):
    """A contender on a width of network.

    Attributes:
        runs: fine-tunes at once.
        ratio: its steps per second over the bare loop's.
        not_captured: what could not be captured as a CUDA graph, and why; empty is as it should be.
    """

    runs: int
    steps_per_second: float
    predicted_memory_bytes: int | None = None
    measured_memory_bytes: int | None = None
    not_captured: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Stacked(Measurement[Row]):
    """Measure stacked fine-tunes against the bare loop and one environment, at the same work."""

    examples = (
        "l2o speed stacked --numbers 1,16 --memory --json stacked.json",
        "l2o speed stacked --device cuda --precision bf16 --json stacked-cuda.json",
    )
    title = "Stacked fine-tunes"
    columns = {
        "width": lambda row: str(row.width),
        "what": lambda row: row.name,
        "steps/s": lambda row: f"{row.steps_per_second:,.0f}",
        "ratio to the bare loop": lambda row: f"{row.ratio:.2f}",
        "µs per step": lambda row: f"{row.microseconds_per_step:,.0f}",
        "memory, predicted": lambda row: mebibytes(row.predicted_memory_bytes),
        "measured": lambda row: mebibytes(row.measured_memory_bytes),
    }
    facts = {"interval": INTERVAL, "seeds": [0]}
    measured = Measured[Row]
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
        yield from self._rows(8, counts)
        if on_cpu and 16 in counts:
            yield from self._rows(16, (16,))

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        """Return what the device is held to."""
        return figures_on_cpu(rows) if self.where.type == "cpu" else figures_on_gpu(rows)

    def _rows(self, width: int, counts: Sequence[int]) -> Iterator[Row]:
        family = FewTasks(width)
        task = family.sample(0)
        # Two decisions measure memory, one warms up, one is to spare.
        finetuning = settings(str(self.where), self.rounds + 4)
        stacks, held = {}, {}
        runs: dict[str, Callable[[], object]] = {
            "bare loop": BareLoop(task, self.where).run,
            "FineTuneEnv": decide(FineTuneEnv(family, finetuning, ENVIRONMENT)),
        }
        for number in counts:
            name = f"stacked {number}"
            given = (family, finetuning, number, self.precision)
            stacks[name], runs[name], held[name] = begin(*given, self.where)
            if self.memory and self.where.type == "cpu":
                held[name] = measured_on_host(*given)
        times = time_alternately(runs, self.rounds, self.where)
        for name, spent in times.items():
            env = stacks.get(name)
            number = env.num_envs if env else 1
            yield Row.of(
                spent,
                number * INTERVAL,
                width=width,
                name=name,
                runs=number,
                steps_per_second=number * INTERVAL / spent.median,
                ratio=ratio(times["bare loop"], spent, number),
                predicted_memory_bytes=predicted_memory(env, task) if env else None,
                measured_memory_bytes=held.get(name),
                not_captured=env.runs.not_captured() if env else None,
            )


def figures_on_cpu(rows: Sequence[Row]) -> list[Figure]:
    """Return the figures that a CPU is held to, of the rows that were measured."""
    found = {(row.width, row.name): row.ratio for row in rows}
    made = [
        hold(f"CPU, one thread, N = 16, width {width}: ratio to the bare loop", at, must, goal)
        for width, must, goal in ((8, 2.5, 4.0), (16, 1.5, 2.5))
        if (at := found.get((width, "stacked 16"))) is not None
    ]
    name = "FineTuneEnv, N = 1: time over the bare loop's"
    return [*made, hold(name, 1 / found[8, "FineTuneEnv"], 1.15, 1.05, at_least=False)]


def figures_on_gpu(rows: Sequence[Row]) -> list[Figure]:
    """Return the figures that a GPU is held to, of the rows that were measured."""
    found = {row.runs: row for row in rows if "stacked" in row.name}
    made = []
    if 256 in found:
        name = "GPU, N = 256, width 8: ratio to the bare loop"
        made.append(hold(name, found[256].ratio, 40, 150))
    fastest = found[max(found)].steps_per_second
    made.append(hold("GPU, largest N: fine-tune steps per second", fastest, 20_000, 100_000))
    if 32 in found and 512 in found:
        few, many = (found[number].microseconds_per_step for number in (32, 512))
        # The dearest on the way, too: cost must not rise in between either.
        dearest = max(row.microseconds_per_step for n, row in found.items() if 32 < n <= 512)
        name = "GPU, cost per environment, N = 512 over N = 32"
        made.append(hold(name, many / few, 1.0, 0.9, at_least=False))
        made.append(hold(f"{name}, dearest N up to 512", dearest / few, 1.0, 1.0, at_least=False))
    return made

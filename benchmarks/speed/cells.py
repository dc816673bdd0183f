"""Fine-tunes per minute of a benchmark, stacked and one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from l2o.benchmarks.cells.cell import load_family
from l2o.benchmarks.comparisons.kinds import run_benchmark
from l2o.benchmarks.comparisons.table.plan import make_plan
from l2o.benchmarks.speed.base import Measured, Measurement
from l2o.benchmarks.speed.timing import ratio, time_alternately
from l2o.benchmarks.studies.options import Overrides, count
from l2o.configs.load import load_table
from l2o.configs.schema import BenchmarkConfig
from l2o.envs.runtime.device import resolve_device


@dataclass(frozen=True)
class Row:
    """One way of running the benchmark; how many times faster than one by one; its rounds."""

    name: str
    fine_tunes: int
    fine_tunes_per_minute: float
    ratio: float
    seconds: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Cells(Measurement[Row]):
    """Measure fine-tunes per minute of a benchmark, stacked and one by one; in turns, one process.

    Without arguments the demo, with one task, one seed and asg-base.
    """

    examples = ("l2o speed cells --json cells.json", "l2o speed cells demo tasks=1 --rounds 3")
    title = "Cells"
    columns = {
        "": lambda row: row.name,
        "fine-tunes per minute": lambda row: f"{row.fine_tunes_per_minute:.1f}",
        "ratio": lambda row: f"{row.ratio:.2f}",
    }
    measured = Measured[Row]
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A benchmark.")] = "demo"
    overrides: Overrides = ("tasks=1", "seeds=1", "policy=asg-base")
    rounds: Annotated[int, count("Times that each is measured.")] = 3

    @property
    def benchmark(self) -> BenchmarkConfig:
        """What is run."""
        return load_table(self.config, self.overrides)

    @property
    def where(self) -> torch.device:
        """The device of the config."""
        return resolve_device(self.benchmark.finetuning.device)

    def rows(self) -> Iterator[Row]:
        """Run the benchmark both ways."""
        chosen = self.benchmark
        load_family(chosen.task.model_dump_json()).prepare()
        ways = {
            name: partial(_run_from_nothing, chosen.model_copy(update={"stacked": stacked}))
            for name, stacked in (("one by one", False), ("stacked", True))
        }
        times = time_alternately(ways, self.rounds, self.where)
        number = len(make_plan(chosen).cells)
        for name, spent in times.items():
            faster = ratio(times["one by one"], spent)
            yield Row(name, number, 60 * number / spent.median, faster, spent.seconds)


def _run_from_nothing(config: BenchmarkConfig) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_benchmark(config, Path(folder), workers=1, progress=False)

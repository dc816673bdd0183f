"""Fine-tunes per minute of a benchmark, stacked and one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from l2o.benchmarks.cells.cell import load_family
from l2o.benchmarks.comparisons.table.plan import make_plan
from l2o.benchmarks.comparisons.table.run import run_benchmark
from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.speed.figures import Verdict
from l2o.benchmarks.speed.timing import Measured, device_name, ratio, time_alternately
from l2o.benchmarks.studies.base import Study
from l2o.benchmarks.studies.options import Json, Overrides, count
from l2o.configs.load import load_table
from l2o.configs.schema import BenchmarkConfig
from l2o.envs.runtime.device import resolve_device


@dataclass(frozen=True)
class Row:
    """One way of running the benchmark; seconds of each round."""

    name: str
    fine_tunes_per_minute: float
    seconds: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Answer(Measured):
    """Both ways, and how many times faster stacks are."""

    config: str
    overrides: Sequence[str]
    fine_tunes: int
    rows: Sequence[Row]
    ratio: float
    figures: Sequence[Verdict] = ()


@dataclass(frozen=True, kw_only=True)
class Cells(Study[Answer]):
    """Measure fine-tunes per minute of a benchmark, stacked and one by one; in turns, one process.

    Without arguments the demo, with one task, one seed and asg-base.
    """

    examples = ("l2o speed cells --json cells.json", "l2o speed cells demo tasks=1 --rounds 3")
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A benchmark.")] = "demo"
    overrides: Overrides = ("tasks=1", "seeds=1", "policy=asg-base")
    rounds: Annotated[int, count("Times that each is measured.")] = 3
    json: Json = None

    def answer(self) -> Answer:
        """Run the benchmark both ways."""
        chosen = load_table(self.config, self.overrides)
        load_family(chosen.task.model_dump_json()).prepare()
        device = resolve_device(chosen.finetuning.device)
        ways = {
            name: partial(_run_from_nothing, chosen.model_copy(update={"stacked": stacked}))
            for name, stacked in (("one by one", False), ("stacked", True))
        }
        times = time_alternately(ways, self.rounds, device)
        number = len(make_plan(chosen).cells)
        return Answer(
            benchmark="cells",
            device=device_name(device),
            config=self.config,
            overrides=self.overrides,
            fine_tunes=number,
            rows=[Row(k, 60 * number / spent.median, spent.seconds) for k, spent in times.items()],
            ratio=ratio(times["one by one"], times["stacked"]),
        )

    def tables(self, answer: Answer) -> list[Table]:
        """Return fine-tunes per minute."""
        rows = [(row.name, f"{row.fine_tunes_per_minute:.1f}") for row in answer.rows]
        rows.append(("ratio", f"{answer.ratio:.2f}"))
        return [Table("Cells", ("", "fine-tunes per minute"), rows)]


def _run_from_nothing(config: BenchmarkConfig) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_benchmark(config, Path(folder), workers=1, progress=False)

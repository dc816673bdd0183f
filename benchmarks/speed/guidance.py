"""Cost per training step of each guidance term, relative to plain fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from l2o.benchmarks.report.tables import Table
from l2o.benchmarks.speed.base import Measurement, ratio, time_alternately
from l2o.benchmarks.speed.contenders import FewTasks, Numbers, numbers_of
from l2o.benchmarks.speed.figures import Figure
from l2o.benchmarks.studies.options import Device, count
from l2o.configs.schema import FineTuning
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.tasks import Task

STEPS = 20
"""Training steps per round."""

TERMS: dict[str, Mapping[str, Any]] = {
    "proxy_kl": {"weight": 0.3},
    "l2_sp": {"weight": 0.1},
    "si": {"weight": 0.1},
    "feature_l2": {"weight": 0.1},
    "contrastive": {
        "weight": 0.1,
        "layers": ["conv4", "fc"],
        "queue": 1024,
        "rectify": True,
        "augment": {"low": -1.0},
    },
}
"""Term -> options, for networks of the digits family."""


@dataclass(frozen=True)
class Row:
    """A term on a network of a width, and its time over plain fine-tuning's."""

    width: int
    name: str
    microseconds_per_step: float
    best_microseconds_per_step: float
    ratio: float
    seconds: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Guidance(Measurement[Row]):
    """Measure what each guidance term costs per training step, with the teacher cached and not."""

    examples = ("l2o speed guidance --widths 8,16 --json guidance.json",)
    facts = {"steps_per_round": STEPS, "terms": TERMS}
    device: Device = "cpu"
    widths: Numbers = "8,16"
    rounds: Annotated[int, count("Times that each is measured.")] = 15

    def rows(self) -> Iterator[Row]:
        """Train with each term in turn."""
        for width in numbers_of(self.widths):
            task = FewTasks(width, count=1).sample(0)
            made = contenders(task, STEPS * (self.rounds + 2), str(self.where))
            runs = {name: partial(tune.advance, STEPS) for name, tune in made.items()}
            times = time_alternately(runs, self.rounds, self.where)
            for name, spent in times.items():
                median, best = (value / STEPS * 1e6 for value in (spent.median, spent.best))
                slower = ratio(spent, times["plain"])
                yield Row(width, name, median, best, slower, spent.seconds)

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        """Return the figure of the dearest term, for each width."""
        return [
            Figure(f"{r.name}, width {r.width}: time per step over plain", r.ratio, 2, 1.5, False)
            for r in rows
            if r.name == "contrastive"
        ]

    def table(self, rows: Sequence[Row]) -> Table:
        """Return times per step."""
        cells = [
            (row.name, str(row.width), f"{row.microseconds_per_step:,.0f}", f"{row.ratio:.2f}")
            for row in rows
        ]
        return Table("Guidance", ("term", "width", "µs per step", "over plain"), cells)


def contenders(task: Task, steps: int, device: str) -> dict[str, FineTune]:
    """Return plain fine-tuning and each term, with the teacher cached and not."""

    def make(guidance: Mapping[str, Any], cache: bool = True) -> FineTune:
        config = FineTuning(steps=steps, guidance=dict(guidance), device=device)
        return FineTune(task, config, base_lr=0.01, cache_teacher=cache)

    made = {"plain": make({})}
    for name, options in TERMS.items():
        made[name] = make({name: options})
        if name not in ("l2_sp", "si"):
            made[f"{name}, teacher not cached"] = make({name: options}, cache=False)
    return {**made, "all five": make(TERMS)}

"""Cost per training step of each guidance term, relative to plain fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from l2o.benchmarks.speed.base import Figure, Measured, Measurement, Numbers, hold, numbers_of
from l2o.benchmarks.speed.contenders import FewTasks
from l2o.benchmarks.speed.timing import Pace, ratio, time_alternately
from l2o.benchmarks.studies.options import Device, count
from l2o.configs.schema import FineTuning, Options
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.tasks import Task

STEPS = 20
"""Training steps per round."""

TERMS: Options = {
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


@dataclass(frozen=True, kw_only=True)
class Guidance(Measurement[Pace]):
    """Measure what each guidance term costs per training step, with the teacher cached and not."""

    examples = ("l2o speed guidance --widths 8,16 --json guidance.json",)
    title = "Guidance"
    columns = {
        "term": lambda row: row.name,
        "width": lambda row: str(row.width),
        "µs per step": lambda row: f"{row.microseconds_per_step:,.0f}",
        "over plain": lambda row: f"{row.ratio:.2f}",
    }
    facts = {"steps_per_round": STEPS, "terms": TERMS}
    measured = Measured[Pace]
    device: Device = "cpu"
    widths: Numbers = "8,16"
    rounds: Annotated[int, count("Times that each is measured.")] = 15

    def rows(self) -> Iterator[Pace]:
        """Train with each term in turn."""
        for width in numbers_of(self.widths):
            task = FewTasks(width, count=1).sample(0)
            made = contenders(task, STEPS * (self.rounds + 2), str(self.where))
            runs = {name: partial(tune.advance, STEPS) for name, tune in made.items()}
            times = time_alternately(runs, self.rounds, self.where)
            for name, spent in times.items():
                slower = ratio(spent, times["plain"])
                yield Pace.of(spent, STEPS, width=width, name=name, ratio=slower)

    def figures(self, rows: Sequence[Pace]) -> list[Figure]:
        """Return the figure of the dearest term, for each width."""
        return [
            hold(f"{r.name}, width {r.width}: time per step over plain", r.ratio, 2, 1.5, False)
            for r in rows
            if r.name == "contrastive"
        ]


def contenders(task: Task, steps: int, device: str) -> dict[str, FineTune]:
    """Return plain fine-tuning and each term, with the teacher cached and not."""

    def make(guidance: Options, cache: bool = True) -> FineTune:
        config = FineTuning(steps=steps, guidance=guidance, device=device)
        return FineTune(task, config, base_lr=0.01, cache_teacher=cache)

    made = {"plain": make({})}
    for name, options in TERMS.items():
        made[name] = make({name: options})
        if name not in ("l2_sp", "si"):
            made[f"{name}, teacher not cached"] = make({name: options}, cache=False)
    return {**made, "all five": make(TERMS)}

"""The pictures of a policy on held-out tasks: `l2o study portrait`, and each picture alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Annotated, ClassVar

import typer
from matplotlib.figure import Figure

from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.comparisons.table.plan import fingerprint
from l2o.benchmarks.studies.base import Study, plain
from l2o.benchmarks.studies.options import Out, Overrides, PolicyName, Quick, Seed, count, text
from l2o.benchmarks.studies.portrait.base_lr import (
    FACTORS,
    Corrected,
    compare_factors,
    draw_base_lr,
)
from l2o.benchmarks.studies.portrait.drawing import draw_multipliers
from l2o.benchmarks.studies.portrait.spike import SpikeFound, describe_spike, draw_spike
from l2o.benchmarks.studies.portrait.trace import (
    ShownTask,
    Spike,
    Trace,
    choose_tasks,
    record_trace,
)
from l2o.configs.schema import PolicyChoice
from l2o.deciding.policy import Policy
from l2o.envs.policy_choice import build_policy
from l2o.files.seals import read_json, write_json

RESULTS = "results.json"
QUICK_TASKS, QUICK_STEPS = 2, 40
_REMEDY = "delete it, and draw the other pictures of this policy again"


def add_sections(out: Path, policy: str, sections: Mapping[str, object]) -> None:
    """Write numbers as sections of a folder's `results.json`.

    Sections that are there stay if they are of the very same policy, else they are dropped.

    Raises:
        DamagedFileError: the numbers that are there are not what was written; nothing is changed.
    """
    out.mkdir(parents=True, exist_ok=True)
    facts = {"kind": "portrait", "policy": policy, "fingerprint": fingerprint(policy)}
    path = out / RESULTS
    found = read_json(path, _REMEDY) if path.exists() else {}
    if any(found.get(key) != value for key, value in facts.items()):
        found = {}
    write_json(path, {**found, **facts, "machine": machine_facts(1), **plain(sections)}, indent=2)


@dataclass(frozen=True)
class Picture:
    """A picture, the fine-tunes in it, and what each of its tasks says."""

    figure: Figure
    fine_tunes: Sequence[Trace]
    tasks: Sequence[Corrected | SpikeFound] | None = None


@dataclass(frozen=True, kw_only=True)
class Portrait(Study[Mapping[str, Picture]]):
    """Pictures of what a policy does on held-out tasks.

    `multipliers.png`: what it chooses for each layer. `base_lr.png`: its learning rates where the
    base LR is 100 times too small or too large. `spike.png`: what it does after noise on the
    weights makes the loss jump. Numbers go to `results.json`.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "l2o study portrait asg-base --out runs/portrait",
        "l2o study spike asg-base --out runs/portrait --quick",
    )
    shown: ClassVar[tuple[str, ...]] = ("multipliers", "base_lr", "spike")
    policy: PolicyName
    overrides: Overrides = ()
    out: Out
    config: Annotated[str, text("Benchmark that gives the tasks.")] = "zero-shot"
    tasks: Annotated[int, count("Tasks of the first picture.")] = 10
    few: Annotated[int, count("Tasks of the others.")] = 4
    seed: Seed = 0
    noise: Annotated[float, typer.Option(help="Relative size of the spike's noise.")] = 1.0
    quick: Quick = False

    def answer(self) -> dict[str, Picture]:
        """Run the fine-tunes, and draw.

        Raises:
            ValueError: more tasks in the later pictures than in the first.
        """
        number, few = (QUICK_TASKS, QUICK_TASKS) if self.quick else (self.tasks, self.few)
        if few > number:
            raise ValueError(f"--few must be between 1 and --tasks={number}, got {few}")
        if "multipliers" not in self.shown:
            number = few
        steps = QUICK_STEPS if self.quick else None
        tasks = choose_tasks(self.config, self.overrides, number, steps)
        right = [self._trace(task) for task in tasks]
        draw = {"multipliers": self._multipliers, "base_lr": self._base_lr, "spike": self._spike}
        return {name: draw[name](tasks[:few], right) for name in self.shown}

    def pictures(self, answer: Mapping[str, Picture]) -> dict[Path, Figure]:
        """Return the figures."""
        return {self.out / f"{name}.png": each.figure for name, each in answer.items()}

    def write(self, answer: Mapping[str, Picture]) -> None:
        """Write a section for each picture."""
        settings = {key: getattr(self, key) for key in ("config", "overrides", "seed", "quick")}
        sections = {}
        for name, each in answer.items():
            section = {**settings, "tasks": each.tasks, "fine_tunes": each.fine_tunes}
            if name == "spike":
                on = {"relative_size": self.noise, "at": Spike.at, "on": "all trained parameters"}
                section["noise"] = on
            sections[name] = {key: value for key, value in section.items() if value is not None}
        add_sections(self.out, self.policy, sections)

    @cached_property
    def _policy(self) -> Policy:
        return build_policy(PolicyChoice(policy=self.policy))

    def _trace(self, task: ShownTask, factor: float = 1.0, spike: Spike | None = None) -> Trace:
        return record_trace(task, self._policy, base_lr_factor=factor, seed=self.seed, spike=spike)

    def _multipliers(self, tasks: Sequence[ShownTask], right: Sequence[Trace]) -> Picture:
        return Picture(draw_multipliers(right), right)

    def _base_lr(self, tasks: Sequence[ShownTask], right: Sequence[Trace]) -> Picture:
        found = [
            [plain if factor == 1.0 else self._trace(task, factor) for factor in FACTORS]
            for task, plain in zip(tasks, right)
        ]
        told = [compare_factors(traces) for traces in found]
        return Picture(draw_base_lr(found), list(chain(*found)), told)

    def _spike(self, tasks: Sequence[ShownTask], right: Sequence[Trace]) -> Picture:
        spike = Spike(size=self.noise, seed=self.seed)
        pairs = [(plain, self._trace(task, spike=spike)) for task, plain in zip(tasks, right)]
        told = [describe_spike(*pair) for pair in pairs]
        return Picture(draw_spike(pairs), [spiked for _, spiked in pairs], told)


@dataclass(frozen=True, kw_only=True)
class Multipliers(Portrait):
    """A picture of the multipliers that a policy chooses for each layer, on held-out tasks."""

    examples = ("l2o study multipliers asg-base --out runs/portrait",)
    shown: ClassVar[tuple[str, ...]] = ("multipliers",)


@dataclass(frozen=True, kw_only=True)
class BaseLR(Portrait):
    """A picture of a policy's learning rates where the base LR is 100 times too small or large."""

    examples = ("l2o study base-lr asg-base --out runs/portrait",)
    shown: ClassVar[tuple[str, ...]] = ("base_lr",)


@dataclass(frozen=True, kw_only=True)
class LossSpike(Portrait):
    """A picture of what a policy does after noise on the weights makes the loss jump."""

    examples = ("l2o study spike asg-base --out runs/portrait",)
    shown: ClassVar[tuple[str, ...]] = ("spike",)

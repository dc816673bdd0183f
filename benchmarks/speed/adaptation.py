"""Cost per training step of each method of adaptation, and memory of streamed thresholds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import torch

from l2o.adaptation import ADAPTATION, ClassBalanced
from l2o.benchmarks.speed.base import Figure, Measured, Measurement, hold
from l2o.benchmarks.speed.contenders import FewTasks
from l2o.benchmarks.speed.memory import peak_of_process
from l2o.benchmarks.speed.timing import Pace, ratio, time_alternately
from l2o.benchmarks.studies.options import Device, count
from l2o.configs.adaptation import Adaptation as Config
from l2o.configs.schema import FineTuning, Named, Options, PolicyChoice
from l2o.envs.fine_tuning.adapting.build import add_stage
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.runtime.executor import Processes
from l2o.envs.tasks import Task
from l2o.envs.tasks.base import Examples, TargetImages

STEPS = 20
"""Training steps per round of the measurement."""
CLASSES, HEIGHT, WIDTH = 19, 1024, 2048
"""Predictions that thresholds are streamed over: Cityscapes'."""
OPTIONS: dict[str, Options] = {"threshold": {"threshold": 0.0}}
"""Method -> options, so that each has something to train on."""
PLAIN = "plain"
THRESHOLDS = "streamed thresholds"


@dataclass(frozen=True, kw_only=True)
class Step(Pace):
    """A method's pace; or, of streamed thresholds, the seconds of an image and the peak memory."""

    gibibytes: float | None = None


@dataclass(frozen=True, kw_only=True)
class Adaptation(Measurement[Step]):
    """Measure what each method adds to a step: a plain one on as many images, side by side.

    A batch of self-training has 32 images of both domains together, as the plain one; a joint
    stage has 32 of each. Relabelling between rounds is not in it. Then stream the thresholds of
    class-balanced selection over predictions of whole images in a fresh process.
    """

    examples = ("l2o speed adaptation --json adaptation.json",)
    title = "Adaptation"
    columns = {
        "method": lambda row: row.name,
        "µs per step": lambda row: f"{row.microseconds_per_step:,.0f}",
        "over plain": lambda row: "" if row.name == THRESHOLDS else f"{row.ratio:.2f}",
        "peak memory": lambda row: "" if row.gibibytes is None else f"{row.gibibytes:.2f} GiB",
    }
    facts = {"steps_per_round": STEPS}
    measured = Measured[Step]
    device: Device = "cpu"
    rounds: Annotated[int, count("Times that each is measured.")] = 15
    images: Annotated[int, count("Images of 1024 x 2048 x 19 that thresholds are of.")] = 500

    def rows(self) -> Iterator[Step]:
        """Train by each method in turn; then stream."""
        task = with_target(FewTasks(8, count=1).sample(0))
        made = contenders(task, STEPS * (self.rounds + 2), str(self.where))
        runs = {name: partial(run.advance, STEPS) for name, run in made.items()}
        times = time_alternately(runs, self.rounds, self.where)
        for name, spent in times.items():
            yield Step.of(spent, STEPS, width=8, name=name, ratio=ratio(spent, times[PLAIN]))
        with Processes(1) as executor:
            [(_, (seconds, peak))] = executor.map(stream, [self.images])
        per = 1e6 * seconds / self.images
        yield Step(
            width=self.images,
            name=THRESHOLDS,
            microseconds_per_step=per,
            best_microseconds_per_step=per,
            ratio=1.0,
            gibibytes=None if peak is None else peak / 2**30,
        )

    def figures(self, rows: Sequence[Step]) -> list[Figure]:
        """Return the figures of self-training, and of the memory."""
        held = []
        for row in rows:
            if row.name in ADAPTATION and ADAPTATION[row.name].relabels:
                held.append(
                    hold(f"{row.name}: time per step over plain", row.ratio, 1.5, 1.2, False)
                )
            if row.gibibytes is not None:
                held.append(hold(f"{row.name}: GiB", row.gibibytes, 2.0, 1.0, False))
        return held


def with_target(task: Task) -> Task:
    """Return a task with images to adapt to, for timing alone: those that it scores."""
    data = task.target_test
    assert isinstance(data, Examples)
    return replace(task, target_train=TargetImages(data, data))


def contenders(task: Task, steps: int, device: str) -> dict[str, FineTune]:
    """Return plain fine-tuning, and the second stage of each method, all without guidance."""
    loop = FineTuning(guidance={}, device=device)
    choice = PolicyChoice()

    def plain(steps: int) -> FineTune:
        return FineTune(
            task, loop.model_copy(update={"steps": steps}), policy=None, base_lr=0.001, guard=None
        )

    made = {PLAIN: plain(steps)}
    for name in ADAPTATION:
        first = plain(1)
        staged = add_stage(
            first,
            Config(method=Named(name=name, options=OPTIONS.get(name, {})), rounds=1, steps=steps),
            finetuning=loop,
            choice=choice,
            base_lr=0.001,
            run=(0, 0),
        )
        staged.advance(1)
        assert staged.second is not None
        made[name] = staged.second
    return made


def stream(images: int) -> tuple[float, int | None]:
    """Return the seconds that thresholds take over so many images, and the most bytes held."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(1, CLASSES, HEIGHT // 8, WIDTH // 8, generator=generator)
    maps = torch.nn.functional.interpolate(logits, scale_factor=8, mode="bilinear").softmax(dim=1)
    rule, spent = ClassBalanced(0.2), 0.0
    for number in range(images):
        # Another image each time, without the time that a network would take.
        shifted = maps.roll(number, dims=3)
        began = time.perf_counter()
        rule.observe(shifted)
        spent += time.perf_counter() - began
    assert len(rule.thresholds) == CLASSES
    return spent, peak_of_process()

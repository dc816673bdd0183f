"""Candidates tried on a config's task: short fine-tunes, each scored on the source's validation."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from l2o.benchmarks.cells.cell import load_family, load_task
from l2o.benchmarks.report.tables import Table
from l2o.configs.choice import PolicyChoice
from l2o.configs.finetune import FinetuneConfig
from l2o.control.suggesting.answers import class_numbers, flat_features
from l2o.control.suggesting.candidates import Candidate
from l2o.control.suggesting.choosing import Scores, Tried
from l2o.control.suggesting.pretraining import PretrainingCheck, Seen, check_pretraining
from l2o.control.suggesting.snapshot import random_states, seed_all
from l2o.control.suggesting.suggest import suggest_from
from l2o.control.suggesting.suggestion import Suggestion
from l2o.control.suggesting.trials import Trials, distance, short_interval
from l2o.deciding.policy import Policy
from l2o.envs.build import build
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.inner_loop import InnerLoop
from l2o.envs.policy_choice import build_policy
from l2o.envs.runtime.threads import one_thread
from l2o.envs.tasks.base import Task
from l2o.guarding.guard import Guard
from l2o.intervals.plain import as_interval
from l2o.schedules import SCHEDULES

MOST = 1000
"""Parts of the source's validation images that are scored apart."""
CONFIGURED = "as the config has it"
"""What the config's own choice is called, where it is none of the candidates."""


class TaskTrials(Trials):
    """Fine-tunes a config's task for a moment under each candidate.

    The first stage alone: guidance, optimizer, number format and guard are the config's.

    Args:
        config: of `l2o finetune`.
        steps: of each run.
    """

    def __init__(self, config: FinetuneConfig, steps: int) -> None:
        self.config, self.steps = config.in_full(), steps
        named = self.config.task.model_dump_json()
        load_family(named).prepare(progress=False)
        self.task = load_task(named, self.config.task_seed)
        self._loop = replace(InnerLoop.of(self.config.finetuning), steps=steps)
        self.length = self.config.finetuning.steps or self.task.steps
        objective, _ = self.task.build_objectives()
        self._metric = objective.metric()
        self.scored_by, self.percent = self._metric.name, self._metric.unit == "%"

    def start(self) -> Scores:
        """Return the scores of the network with its new head."""
        return self._scores(fine_tune(self.task, self.config, self._loop, None))

    def run(self, candidate: Candidate) -> Tried:
        """Fine-tune for a moment under a candidate."""
        began = time.perf_counter()
        chosen, loop = PolicyChoice(**candidate.choice), self._loop
        if chosen.policy is None:
            loop = replace(loop, interval=as_interval(short_interval(self.steps)))
        policy = build_policy(chosen, loop.interval, (self.config.task_seed, self.config.seed))
        run = fine_tune(self.task, self.config, loop, policy)
        groups = [group for group in run.controller.groups if not group.is_head]
        first = {id(p): p.detach().clone() for group in groups for p in group.parameters}
        run.advance(run.steps)
        moved, scores = distance(groups, first), self._scores(run)
        return Tried(
            name=candidate.name,
            scores=scores,
            moved=moved,
            loss=run.last_loss,
            seconds=time.perf_counter() - began,
            diverged=run.diverged or not (math.isfinite(moved) and np.isfinite(scores).all()),
        )

    def _scores(self, run: FineTune) -> Scores:
        """Return the main metric of each part of the images, with the larger one the better."""
        found = []
        parts = max(1, math.ceil(len(self.task.source_validation) / MOST))
        for batch in run.outputs("source_validation"):
            assert batch.logits is not None
            assert batch.labels is not None
            for outputs, labels in zip(
                batch.logits.float().split(parts), batch.labels.split(parts), strict=True
            ):
                scores = run.objective.score(_as_it_is, [(outputs, labels)])
                found.append(self._metric.gain(scores[self._metric.name]))
        return np.array(found, dtype=np.float64)

    def pretraining(self) -> PretrainingCheck | None:
        """Probe the pretrained network; None where labels are no class numbers."""
        run = fine_tune(self.task, self.config, self._loop, None)
        head = run.model.get_classifier().parameters()
        with random_states():
            seed_all(self.config.seed)
            return check_pretraining(run.model, lambda: _both(run), head)


def fine_tune(
    task: Task, config: FinetuneConfig, loop: InnerLoop, policy: Policy | None
) -> FineTune:
    """Return the fine-tune that a config, written in full, stands for, under a policy.

    Args:
        task: that the config names.
        config: of `l2o finetune`.
        loop: its loop, or a shorter one.
        policy: None where nothing is to be trained.
    """
    named = config.base_lr_schedule
    return FineTune(
        task,
        loop,
        policy=policy,
        base_lr=config.base_lr,
        seed=config.seed,
        guard=Guard() if config.guard else None,
        base_schedule=None if named is None else build("schedule", SCHEDULES, named),
        grouping=config.groups,
    )


def _both(run: FineTune) -> tuple[Iterable[Seen], Iterable[Seen]]:
    return _seen(run, "source_train"), _seen(run, "source_validation")


def _seen(run: FineTune, split: str) -> Iterator[Seen]:
    for batch in run.outputs(split):
        labels = class_numbers(batch.labels)
        if labels is None or batch.features is None:
            return
        yield flat_features(batch.features), labels


def _as_it_is(outputs: Tensor) -> Tensor:
    return outputs


def suggest_for(config: FinetuneConfig, candidates: Sequence[Candidate], steps: int) -> Suggestion:
    """Try candidates on a config's task, and say which to take.

    Args:
        config: of `l2o finetune`.
        candidates: two or more.
        steps: of each run.

    Raises:
        ValueError: what the task cannot be made of.
        RuntimeError: every run diverged.
    """
    config = config.in_full()
    with one_thread() if load_family(config.task.model_dump_json()).in_memory else nullcontext():
        trials = TaskTrials(config, steps)
        shown = tqdm(candidates, disable=not sys.stderr.isatty(), unit="run")
        return suggest_from(trials, shown, trials.length)


def table_of(found: Suggestion) -> Table:
    """Return a suggestion's table."""
    columns = ("candidate", found.shown_as, "against it", "backbone moved", "time")
    note = f"{found.steps} steps each, on the source's validation images; 95 % intervals over them"
    return Table("Short runs", columns, found.rows(), note, frozenset({0}))


def with_choice(config: FinetuneConfig, found: Suggestion) -> FinetuneConfig:
    """Return a config with what is suggested in the place of its own choice."""
    return config.model_copy(update={"choice": PolicyChoice(**found.choice)})


def with_configured(
    candidates: tuple[Candidate, ...], config: FinetuneConfig
) -> tuple[Candidate, ...]:
    """Return candidates, and the config's own choice unless it is one of them.

    Example:
        >>> from l2o.control.suggesting.candidates import as_candidates
        >>> own = FinetuneConfig(choice=PolicyChoice(schedule="linear"))
        >>> with_configured(as_candidates(["cosine", "asg-base"]), own)[-1].name
        'as the config has it'
    """
    own = config.choice
    known: list[Any] = [PolicyChoice(**each.choice) for each in candidates]
    if own in known:
        return candidates
    return (*candidates, Candidate(CONFIGURED, own.model_dump(exclude_none=True)))

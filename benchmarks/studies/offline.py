"""What a data set of trials has to win, and how much of it a forest wins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor

from l2o.benchmarks.report.tables import points
from l2o.benchmarks.statistics import TASKS, Estimate, estimate, mean
from l2o.benchmarks.studies.base import Columns, Study
from l2o.benchmarks.studies.options import Json, Seed, count
from l2o.benchmarks.studies.trial_gains import (
    Scores,
    best_by_another_seed,
    best_of_each,
    best_single,
    by_task,
    columns_of,
    first_points,
    gentlest,
    parts,
    reached,
)
from l2o.control.suggesting.choosing import MARGIN
from l2o.networks.forest import Forest
from l2o.policies.offline.data_set import DataSet, load_data_set
from l2o.policies.offline.fit import features_of, fit_forest, gains_of, summary_of
from l2o.policies.offline.points import Point
from l2o.policies.offline.trial import Trial

AXES = ("kind", "pretraining", "architecture", "optimizer")
"""What may be left out: the tasks of one kind of data, pretraining, architecture, optimizer."""
SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Shares of what the best one gains on the source that may be given up for moving less."""
PERMUTED = 5
"""Times that a signal is permuted."""
USUAL = Point(1e-3, 5e-2)
"""The trust ratio as it is shipped."""


@dataclass(frozen=True)
class Row:
    """Accuracy over the best single point, which is chosen on the tasks that are fitted to.

    Attributes:
        what: who picks a point for each task.
        tasks: how many.
        gain: in accuracy, in the mean over a task's seeds; whole tasks are resampled.
    """

    what: str
    tasks: int
    gain: Estimate


@dataclass(frozen=True)
class Answer:
    """Rows."""

    rows: Sequence[Row]


@dataclass(frozen=True, kw_only=True)
class Offline(Study[Answer]):
    """What a data set of trials has to win, and how much of it a forest wins.

    Every task was tried at all points. The best point of each task, chosen on half of its test
    images and scored on the other, says what there is to win over the best single point; where it
    was run with two seeds, chosen by one and scored on the other, too. A forest that is fitted
    without the tasks of a kind says how much of it can be told from a probe; one that is told what
    no policy can know, how much more there would be to learn.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "l2o study offline --data docs/results/composed-trials/train",
        "l2o study offline --data trials --again repeated --json offline.json",
        "l2o study offline --data trials --beside another --heldout others --importance",
    )
    title = "Accuracy over the best single point"
    columns: ClassVar[Columns] = {
        "a point for each task": lambda row: row.what,
        "tasks": lambda row: str(row.tasks),
        "points": lambda row: points(row.gain),
    }

    data: Annotated[Path, typer.Option(metavar="DIR", help="Trials that are fitted to.")]
    heldout: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Trials of other tasks, to score on.")
    ] = None
    again: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Trials of the same with other seeds.")
    ] = None
    beside: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Trials of another family that is fitted to, too."),
    ] = None
    trees: Annotated[int, count("Trees of the forest.")] = 50
    leaf: Annotated[int, count("Fewest tasks in a leaf.")] = 15
    importance: Annotated[
        bool, typer.Option("--importance", help="Permute each signal, with kinds left out.")
    ] = False
    seed: Seed = 0
    json: Json = None

    def answer(self) -> Answer:
        """Return the rows."""
        data = load_data_set(self.data)
        rows = [*_bounds(data.trials, best_single(data.trials), "")]
        repeated = [] if self.again is None else load_data_set(self.again).trials
        elsewhere = best_by_another_seed([*data.trials, *repeated], best_single(data.trials))
        if len(elsewhere):
            rows.insert(1, _row("the same, and by another seed", elsewhere))
        gains = by_task(data.trials, self._gentlest(data))
        rows.append(_row("the gentlest that does about as well there", gains))
        for axis in AXES:
            gains = by_task(data.trials, self.left_out(data, axis))
            rows.append(_row(f"forest, each {axis} left out", gains))
        rows += self._on_the_other_family(data)
        rows += self._told(data)
        if self.heldout is not None:
            rows += self._held_out(data, load_data_set(self.heldout))
        if self.importance:
            rows += self._importance(data)
        return Answer(rows)

    def _on_the_other_family(self, data: DataSet) -> Iterator[Row]:
        """Yield what forests win on the trials beside, with and without others of these."""
        other = self._beside
        if not other:
            return
        single = best_single(other)
        alone = Offline(data=self.data, trees=self.trees, leaf=self.leaf, seed=self.seed)
        gains = alone.won(data.signals, data.trials, other, single)
        yield _row("other family: forest that knows none of it", by_task(other, gains))
        gains = np.zeros(len(other))
        for own, others, scored in parts(other, "architecture"):
            gains[own] = alone.won(data.signals, [*data.trials, *others], scored, single)
        name = "other family: forest, each of its architectures left out"
        yield _row(name, by_task(other, gains))
        yield from _bounds(other, single, ", other family")
        near = reached(other, gentlest(other, data.points, MARGIN))
        gains = near - reached(other, np.full(len(other), single))
        yield _row("the gentlest within a tenth there, other family", by_task(other, gains))

    def _told(self, data: DataSet) -> Iterator[Row]:
        """Yield what forests win, kinds left out, that are told more than a policy can know."""
        facts = np.concatenate([columns_of(data.trials, axis) for axis in AXES[1:]], axis=1)
        source = np.stack([trial.source - trial.source.max() for trial in data.trials])
        for what, more in (
            ("and pretraining, architecture, optimizer", facts),
            ("and source validation of all points", source),
            ("and both", np.concatenate([facts, source], axis=1)),
        ):
            gains = by_task(data.trials, self.left_out(data, "kind", more.astype(np.float32)))
            yield _row(f"forest that is told the probe {what}, each kind left out", gains)

    def _gentlest(self, data: DataSet) -> Scores:
        """Return what the gentlest of the points wins that source validation has near the best.

        How near is chosen, of `SHARES`, on the tasks of the other kinds.
        """
        gains = np.zeros(len(data.trials))
        for own, others, scored in parts(data.trials, "kind"):
            fitted = others or scored
            shares = {
                share: reached(fitted, gentlest(fitted, data.points, share)).mean()
                for share in SHARES
            }
            best = max(shares, key=lambda share: shares[share])
            chosen = gentlest(scored, data.points, best)
            single = np.full(len(scored), best_single(fitted))
            gains[own] = reached(scored, chosen) - reached(scored, single)
        return gains

    def _importance(self, data: DataSet) -> list[Row]:
        """Return what is lost with a signal permuted among the tasks that are left out."""
        kinds = list(parts(data.trials, "kind"))
        scored = [trial for _, _, own in kinds for trial in own]
        folds = [(self._fitted(data.signals, others), own) for _, others, own in kinds]
        rows = []
        for name, columns in features_by_signal(data.signals).items():
            draws, lost = np.random.default_rng(self.seed), []
            for (forest, _), own in folds:
                seen = _seen(own, data.signals)
                whole = reached(own, forest(seen).argmax(dim=1).numpy())
                for _ in range(PERMUTED):
                    without = seen.clone()
                    without[:, columns] = seen[draws.permutation(len(seen))][:, columns]
                    lost.append(whole - reached(own, forest(without).argmax(dim=1).numpy()))
            tasks = np.concatenate(
                [
                    np.mean(lost[first : first + PERMUTED], axis=0)
                    for first in range(0, len(lost), PERMUTED)
                ]
            )
            rows.append(_row(f"lost without {name}", by_task(scored, tasks)))
        return sorted(rows, key=lambda row: -row.gain.value)

    def left_out(self, data: DataSet, axis: str, more: NDArray[np.float32] | None = None) -> Scores:
        """Return what a forest wins on the trials of each kind, fitted to the others `[trials]`.

        Args:
            data: the trials.
            axis: of what kinds.
            more: further features `[trials, K]` that it is told.
        """
        gains = np.zeros(len(data.trials))
        seen = _seen(data.trials, data.signals)
        if more is not None:
            seen = torch.cat([seen, torch.from_numpy(more)], dim=1)
        for own, others, scored in parts(data.trials, axis):
            if others:
                told = None if more is None else more[~own]
                forest, single = self._fitted(data.signals, others, told)
                chosen = forest(seen[own]).argmax(dim=1).numpy()
                gains[own] = reached(scored, chosen) - reached(scored, np.full(len(scored), single))
        return gains

    def _held_out(self, data: DataSet, other: DataSet) -> list[Row]:
        gains, above = over_usual(self, data, other)
        rows = [
            _row("forest, held-out tasks", by_task(other.trials, gains)),
            _row("the same over the trust ratio", by_task(other.trials, above)),
        ]
        tried = [first_points(trial, len(data.points)) for trial in other.trials]
        return [*rows, *_bounds(tried, best_single(data.trials), ", held-out tasks")]

    def won(
        self,
        signals: Sequence[str],
        fitted: Sequence[Trial],
        scored: Sequence[Trial],
        single: int | None = None,
    ) -> Scores:
        """Return the accuracy at a forest's points less that at a single one `[trials]`.

        Args:
            signals: of what was seen.
            fitted: what the forest is fitted to, with what is `beside`.
            scored: other trials.
            single: the one point; None takes the best of `fitted`.
        """
        forest, best = self._fitted(signals, fitted)
        chosen = forest(_seen(scored, signals)).argmax(dim=1).numpy()
        one = best if single is None else single
        return reached(scored, chosen) - reached(scored, np.full(len(scored), one))

    @cached_property
    def _beside(self) -> Sequence[Trial]:
        return () if self.beside is None else load_data_set(self.beside).trials

    def _fitted(
        self,
        signals: Sequence[str],
        fitted: Sequence[Trial],
        more: NDArray[np.float32] | None = None,
    ) -> tuple[Forest, int]:
        """Return a forest of trials and those beside, and the point that is best for the first.

        Those beside are left out where more is told of the first, as it is not known of them.
        """
        trials = [*fitted, *(self._beside if more is None else ())]
        features = _seen(trials, signals).numpy()
        if more is not None:
            features = np.concatenate([features, more], axis=1)
        gains = np.stack([gains_of(trial) for trial in trials])
        options: dict[str, Any] = {"n_estimators": self.trees, "min_samples_leaf": self.leaf}
        forest = fit_forest(features, gains, self.seed, max_features=0.3, **options)
        return forest, best_single(fitted)


def _seen(trials: Sequence[Trial], signals: Sequence[str]) -> Tensor:
    summary = summary_of(signals)
    return torch.from_numpy(np.stack([features_of(trial, signals, summary) for trial in trials]))


def features_by_signal(signals: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns of a forest's features that are made of each signal.

    Example:
        >>> from l2o.networks.run_summary import NEEDED
        >>> {k: len(v) for k, v in features_by_signal([*NEEDED, "gradient_norm", "loss"]).items()}
        {'gradient_norm': 9, 'loss': 3}
    """
    names = [name.partition(" ")[0] for name in summary_of(signals).names]
    three = names * 3
    return {
        name: [column for column, own in enumerate(three) if own == name]
        for name in dict.fromkeys(names)
    }


def over_usual(study: Offline, data: DataSet, other: DataSet) -> tuple[Scores, Scores]:
    """Return what a forest wins on other tasks over the best single point, and over `USUAL`.

    Where `USUAL` was not tried, the best single point stands for it.
    """
    tried = [first_points(trial, len(data.points)) for trial in other.trials]
    gains = study.won(data.signals, data.trials, tried)
    single = best_single(data.trials)
    usual = data.points.index(USUAL) if USUAL in data.points else single
    above = reached(tried, np.full(len(tried), single)) - reached(tried, np.full(len(tried), usual))
    return gains, gains + above


def _bounds(trials: Sequence[Trial], single: int, where: str) -> list[Row]:
    """Return what the best of each task wins, and what source validation picks."""
    best = best_of_each(trials, single)
    one = reached(trials, np.full(len(trials), single))
    picked = reached(trials, np.array([trial.source.argmax() for trial in trials])) - one
    runs = len(trials[0].source)
    return [
        _row(f"best of each task, by the other half{where}", by_task(trials, best)),
        _row(f"source validation, {runs} runs{where}", by_task(trials, picked)),
    ]


def _row(what: str, gains: Scores) -> Row:
    return Row(what, len(gains), estimate(gains[None], mean, TASKS))

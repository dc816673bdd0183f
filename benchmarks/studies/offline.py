"""What a data set of trials has to win, and how much of it a forest wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from l2o.benchmarks.report.tables import points
from l2o.benchmarks.statistics import TASKS, Estimate, estimate, mean
from l2o.benchmarks.studies.base import Columns, Study
from l2o.benchmarks.studies.options import Json, Seed, count
from l2o.policies.offline.data_set import DataSet, load_data_set
from l2o.policies.offline.fit import features_of, fit_forest, gains_of
from l2o.policies.offline.trial import Trial

AXES = ("kind", "pretraining", "architecture")
"""What may be left out: the tasks of one kind of data, one pretraining, one architecture."""
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """Accuracy over the best single point, which is chosen on the tasks that are fitted to.

    Attributes:
        what: who picks a point for each task.
        tasks: how many.
        gain: in accuracy; whole tasks are resampled.
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
    images and scored on the other, says what there is to win over the best single point; a forest
    that is fitted without the tasks of a kind says how much of it can be told from a probe.
    """

    examples: ClassVar[tuple[str, ...]] = (
        "l2o study offline --data docs/results/composed-trials/train",
        "l2o study offline --data trials --heldout others --json offline.json",
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
    trees: Annotated[int, count("Trees of the forest.")] = 200
    leaf: Annotated[int, count("Fewest tasks in a leaf.")] = 5
    seed: Seed = 0
    json: Json = None

    def answer(self) -> Answer:
        """Return the rows."""
        data = load_data_set(self.data)
        rows = [*_bounds(data.trials, _best(data.trials), "")]
        for axis in AXES:
            gains = self._left_out(data, axis)
            rows.append(Row(f"forest, each {axis} left out", len(gains), _estimate(gains)))
        if self.heldout is not None:
            rows += self._held_out(data, load_data_set(self.heldout))
        return Answer(rows)

    def _left_out(self, data: DataSet, axis: str) -> Scores:
        """Return what a forest wins on the tasks of each kind, fitted to the others `[tasks]`."""
        kinds = np.array([str(trial.facts.get(axis)) for trial in data.trials])
        gains = np.zeros(len(kinds))
        for kind in dict.fromkeys(kinds):
            others = [t for t, own in zip(data.trials, kinds, strict=True) if own != kind]
            own = [t for t, its in zip(data.trials, kinds, strict=True) if its == kind]
            if others:
                gains[kinds == kind] = self._won(data.signals, others, own)
        return gains

    def _held_out(self, data: DataSet, other: DataSet) -> list[Row]:
        tried = [_first(trial, len(data.points)) for trial in other.trials]
        gains = self._won(data.signals, data.trials, tried)
        rows = [Row("forest, held-out tasks", len(tried), _estimate(gains))]
        return [*rows, *_bounds(tried, _best(data.trials), ", held-out tasks")]

    def _won(
        self, signals: Sequence[str], fitted: Sequence[Trial], scored: Sequence[Trial]
    ) -> Scores:
        """Return the accuracy at a forest's points less that at the best single one `[tasks]`."""
        options: dict[str, Any] = {"n_estimators": self.trees, "min_samples_leaf": self.leaf}
        features, gains = (
            np.stack([of(trial) for trial in fitted])
            for of in (lambda trial: features_of(trial, signals), gains_of)
        )
        forest = fit_forest(features, gains, self.seed, max_features=0.3, **options)
        seen = torch.from_numpy(np.stack([features_of(trial, signals) for trial in scored]))
        chosen = forest(seen).argmax(dim=1).numpy()
        return _at(scored, chosen) - _at(scored, np.full(len(scored), _best(fitted)))


def _bounds(trials: Sequence[Trial], single: int, where: str) -> list[Row]:
    """Return what the best of each task wins, and what source validation picks."""
    halves = np.stack([trial.target for trial in trials])
    rows = np.arange(len(trials))
    best = 0.5 * sum(halves[rows, 1 - h, halves[:, h].argmax(axis=1)] for h in (0, 1))
    one = _at(trials, np.full(len(trials), single))
    validated = np.array([trial.source.argmax() for trial in trials])
    picked = _at(trials, validated)
    return [
        Row(f"best of each task, by the other half{where}", len(trials), _estimate(best - one)),
        Row(
            f"source validation, {halves.shape[2]} runs{where}",
            len(trials),
            _estimate(picked - one),
        ),
    ]


def _at(trials: Sequence[Trial], chosen: NDArray[np.int64]) -> Scores:
    found = [trial.target.mean(axis=0)[point] for trial, point in zip(trials, chosen, strict=True)]
    return np.array(found, dtype=np.float64)


def _best(trials: Sequence[Trial]) -> int:
    """Return the point that is best in the mean over tasks."""
    return int(np.mean([gains_of(trial) for trial in trials], axis=0).argmax())


def _first(trial: Trial, count: int) -> Trial:
    """Return a trial with its first points alone: others may have been tried beside them."""
    cut = {name: getattr(trial, name)[..., :count] for name in ("target", "source", "proxy")}
    return Trial(**{**vars(trial), **cut, "diverged": trial.diverged[:count]})


def _estimate(gains: Scores) -> Estimate:
    return estimate(gains[None], mean, TASKS)

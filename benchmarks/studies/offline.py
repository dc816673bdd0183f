"""What a data set of trials has to win, and how much of it a forest wins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
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
from l2o.configs.load import load_config
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
Scores = NDArray[np.float64]


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
    trees: Annotated[int, count("Trees of the forest.")] = 100
    leaf: Annotated[int, count("Fewest tasks in a leaf.")] = 15
    importance: Annotated[
        bool, typer.Option("--importance", help="Permute each signal, with kinds left out.")
    ] = False
    seed: Seed = 0
    json: Json = None

    def answer(self) -> Answer:
        """Return the rows."""
        data = load_data_set(self.data)
        rows = [*_bounds(data.trials, _best(data.trials), "")]
        gentlest = by_task(data.trials, self._gentlest(data))
        rows.append(_row("the gentlest that does about as well there", gentlest))
        for axis in AXES:
            gains = by_task(data.trials, self.left_out(data, axis))
            rows.append(_row(f"forest, each {axis} left out", gains))
        rows += self._told(data)
        if self.heldout is not None:
            rows += self._held_out(data, load_data_set(self.heldout))
        if self.importance:
            rows += self._importance(data)
        return Answer(rows)

    def _told(self, data: DataSet) -> Iterator[Row]:
        """Yield what forests win, kinds left out, that are told more than a policy can know."""
        facts = np.concatenate([_facts(data.trials, axis) for axis in AXES[1:]], axis=1)
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
        for own, others, scored in _parts(data.trials, "kind"):
            fitted = others or scored
            shares = {
                share: _at(fitted, _gentle(fitted, data.points, share)).mean() for share in SHARES
            }
            best = max(shares, key=lambda share: shares[share])
            chosen = _gentle(scored, data.points, best)
            single = np.full(len(scored), _best(fitted))
            gains[own] = _at(scored, chosen) - _at(scored, single)
        return gains

    def _importance(self, data: DataSet) -> list[Row]:
        """Return what is lost with a signal permuted among the tasks that are left out."""
        parts = list(_parts(data.trials, "kind"))
        scored = [trial for _, _, own in parts for trial in own]
        folds = [
            (self._fitted(_seen(others, data.signals).numpy(), others), own)
            for _, others, own in parts
        ]
        rows = []
        for name, columns in features_by_signal(data.signals).items():
            draws, lost = np.random.default_rng(self.seed), []
            for (forest, _), own in folds:
                seen = _seen(own, data.signals)
                whole = _at(own, forest(seen).argmax(dim=1).numpy())
                for _ in range(PERMUTED):
                    without = seen.clone()
                    without[:, columns] = seen[draws.permutation(len(seen))][:, columns]
                    lost.append(whole - _at(own, forest(without).argmax(dim=1).numpy()))
            tasks = np.concatenate(
                [
                    np.mean(lost[first : first + PERMUTED], axis=0)
                    for first in range(0, len(lost), PERMUTED)
                ]
            )
            rows.append(_row(f"lost without {name}", by_task(scored, tasks)))
        return sorted(rows, key=lambda row: -row.gain.value)

    def left_out(
        self, data: DataSet, axis: str, more: NDArray[np.float32] | None = None
    ) -> Scores:
        """Return what a forest wins on the trials of each kind, fitted to the others `[trials]`.

        Args:
            data: the trials.
            axis: of what kinds.
            more: further features `[trials, K]` that it is told.
        """
        gains = np.zeros(len(data.trials))
        features = _seen(data.trials, data.signals).numpy()
        if more is not None:
            features = np.concatenate([features, more], axis=1)
        for own, others, scored in _parts(data.trials, axis):
            if others:
                forest, single = self._fitted(features[~own], others)
                chosen = forest(torch.from_numpy(features[own])).argmax(dim=1).numpy()
                gains[own] = _at(scored, chosen) - _at(scored, np.full(len(scored), single))
        return gains

    def _held_out(self, data: DataSet, other: DataSet) -> list[Row]:
        gains, above = over_usual(self, data, other)
        rows = [
            _row("forest, held-out tasks", by_task(other.trials, gains)),
            _row("the same over the trust ratio", by_task(other.trials, above)),
        ]
        tried = [_first(trial, len(data.points)) for trial in other.trials]
        return [*rows, *_bounds(tried, _best(data.trials), ", held-out tasks")]

    def won(
        self, signals: Sequence[str], fitted: Sequence[Trial], scored: Sequence[Trial]
    ) -> Scores:
        """Return the accuracy at a forest's points less that at the best single one `[trials]`."""
        forest, single = self._fitted(_seen(fitted, signals).numpy(), fitted)
        chosen = forest(_seen(scored, signals)).argmax(dim=1).numpy()
        return _at(scored, chosen) - _at(scored, np.full(len(scored), single))

    def _fitted(
        self, features: NDArray[np.float32], fitted: Sequence[Trial]
    ) -> tuple[Forest, int]:
        """Return a forest, and the point that is best for all that it is fitted to."""
        options: dict[str, Any] = {"n_estimators": self.trees, "min_samples_leaf": self.leaf}
        gains = np.stack([gains_of(trial) for trial in fitted])
        return fit_forest(features, gains, self.seed, max_features=0.3, **options), _best(fitted)


def _parts(
    trials: Sequence[Trial], axis: str
) -> Iterator[tuple[NDArray[np.bool_], list[Trial], list[Trial]]]:
    """Yield for each kind where its tasks are, the others, and its own."""
    kinds = np.array([_kind_of(trial, axis) for trial in trials])
    for kind in dict.fromkeys(kinds):
        own = kinds == kind
        others = [trial for trial, its in zip(trials, own, strict=True) if not its]
        yield own, others, [trial for trial, its in zip(trials, own, strict=True) if its]


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


def _kind_of(trial: Trial, axis: str) -> str:
    """Return what a trial is of; optimizers of one family are one, whatever their settings."""
    told = trial.facts.get(axis)
    if axis != "optimizer" or not isinstance(told, int):
        return str(told)
    named = _optimizers()
    return named[told].removesuffix("w") if told < len(named) else str(told)


@cache
def _optimizers() -> list[str]:
    """Return the names of the optimizers that trials have the numbers of."""
    config: Any = load_config("train", "asg-probing")
    return [each.name for each in config.environment.optimizers]


def over_usual(study: Offline, data: DataSet, other: DataSet) -> tuple[Scores, Scores]:
    """Return what a forest wins on other tasks over the best single point, and over `USUAL`.

    Where `USUAL` was not tried, the best single point stands for it.
    """
    tried = [_first(trial, len(data.points)) for trial in other.trials]
    gains = study.won(data.signals, data.trials, tried)
    single = _best(data.trials)
    usual = data.points.index(USUAL) if USUAL in data.points else single
    above = _at(tried, np.full(len(tried), single)) - _at(tried, np.full(len(tried), usual))
    return gains, gains + above


def by_task(trials: Sequence[Trial], gains: Scores) -> Scores:
    """Return the mean over the seeds of each task `[tasks]` of what its trials won `[trials]`.

    Example:
        >>> from types import SimpleNamespace
        >>> trials = [SimpleNamespace(episode=7), SimpleNamespace(episode=3)]
        >>> by_task([*trials, trials[0]], np.array([1.0, 5.0, 2.0])).tolist()
        [1.5, 5.0]
    """
    episodes = np.array([trial.episode for trial in trials])
    return np.array([gains[episodes == each].mean() for each in dict.fromkeys(episodes.tolist())])


def best_by_another_seed(trials: Sequence[Trial], single: int | None = None) -> Scores:
    """Return what the best point of each task has over a single one `[tasks of two seeds]`.

    It is chosen on half of the test images after the run with one seed, and scored on the other
    half after that with the next. The single one is the best over all trials unless given.
    """
    one = _best(trials) if single is None else single
    runs: dict[int, list[Trial]] = {}
    for trial in trials:
        runs.setdefault(trial.episode, []).append(trial)
    return np.array(
        [
            np.mean([_chosen_elsewhere(told, own, one) for told, own in permutations(of_task, 2)])
            for of_task in runs.values()
            if len(of_task) > 1
        ]
    )


def _chosen_elsewhere(told: Trial, own: Trial, single: int) -> float:
    found = [own.target[1 - h, told.target[h].argmax()] - own.target[1 - h, single] for h in (0, 1)]
    return float(np.mean(found))


def best_of_each(trials: Sequence[Trial], single: int | None = None) -> Scores:
    """Return what the best point of each trial has over a single one `[trials]`.

    It is chosen on half of the task's test images and scored on the other; the single one is the
    best over these tasks unless given.
    """
    halves = np.stack([trial.target for trial in trials])
    rows = np.arange(len(trials))
    best = 0.5 * sum(halves[rows, 1 - h, halves[:, h].argmax(axis=1)] for h in (0, 1))
    one = _best(trials) if single is None else single
    return best - _at(trials, np.full(len(trials), one))


def _bounds(trials: Sequence[Trial], single: int, where: str) -> list[Row]:
    """Return what the best of each task wins, and what source validation picks."""
    best = best_of_each(trials, single)
    one = _at(trials, np.full(len(trials), single))
    picked = _at(trials, np.array([trial.source.argmax() for trial in trials])) - one
    runs = len(trials[0].source)
    rows = [_row(f"best of each task, by the other half{where}", by_task(trials, best))]
    if len(elsewhere := best_by_another_seed(trials, single)):
        rows.append(_row(f"the same, and by another seed{where}", elsewhere))
    rows.append(_row(f"source validation, {runs} runs{where}", by_task(trials, picked)))
    return rows


def _facts(trials: Sequence[Trial], axis: str) -> NDArray[np.float64]:
    """Return which kind each trial is of, a column of 0 and 1 for each kind."""
    kinds = np.array([_kind_of(trial, axis) for trial in trials])
    return np.stack([kinds == kind for kind in dict.fromkeys(kinds)], axis=1).astype(np.float64)


def _gentle(trials: Sequence[Trial], points: Sequence[Point], share: float) -> NDArray[np.int64]:
    """Return the points that move least with all but a share of the gain on the source `[tasks]`.

    The same rule as `l2o.control.suggesting.choosing`, where movement is measured.
    """
    sizes = np.array([point.backbone for point in points])
    chosen = []
    for trial in trials:
        source, best = trial.source, float(trial.source.max())
        close = np.flatnonzero(source >= best - share * max(best - trial.chance, 0.0))
        chosen.append(min(close, key=lambda point: (sizes[point], -source[point])))
    return np.array(chosen)


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


def _row(what: str, gains: Scores) -> Row:
    return Row(what, len(gains), estimate(gains[None], mean, TASKS))

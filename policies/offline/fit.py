"""From what was tried to a forest that tells, from a probe, what each point would end at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from l2o.networks.forest import Forest
from l2o.networks.run_summary import RunSummary
from l2o.policies.offline.trial import Trial

Array = NDArray[np.float32]


ABOUT = ("gradient_norm", "gradient_alignment", "drift", "loss", "loss_trend", "steps_left")
"""What a forest is told of: what happens in a run. What layers are (their sizes, fan-in and number)
is another thing in each architecture, and a forest that saw it was no better on those left out."""
TOLD = ("mean", "first", "head")
"""Statistics of signals of layers that a forest is told."""


def summary_of(
    signals: Sequence[str],
    about: Sequence[str] | None = None,
    statistics: Sequence[str] | None = None,
) -> RunSummary:
    """Return the summary that a forest is told of: `ABOUT` and `TOLD` unless given.

    Args:
        signals: the features of an observation, in order.
        about: signals that are summed up; None takes those of `ABOUT` that are there.
        statistics: of signals of layers; None takes `TOLD`.
    """
    if about is None:
        about = [name for name in ABOUT if name in signals]
    return RunSummary(signals, about, TOLD if statistics is None else statistics)


def features_of(trial: Trial, signals: Sequence[str], summary: RunSummary) -> Array:
    """Return what a forest sees of a probe `[3 K]`: now, at first, in the mean.

    The same numbers as `l2o.networks.probing.ProbingNetwork` remembers on the way.
    """
    seen = dict(zip(signals, torch.from_numpy(trial.seen).unbind(dim=-1), strict=True))
    told = summary(seen)[1:]
    found: Array = torch.cat([told[-1], told[0], told.mean(dim=0)]).numpy()
    return found


def gains_of(trial: Trial) -> Array:
    """Return the target accuracy at each point, less the mean over points `[P]`.

    Tasks differ in how hard they are by far more than points do on one of them; a run that
    diverged counts as a guess.
    """
    reached = np.where(trial.diverged, trial.chance, trial.target.mean(axis=0))
    gains: Array = (reached - reached.mean()).astype(np.float32)
    return gains


def fit_forest(features: Array, gains: Array, seed: int, **options: Any) -> Forest:
    """Return a forest fitted to gains `[N, P]` of features `[N, K]`.

    Args:
        features: of each task.
        gains: likewise.
        seed: of the trees.
        options: of scikit-learn's `RandomForestRegressor`.
    """
    fitted = RandomForestRegressor(random_state=seed, n_jobs=1, **options)
    fitted.fit(features, gains)
    return as_forest([tree.tree_ for tree in fitted.estimators_], gains.shape[1])


def as_forest(trees: Sequence[Any], outputs: int) -> Forest:
    """Return scikit-learn's trees as tensors."""
    nodes = max(tree.node_count for tree in trees)
    forest = Forest(len(trees), nodes, max(1, *(tree.max_depth for tree in trees)), outputs)
    for number, tree in enumerate(trees):
        for name, values in _tensors(tree).items():
            getattr(forest, name)[number, : tree.node_count] = torch.from_numpy(values)
    return forest


def _tensors(tree: Any) -> Mapping[str, NDArray[Any]]:
    own = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    return {
        "feature": np.where(leaf, 0, tree.feature),
        "threshold": _rounded_down(tree.threshold),
        "left": np.where(leaf, own, tree.children_left),
        "right": np.where(leaf, own, tree.children_right),
        "value": tree.value[:, :, 0].astype(np.float32),
    }


def _rounded_down(values: NDArray[np.float64]) -> Array:
    """Return the largest float32 that is not larger: features go the way they did in the fit."""
    nearest = values.astype(np.float32)
    below: Array = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > values, below, nearest)

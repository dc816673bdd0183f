"""The oracle that is not scored by the target images it chose by."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from l2o.benchmarks.cells.target_measures import halves
from l2o.benchmarks.comparisons.table.tuning import GridScores, cross_fitted


def _scored(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return what the oracle scores on halves `[points, runs, tasks]`; nothing else matters."""
    picks, scores = cross_fitted(GridScores(first, first, first, (first, second)))
    assert picks is None
    return scores


def test_against_a_loop():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 6, 2, 5))
    expected = np.zeros((2, 5))
    for task in range(5):
        by_first = max(range(6), key=lambda point: first[point, :, task].mean())
        by_second = max(range(6), key=lambda point: second[point, :, task].mean())
        for run in range(2):
            other = second[by_first, run, task], first[by_second, run, task]
            expected[run, task] = sum(other) / 2
    np.testing.assert_allclose(_scored(first, second), expected)


def test_noise_is_not_rewarded():
    """Among settings that are all alike, the maximum is optimistic; this oracle is not."""
    hits = np.random.default_rng(1).binomial(256, 0.5, size=(2, 48, 1, 400)) / 256
    fair = _scored(hits[0], hits[1]).mean()
    optimistic = hits.mean(axis=0).mean(axis=1).max(axis=0).mean()
    assert fair == pytest.approx(0.5, abs=0.005)
    assert optimistic > 0.54


def test_a_setting_without_halves_is_unknown():
    missing = np.full((2, 1, 1), np.nan)
    assert np.isnan(_scored(missing, missing)).all()


def test_halves_share_every_class_and_make_up_the_whole():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(5).repeat(8)[torch.randperm(40, generator=generator)]
    logits = torch.randn(40, 5, generator=generator)
    found = halves(logits, labels)
    whole = float((logits.argmax(1) == labels).double().mean())
    assert sum(found) / 2 == pytest.approx(whole, abs=1e-6)
    # A network that knows one class alone does so on both halves.
    constant = torch.zeros(40, 5)
    constant[:, 3] = 1.0
    assert halves(constant, labels) == (0.2, 0.2)


def test_images_without_a_finite_answer_are_wrong():
    logits = torch.eye(2)[[0, 0, 1, 1]]
    logits[0] = torch.nan
    assert halves(logits, torch.tensor([0, 0, 1, 1])) == (0.5, 1.0)

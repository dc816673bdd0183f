"""The setting that is tuned on the other tasks of a family."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2o.benchmarks.comparisons.table.tuning import GridScores, by_other_tasks


def _grid(target: np.ndarray) -> GridScores:
    """Return a grid's scores `[points, runs, tasks]`; what else it holds does not matter."""
    return GridScores(target, target, target)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000), points=st.integers(1, 4), runs=st.integers(1, 3), tasks=st.just(5)
)
def test_against_a_loop(seed, points, runs, tasks):
    accuracy = np.random.default_rng(seed).random((2 * points, runs, tasks))
    picks, found = by_other_tasks(_grid(accuracy))
    for task in range(tasks):
        others = [other for other in range(tasks) if other != task]
        best = max(range(2 * points), key=lambda point: accuracy[point, :, others].mean())
        assert picks[task] == best
        np.testing.assert_array_equal(found[:, task], accuracy[best, :, task])


def test_a_task_does_not_choose_for_itself():
    # Setting 1 is best on tasks 0 and 1, but by so much on task 0 alone that it would win there.
    accuracy = np.array([[[0.0, 0.5, 0.5]], [[1.0, 0.4, 0.4]]])
    picks, found = by_other_tasks(_grid(accuracy))
    assert picks.tolist() == [0, 1, 1]
    assert found.tolist() == [[0.0, 0.4, 0.4]]


def test_noise_is_not_rewarded():
    """Among settings that are all alike the maximum is optimistic; this one is not."""
    hits = np.random.default_rng(1).binomial(256, 0.5, size=(48, 1, 400)) / 256
    _, found = by_other_tasks(_grid(hits))
    assert found.mean() == pytest.approx(0.5, abs=0.005)


def test_a_setting_that_lacks_a_run_is_not_chosen():
    accuracy = np.array([[[0.9, np.nan, 0.9]], [[0.5, 0.5, 0.5]]])
    picks, found = by_other_tasks(_grid(accuracy))
    assert picks.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(found, [[0.5, np.nan, 0.5]])

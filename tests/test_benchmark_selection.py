import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from l2o.benchmarks.cells.record import Record
from l2o.benchmarks.comparisons.table.selection import kept_score
from l2o.benchmarks.comparisons.table.tuning import PER_TASK, GridScores, select

# 3 points, 2 runs, 2 tasks.
VALIDATION = np.array([[[0.9, 0.5], [0.9, 0.5]], [[0.9, 0.8], [0.9, 0.6]], [[0.2, 0.1]] * 2])
LOSS = np.array([[[0.3, 1.0], [0.5, 1.0]], [[0.2, 1.0], [0.4, 1.0]], [[np.inf, np.nan]] * 2])
TARGET = np.array([[[0.6, 0.6], [0.7, 0.6]], [[0.5, 0.3], [0.5, 0.5]], [[0.65, 0.9]] * 2])


def test_source_validation_takes_the_best_mean_then_the_lower_loss():
    picks, accuracy = select("source_validation", GridScores(VALIDATION, LOSS, TARGET))
    assert picks.tolist() == [1, 1]
    np.testing.assert_array_equal(accuracy, [[0.5, 0.3], [0.5, 0.5]])


def test_the_oracle_takes_the_best_target_mean():
    picks, accuracy = select("target_accuracy", GridScores(VALIDATION, LOSS, TARGET))
    assert picks.tolist() == [0, 2]
    np.testing.assert_array_equal(accuracy, [[0.6, 0.9], [0.7, 0.9]])


def test_a_lost_loss_loses_ties_and_missing_points_are_never_picked():
    validation = np.array([[[np.nan]], [[0.5]], [[0.5]]])
    loss = np.array([[[0.0]], [[np.inf]], [[3.0]]])
    target = np.array([[[np.nan]], [[0.4]], [[0.3]]])
    grid = GridScores(validation, loss, target)
    assert select("source_validation", grid)[0].tolist() == [2]
    assert select("target_accuracy", grid)[0].tolist() == [1]


def test_ties_with_nothing_but_lost_losses_still_pick_a_tied_point():
    grid = GridScores(
        np.array([[[0.1]], [[0.5]]]), np.full((2, 1, 1), np.inf), np.array([[[0.9]], [[0.2]]])
    )
    assert select("source_validation", grid)[0].tolist() == [1]


def test_the_budget_counts_fine_tunes_per_task():
    grid = GridScores(VALIDATION, LOSS, TARGET)
    assert (grid.points, grid.fine_tunes) == (3, 6)


@given(arrays(np.float64, (4, 3, 2), elements=st.floats(0, 1, width=32)))
def test_no_selection_beats_the_oracle(target):
    grid = GridScores(target[::-1], np.zeros_like(target), target)
    best = select("target_accuracy", grid)[1].mean()
    for rule in PER_TASK:
        assert select(rule, grid)[1].mean() <= best + 1e-9


def test_unknown_rules_and_empty_grids_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'target_accuracy'"):
        select("target_acuracy", GridScores(VALIDATION, LOSS, TARGET))
    empty = np.zeros((0, 2, 2))
    with pytest.raises(ValueError, match="empty"):
        select("target_accuracy", GridScores(empty, empty, empty))


# Which network of a run is kept -------------------------------------------------------------------


def curve_record(points, final):
    scores = [
        {"target_test": {"accuracy": target}, "source_validation": {"accuracy": source}}
        for target, source in points
    ]
    curve = [{"step": 10 * (k + 1), "scores": s, "proxy_kl": 0.0} for k, s in enumerate(scores)]
    return Record.model_validate(
        {"id": "a", "task_seed": 0, "seed": 0, "base_lr_factor": 1.0, "curve": curve}
        | {"scores": {"target_test": {"accuracy": final}}}
    )


def test_rules_keep_the_network_that_they_name():
    record = curve_record([(0.5, 0.7), (0.8, 0.6), (0.4, 0.9), (0.3, 0.9)], final=0.3)
    assert kept_score(record, "last") == 0.3
    assert kept_score(record, "source_validation") == 0.4  # the first of equals
    assert kept_score(record, "target (oracle)") == 0.8

"""Rows held against the figures of a published table."""

from dataclasses import replace

import numpy as np

from l2o.benchmarks.cells.quantities import QUANTITIES
from l2o.benchmarks.comparisons.table.matrices import RowScores
from l2o.benchmarks.comparisons.table.plan import PlannedRow
from l2o.benchmarks.comparisons.table.published import compare_with_published, published_tables


def scored(label, accuracy, published, noise=0.01, seed=0):
    """Return a row of 6 runs on 4 tasks around an accuracy."""
    draws = np.random.default_rng(seed).normal(accuracy, noise, (1, 6, 4))
    values = {metric: np.full((1, 6, 4), np.nan) for metric in QUANTITIES}
    row = PlannedRow(label, "row", "cosine", "flat", False, (), (), published)
    return RowScores(row, (1.0,), values | {"target_accuracy": draws}, ())


ROWS = [
    scored("low", 0.3, {"target_accuracy": 30.0, "energy_0": 0.4}),
    scored("high", 0.6, {"target_accuracy": 50.0}, seed=1),
    scored("middle, published as best", 0.5, {"target_accuracy": 60.0}, seed=2),
    scored("of our own", 0.9, {}, seed=3),
]


def test_pairs_agree_or_contradict():
    (entry,) = compare_with_published(ROWS, resamples=200)
    assert entry.metric == "target_accuracy"  # nothing was measured of the energy
    assert [row.label for row in entry.rows] == [row.row.label for row in ROWS[:3]]
    assert (entry.pairs, entry.agree) == (3, 2)
    (pair,) = entry.contradict
    assert (pair.one, pair.other, pair.published) == ("high", ROWS[2].row.label, -10.0)
    assert pair.difference.low > 0


def test_what_noise_hides_contradicts_nothing():
    unclear = [scored("a", 0.5, {"target_accuracy": 1.0}, 0.2, 4)]
    unclear.append(scored("b", 0.5, {"target_accuracy": 2.0}, 0.2, 5))
    (entry,) = compare_with_published(unclear, resamples=200)
    assert entry.contradict == ()


def test_single_runs_of_two_tasks_have_no_interval_and_contradict_nothing():
    metrics = ("target_accuracy", "source_loss")
    rows = []
    for label, accuracy, published in (("low", 0.3, 50.0), ("high", 0.6, 30.0)):
        row = scored(label, accuracy, dict.fromkeys(metrics, published))
        one_run = row.values["target_accuracy"][:, :1, :2]
        rows.append(replace(row, values=row.values | dict.fromkeys(metrics, one_run)))
    entries = compare_with_published(rows, resamples=50)
    assert [(e.pairs, e.agree, e.contradict) for e in entries] == [(1, 0, ())] * 2
    accuracy, loss = filter(None, published_tables(entries))
    assert [row[2:] for row in accuracy.rows] == [("50", "2", "1"), ("30", "1", "2")]
    assert "[" not in accuracy.rows[0][1] + loss.rows[0][1]


def test_equal_published_figures_are_no_pair():
    rows = [replace(row, row=replace(row.row, published={"target_accuracy": 5.0})) for row in ROWS]
    (entry,) = compare_with_published(rows, resamples=50)
    assert entry.pairs == 0


def test_no_tables_without_published_figures():
    assert compare_with_published(ROWS[3:], resamples=50) == []
    assert published_tables([]) == []


def test_tables_name_ranks_and_contradictions():
    entries = compare_with_published(ROWS, resamples=200)
    beside, against = published_tables(entries)
    assert [row[3:] for row in beside.rows] == [("3", "3"), ("1", "2"), ("2", "1")]
    assert "2 of 3 pairs" in beside.note
    assert against.rows[0][0] == "high − middle, published as best"

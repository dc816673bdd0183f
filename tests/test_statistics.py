import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import TypeAdapter
from scipy import stats

from l2o.benchmarks.statistics import (
    CROSSED,
    RUNS,
    TASKS,
    TASKS_AND_RUNS,
    Difference,
    Estimate,
    complete,
    difference_of_means,
    estimate,
    interquartile_mean,
    mean,
    paired_difference,
    probability_of_improvement,
)

scores = arrays(
    np.float64,
    st.tuples(st.integers(1, 7), st.integers(1, 5)),
    elements=st.floats(0, 1, width=32),
)


def normal(seed, shape=(10, 4)):
    return np.random.default_rng(seed).normal(size=shape)


@given(scores)
def test_interquartile_mean_is_scipys_trimmed_mean(matrix):
    assert interquartile_mean([matrix]) == pytest.approx(stats.trim_mean(matrix.ravel(), 0.25))


def test_interquartile_mean_by_hand():
    matrix = np.array([[0.0, 8.0], [1.0, 2.0], [3.0, 4.0], [-50.0, 900.0]])
    assert interquartile_mean([matrix]) == (1 + 2 + 3 + 4) / 4


def test_interquartile_mean_of_many_resamples_at_once():
    stacked = normal(0, (3, 5, 4))
    expected = [interquartile_mean([matrix]) for matrix in stacked]
    np.testing.assert_array_equal(interquartile_mean([stacked]), expected)


@given(scores, st.integers(0, 5))
def test_resamples_stay_within_their_task(matrix, seed):
    drawn = RUNS.draw(np.random.default_rng(seed), matrix, 20)
    assert drawn.shape == (20, *matrix.shape)
    for task in range(matrix.shape[1]):
        assert np.isin(drawn[:, :, task], matrix[:, task]).all()


def test_interval_agrees_with_scipys_bootstrap_of_one_task():
    sample = normal(1, (30, 1))
    ours = estimate(sample, mean, resamples=20_000)
    theirs = stats.bootstrap(
        (sample[:, 0],), np.mean, n_resamples=20_000, method="percentile", rng=3
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.high, abs=0.02)


def test_differences_between_tasks_do_not_widen_the_interval():
    noise = normal(2, (10, 4))
    narrow = estimate(noise, mean)
    far_apart = estimate(noise + np.array([0.0, 100.0, 200.0, 300.0]), mean)
    assert far_apart.high - far_apart.low == pytest.approx(narrow.high - narrow.low, rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(scores.filter(lambda m: len(m) > 1))
def test_intervals_are_ordered_within_range_and_repeatable(matrix):
    found = estimate(matrix, resamples=200)
    assert matrix.min() - 1e-9 <= found.low <= found.high <= matrix.max() + 1e-9
    assert found == estimate(matrix, resamples=200)


def test_coverage_is_near_what_is_promised():
    inside = 0
    for seed in range(200):
        found = estimate(normal(seed, (10, 4)), mean, resamples=400, seed=seed)
        inside += found.low <= 0 <= found.high
    assert 0.87 <= inside / 200 <= 0.99


def test_one_run_has_no_interval_and_none_has_no_value():
    one = estimate(np.array([[0.5, 0.7]]))
    assert one.value == pytest.approx(0.6)
    assert np.isnan(one.low)
    assert one.to_json() == {"value": 0.6, "low": None, "high": None, "tasks": 2, "runs": 2}
    none = estimate(np.full((3, 2), np.nan))
    assert none.to_json() == {"value": None, "low": None, "high": None, "tasks": 0, "runs": 0}


def test_runs_that_any_matrix_lacks_are_left_out_of_both():
    first, second = np.arange(6.0).reshape(3, 2), np.ones((3, 2))
    second[1, 0] = np.nan
    kept, other = complete(first, second)
    np.testing.assert_array_equal(kept, [[0, 1], [4, 5]])
    assert other.shape == (2, 2)


def test_a_task_without_any_run_is_left_out():
    scores = np.array([[1.0, np.nan, 3.0], [5.0, np.nan, np.nan]])
    np.testing.assert_array_equal(complete(scores)[0], [[1.0, 3.0]])


@pytest.mark.parametrize("shapes", [((2, 3), (3, 2)), ((4,), (4,))])
def test_shapes_that_cannot_be_paired_are_refused(shapes):
    with pytest.raises(ValueError, match="runs x tasks matrices of one shape"):
        complete(*map(np.zeros, shapes))


def test_pairing_takes_out_what_both_share():
    shared = 10 * normal(3)
    found = paired_difference(shared + 0.1, shared)
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1)
    assert (found.tasks_better, found.tasks) == (4, 4)


def test_new_tasks_widen_the_interval_by_what_tasks_differ():
    gaps = normal(4) * 0.01 + np.array([0.0, 1.0, 2.0, 3.0])
    found = paired_difference(gaps, np.zeros_like(gaps))
    assert found.high - found.low < 0.02
    # The mean of 4 draws of 4 tasks: 2.5 % and 97.5 % quantiles of its exact distribution.
    means = np.array(np.meshgrid(*[range(4)] * 4)).mean(axis=0).ravel()
    low, high = np.quantile(means, [0.025, 0.975])
    assert found.new_tasks == pytest.approx((low, high), abs=0.3)


@pytest.mark.parametrize("shape", [(1, 5), (5, 2)])
def test_few_runs_or_tasks_say_nothing_of_new_tasks(shape):
    assert np.isnan(paired_difference(normal(0, shape), np.zeros(shape)).new_tasks).all()


@given(scores, st.integers(0, 3))
def test_differences_are_antisymmetric(matrix, seed):
    other = np.random.default_rng(seed).permutation(matrix.ravel()).reshape(matrix.shape)
    there = paired_difference(matrix, other, resamples=50)
    back = paired_difference(other, matrix, resamples=50)
    assert there.value == pytest.approx(-back.value, abs=1e-9)
    assert there.improvement == pytest.approx(1 - back.improvement)


@given(scores)
def test_probability_of_improvement_is_mann_whitneys(matrix):
    other = matrix[::-1] * 0.9
    runs = len(matrix)
    expected = np.mean(
        [
            stats.mannwhitneyu(matrix[:, task], other[:, task]).statistic / runs**2
            for task in range(matrix.shape[1])
        ]
    )
    assert probability_of_improvement(matrix, other) == pytest.approx(expected)


@pytest.mark.parametrize("families", [[(4, 3)], [(4, 3), (6, 3)]])
def test_drawing_tasks_is_scipys_bootstrap(families):
    """The very draws, so the very interval: of indices of tasks, stratum by stratum."""
    strata = [normal(seed, shape).T for seed, shape in enumerate(families)]

    def of_tasks(*drawn, axis):
        picked = [scores[:, index.astype(int)] for scores, index in zip(strata, drawn, strict=True)]
        return interquartile_mean([np.moveaxis(each, 0, -2) for each in picked])

    theirs = stats.bootstrap(
        [np.arange(scores.shape[1]) for scores in strata],
        of_tasks,
        n_resamples=300,
        method="percentile",
        vectorized=True,
        axis=-1,
        rng=np.random.default_rng(5),
    ).confidence_interval
    ours = estimate(strata, design=TASKS, resamples=300, seed=5)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


@pytest.mark.parametrize(
    ("design", "low", "high"),
    [
        (RUNS, 0.39166666666666666, 0.5333333333333333),
        (TASKS, 0.325, 0.65),
        (TASKS_AND_RUNS, 0.2833333333333334, 0.6420833333333335),
        (CROSSED, 0.29125, 0.6504166666666668),
    ],
)
def test_exact_numbers_of_each_design(design, low, high):
    scores = np.array([[0.1, 0.5, 0.9], [0.3, 0.3, 0.6], [0.2, 0.7, 0.5], [0.4, 0.4, 0.6]])
    found = estimate(scores, mean, design, resamples=200, seed=1)
    assert found.value == pytest.approx(scores.mean())
    assert (found.low, found.high) == pytest.approx((low, high))


def test_incomplete_runs_or_tasks_are_left_out_as_the_design_resamples():
    scores = np.array([[0.1, np.nan, 0.9], [0.3, 0.3, 0.6], [0.2, 0.7, 0.5]])
    by_run, by_task = (estimate(scores, mean, design) for design in (RUNS, TASKS))
    assert (by_run.tasks, by_run.runs) == (3, 6)
    assert (by_task.tasks, by_task.runs) == (2, 6)
    assert by_task.value == pytest.approx(np.delete(scores, 1, axis=1).mean())


def test_estimates_are_read_as_they_were_written():
    for found in (Estimate(), Estimate(0.25, 0.125, 0.5, 2, 6)):
        assert read(Estimate, found.to_json()).to_json() == found.to_json()
    found = difference_of_means([normal(1)], [normal(2)], resamples=50)
    assert read(Difference, found.to_json()).to_json() == found.to_json()
    with pytest.raises(ValueError, match="number or null"):
        read(Estimate, {"value": "0.5"})


def read(kind, data):
    return TypeAdapter(kind).validate_python(data)


def test_tasks_are_drawn_where_each_has_one_run():
    scores = np.array([[0.1, 0.5, 0.9]])
    found = estimate(scores, mean)
    drawn = estimate(scores, mean, TASKS)
    assert (found.low, found.high) == (drawn.low, drawn.high)
    assert 0.1 <= found.low < 0.5 < found.high <= 0.9
    assert not estimate(scores[:, :2], mean).has_interval
    other = paired_difference(scores, np.zeros((1, 3)))
    assert (other.low, other.high) == (found.low, found.high)

"""The zero-shot comparison: its claims on made-up results, and its estimates."""

import json

import numpy as np
import pytest
from zero_shot_cases import config, records_of

from l2o.benchmarks.comparisons.claims import DEFAULT, MISJUDGED, judge
from l2o.benchmarks.comparisons.zero_shot.contenders import gather_contenders
from l2o.benchmarks.comparisons.zero_shot.figures import profile
from l2o.benchmarks.comparisons.zero_shot.summary import count_cost, summarise, training_cost
from l2o.benchmarks.statistics import TASKS, Estimate, difference_of_means, estimate, mean
from l2o.configs.schema import Bound, Claim
from l2o.deciding.bundle import read_card


@pytest.fixture(scope="module")
def data():
    return plain(config(), records_of(config()))


def plain(settings, families):
    """Return the content of results.json."""
    return summarise(settings, families, workers=1).model_dump(mode="json")


def figure(data, claim, setting=None):
    found = [
        entry
        for entry in data["figures"]
        if entry["claim"] == claim and (setting is None or setting in entry["figure"])
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("claim", "setting", "value", "holds"),
    [
        # Policy at 1: .70 to .73 on each family, so .715; over base LRs .65 to .66, so .655.
        # By source validation: .5 on the first family, .6 on the second, so .55.
        ("grid by source validation", DEFAULT, 16.5, True),
        ("grid by source validation", MISJUDGED, 10.5, True),
        # By target accuracy: .65.
        ("grid by target accuracy (oracle)", DEFAULT, 6.5, True),
        ("grid by target accuracy (oracle)", MISJUDGED, 0.5, True),
        # Flat: (.3 + .5 + .1) / 3; frozen: (.2 + .55 + .4) / 3, which is harder to beat.
        ("untuned schedules", MISJUDGED, 100 * (0.655 - 1.15 / 3), True),
        # One of 2 families x 4 tasks x 3 base LRs diverged.
        ("runs at chance or diverged", None, 100 / 24, False),
        ("unseen: new", DEFAULT, 11.5, True),
        ("unseen: new", MISJUDGED, 5.5, True),
        ("lite policy", DEFAULT, -0.5, True),
        ("lite policy", MISJUDGED, -0.5, True),
        ("cost at use", None, 1.0, True),
    ],
)
def test_claims_are_what_a_hand_computes(data, claim, setting, value, holds):
    found = figure(data, claim, setting)
    assert found["value"] == pytest.approx(value, abs=6e-4)
    assert found["holds"] is holds
    if found["low"] is not None:
        assert found["low"] <= found["value"] <= found["high"]


def test_claims_say_what_they_are_about(data):
    assert len(data["figures"]) == 11
    for entry in data["figures"]:
        assert {"figure", "value", "must", "goal", "holds", "reaches_goal"} < set(entry)
    default = figure(data, "grid by source validation", DEFAULT)
    assert default["must"] == ">= 2, interval above 0"
    assert default["population"] == (
        "families seen, new: 8 held-out tasks, 8 runs; default base LR"
    )
    assert (default["improvement"], default["tasks_better"]) == (1.0, 8)
    untuned = figure(data, "untuned schedules")
    assert untuned["against"] == "constant, frozen backbone"
    assert "best of 2 untuned schedules" in untuned["figure"]
    assert figure(data, "lite policy", DEFAULT)["reaches_goal"] is False
    assert figure(data, "runs at chance or diverged")["diverged"] == 1


def test_rows_tell_what_each_costs_and_fails(data):
    rows = {row["label"]: row for row in data["rows"]}
    assert rows["constant, flat"]["at_chance"] == 8
    assert rows["constant, flat"]["fine_tunes_per_task"] == 1
    tuned = rows["grid tuned by source validation"]
    assert tuned["fine_tunes_per_task"] == 4
    assert {pick["factor"] for pick in tuned["families"]["seen"]["chosen"]} == {1.0}
    assert {pick["factor"] for pick in tuned["families"]["new"]["chosen"]} == {3.0}
    assert [e["factor"] for e in rows["Halve"]["families"]["new"]["by_factor"]] == [0.1, 1.0, 10.0]
    assert data["cost"] == {"at_use": 1, "tuning": 4, "training": None, "amortised_after": None}
    assert data["families"]["new"]["default_base_lr"] == [0.05]
    json.dumps(data, allow_nan=False)


def test_seeds_make_the_grid_dearer_and_are_averaged_by_selection():
    settings = config(seeds=2)
    families = records_of(settings)
    for plan, records in families.values():
        for cell in plan.cells:
            if cell.seed == 1 and cell.choice.profile.name == "frozen_backbone":
                # One lucky seed of the other profile, with the lower loss: 0.95 in the mean.
                record = records[cell.id]
                lucky = record.scores | {"source_validation": {"accuracy": 1.0, "loss": 0.0}}
                records[cell.id] = record.model_copy(update={"scores": lucky})
    contenders = {c.kind: c for c in gather_contenders(settings, families)}
    assert contenders["source_validation"].fine_tunes == 4 * 2
    chosen = contenders["source_validation"].families["seen"].chosen
    assert {pick.label for pick in chosen} == {"constant, flat"}


def test_a_missing_run_takes_its_task_out_on_both_sides():
    families = records_of(config())
    plan, records = families["seen"]
    cell = next(
        cell for cell in plan.rows[0].cells if (cell.task_seed, cell.base_lr_factor) == (3, 1.0)
    )
    del records[cell.id]
    found = plain(config(), families)
    default = figure(found, "grid by source validation", DEFAULT)
    assert "7 held-out tasks" in default["population"]
    # .70 .70 .71 .71 .72 .72 .73 without one each side (7 // 4), and .5 x 3, .6 x 4.
    expected = 100 * ((0.70 + 0.71 * 2 + 0.72 * 2) / 5 - (0.5 * 2 + 0.6 * 3) / 5)
    assert default["value"] == pytest.approx(expected, abs=6e-4)
    assert [failure["label"] for failure in found["failures"]] == ["seen: learned policy"]
    assert found["counts"]["fine_tunes"] == found["counts"]["planned"] - 1


def test_one_task_gives_no_interval_and_no_verdict_that_needs_one():
    found = plain(config(tasks=1), records_of(config(tasks=1)))
    default = figure(found, "grid by source validation", DEFAULT)
    assert (default["low"], default["holds"]) == (None, None)
    assert figure(found, "grid by target accuracy (oracle)", DEFAULT)["holds"] is True


def test_without_a_lite_policy_its_row_and_claim_are_left_out():
    found = plain(config(lite=None), records_of(config(lite=None)))
    assert "lite policy" not in {entry["claim"] for entry in found["figures"]}
    assert "lite" not in {row["kind"] for row in found["rows"]}


def test_rivals_are_no_schedules_and_run_at_fewer_base_lrs_have_no_mean():
    rows = [
        {"label": "L2-SP", "profile": "flat", "guidance": {"l2_sp": {"weight": 0.1}}},
        {"label": "rule", "rule": "auto_rgn", "base_lr_factors": [1.0]},
        {"label": "at one", "schedule": "cosine", "profile": "flat", "base_lr_factors": [1.0]},
    ]
    found = plain(config(rows=rows), records_of(config(rows=rows)))
    rows = {row["label"]: row for row in found["rows"]}
    kinds = [rows[label]["kind"] for label in ("L2-SP", "rule", "at one")]
    assert kinds == ["rival", "rival", "schedule"]
    assert rows["at one"]["mean"] is None
    assert rows["at one"]["against"][MISJUDGED]["value"] is None
    assert rows["at one"]["against"][DEFAULT]["value"] == pytest.approx(0.215)
    assert "best of 2 untuned" in figure(found, "untuned schedules")["figure"]


# --- estimates


def test_differences_are_of_interquartile_means_and_in_pairs():
    first = np.array([[0.1, 0.5, 0.6, 0.9]])
    second = np.array([[0.4, 0.4, 0.5, 0.8]])
    found = difference_of_means([first], [second], resamples=50)
    assert found.value == pytest.approx(0.55 - 0.45)
    assert found.mean == pytest.approx(0.0)
    assert (found.improvement, found.tasks_better) == (0.75, 3)
    with pytest.raises(ValueError, match="same tasks"):
        difference_of_means([first], [second[:, :3]], resamples=50)


def test_intervals_resample_tasks_within_families():
    # Two tasks in each of two families: both lowest with probability 1/16, above 2.5 %. Were tasks
    # drawn over families, four times the lowest would have 1/256.
    first = [np.array([[0.5, 0.7]]), np.array([[0.1, 0.2]])]
    found = difference_of_means(first, [np.zeros((1, 2)), np.zeros((1, 2))], resamples=2000)
    assert found.low == pytest.approx((0.5 + 0.1) / 2)
    assert found.high == pytest.approx((0.7 + 0.2) / 2)


def test_equal_draws_for_equal_seeds_and_narrower_for_more_tasks():
    scores = np.random.default_rng(0).normal(0.5, 0.1, (1, 40))
    parts = (scores[:, :10], scores)
    few, many = (estimate([part], design=TASKS, resamples=500) for part in parts)
    assert estimate([scores], design=TASKS, resamples=500) == many
    assert many.high - many.low < few.high - few.low
    assert (many.tasks, many.runs) == (40, 40)


def test_runs_of_a_task_are_drawn_together():
    # The mean within each task is the same, so nothing varies when whole tasks are drawn.
    found = estimate([np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.5]])], mean, TASKS, resamples=100)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("value", "low", "bounds", "holds", "reaches"),
    [
        (2.0, 0.1, ({"at_least": 2, "clear": True}, {"at_least": 5}), True, False),
        (6.0, -0.1, ({"at_least": 2, "clear": True}, {"at_least": 5}), False, True),
        (6.0, np.nan, ({"at_least": 2, "clear": True}, {"at_least": 5}), None, True),
        (1.0, np.nan, ({"at_least": 2, "clear": True}, {"at_least": 5}), False, False),
        (0.5, 0.1, ({"at_least": -1}, {"at_least": 0, "clear": True}), True, True),
        (0.5, -0.1, ({"at_least": -1}, {"at_least": 0, "clear": True}), True, False),
        (2.1, 1.0, ({"at_most": 2}, {"at_most": 0}), False, False),
        (np.nan, np.nan, ({"at_least": 2}, {"at_least": 5}), None, None),
        (3.0, 1.0, (None, {"at_least": 5}), False, False),
        (3.0, 1.0, (None, None), None, None),
    ],
)
def test_verdicts(value, low, bounds, holds, reaches):
    must, goal = (None if bound is None else Bound(**bound) for bound in bounds)
    found = Estimate(value, low, low + 1, 3, 3)
    entry = judge(Claim(claim="c", must=must, goal=goal), "f", found, scale=1.0)
    assert (entry.holds, entry.reaches_goal) == (holds, reaches)
    json.dumps(entry.model_dump(), allow_nan=False)


@pytest.mark.parametrize("bound", [{}, {"at_least": 1.0, "at_most": 2.0}])
def test_bounds_are_one_sided(bound):
    with pytest.raises(ValueError, match="one of at_least and at_most"):
        Bound(**bound)


def test_what_claims_nothing_is_not_graded():
    settings = config(claims=[])
    found = plain(settings, records_of(settings))
    assert found["figures"] == []
    rows = {row["label"]: row for row in found["rows"]}
    assert rows["constant, flat"]["against"][DEFAULT]["value"] == pytest.approx(0.215)


def test_cost_is_amortised_in_whole_tasks():
    told = read_card("asg-base")["trained_on"]
    learned = told["fine_tunes_of_the_run"]
    assert learned >= told["fine_tunes"]
    assert count_cost("asg-base", 1, 48).amortised_after == -(-learned // 47)
    assert count_cost("asg-base", 1, 1).amortised_after is None
    # A pupil's cost is its own and its teacher's.
    lite = read_card("asg-lite")["trained_on"]
    both = lite["fine_tunes_of_the_run"] + lite["fine_tunes_of_the_teacher"]
    assert training_cost("asg-lite") == both > learned


def test_profiles_count_what_is_just_reached():
    found = profile(np.array([0.3, 0.3, 0.9]), np.array([0.0, 0.3, 0.31, 0.9, 1.0]))
    assert found.tolist() == pytest.approx([1, 1, 1 / 3, 1 / 3, 0])

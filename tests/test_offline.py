"""Learning from trials: data sets of them, what is learned, and what studies make of them."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from test_train import config
from tiny import TinyFamily

from l2o.benchmarks.studies.claims import Claims
from l2o.benchmarks.studies.offline import Offline
from l2o.benchmarks.studies.trial_gains import best_by_another_seed, by_task
from l2o.envs.episode_rules import EpisodeRules
from l2o.files.atomic import DamagedFileError
from l2o.networks.probing import ProbingNetwork
from l2o.policies.algorithms import ALGORITHMS
from l2o.policies.offline.data_set import DataSet, load_data_set, save_data_set
from l2o.policies.offline.fit import gains_of
from l2o.policies.offline.points import PROBE, Point
from l2o.policies.offline.trial import Trial, Trier, from_plain, to_plain
from l2o.policies.train import train
from l2o.signals import DEFAULT_SIGNALS

POINTS = ((1e-6, 0.05), (1e-3, 0.05), (1e-2, 0.2))
RULES = EpisodeRules(
    TinyFamily(steps=40), {"interval": 4}, {"base_lr": [0.01, 0.1], "signals": DEFAULT_SIGNALS}
)


def test_gains_count_what_diverged_as_a_guess():
    trial = Trial(
        *(0, {}, np.zeros((1, 1, 1)), np.array([[0.5, 0.9], [0.7, 0.9]]), np.zeros(2), np.zeros(2)),
        *(np.array([False, True]), 0.2, 10),
    )
    np.testing.assert_allclose(gains_of(trial), [0.2, -0.2], atol=1e-7)
    again = from_plain(to_plain(trial))
    assert again.episode == 0
    assert np.array_equal(again.target, trial.target)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"multipliers": {"kind": "bins"}}, "multipliers={kind: log}"),
        ({"guidance_actions": ["proxy_kl"]}, "sets learning rates only"),
    ],
)
def test_offline_refuses_what_it_cannot_learn(changed, told):
    given = config(environment={"base_lr": [0.01, 0.1], **changed})
    with pytest.raises(ValueError, match=told):
        ALGORITHMS["offline"](given)


def test_a_data_set_comes_back_as_it_was(tmp_path):
    points = tuple(Point(*each) for each in POINTS)
    trials = [Trier(RULES, points, PROBE, 0.25)(*each) for each in ((1, 0), (1, 1), (2, 0))]
    save_data_set(tmp_path, DataSet(tuple(DEFAULT_SIGNALS), points, trials))
    again = load_data_set(tmp_path)
    assert again.points == points
    assert again.signals == tuple(DEFAULT_SIGNALS)
    for one, other in zip(trials, again.trials, strict=True):
        for name in ("episode", "repeat", "facts", "steps", "chance"):
            assert getattr(one, name) == getattr(other, name)
        np.testing.assert_allclose(other.seen, one.seen, atol=1e-3)
        for name in ("target", "source", "proxy", "diverged"):
            assert np.array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("file", ["trials.json", "trials.safetensors"])
def test_a_damaged_data_set_is_refused(tmp_path, file):
    points = tuple(Point(*each) for each in POINTS)
    trials = [Trier(RULES, points, PROBE, 0.25)(1)]
    save_data_set(tmp_path, DataSet(tuple(DEFAULT_SIGNALS), points, trials))
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-40])
    with pytest.raises(DamagedFileError, match="copy the data set again"):
        load_data_set(tmp_path)


@pytest.mark.parametrize("name", ["seen", "target"])
def test_a_data_set_with_a_nan_is_refused(tmp_path, name):
    file = told_by_the_loss(tmp_path, 4) / "trials.safetensors"
    arrays = load_file(file)
    arrays[name].flat[0] = np.nan
    save_file(arrays, file)
    with pytest.raises(DamagedFileError, match=f"not all numbers are finite in {name}"):
        load_data_set(tmp_path)


def told_by_the_loss(folder, count=60, family="composed"):
    """Write trials whose loss tells which of two points is right, on tasks of two kinds."""
    draw = np.random.default_rng(0)
    trials = []
    for number in range(count):
        moves = float(draw.random() < 0.5)
        seen = np.zeros((2, 3, len(DEFAULT_SIGNALS)), np.float32)
        seen[..., DEFAULT_SIGNALS.index("present")] = 1.0
        seen[..., DEFAULT_SIGNALS.index("loss")] = moves
        target = np.array([[0.9 - 0.4 * moves, 0.5 + 0.4 * moves, 0.6]] * 2)
        facts = {"kind": f"k{number % 2}", "pretraining": "same", "architecture": "mlp"}
        facts |= {"optimizer": number % 8, "task": family}
        scores = target, 1.0 - target[0], np.zeros(3), np.zeros(3, bool)
        trials.append(Trial(number, facts, seen, *scores, 0.1, 10))
    points = tuple(Point(*each) for each in POINTS)
    return save_data_set(folder, DataSet(tuple(DEFAULT_SIGNALS), points, trials))


def test_the_study_tells_what_there_is_to_win(tmp_path):
    told_by_the_loss(tmp_path)
    beside = told_by_the_loss(tmp_path / "beside", family="digits")
    options = {"trees": 10, "leaf": 5}
    study = Offline(data=tmp_path, heldout=tmp_path, beside=beside, importance=True, **options)
    rows = {row.what: row.gain for row in study.answer().rows}
    best = rows["best of each task, by the other half"]
    assert best.low > 0.1
    # Another single point is best where a kind is left out.
    assert rows["forest, each kind left out"].value >= best.value
    assert rows["source validation, 3 runs"].value < 0
    assert rows["forest, each optimizer left out"].value >= best.value
    lost = {what: gain.value for what, gain in rows.items() if what.startswith("lost without ")}
    assert max(lost, key=lost.get) == "lost without loss"
    assert lost["lost without gradient_norm"] == 0.0
    assert "lost without weight_rms" not in lost
    told = "forest that is told the probe and source validation of all points, each kind left out"
    assert rows[told].value >= best.value
    assert rows["the same over the trust ratio"].tasks == 60
    assert rows["other family: forest that knows none of it"].low > 0.1
    # All of them are of one architecture.
    assert rows["other family: forest, each of its architectures left out"].low > 0.1
    assert "other family" not in str(Offline(data=tmp_path, **options).answer())


def test_the_best_by_another_seed_is_chosen_by_one_run_and_scored_on_another():
    def trial(episode, repeat, *target):
        scores = np.array(target), np.zeros(2), np.zeros(2), np.zeros(2, bool)
        return Trial(episode, {}, np.zeros((1, 1, 1)), *scores, 0.1, 10, repeat)

    # The first run is better at point 1 by either half, the second by the second half alone.
    first = trial(0, 0, [0.5, 0.6], [0.5, 0.8])
    second = trial(0, 1, [0.7, 0.4], [0.5, 0.9])
    alone = trial(1, 0, [0.9, 0.1], [0.9, 0.1])
    gains = best_by_another_seed([first, alone, second], single=0)
    # By the first's halves: the second's other half at 1; by the second's: at 0, and at 1.
    assert gains.tolist() == pytest.approx([np.mean([0.4, -0.3, 0.0, 0.1])])
    assert by_task([first, alone, second], np.array([1.0, 5.0, 3.0])).tolist() == [2.0, 5.0]


def test_a_learner_tries_tasks_with_several_seeds():
    given = config(environment={"multipliers": {"kind": "log", "low": 1e-8, "high": 1e4}})
    learner = ALGORITHMS["offline"](given, tasks=2, repeats=2, points=POINTS, trees=2, leaf=1)
    learner.iterate()
    assert [(t.episode, t.repeat) for t in learner.trials] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert learner.episodes == 12
    with pytest.raises(ValueError, match="repeats"):
        ALGORITHMS["offline"](given, repeats=0)


def test_a_learner_begins_with_data_sets(tmp_path):
    told_by_the_loss(tmp_path / "a", 12)
    told_by_the_loss(tmp_path / "b", 4, family="digits")
    options = {"points": [list(point) for point in POINTS], "trees": 2, "leaf": 2}
    given = config(environment={"multipliers": {"kind": "log", "low": 1e-8, "high": 1e4}})
    learner = ALGORITHMS["offline"](given, data=str(tmp_path / "a"), **options)
    assert (learner.episodes, learner.fine_tune_steps) == (36, 360)
    network = learner.policy().network
    assert isinstance(network, ProbingNetwork)
    assert len(network.forest.feature) == 2
    both = ALGORITHMS["offline"](given, data=[str(tmp_path / "a"), str(tmp_path / "b")], **options)
    assert (both.episodes, both.fine_tune_steps) == (48, 480)
    # Episodes of the same number are other tasks in other families.
    assert len(by_task(both.trials, np.zeros(16))) == 16
    with pytest.raises(ValueError, match="has other points than this training"):
        ALGORITHMS["offline"](given, data=str(tmp_path / "a"))
    with pytest.raises(ValueError, match="12 trials that a folder before it holds, too"):
        ALGORITHMS["offline"](given, data=[str(tmp_path / "a")] * 2, **options)


@pytest.mark.parametrize("data", [5, [5], {"a": 1}])
def test_what_is_no_folder_of_trials_is_refused(data):
    given = config(environment={"multipliers": {"kind": "log", "low": 1e-8, "high": 1e4}})
    with pytest.raises(ValueError, match="must be a folder or a list of folders, got"):
        ALGORITHMS["offline"](given, data=data)


def test_a_run_leaves_what_another_begins_with(tmp_path):
    given = config(
        environment={"multipliers": {"kind": "log", "low": 1e-8, "high": 1e4}},
        algorithm={
            "name": "offline",
            "options": {"tasks": 2, "points": [list(each) for each in POINTS], "trees": 2},
        },
        episodes=6,
    )
    train(given, tmp_path, progress=False)
    left = load_data_set(tmp_path / "trials")
    assert [trial.episode for trial in left.trials] == [0, 1]
    more = {"data": str(tmp_path / "trials"), "points": POINTS, "tasks": 1}
    learner = ALGORITHMS["offline"](given, **more)
    learner.iterate()
    assert [trial.episode for trial in learner.trials] == [0, 1, 2]
    assert np.array_equal(learner.trials[1].target, left.trials[1].target)


def test_claims_are_read_off_published_results(tmp_path):
    published = Path(__file__).parents[1] / "docs/results"
    for name in ("zero-shot", "garments-32", "policy"):
        (tmp_path / name).symlink_to(published / name)
    for name in ("train", "heldout"):
        told_by_the_loss(tmp_path / "composed-trials" / name, 200)
    rows = {row.claim: row for row in Claims(results=tmp_path).answer()}
    grid = rows["asg-base − grid tuned by source validation, all families"]
    # The mean of the paired differences that the comparison has published.
    assert grid.found.value == pytest.approx(0.06715, abs=1e-4)
    assert grid.verdict == "holds"
    garments = "asg-base, mean over base LRs − best schedule at its best, garments, SGD"
    assert rows[garments].verdict == "not run"
    lost = "asg-base: tasks at chance where the tuned grid is not (share, as a loss)"
    assert rows[f"{lost}, default base LR, zero-shot"].found.value == 0.0
    # Three of the five families have the same twenty tasks, which are drawn as one.
    assert (grid.found.tasks, grid.found.runs) == (60, 100)
    elsewhere = rows["asg-base − cosine at the right base LR, a task of no family, SGD"]
    assert elsewhere.found.value == pytest.approx(0.3076 - 0.4521, abs=1e-3)
    assert elsewhere.verdict == "falls short"
    assert rows["asg-base − L-DoG, zero-shot tasks, mean over base LRs"].verdict == "not run"
    share = (
        "share of the gap to the best of each task, data kinds left out, the best by other images"
    )
    assert rows[share].found.value >= 0.9
    assert rows[f"{share} and another seed"].verdict == "not run"
    (tmp_path / "garments-32-going-back").symlink_to(published / "garments-32-going-back")
    rows = {row.claim: row for row in Claims(results=tmp_path).answer()}
    # The mean of its three base LRs, less that of a large LR with guidance at the right one.
    assert rows[garments].found.value == pytest.approx(0.6 - 0.62, abs=1e-3)
    with pytest.raises(ValueError, match="there are no results in"):
        Claims(results=tmp_path / "nowhere").answer()

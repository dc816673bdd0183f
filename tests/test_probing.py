"""Policies that probe: the forest, what is remembered, and what is decided when the probe ends."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor
from test_train import config
from tiny import TinyFamily

import l2o
from l2o.benchmarks.studies.claims import Claims
from l2o.benchmarks.studies.offline import Offline
from l2o.benchmarks.studies.trial_gains import best_by_another_seed, by_task
from l2o.deciding.architectures import make_network
from l2o.envs.episode_rules import EpisodeRules
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.files.atomic import DamagedFileError
from l2o.networks.forest import Forest
from l2o.networks.probing import ProbingNetwork
from l2o.networks.run_summary import NEEDED, RunSummary
from l2o.policies.algorithms import ALGORITHMS
from l2o.policies.offline.data_set import DataSet, load_data_set, save_data_set
from l2o.policies.offline.fit import as_forest, features_of, gains_of, summary_of
from l2o.policies.offline.points import PROBE, Point
from l2o.policies.offline.trial import Trial, Trier, from_plain, to_plain
from l2o.signals import DEFAULT_SIGNALS

POINTS = ((1e-6, 0.05), (1e-3, 0.05), (1e-2, 0.2))


def network(points=POINTS, share=0.25, **more):
    fields = {"fallback": 1, "trees": 1, "nodes": 3, "depth": 1, "low": 1e-8, "high": 1e4}
    return ProbingNetwork(DEFAULT_SIGNALS, points, PROBE, share, **fields | more)


def splitting(made, feature, threshold):
    """Let a network choose its last point where the feature is larger, else its first."""
    forest = made.forest
    forest.feature[0, 0], forest.threshold[0, 0] = feature, threshold
    forest.left[0] = torch.tensor([1, 1, 2])
    forest.right[0] = torch.tensor([2, 1, 2])
    forest.value[0, 1, 0] = forest.value[0, 2, len(made.points) - 1] = 1.0
    return made


def observation(progress, layers=3, **columns):
    """Layers that were measured: moved by 1 % at a multiplier of 1 and a learning rate of 0.01."""
    names = list(DEFAULT_SIGNALS)
    seen = torch.zeros(layers, len(names))
    told = {"present": 1.0, "has_gradient": 1.0, "has_progress": 1.0, "progress": progress}
    told |= {"base_lr": -0.5, "update_norm": -0.5}
    for name, value in (told | columns).items():
        seen[:, names.index(name)] = value
    seen[:, names.index("depth")] = torch.linspace(0, 1, layers)
    seen[-1, names.index("is_head")] = 1.0
    return seen


def play(made, *seen):
    policy = l2o.LearnedPolicy(made, made.range, l2o.SignalSpec(DEFAULT_SIGNALS), 5)
    state, decided = policy.initial_state(len(seen[0])), []
    for each in seen:
        multipliers, state = policy(each, state)
        decided.append(multipliers)
    return decided, state


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), outputs=st.integers(1, 4))
def test_a_forest_tells_what_scikit_learn_does(seed, outputs):
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(60, 5)).astype(np.float32).round(1)
    wanted = draw.normal(size=(60, outputs))
    fitted = RandomForestRegressor(n_estimators=4, random_state=seed)
    fitted.fit(features, wanted if outputs > 1 else wanted[:, 0])
    forest = as_forest([tree.tree_ for tree in fitted.estimators_], outputs)
    # Features that lie on thresholds, too: they are rounded alike.
    asked = draw.normal(size=(200, 5)).astype(np.float32).round(1)
    right = fitted.predict(asked).reshape(200, outputs)
    np.testing.assert_allclose(forest(torch.from_numpy(asked)).numpy(), right, atol=1e-5)


def test_thresholds_between_neighbours_part_them():
    low = np.float32(2.0)
    features = np.array([[low], [np.nextafter(low, np.float32(3))]])
    fitted = RandomForestRegressor(n_estimators=1, bootstrap=False).fit(features, [0.0, 1.0])
    forest = as_forest([fitted.estimators_[0].tree_], 1)
    assert forest(torch.from_numpy(features)).flatten().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("size", ["trees", "nodes", "depth"])
def test_a_forest_of_nothing_is_refused(size):
    sizes = {"trees": 1, "nodes": 1, "depth": 1} | {size: 0}
    with pytest.raises(ValueError, match=f"{size} must be at least 1, got 0"):
        Forest(**sizes, outputs=1)


def test_a_summary_has_the_numbers_that_it_names():
    seen = {name: torch.zeros(4) for name in (*NEEDED, "drift", "loss")}
    seen["present"], seen["is_head"] = torch.ones(4), torch.tensor([0.0, 0.0, 0.0, 1.0])
    seen["depth"] = torch.tensor([0.0, 0.3, 0.7, 1.0])
    seen["drift"], seen["loss"] = torch.tensor([3.0, 1.0, 2.0, 9.0]), torch.full((4,), 0.5)
    summary = RunSummary(list(seen))
    told = dict(zip(summary.names, summary(seen).tolist(), strict=True))
    assert [told[f"drift {kind}"] for kind in ("mean", "first", "last", "most", "least")] == [
        *(2.0, 3.0, 2.0, 3.0, 1.0)
    ]
    assert told["drift head"] == 9.0
    assert told["loss"] == 0.5
    assert told["layers"] == pytest.approx(np.log10(3))


def test_a_summary_tells_what_it_is_asked_for():
    names = [*NEEDED, "drift", "loss"]
    summary = RunSummary(names, about=["loss", "drift", "layers"], statistics=["head", "mean"])
    assert summary.names == ("drift mean", "drift head", "loss", "layers")
    seen = {name: torch.rand(3) for name in names}
    seen["present"], seen["is_head"] = torch.ones(3), torch.tensor([0.0, 0.0, 1.0])
    told = dict(zip(RunSummary(names).names, RunSummary(names)(seen), strict=True))
    for name, value in zip(summary.names, summary(seen), strict=True):
        assert value == told[name]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            {"about": ["proxy_kl"]},
            "about has proxy_kl; .* can tell drift, loss, learning_rate, lay",
        ),
        ({"statistics": ["median"]}, "statistics has median; .* can tell mean, first, last, most"),
    ],
)
def test_a_summary_of_what_is_not_there_is_refused(asked, told):
    with pytest.raises(ValueError, match=told):
        RunSummary([*NEEDED, "drift", "loss"], **asked)


def test_padding_changes_no_summary():
    seen = {name: torch.rand(3) for name in (*NEEDED, "drift", "size")}
    seen["present"], seen["is_head"] = torch.ones(3), torch.tensor([0.0, 0.0, 1.0])
    summary = RunSummary(list(seen))
    padded = {name: torch.cat([values, torch.zeros(2)]) for name, values in seen.items()}
    torch.testing.assert_close(summary(padded), summary(seen), rtol=0, atol=0)


def test_it_begins_gently_and_goes_to_the_point_that_the_forest_picks():
    made = splitting(network(), RunSummary(DEFAULT_SIGNALS).names.index("loss"), 0.1)
    start = observation(0.0, has_gradient=0.0, update_norm=0.0)
    seen = [start, *(observation(t, loss=0.2) for t in (0.1, 0.25, 0.5))]
    decided, _ = play(made, *seen)
    # Unmeasured: a learning rate of 1e-4. In the probe 1e-4 and 5 %, from steps of 1 %.
    torch.testing.assert_close(decided[0], torch.full((3,), 0.01))
    cosine = float(0.5 * (1 + np.cos(np.pi * 0.1)))
    probed = torch.tensor([0.1, 0.1, 5.0 * cosine])  # a tenth at most per decision
    torch.testing.assert_close(decided[1], probed)
    fallen = float(0.5 * (1 + np.cos(np.pi * 0.25)))
    torch.testing.assert_close(decided[2], torch.tensor([fallen, fallen, 10.0]))
    torch.testing.assert_close(decided[3], torch.tensor([0.5, 0.5, 10.0]))


def test_what_it_chose_it_keeps():
    made = splitting(network(), RunSummary(DEFAULT_SIGNALS).names.index("loss"), 0.1)
    same, _ = play(made, *(observation(t, loss=0.2) for t in (0.0, 0.25, 0.5)))
    later, _ = play(made, *(observation(t, loss=v) for t, v in ((0, 0.2), (0.25, 0.2), (0.5, 0))))
    assert torch.equal(same[-1], later[-1])


def test_without_a_length_it_takes_the_point_that_is_best_on_the_whole():
    made = splitting(network(patience=3), RunSummary(DEFAULT_SIGNALS).names.index("loss"), 0.1)
    seen = [observation(0.0, has_progress=0.0, loss=0.2)] * 5
    decided, state = play(made, *seen)
    assert state["memory"][1:3].tolist() == pytest.approx(np.log10(POINTS[1]).tolist())
    torch.testing.assert_close(decided[2], torch.tensor([0.1, 0.1, 5.0]))
    torch.testing.assert_close(decided[3], torch.tensor([0.1, 0.1, 5.0]))


def test_many_runs_decide_as_one_by_one():
    made = splitting(network(), RunSummary(DEFAULT_SIGNALS).names.index("loss"), 0.1)
    runs = [[observation(t, loss=loss) for t in (0.0, 0.1, 0.3, 0.6)] for loss in (0.0, 0.2, 0.3)]
    policy = l2o.LearnedPolicy(made, made.range, l2o.SignalSpec(DEFAULT_SIGNALS), 5)
    states = [policy.initial_state(3)] * len(runs)
    alone = [play(made, *run)[0] for run in runs]
    for step in range(4):
        together, states = policy.many(torch.stack([run[step] for run in runs]), states)
        assert all(torch.equal(together[n], alone[n][step]) for n in range(len(runs)))


def test_a_bundle_of_it_answers_alike(tmp_path):
    made = splitting(network(), RunSummary(DEFAULT_SIGNALS).names.index("loss"), 0.1)
    policy = l2o.LearnedPolicy(made, made.range, l2o.SignalSpec(DEFAULT_SIGNALS), 5)
    again = l2o.load_policy(l2o.save_policy(tmp_path / "bundle", policy, {}))
    seen = [observation(t, loss=0.2) for t in (0.0, 0.1, 0.3)]
    assert all(map(torch.equal, play(made, *seen)[0], play(again.network, *seen)[0]))
    assert make_network(made.architecture()).architecture() == made.architecture()


def test_what_it_needs_is_named():
    with pytest.raises(ValueError, match=r"needs the signals .*update_norm"):
        ProbingNetwork(["present"], POINTS, PROBE, 0.1, 0, 1, 1, 1, 1e-8, 1e4)
    with pytest.raises(ValueError, match="share must be between 0 and 1"):
        network(share=1.0)


RULES = EpisodeRules(
    TinyFamily(steps=40), {"interval": 4}, {"base_lr": [0.01, 0.1], "signals": DEFAULT_SIGNALS}
)


@pytest.mark.parametrize("repeat", [0, 1])
def test_a_trial_is_what_single_fine_tunes_at_its_points_are(repeat):
    trial = Trier(RULES, [Point(*each) for each in POINTS], PROBE, 0.25)(3, repeat)
    assert trial.repeat == repeat
    drawn = RULES.draw(np.random.default_rng(3))
    assert trial.seen.shape == (4, 3, len(DEFAULT_SIGNALS))  # at 0, 4, 8 and 12 steps of 40
    for number, point in enumerate(POINTS):
        made = network(points=[point], nodes=1, fallback=0)
        policy = l2o.LearnedPolicy(made, made.range, RULES.signals, 4)
        task = RULES.sample(drawn["task_seed"])
        seed = drawn["seed"] + repeat
        run = FineTune(task, RULES.loop, policy=policy, seed=seed, base_lr=drawn["base_lr"])
        run.advance(run.steps)
        reached = run.scores("target_test")["accuracy"]
        assert trial.target[:, number].mean() == pytest.approx(reached, abs=1e-6)


def test_a_network_remembers_what_the_data_set_tells():
    trial = Trier(RULES, [Point(*each) for each in POINTS], PROBE, 0.25)(4)
    summary = summary_of(DEFAULT_SIGNALS)
    made = network(about=summary.about, statistics=summary.statistics)
    state = made.initial_state(3)
    for seen in torch.from_numpy(trial.seen):
        _, _, state = made(seen, state)
    columns = dict(zip(made.signals, torch.from_numpy(trial.seen[-1]).unbind(-1), strict=True))
    told = made.describe(columns, state).numpy()
    np.testing.assert_allclose(told, features_of(trial, DEFAULT_SIGNALS, summary), atol=1e-6)


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


def told_by_the_loss(folder, count=60):
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
        facts["optimizer"] = number % 8
        scores = target, 1.0 - target[0], np.zeros(3), np.zeros(3, bool)
        trials.append(Trial(number, facts, seen, *scores, 0.1, 10))
    points = tuple(Point(*each) for each in POINTS)
    return save_data_set(folder, DataSet(tuple(DEFAULT_SIGNALS), points, trials))


def test_the_study_tells_what_there_is_to_win(tmp_path):
    told_by_the_loss(tmp_path)
    study = Offline(data=tmp_path, heldout=tmp_path, trees=10, leaf=5, importance=True)
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
    assert "lost without drift" not in lost
    told = "forest that is told the probe and source validation of all points, each kind left out"
    assert rows[told].value >= best.value
    assert rows["the same over the trust ratio"].tasks == 60


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


def test_a_learner_begins_with_a_data_set(tmp_path):
    told_by_the_loss(tmp_path, 12)
    options = {"points": [list(point) for point in POINTS], "data": str(tmp_path)}
    given = config(environment={"multipliers": {"kind": "log", "low": 1e-8, "high": 1e4}})
    learner = ALGORITHMS["offline"](given, **options, trees=2, leaf=2)
    assert (learner.episodes, learner.fine_tune_steps) == (36, 360)
    network = learner.policy().network
    assert isinstance(network, ProbingNetwork)
    assert len(network.forest.feature) == 2
    with pytest.raises(ValueError, match="has other points than this training"):
        ALGORITHMS["offline"](given, data=str(tmp_path))


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
    assert rows["asg-base − best schedule at its base LR, garments, SGD"].found.value == (
        pytest.approx(-0.03067)
    )
    elsewhere = rows["asg-base − cosine at the right base LR, a task of no family, SGD"]
    assert elsewhere.found.value == pytest.approx(0.2983 - 0.4629, abs=1e-3)
    assert elsewhere.verdict == "falls short"
    assert rows["asg-base − L-DoG, zero-shot tasks, mean over base LRs"].verdict == "not run"
    share = (
        "share of the gap to the best of each task, data kinds left out, the best by other images"
    )
    assert rows[share].found.value >= 0.9
    assert rows[f"{share} and another seed"].verdict == "not run"
    with pytest.raises(ValueError, match="there are no results in"):
        Claims(results=tmp_path / "nowhere").answer()

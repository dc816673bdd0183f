"""Policies that probe: the forest, what is remembered, and what is decided when the probe ends."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor
from tiny import TinyFamily

import l2o
from l2o.deciding.architectures import make_network
from l2o.envs.episode_rules import EpisodeRules
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.networks.forest import Forest
from l2o.networks.probing import ProbingNetwork
from l2o.networks.run_summary import NEEDED, RunSummary
from l2o.policies.offline.fit import as_forest, features_of, summary_of
from l2o.policies.offline.points import PROBE, Point
from l2o.policies.offline.trial import Trier
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

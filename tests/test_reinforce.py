"""REINFORCE: exact numbers, both kinds of networks, runs that end and go on."""

import os
import signal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_train import config as ppo_config
from test_train import start, wait_for_checkpoint
from tiny import TinyFamily

import l2o
from l2o.configs.load import load_config
from l2o.deciding.asg_policy import ASG_SIGNALS, ASGPolicy
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.policies.common.checkpoint import CHECKPOINT, load_checkpoint
from l2o.policies.reinforce import BASELINES, ReinforceLearner
from l2o.policies.reinforce.baselines import discounted_returns
from l2o.policies.reinforce.rollout import Batch, Episode, act, replay
from l2o.policies.train import train


class ThreeLayers(TinyFamily):
    """Without padding: ASG's policy has a head for each layer group."""

    @property
    def max_layers(self):
        return 3


ASG = {
    "task": {"name": "test_reinforce:ThreeLayers"},
    "environment": {
        "base_lr": [0.05, 0.05],
        "multipliers": {"kind": "bins"},
        "signals": list(ASG_SIGNALS),
        "rewards": {"source_loss": 1.0, "proxy_kl": 0.3},
        "signal_dropout": 0.0,
    },
    "network": {"kind": "asg_2020", "hidden": 20},
}
SHARED = {"network": {"hidden": 8, "recurrent": True}}
BINS = {**SHARED, "environment": {"base_lr": [0.01, 0.1], "multipliers": {"kind": "bins"}}}


def config(fields=ASG, **more):
    options = more.pop("options", {})
    algorithm = {"algorithm": {"name": "reinforce", "options": options}}
    return ppo_config(**(fields | algorithm | more))


@pytest.fixture
def make():
    made = []

    def build(settings):
        made.append(ReinforceLearner(settings, **settings.algorithm.options))
        return made[-1]

    yield build
    for learner in made:
        learner.close()


numbers = st.floats(-10, 10)


@settings(max_examples=50, deadline=None)
@given(rewards=arrays(np.float64, (3, 5), elements=numbers), discount=st.floats(0, 1))
def test_returns_are_discounted_sums(rewards, discount):
    expected = [
        [sum(discount**k * row[t + k] for k in range(5 - t)) for t in range(5)] for row in rewards
    ]
    np.testing.assert_allclose(discounted_returns(rewards, discount), expected, atol=1e-9)


def test_baselines_are_what_their_names_say():
    generator = np.random.default_rng(0)
    rewards, returns = generator.normal(size=(2, 6, 4))
    mask = np.ones((6, 4), bool)
    mask[5, 2:] = False
    rewards, returns = rewards * mask, returns * mask
    found = {name: make(returns, rewards, mask) for name, make in BASELINES.items()}
    assert not found["none"].any()
    assert found["batch_mean"][mask] == pytest.approx(returns[mask].mean())
    for t in range(4):
        there = mask[:, t]
        assert found["decision_mean"][there, t] == pytest.approx(returns[there, t].mean())
        expected = returns[there, t].mean()
        if t:
            slope, offset = np.polyfit(rewards[there, t - 1], returns[there, t], 1)
            expected = slope * rewards[there, t - 1] + offset
        assert found["decision_fit"][there, t] == pytest.approx(expected)


@pytest.mark.parametrize("fields", [ASG, SHARED, BINS], ids=["asg", "log", "bins"])
def test_a_batch_is_replayed_as_it_was_lived(make, fields):
    """Log-probabilities come out as they were when acting, recurrent states included."""
    learner = make(config(fields))
    lived, episodes = [], learner.actor.collect(8)
    with torch.no_grad():
        for episode in episodes:
            memory, chances = learner.network.initial_state(1, len(episode.actions[0])), []
            for seen, action in zip(episode.observations, episode.actions):
                distribution, memory = act(
                    learner.network, learner.log_std, torch.from_numpy(seen)[None], memory
                )
                chances.append(float(distribution.log_prob(torch.from_numpy(action)[None])))
            lived.append((episode, chances))
    # One that diverged halfway is shorter than the others.
    short, chances = lived[0]
    lived[0] = (Episode(short.observations[:2], short.actions[:2], short.rewards[:2]), chances[:2])
    batch = Batch.of([episode for episode, _ in lived])
    log_probs, _ = replay(learner.network, learner.log_std, batch)
    assert batch.mask.sum(axis=1).tolist() == [2, *[4] * 7]
    for row, (episode, expected) in enumerate(lived):
        count = len(expected)
        assert log_probs[row, :count].tolist() == pytest.approx(expected, abs=1e-5)
        assert batch.rewards[row, :count].tolist() == pytest.approx(episode.rewards)


@pytest.mark.parametrize("normalise", [False, True])
def test_the_gradient_is_that_of_a_plain_loop(make, normalise):
    options = {"baseline": "decision_mean", "normalise": normalise, "entropy": 0.1}
    learner = make(config(options=options | {"discount": 0.5, "max_grad_norm": 1e9}))
    batch = Batch.of(learner.actor.collect(4))
    number, decisions = batch.mask.shape
    advantages = np.zeros((number, decisions))
    for t in range(decisions):
        returns = [
            sum(0.5 ** (k - t) * batch.rewards[n, k] for k in range(t, decisions))
            for n in range(number)
        ]
        left = np.array(returns) - np.mean(returns)
        advantages[:, t] = left / np.sqrt(np.mean(left**2)) if normalise else left
    total = torch.zeros(())
    for n in range(number):
        memory = learner.network.initial_state(3)
        for t in range(decisions):
            logits, _, memory = learner.network(batch.observations[n, t], memory)
            for group in range(3):
                logs = torch.log_softmax(logits[group], dim=-1)
                total = total + advantages[n, t] * logs[batch.actions[n, t, group]]
                total = total - 0.1 * (logs.exp() * logs).sum()
    expected = torch.autograd.grad(-total / (number * decisions), learner._parameters())
    learner._learn(batch)
    for parameter, gradient in zip(learner._parameters(), expected):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "fields", [ASG, SHARED, BINS, ASG | {"stacked": False}], ids=["asg", "log", "bins", "unstacked"]
)
def test_a_learner_keeps_the_contract(make, fields):
    learner, again = make(config(fields)), make(config(fields))
    told = [learner.iterate(), learner.iterate()]
    assert learner.episodes == 2 * learner.count
    assert learner.fine_tune_steps == learner.episodes * 20
    assert {"return", "reward", "entropy", "gradient_norm", "seconds"} <= set(told[0])
    again.load_state_dict(learner.state_dict())
    assert (again.episodes, again.iterations) == (learner.episodes, 2)
    for mine, theirs in zip(learner._parameters(), again._parameters()):
        assert torch.equal(mine, theirs)
    policy = learner.policy()
    multipliers, _ = policy(torch.ones(3, len(policy.signals)), policy.initial_state(3))
    assert (multipliers >= 0).all()
    learner.iterate()  # the exported policy is a copy
    again_now = policy(torch.ones(3, len(policy.signals)), policy.initial_state(3))[0]
    assert torch.equal(multipliers, again_now)


def test_equal_seeds_learn_equal_policies(make):
    learners = [make(config()) for _ in range(2)]
    for learner in learners:
        torch.manual_seed(0)
        learner.iterate()
    for mine, theirs in zip(*(learner._parameters() for learner in learners)):
        assert torch.equal(mine, theirs)


def test_a_killed_run_resumes(tmp_path):
    fields = config(episodes=100_000).model_dump(mode="json")
    process = start(tmp_path, **fields)
    try:
        wait_for_checkpoint(process, tmp_path / "run" / CHECKPOINT)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
    finally:
        process.kill()
    saved = load_checkpoint(tmp_path / "run")
    train(config(episodes=saved["learner"]["episodes"] + 4), tmp_path / "run", resume=True)
    after = load_checkpoint(tmp_path / "run")
    assert after["iteration"] == saved["iteration"] + 1
    steps = [int(s["step"]) for s in after["learner"]["optimizer"]["state"].values()]
    assert steps == [after["iteration"]] * len(steps)
    policy = l2o.load_policy(tmp_path / "run")
    assert type(policy) is ASGPolicy
    assert policy.groups == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {"baseline": "mean"}}, "unknown baseline 'mean'"),
        ({"options": {"discount": 1.5}}, "discount must be a number"),
        ({"options": {"learning_rate": 0.0}}, "learning_rate must be a number"),
        ({"options": {"episodes": 0}}, "episodes must be at least 1"),
        ({"options": {"gamma": 0.9}}, "no option 'gamma'"),
        ({"environment": {"signals": list(ASG_SIGNALS)}}, "multipliers={kind: bins}"),
        ({"environment": {"multipliers": {"kind": "bins"}}}, "begin with present, current_factor"),
        ({"task": {"name": "tiny:TinyFamily"}}, "each of 4 layer groups cannot learn"),
    ],
)
def test_bad_configs_are_refused(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        train(config(**fields), tmp_path / "run")


def test_ppo_has_no_asg_policy(tmp_path):
    with pytest.raises(ValueError, match=r"algorithm\.name=reinforce"):
        train(ppo_config(**ASG), tmp_path / "run")


@pytest.mark.parametrize("name", ["asg-2020", "asg-2020-memoryless"])
def test_presets_are_the_published_policy(name):
    preset = load_config("train", name)
    assert preset.name == name
    assert preset.environment.signals == ASG_SIGNALS
    assert preset.network.memoryless == name.endswith("memoryless")
    assert preset.algorithm.options["discount"] == 0.0
    # ASG's learning sees no target data, and neither does this one's reward.
    assert set(preset.environment.rewards) == {"source_loss", "proxy_kl", "divergence"}


@pytest.mark.parametrize("fields", [ASG, BINS], ids=["asg", "layer-shared"])
def test_it_learns(make, fields):
    """A base LR that is far too small: the policy learns to leave all of it."""
    environment = ASG["environment"] | {"base_lr": [0.01, 0.01], "rewards": {"source_loss": 1.0}}
    environment |= {} if fields is ASG else {"signals": None}
    options = {"episodes": 16, "learning_rate": 0.03, "baseline": "decision_fit"}
    settings = config(
        fields,
        environment=environment,
        options=options,
        environments=16,
    )
    learner = make(settings)
    for _ in range(25):
        learner.iterate()
    policy = learner.policy()
    run = FineTune(ThreeLayers().sample(7), settings.finetuning, policy=policy, base_lr=0.01)
    run.advance(run.steps)
    chosen = torch.tensor([d.multipliers for d in run.controller.history])
    assert chosen.mean() > 0.75, chosen

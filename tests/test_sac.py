"""Soft actor-critic: the squashed distribution, padding, learning, imitation, resume, refusals."""

import copy
import json
import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv
from test_train import config
from tiny import TinyFamily

import l2o
from l2o.envs.environment import FineTuneEnv
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.policies.common.networks import build_layer_network
from l2o.policies.imitation import imitate
from l2o.policies.sb3 import LayerSACPolicy, SACLearner
from l2o.policies.sb3.sac_policy import LayerActor, LayerCritics
from l2o.policies.sb3.squashed import EDGE, clamp_inward, squashed_gaussian
from l2o.policies.train import train

FEW = {"decisions": 16, "learning_starts": 16, "batch_size": 8, "gradient_steps": 1}


def log_density(action, mean, std):
    """The density of a = tanh(u) / EDGE at an action, in double precision."""
    u = math.atanh(EDGE * action)
    gaussian = -0.5 * ((u - math.atanh(EDGE * max(-1.0, min(1.0, mean)))) / std) ** 2
    slope = (1.0 - math.tanh(u) ** 2) / EDGE
    return gaussian - math.log(std * math.sqrt(2 * math.pi)) - math.log(slope)


@settings(max_examples=50, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 0.5), st.integers(0, 1000))
def test_log_probabilities_are_those_of_the_formula(mean, log_std, seed):
    torch.manual_seed(seed)
    each = squashed_gaussian(
        torch.tensor([mean], dtype=torch.float64), torch.tensor(log_std, dtype=torch.float64)
    )
    action = each.rsample()
    expected = log_density(float(action), mean, math.exp(log_std))
    assert float(each.log_prob(action)) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("mean", [0.0, -0.7, 5.0])
def test_the_density_is_one(mean):
    grid = torch.linspace(-1 / EDGE, 1 / EDGE, 400_001, dtype=torch.float64)[1:-1]
    means = torch.full((1,), mean, dtype=torch.float64)
    density = squashed_gaussian(means, torch.tensor(-0.5, dtype=torch.float64)).log_prob(grid).exp()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1.0, abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(st.floats(-3, 3))
def test_without_noise_an_action_is_what_deployment_does(mean):
    action = squashed_gaussian(torch.tensor([mean]), torch.tensor(-30.0)).sample()
    deployed = l2o.LogRange().best(torch.tensor([[mean]]))
    torch.testing.assert_close(l2o.LogRange().decode(action), deployed, rtol=1e-4, atol=0)


def test_gradients_lead_back_into_the_range():
    values = torch.tensor([-2.0, -2.0, 0.5, 2.0, 2.0], requires_grad=True)
    clamped = clamp_inward(values)
    torch.testing.assert_close(clamped, values.clamp(-1, 1))
    slopes = torch.tensor([3.0, -3.0, 3.0, 3.0, -3.0])
    (clamped * slopes).sum().backward()
    assert values.grad.tolist() == [0.0, -3.0, 3.0, 3.0, 0.0]


def observations(count=5, layers=4, features=3, present=2):
    seen = torch.randn(count, layers, features)
    seen[..., 0] = 1.0
    seen[:, present:] = 0.0
    return seen


def test_padding_has_no_part_in_it():
    torch.manual_seed(0)
    actor = LayerActor(l2o.LayerPolicyNetwork(3, 1, 8), -0.5, -1.5)
    critics = LayerCritics(3, 8)
    seen = observations()
    actions, log_prob = actor.draw(seen)
    means = actor.network(seen)[0].squeeze(-1)
    expected = [
        sum(log_density(a, m, math.exp(-0.5)) for a, m in zip(row[:2], mean[:2], strict=True))
        for row, mean in zip(actions.tolist(), means.tolist(), strict=True)
    ]
    torch.testing.assert_close(log_prob, torch.tensor(expected), rtol=1e-3, atol=1e-3)
    part = seen[:, :2]
    torch.testing.assert_close(actor(seen, True)[:, :2], actor(part, True))
    other = actions.detach().clone()
    other[:, 2:] = torch.rand(5, 2)
    for mine, theirs, short in zip(
        critics(seen, actions), critics(seen, other), critics(part, actions[:, :2]), strict=True
    ):
        assert torch.equal(mine, theirs)
        torch.testing.assert_close(mine, short)
    moved = torch.autograd.grad(critics(seen, actions)[0].sum() + log_prob.sum(), actions)[0]
    assert (moved[:, 2:] == 0).all()
    assert (moved[:, :2] != 0).all()


def test_the_entropy_aimed_at_is_per_layer_that_is_present():
    actor = LayerActor(l2o.LayerPolicyNetwork(3, 1, 8), -0.5, -1.5)
    seen = torch.cat([observations(1, present=1), observations(1, present=3)])
    torch.manual_seed(3)
    _, bare = actor.draw(seen)
    torch.manual_seed(3)
    _, counted = actor.action_log_prob(seen)
    torch.testing.assert_close(counted - bare, torch.tensor([-1.5, -4.5]))


def test_the_sb3_policy_saves_and_loads_equal_and_equals_its_export(tmp_path):
    environment = {"multipliers": {"kind": "log", "low": 0.01, "high": 1.0}}
    env = FineTuneEnv(TinyFamily(), {"interval": 5}, environment)
    model = SAC(
        LayerSACPolicy,
        env,
        learning_starts=4,
        batch_size=8,
        target_entropy=0.0,
        policy_kwargs={"hidden": 8},
        seed=0,
    )
    model.learn(8)
    with torch.no_grad():
        model.actor.network.head[-1].weight.mul_(300)  # far out of the range, too
    model.save(tmp_path / "own.zip")
    again = SAC.load(tmp_path / "own.zip", env=env)
    policy = l2o.LearnedPolicy(model.actor.network, env.multipliers, env.signals, 5)
    observation, info = env.reset(seed=1)
    outputs = []
    for _ in range(3):
        action, _ = model.predict(observation, deterministic=True)
        np.testing.assert_array_equal(action, again.predict(observation, deterministic=True)[0])
        real = torch.as_tensor(observation[: info["layers"]])
        expected = env.multipliers.decode(torch.as_tensor(action))[: info["layers"]]
        torch.testing.assert_close(policy(real, {})[0], expected)
        outputs.append(model.actor.network(real)[0].detach())
        noisy, _ = model.predict(observation)
        assert env.action_space.contains(noisy)
        observation = env.step(action)[0]
    assert torch.cat(outputs).abs().max() > 1.0


class Aim(gym.Env):
    """One decision: each of one to three layers should act what its signal says."""

    observation_space = spaces.Box(-1, 1, (3, 2))
    action_space = spaces.Box(-1, 1, (3,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seen = np.zeros((3, 2), np.float32)
        layers = self.np_random.integers(1, 4)
        self.seen[:layers, 0] = 1.0
        self.seen[:layers, 1] = self.np_random.uniform(-0.8, 0.8, layers)
        return self.seen, {}

    def step(self, action):
        error = np.square(action - self.seen[:, 1]) * self.seen[:, 0]
        return self.seen, -10 * float(error.sum() / self.seen[:, 0].sum()), True, False, {}


def test_it_learns_what_each_layer_should_do():
    model = SAC(
        LayerSACPolicy,
        DummyVecEnv([Aim] * 8),
        learning_rate=0.01,
        learning_starts=64,
        batch_size=64,
        ent_coef="auto_0.1",
        target_entropy=0.0,
        policy_kwargs={"hidden": 16},
        seed=0,
    )
    seen = torch.from_numpy(np.stack([Aim().reset(seed=seed)[0] for seed in range(64)]))

    def error():
        with torch.no_grad():
            off = (model.actor(seen, True) - seen[..., 1]).square() * seen[..., 0]
        return float(off.sum() / seen[..., 0].sum())

    before = error()
    model.learn(8 * 250)
    assert error() < before / 4


def make(options=FEW, **fields):
    settings = config(algorithm={"name": "sac", "options": options}, **fields)
    return SACLearner(settings, **options)


def test_it_learns_on_fine_tunes():
    """A policy that starts at a hundredth of a good LR learns to raise it."""
    options = {
        "decisions": 128,
        "learning_starts": 128,
        "batch_size": 64,
        "learning_rate": 0.003,
        "gradient_steps": 8,
    }
    learner = make(
        options,
        environment={
            "base_lr": [0.0005, 0.0005],
            "multipliers": {"kind": "log", "low": 0.1, "high": 1000.0},
            "rewards": {"source_loss_change": 1.0},
            "signal_dropout": 0.0,
        },
        environments=16,
    )
    while learner.episodes < 160:
        learner.iterate()
    losses = []
    for policy in (learner.policy(), l2o.SchedulePolicy("constant")):
        finetuning = learner.config.finetuning
        run = FineTune(TinyFamily().sample(7), finetuning, policy=policy, base_lr=0.0005)
        run.advance(run.steps)
        losses.append(run.scores("source_validation")["loss"])
    learner.close()
    assert losses[0] < losses[1] - 0.2


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_a_resumed_run_fills_its_buffer_before_it_learns():
    first, second = make(), make()
    try:
        first.iterate()
        first.iterate()
        assert first.model._n_updates == 4 * 1
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        assert second.model.log_ent_coef.item() == first.model.log_ent_coef.item() != math.log(0.1)
        before = weights(second.model.policy)
        assert all(torch.equal(before[k], v) for k, v in first.model.policy.state_dict().items())
        second.iterate()
        assert second.model.replay_buffer.size() == 16 // 4
        after = weights(second.model.policy)
        assert all(torch.equal(before[name], after[name]) for name in before)
        metrics = second.iterate()
        assert metrics["n_updates"] == 8
        now = weights(second.model.policy)
        assert any(not torch.equal(now[name], after[name]) for name in now)
        steps = [state["step"] for state in second.model.critic.optimizer.state.values()]
        assert {int(step) for step in steps} == {8}
    finally:
        first.close()
        second.close()


def test_critics_alone_leave_what_was_imitated():
    options = FEW | {"learning_starts": 0, "critic_first": 1}
    fields = {
        "environment": {
            "base_lr": [0.01, 0.1],
            "multipliers": {"kind": "log", "low": 1e-4, "high": 1e3},
        },
        "imitation": {"schedule": "linear", "episodes": 8, "epochs": 2},
        "network": {"anchor": "update", "hidden": 8},
    }
    learner = make(options, **fields)
    try:
        expected = build_layer_network(learner.config)
        expected.load_state_dict(learner._actor.network.state_dict())
        imitate(expected, learner.config)
        critic = weights(learner.model.critic)
        learner.iterate()
        assert learner.episodes >= 8
        after = weights(learner._actor.network)
        for name, tensor in expected.state_dict().items():
            torch.testing.assert_close(after[name], tensor)
        now = learner.model.critic.state_dict()
        assert any(not torch.equal(critic[name], now[name]) for name in critic)
        learner.iterate()
        now = learner._actor.network.state_dict()
        assert not torch.equal(after["anchor.seen.weight"], now["anchor.seen.weight"])
    finally:
        learner.close()


def test_a_fixed_weight_of_the_entropy_stays():
    learner = make(FEW | {"learning_starts": 0, "entropy": 0.05})
    try:
        metrics = learner.iterate()
        assert metrics["ent_coef"] == pytest.approx(0.05)
        assert learner.state_dict()["log_entropy"] is None
        learner.load_state_dict(copy.deepcopy(learner.state_dict()))
    finally:
        learner.close()


def test_equal_seeds_learn_the_same():
    learned = []
    for _ in range(2):
        learner = make(FEW | {"learning_starts": 0})
        learner.iterate()
        learned.append(weights(learner.model.policy))
        learner.close()
    assert all(torch.equal(learned[0][name], learned[1][name]) for name in learned[0])


def test_an_unstacked_run_writes_its_folder(tmp_path):
    options = FEW | {"decisions": 8, "learning_starts": 0}
    given = config(stacked=False, algorithm={"name": "sac", "options": options}, episodes=3)
    out = train(given, tmp_path)
    assert l2o.read_card(out)["config"]["algorithm"]["name"] == "sac"
    rows = (out / "metrics.jsonl").read_text().splitlines()
    assert {"ent_coef", "critic_loss", "std", "return"} <= json.loads(rows[-1]).keys()


@pytest.mark.parametrize(
    ("fields", "options", "words"),
    [
        ({"environment": {"multipliers": {"kind": "bins"}}}, {}, ["sac", "kind: log"]),
        ({"network": {"recurrent": True}}, {}, ["sac", "network.recurrent=false"]),
        ({"network": {"kind": "asg_2020"}}, {}, ["sac", "asg_2020", "network.kind=layer_shared"]),
        ({}, {"decisions": 18}, ["decisions=18", "4 environments"]),
        ({}, {"decisions": 16, "train_freq": 3}, ["multiple", "train_freq=3"]),
        ({}, {"train_freq": 0}, ["train_freq", "0"]),
        ({}, {"buffer_size": 3}, ["buffer_size=3", "4 environments"]),
        ({}, {"tau": 0.0}, ["tau", "0.0"]),
        ({}, {"discount": 1.5}, ["discount", "1.5"]),
        ({}, {"batch_size": 0}, ["batch_size", "0"]),
        ({}, {"entropy": "atuo"}, ["entropy", "auto_X", "atuo"]),
        ({}, {"entropy": "auto_0"}, ["entropy", "auto_X", "auto_0"]),
        ({}, {"entropy": -1.0}, ["entropy", "-1.0"]),
    ],
)
def test_what_does_not_fit_is_refused(fields, options, words):
    with pytest.raises(ValueError) as error:
        make(FEW | options, **fields)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_other_actions_are_refused_by_the_policy():
    seen = spaces.Box(-1, 1, (3, 4))
    with pytest.raises(ValueError, match="Box \\[L\\]"):
        LayerSACPolicy(seen, spaces.MultiDiscrete([2, 2]), lambda _: 1e-3)
    with pytest.raises(ValueError, match="Box \\[L, F\\]"):
        LayerSACPolicy(spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (3,)), lambda _: 1e-3)

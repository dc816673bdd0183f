"""FineTuneEnv: checkers, determinism, and equality with a hand-written loop."""

import gymnasium
import numpy as np
import pytest
import stable_baselines3.common.env_checker
import torch
from gymnasium.utils.env_checker import check_env
from tiny import TinyFamily
from torch.nn import functional

import l2o.envs  # noqa: F401  (registers the environment)
from l2o.configs.schema import FineTuning
from l2o.control.controller import LRController
from l2o.deciding.policy import Policy
from l2o.envs.environment import FineTuneEnv
from l2o.envs.fine_tuning.fresh import fresh_model
from l2o.envs.fine_tuning.orders import batches
from l2o.envs.rewards import REWARDS
from l2o.guidance import ProxyKL
from l2o.layers.groups import group_layers, param_groups
from l2o.signals.spec import SignalSpec

LOG = {"kind": "log", "low": 0.01, "high": 10.0}
BINS = {"kind": "bins", "values": [0.1 * i for i in range(11)]}


def environment(multipliers=LOG, **fields):
    config = {"multipliers": multipliers, "signal_dropout": 0.0, **fields}
    return FineTuneEnv(TinyFamily(), {"interval": 5}, config)


@pytest.mark.parametrize("multipliers", [LOG, BINS], ids=["log", "bins"])
@pytest.mark.filterwarnings("ignore:.*unconventional shape.*")
@pytest.mark.filterwarnings("ignore:.*MultiDiscrete.*")
def test_checkers_of_gymnasium_and_sb3(multipliers):
    check_env(environment(multipliers), skip_render_check=True)
    stable_baselines3.common.env_checker.check_env(environment(multipliers))


def test_made_by_name():
    env = gymnasium.make("l2o/SynToReal-v0", task=TinyFamily())
    observation, info = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert info["layers"] == 3


def episode(env, seed, actions):
    observations = [env.reset(seed=seed)[0]]
    rewards, done = [], False
    for action in actions:
        observation, reward, done, truncated, _ = env.step(action)
        observations.append(observation)
        rewards.append(reward)
        assert not truncated
    assert done
    return np.stack(observations), rewards, [p.clone() for p in env.run.model.parameters()]


@pytest.mark.parametrize("multipliers", [LOG, BINS], ids=["log", "bins"])
def test_the_same_seed_is_bit_equal(multipliers):
    space = environment(multipliers).action_space
    space.seed(0)
    actions = [space.sample() for _ in range(4)]
    one, two = (episode(environment(multipliers), 3, actions) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    assert one[1] == two[1]
    assert all(torch.equal(a, b) for a, b in zip(one[2], two[2]))
    other = episode(environment(multipliers), 4, actions)
    assert not np.array_equal(one[0], other[0])


class Replay(Policy):
    """Gives recorded multipliers, and keeps the observations it was shown."""

    interval = 5
    signals = SignalSpec()

    def __init__(self, recorded):
        self.recorded = list(recorded)
        self.seen = []

    def __call__(self, observation, state):
        self.seen.append(observation.numpy())
        multipliers = self.recorded.pop(0) if self.recorded else torch.ones(len(observation))
        return multipliers, state


@pytest.mark.parametrize("optimizer", ["sgd", "sgd_lr_momentum", "adam", "adamw", "rmsprop"])
def test_an_episode_equals_a_hand_written_loop_with_the_controller(optimizer):
    """LRs, observations and weights are bit-equal: training and deployment are one code."""
    family = TinyFamily()
    env = FineTuneEnv(
        family,
        {
            "interval": 5,
            "optimizer": {"name": optimizer},
            "guidance": {"proxy_kl": {"weight": 0.3}},
        },
        {"multipliers": LOG, "signal_dropout": 0.0},
    )
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(4)]
    observation, info = env.reset(seed=11)
    observations = [observation] + [env.step(action)[0] for action in actions]
    environments = env.run

    task = family.sample(info["task_seed"])
    model = fresh_model(task, info["seed"])
    groups = group_layers(model, head=model.get_classifier())
    replay = Replay(env.multipliers.decode(torch.as_tensor(a))[:3] for a in actions)
    rates = param_groups(groups, info["base_lr"])
    hand = _hand_made(optimizer, rates)
    controller = LRController(replay, hand, groups=groups, total_steps=task.steps)
    guidance, proxy_head = ProxyKL(0.3), task.proxy_head.requires_grad_(False)
    order = batches(len(task.source_train), task.batch_size, info["seed"])
    for _, index in zip(range(task.steps), order):
        features = model.forward_features(task.source_train.images[index])
        loss = functional.cross_entropy(
            model.forward_head(features), task.source_train.labels[index]
        )
        kl = guidance.divergence(proxy_head(features), task.teacher_logits[index])
        controller.observe(loss=loss, proxy_kl=kl)
        (loss + guidance.weigh(kl)).backward()
        hand.step()
        hand.zero_grad()

    for mine, theirs in zip(environments.controller.history, controller.history):
        assert mine.learning_rates == theirs.learning_rates
    for mine, theirs in zip(observations, replay.seen, strict=True):
        np.testing.assert_array_equal(mine[:3], theirs)
        assert not mine[3:].any()
    for mine, theirs in zip(environments.model.parameters(), model.parameters()):
        assert torch.equal(mine, theirs)


def _hand_made(name, rates):
    from l2o.optimizers.momentum_lr_sgd import MomentumLRSGD

    return {
        "sgd": lambda: torch.optim.SGD(rates, momentum=0.9, weight_decay=5e-4),
        "sgd_lr_momentum": lambda: MomentumLRSGD(rates, momentum=0.9, weight_decay=5e-4),
        "adam": lambda: torch.optim.Adam(rates),
        "adamw": lambda: torch.optim.AdamW(rates),
        "rmsprop": lambda: torch.optim.RMSprop(rates),
    }[name]()


@pytest.mark.parametrize("name", REWARDS)
def test_every_reward_is_finite_and_in_the_info(name):
    env = environment(rewards={name: 2.0})
    env.reset(seed=0)
    for _ in range(4):
        _, reward, _, _, info = env.step(env.action_space.sample())
        assert info["rewards"] == {name: reward}
        assert np.isfinite(reward)


def test_rewards_add_up_by_weight():
    env = environment(rewards={"target_accuracy_change": 10.0, "proxy_kl": 1.0})
    env.reset(seed=0)
    first = env.run.scores("target_validation")["accuracy"]
    total = 0.0
    for _ in range(4):
        _, reward, _, _, info = env.step(env.action_space.sample())
        assert reward == pytest.approx(sum(info["rewards"].values()))
        assert info["rewards"]["proxy_kl"] == pytest.approx(-info["proxy_kl"])
        total += info["rewards"]["target_accuracy_change"]
    assert total == pytest.approx(10 * (env.run.scores("target_validation")["accuracy"] - first))


def test_divergence_ends_the_episode_and_stays_finite():
    env = environment(
        base_lr=(1e30, 1e31),
        rewards={"divergence": 1.0, "source_loss_change": 1.0, "proxy_kl": 1.0},
    )
    env.reset(seed=0)
    observation, reward, terminated, _, info = env.step(env.action_space.sample())
    while not terminated:
        observation, reward, terminated, _, info = env.step(env.action_space.sample())
    assert info["diverged"]
    assert info["rewards"]["divergence"] == -1.0
    assert np.isfinite(reward)
    assert env.observation_space.contains(observation)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(env.action_space.sample())


def test_withheld_signals_are_zero_for_the_whole_episode():
    env = environment(signal_dropout=0.99)
    names = env.signals.names
    columns = [names.index(name) for name in ("loss", "has_loss", "proxy_kl", "progress")]
    env.reset(seed=0)
    observation = env.step(env.action_space.sample())[0]
    assert not observation[:, columns].any()
    assert observation[:3, names.index("gradient_norm")].all()


def test_a_pool_of_tasks_is_made_once_each():
    env = environment(tasks=3)
    seeds = {env.reset(seed=seed)[1]["task_seed"] for seed in range(12)}
    assert seeds == {0, 1, 2}
    env.reset(options={"task_seed": 1})
    first = env.run.task
    env.reset(options={"task_seed": 1})
    assert env.run.task is first


def test_reset_options_fix_what_is_drawn():
    env = environment()
    _, info = env.reset(seed=0, options={"base_lr": 0.02, "task_seed": 5})
    assert info["base_lr"] == 0.02
    assert env.run.task.seed == 5
    with pytest.raises(ValueError, match="unknown reset options"):
        env.reset(options={"lr": 1.0})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "digit"}, "Did you mean 'digits'"),
        ({"environment": {"rewards": {"proxy_kll": 1.0}}}, "Did you mean 'proxy_kl'"),
        ({"environment": {"multipliers": {"kind": "lin"}}}, "unknown multiplier range 'lin'"),
        ({"environment": {"multipliers": {"kind": "log", "low": 2, "high": 1}}}, "0 < low < high"),
        ({"environment": {"signals": ["present", "los"]}}, "Did you mean 'loss'"),
        ({"finetuning": {"optimizer": {"name": "sdg"}}}, "Did you mean 'sgd'"),
        (
            {"finetuning": {"optimizer": {"name": "sgd", "options": {"momentun": 0.5}}}},
            "Did you mean 'momentum'",
        ),
        ({"finetuning": {"guidance": {"proxy_k": {}}}}, "Did you mean 'proxy_kl'"),
        ({"finetuning": {"guidance": {"proxy_kl": {"weight": -1}}}}, "weight"),
    ],
)
def test_bad_arguments_name_value_and_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        FineTuneEnv(**{"task": TinyFamily(), **arguments})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_runs_on_cuda():
    env = FineTuneEnv(TinyFamily(), FineTuning(interval=5, device="cuda"))
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[0].any()


def test_cuda_where_there_is_none_is_a_clear_error():
    if torch.cuda.is_available():
        return
    with pytest.raises(ValueError, match="use cpu or auto"):
        FineTuneEnv(TinyFamily(), FineTuning(device="cuda"))

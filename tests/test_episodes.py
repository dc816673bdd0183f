"""Drawing episodes: optimizers, guidance weights, groups; the same for one and for many."""

import numpy as np
import pytest
from test_stacked import in_double
from tiny import TinyFamily

from l2o.configs.schema import Environment, FineTuning
from l2o.envs.environment import FineTuneEnv
from l2o.envs.episode_rules import EpisodeDraws
from l2o.envs.optimizers import SGD, AdamW
from l2o.envs.stacked import StackedFineTuneEnv
from l2o.guidance import L2SP

FINETUNING = {"interval": 5, "guidance": {"proxy_kl": {"weight": 0.5, "cap": 9.0}, "l2_sp": {}}}
DRAWN = {
    "optimizers": [
        {"name": "sgd", "options": {"momentum": 0.5}, "base_lr": [0.01, 0.1]},
        {"name": "adamw", "base_lr": [1e-4, 1e-3]},
    ],
    "guidance_weights": {"proxy_kl": [0.1, 1.0]},
    "guidance_absent": 0.5,
    "rewards": {"target_accuracy_change": 10.0, "divergence": 1.0},
}


def draws(**fields):
    return EpisodeDraws(
        Environment.model_validate(DRAWN | fields), FineTuning.model_validate(FINETUNING)
    )


def test_each_optimizer_has_its_own_range():
    made = draws()
    episodes = [made.draw(np.random.default_rng(seed)) for seed in range(200)]
    for number, (low, high) in enumerate([(0.01, 0.1), (1e-4, 1e-3)]):
        rates = [e["base_lr"] for e in episodes if e["optimizer"] == number]
        assert 60 < len(rates) < 140
        assert low <= min(rates) < low * 2
        assert high / 2 < max(rates) <= high
    assert isinstance(made.inner_optimizer({"optimizer": 1}), AdamW)
    weights = np.array([e["guidance_weights"]["proxy_kl"] for e in episodes])
    assert 0.35 < (weights == 0).mean() < 0.65
    assert weights[weights > 0].min() >= 0.1
    assert weights.max() <= 1.0


def test_the_loop_of_an_episode_has_what_was_drawn_and_keeps_the_rest():
    made = draws()
    loop = made.loop({"optimizer": 0, "guidance_weights": {"proxy_kl": 0.7}})
    assert loop.optimizer == SGD(momentum=0.5)
    assert list(loop.guidance) == ["proxy_kl", "l2_sp"]
    term = loop.guidance["proxy_kl"]
    assert (term.weight, term.cap) == (0.7, 9.0)
    assert made.base.guidance["proxy_kl"].weight == 0.5
    assert vars(loop.guidance["l2_sp"]) == vars(L2SP())
    assert (loop.interval, loop.steps) == (5, None)
    plain = EpisodeDraws(Environment(), FineTuning())
    assert plain.loop({"base_lr": 1.0}) is plain.base


def test_nothing_drawn_draws_what_was_drawn_before_there_was_a_choice():
    drawn = EpisodeDraws(Environment(), FineTuning()).draw(np.random.default_rng(3))
    generator = np.random.default_rng(3)
    assert drawn["task_seed"] == generator.integers(2**31)
    assert drawn["base_lr"] == pytest.approx(
        np.exp(generator.uniform(np.log(0.001), np.log(0.3))), rel=1e-12
    )
    assert drawn["seed"] == generator.integers(2**31)


class Double(TinyFamily):
    """In float64: of a KL of 1e-8 float32 holds no digits, and its logarithm would be all noise."""

    def sample(self, seed):
        return in_double(super().sample(seed))


def test_one_environment_and_many_draw_and_train_the_same():
    family = Double(steps=12)
    many = StackedFineTuneEnv(family, FINETUNING, DRAWN, num_envs=6)
    seen, infos = many.reset(seed=5)
    assert len(set(infos["optimizer"].tolist())) == 2
    singles = [FineTuneEnv(family, FINETUNING, DRAWN) for _ in range(6)]
    for number, env in enumerate(singles):
        one, info = env.reset(seed=5 + number)
        np.testing.assert_allclose(seen[number], one, rtol=1e-5, atol=1e-5)
        assert info["optimizer"] == infos["optimizer"][number]
        assert info["guidance_weights"]["proxy_kl"] == infos["guidance_weights"]["proxy_kl"][number]
    many.action_space.seed(0)
    for _ in range(2):
        actions = many.action_space.sample()
        seen, rewards, *_ = many.step(actions)
        for number, env in enumerate(singles):
            one, reward, *_ = env.step(actions[number])
            np.testing.assert_allclose(seen[number], one, rtol=1e-5, atol=1e-5)
            assert rewards[number] == pytest.approx(reward, abs=1e-5)


@pytest.mark.parametrize("seed", [None, 4, [0, 9, 1, 9]])
def test_a_group_draws_the_same_episodes_again_and_again(seed):
    env = StackedFineTuneEnv(
        TinyFamily(steps=10),
        FINETUNING,
        DRAWN | {"group": 2},
        num_envs=4,
        autoreset_mode="SameStep",
    )
    _, infos = env.reset(seed=seed)
    env.action_space.seed(0)
    for episode in range(3):
        for key in ("task_seed", "base_lr", "seed", "optimizer"):
            one, other, third, fourth = infos[key].tolist()
            assert one == other, (episode, key)
            assert third == fourth, (episode, key)
        assert infos["task_seed"][0] != infos["task_seed"][2]
        env.step(env.action_space.sample())
        *_, ended, _, infos = env.step(env.action_space.sample())
        assert ended.all()


def test_one_that_diverges_waits_for_its_group_and_is_punished_once():
    environment = {
        "group": 2,
        "base_lr": [0.05, 0.05],
        "multipliers": {"kind": "log", "low": 1e-3, "high": 1e30},
        "rewards": {"target_accuracy_change": 10.0, "divergence": 1.0},
    }
    env = StackedFineTuneEnv(TinyFamily(steps=20), {"interval": 5}, environment, num_envs=2)
    env.reset(seed=0)
    actions = np.stack([np.full(4, 1.0), np.full(4, -1.0)]).astype(np.float32)
    penalties, waited = [], []
    for step in range(4):
        _, rewards, ended, _, infos = env.step(actions)
        penalties.append(float(infos["rewards"]["divergence"][0]))
        if sum(penalties[:-1]) < 0:
            waited.append(float(rewards[0]))
        assert ended.tolist() == [step == 3] * 2
    assert sum(penalties) == -1.0
    assert waited
    assert waited == [0.0] * len(waited)


@pytest.mark.parametrize(
    ("fields", "count", "words"),
    [
        ({"group": 3}, 4, ["num_envs=4", "group=3"]),
        ({"guidance_weights": {"si": [0.1, 1.0]}}, 2, ["si", "finetuning.guidance"]),
        ({"optimizers": [{"name": "sgdd"}]}, 2, ["sgdd", "sgd"]),
        ({"optimizers": [{"name": "sgd", "base_lr": [1.0, 0.1]}]}, 2, ["lower end first"]),
        ({"guidance_weights": {"proxy_kl": [1.0, 0.1]}}, 2, ["lower end first"]),
    ],
)
def test_errors_name_value_and_remedy(fields, count, words):
    with pytest.raises(ValueError) as error:
        StackedFineTuneEnv(TinyFamily(), FINETUNING, DRAWN | fields, num_envs=count)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_options_that_are_not_drawn_are_refused():
    with pytest.raises(ValueError, match="optimizer"):
        FineTuneEnv(TinyFamily(), FINETUNING).reset(options={"optimizer": 0})
    _, info = FineTuneEnv(TinyFamily(), FINETUNING, DRAWN).reset(options={"optimizer": 1})
    assert info["optimizer"] == 1

"""StackedFineTuneEnv: the numbers of N FineTuneEnvs, resets, infos, memory, the SB3 adapter."""

from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import PPO
from tiny import TinyFamily

import l2o.envs  # noqa: F401  (registers the environment)
from l2o.configs.schema import TrainConfig
from l2o.envs.environment import FineTuneEnv
from l2o.envs.stacked import StackedFineTuneEnv
from l2o.policies.common.stacked_environments import StackedVecEnv, make_stacked

ENVIRONMENT = {
    "rewards": {"target_accuracy_change": 10.0, "divergence": 1.0, "validation_loss_change": 1.0},
    "signal_dropout": 0.3,
    "validation": True,
}
FINETUNING = {"interval": 5}


def stacked(count=3, environment=ENVIRONMENT, steps=12, **options):
    family = TinyFamily(steps=steps)
    return StackedFineTuneEnv(family, FINETUNING, environment, num_envs=count, **options)


def several(count=3, environment=ENVIRONMENT, steps=12, mode=AutoresetMode.NEXT_STEP):
    makers = [
        partial(FineTuneEnv, TinyFamily(steps=steps), FINETUNING, environment) for _ in range(count)
    ]
    return SyncVectorEnv(makers, autoreset_mode=mode)


def assert_same(mine, theirs, where=""):
    if isinstance(theirs, dict):
        assert mine.keys() == theirs.keys(), where
        for key in theirs:
            assert_same(mine[key], theirs[key], f"{where}.{key}")
    elif isinstance(theirs, np.ndarray) and theirs.dtype == object:
        for one, other in zip(mine, theirs, strict=True):
            assert (one is None) == (other is None), where
            if other is not None:
                assert_same(one, other, where)
    else:
        assert np.asarray(mine).dtype == np.asarray(theirs).dtype, where
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4, err_msg=where)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_it_is_gymnasiums_own_vector_environment_but_stacked(mode):
    one, other = stacked(autoreset_mode=mode), several(mode=mode)
    one.action_space.seed(0)
    assert one.metadata["autoreset_mode"] is mode
    assert one.observation_space == other.observation_space
    assert one.action_space == other.action_space
    mine, theirs = one.reset(seed=7), other.reset(seed=7)
    assert_same(mine[0], theirs[0])
    assert_same(mine[1], theirs[1])
    for _ in range(9):
        actions = one.action_space.sample()
        for got, expected in zip(one.step(actions), other.step(actions), strict=True):
            assert_same(got, expected)


def test_contrastive_guidance(monkeypatch):
    """Views, MLPs and queues begin anew with each episode."""
    term = {"layers": ["first", "second"], "augment": None, "queue": 20, "dim": 6}
    monkeypatch.setitem(FINETUNING, "guidance", {"contrastive": term})
    one, other = stacked(), several()
    one.action_space.seed(0)
    assert_same(one.reset(seed=7)[0], other.reset(seed=7)[0])
    for _ in range(5):
        actions = one.action_space.sample()
        for got, expected in zip(one.step(actions), other.step(actions), strict=True):
            assert_same(got, expected)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_one_that_diverges_begins_anew_while_its_neighbours_go_on(mode):
    env = stacked(6, {**ENVIRONMENT, "base_lr": (0.01, 1e30)}, autoreset_mode=mode)
    env.action_space.seed(0)
    env.reset(seed=1)
    ends = []
    for _ in range(7):
        observation, rewards, ended, _, infos = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        assert np.isfinite(rewards).all()
        if mode is AutoresetMode.SAME_STEP and ended.any():
            diverged = infos["final_info"]["diverged"][ended]
            assert (rewards[ended][diverged] < 0).all()
            assert not infos["step"].any() or infos["_step"].sum() == 6 - ended.sum()
        ends.append(ended)
    assert 0 < np.stack(ends)[:2].sum() < 12


def test_made_by_name():
    env = gymnasium.make_vec(
        "l2o/SynToReal-v0",
        num_envs=4,
        vectorization_mode="vector_entry_point",
        task=TinyFamily(),
    )
    assert isinstance(env.unwrapped, StackedFineTuneEnv)
    observation, infos = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert infos["layers"].tolist() == [3] * 4


def test_disabled_autoreset_and_reset_mask():
    env = stacked(2, steps=5, autoreset_mode="Disabled")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(env.action_space.sample())
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[2].all()
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"\[0, 1\] have ended"):
        env.step(env.action_space.sample())
    _, infos = env.reset(seed=3, options={"reset_mask": np.array([False, True])})
    assert infos["_seed"].tolist() == [False, True]
    with pytest.raises(ValueError, match="unknown reset options"):
        env.reset(options={"lr": 1.0})
    with pytest.raises(ValueError, match="as many seeds"):
        env.reset(seed=[1])


def test_too_many_environments_name_the_number_that_fits():
    env = stacked(50, memory=400_000)
    with pytest.raises(ValueError, match="largest number that fits is") as error:
        env.reset(seed=0)
    fitting = int(str(error.value).rsplit(" ", 1)[1])
    assert 1 <= fitting < 50
    stacked(fitting, memory=400_000).reset(seed=0)
    with pytest.raises(ValueError, match=f"fits is {fitting}$"):
        stacked(fitting + 1, memory=400_000).reset(seed=0)


def test_wrong_number_of_environments():
    with pytest.raises(ValueError, match="at least 1"):
        stacked(0)


def config(**fields):
    environment = {**ENVIRONMENT, "signal_dropout": 0.0}
    return TrainConfig.model_validate(
        {
            "task": {"name": "tiny:TinyFamily", "options": {"steps": 10}},
            "finetuning": FINETUNING,
            "environment": environment,
            **fields,
        }
    )


def episodes(vectorised, steps=5):
    rng = np.random.default_rng(0)
    vectorised.seed(5)
    rows = [vectorised.reset()]
    infos = []
    for _ in range(steps):
        actions = rng.uniform(-1, 1, (vectorised.num_envs, 4)).astype(np.float32)
        observations, _, ended, told = vectorised.step(actions)
        rows.append(observations)
        infos.append(told)
        for end, info in zip(ended, told, strict=True):
            assert end == ("terminal_observation" in info) == info["done"]
    vectorised.close()
    return np.stack(rows), infos


def test_worker_processes_change_nothing():
    alone, told = episodes(StackedVecEnv(partial(make_stacked, config()), 3))
    shared, _ = episodes(StackedVecEnv(partial(make_stacked, config()), 3, num_workers=2))
    np.testing.assert_allclose(alone, shared, rtol=1e-4, atol=1e-4)
    assert [info["step"] for info in told[0]] == [5, 5, 5]
    assert told[1][0]["rewards"].keys() == ENVIRONMENT["rewards"].keys()


def test_an_error_in_a_worker_reaches_the_caller():
    broken = config(finetuning={"optimizer": {"name": "sdg"}})
    with pytest.raises(ValueError, match="Did you mean 'sgd'"):
        StackedVecEnv(partial(make_stacked, broken), 2, num_workers=2)
    with pytest.raises(ValueError, match="between 1 and num_envs=2"):
        StackedVecEnv(partial(make_stacked, config()), 2, num_workers=3)


@pytest.mark.filterwarnings("ignore:.*")
def test_stable_baselines3_learns_on_it():
    environments = StackedVecEnv(partial(make_stacked, config()), 4)
    PPO("MlpPolicy", environments, n_steps=4, batch_size=8, device="cpu").learn(16)

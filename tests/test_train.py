"""Learning with stable-baselines3: distributions, the policy, training runs, resume."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from tiny import TinyFamily

import l2o
from l2o.configs.load import dump_config
from l2o.configs.schema import TrainConfig
from l2o.envs.environment import FineTuneEnv
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.policies.algorithms import ALGORITHMS
from l2o.policies.common.checkpoint import CHECKPOINT, load_checkpoint
from l2o.policies.common.evaluation import Evaluator
from l2o.policies.sb3 import LayerActorCriticPolicy, PPOLearner
from l2o.policies.sb3.distributions import layer_distribution
from l2o.policies.train import Training, train

TESTS = Path(__file__).parent


def config(**fields):
    """Return a small training in this process: where workers are changes nothing it learns."""
    base = {
        "task": {"name": "tiny:TinyFamily"},
        "finetuning": {"interval": 5},
        "environment": {"base_lr": [0.01, 0.1]},
        "network": {"hidden": 8},
        "algorithm": {"name": "ppo", "options": {"decisions": 16, "minibatches": 2, "epochs": 2}},
        "episodes": 12,
        "workers": 1,
        "executor": {"name": "here"},
        "environments": 4,
        "checkpoint_every": 1,
        "evaluation": {"every": 2, "tasks": 2, "base_lrs": [0.05]},
    }
    return TrainConfig.model_validate(base | fields)


@pytest.mark.parametrize("bins", [None, 4])
def test_distributions_do_not_see_padding(bins):
    torch.manual_seed(0)
    present = torch.tensor([[1.0, 1.0, 0.0]])
    outputs = torch.randn(1, 3, bins or 1)
    log_std = None if bins else torch.tensor(-0.5)
    whole = layer_distribution(outputs, log_std, present)
    part = layer_distribution(outputs[:, :2], log_std, present[:, :2])
    actions = whole.sample()
    torch.testing.assert_close(whole.log_prob(actions), part.log_prob(actions[:, :2]))
    torch.testing.assert_close(whole.entropy(), part.entropy())
    each = torch.distributions
    first = each.Categorical(logits=outputs) if bins else each.Normal(outputs[..., 0], np.exp(-0.5))
    torch.testing.assert_close(
        whole.log_prob(actions), first.log_prob(actions)[:, :2].sum(-1), check_dtype=False
    )


@pytest.mark.parametrize(
    "multipliers", [{"kind": "log", "low": 0.01, "high": 1.0}, {"kind": "bins"}]
)
def test_the_sb3_policy_saves_and_loads_equal_and_equals_its_export(multipliers, tmp_path):
    env = FineTuneEnv(TinyFamily(), {"interval": 5}, {"multipliers": multipliers})
    model = PPO(LayerActorCriticPolicy, env, n_steps=8, batch_size=4, n_epochs=1, seed=0)
    model.learn(8)
    model.save(tmp_path / "own.zip")
    again = PPO.load(tmp_path / "own.zip", env=env)
    policy = l2o.LearnedPolicy(model.policy.network, env.multipliers, env.signals, 5)
    observation, info = env.reset(seed=1)
    for _ in range(3):
        action, _ = model.predict(observation, deterministic=True)
        np.testing.assert_array_equal(action, again.predict(observation, deterministic=True)[0])
        real = torch.as_tensor(observation[: info["layers"]])
        expected = env.multipliers.decode(torch.as_tensor(action))[: info["layers"]]
        torch.testing.assert_close(policy(real, {})[0], expected)
        observation = env.step(action)[0]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Box(-1, 1, (3,)), "Box \\[L, F\\]"),
        (spaces.Discrete(3), "Box \\[L, F\\]"),
    ],
)
def test_other_spaces_are_refused(space, message):
    with pytest.raises(ValueError, match=message):
        LayerActorCriticPolicy(space, spaces.Box(-1, 1, (3,)), lambda _: 1e-3)
    with pytest.raises(ValueError, match="MultiDiscrete"):
        LayerActorCriticPolicy(
            spaces.Box(-1, 1, (3, 4)), spaces.MultiDiscrete([2, 3, 4]), lambda _: 1e-3
        )


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stacked", [True, False])
def test_a_run_folder_explains_itself(tmp_path, workers, stacked):
    settings = config(workers=workers, stacked=stacked)
    out = train(settings, tmp_path / "run")
    results = json.loads((out / "results.json").read_text())
    assert results["episodes"] >= 12
    assert results["fine_tune_steps"] >= 12 * 20
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == list(range(1, len(rows) + 1))
    assert {"return", "target_accuracy", "seconds_collecting", "std"} <= set(rows[0])
    assert list((out / "tensorboard").glob("events.*"))
    assert (out / "config.yaml").read_text() == dump_config(settings)
    card = l2o.read_card(out)
    assert card["results"]["evaluation"]["target_accuracy"] == results["best"]["target_accuracy"]
    best = max(e["target_accuracy"] for e in results["evaluations"])
    assert results["best"]["target_accuracy"] == best
    kept = [out / "snapshots" / f"{e['episodes']:06d}" for e in results["evaluations"]]
    assert sorted((out / "snapshots").iterdir()) == kept
    assert [l2o.read_card(each)["results"]["evaluation"]["iteration"] for each in kept] == [
        e["iteration"] for e in results["evaluations"]
    ]
    evaluator = Evaluator(settings)
    score = evaluator.score(l2o.load_policy(out))
    evaluator.close()
    assert score.target_accuracy == pytest.approx(best)
    assert score.runs == 2


def test_the_exported_policy_needs_no_training_library(tmp_path):
    out = train(config(episodes=4), tmp_path / "run")
    script = f"""
import sys, l2o, torch
policy = l2o.load_policy({str(out)!r})
policy(torch.ones(3, len(policy.signals)), policy.initial_state(3))
print(sorted(m for m in ("stable_baselines3", "gymnasium", "ray", "pydantic") if m in sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_the_same_seed_learns_the_same(tmp_path):
    one, two = (l2o.load_policy(train(config(), tmp_path / name)) for name in ("one", "two"))
    for mine, theirs in zip(one.network.parameters(), two.network.parameters()):
        assert torch.equal(mine, theirs)


def test_resume_goes_on_from_the_checkpoint(tmp_path):
    train(config(), tmp_path)
    before = load_checkpoint(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 99}\n{"iterat')  # a killed run's rows after its checkpoint
    train(config(episodes=24), tmp_path, resume=True)
    after = load_checkpoint(tmp_path)
    assert after["iteration"] > before["iteration"]
    assert after["learner"]["episodes"] >= 24
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == list(range(1, after["iteration"] + 1))
    steps = [s["step"] for s in after["learner"]["optimizer"]["state"].values()]
    assert all(int(step) == after["iteration"] * 4 for step in steps)


def start(tmp_path, **fields):
    """Run a training as a program of its own, its workers in processes of theirs."""
    never = {"every": 100_000, "tasks": 1, "base_lrs": [0.05]}
    fields = {"executor": {"name": "processes"}, "evaluation": never, **fields}
    script = f"""
from l2o.configs.schema import TrainConfig
from l2o.policies.train import Training, train
if __name__ == "__main__":
    config = TrainConfig.model_validate({config(**fields).model_dump(mode="json")!r})
    train(config, {str(tmp_path / "run")!r}, resume=True)
"""
    (tmp_path / "script.py").write_text(script)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    return subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        env=env,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for_checkpoint(process, path):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("how", "stacked"), [(signal.SIGKILL, True), (signal.SIGINT, True), (signal.SIGINT, False)]
)
def test_killed_runs_resume(tmp_path, how, stacked):
    process = start(tmp_path, episodes=100_000, workers=2, stacked=stacked)
    try:
        wait_for_checkpoint(process, tmp_path / "run" / CHECKPOINT)
        workers = psutil.Process(process.pid).children(recursive=True)
        assert workers
        os.kill(process.pid, how)
        process.wait(timeout=60)
    finally:
        process.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "workers outlive their parent"
    saved = load_checkpoint(tmp_path / "run")
    train(config(episodes=saved["learner"]["episodes"] + 4), tmp_path / "run", resume=True)
    after = load_checkpoint(tmp_path / "run")
    assert after["iteration"] > saved["iteration"]
    assert l2o.load_policy(tmp_path / "run").network.hidden == 8


def test_stopped_before_the_first_iteration_it_can_begin_anew(tmp_path):
    training = Training(config(), tmp_path)
    training.save()
    training.close()
    assert json.loads((tmp_path / "results.json").read_text())["speed"] == {}
    train(config(episodes=4), tmp_path, resume=True)
    assert json.loads((tmp_path / "results.json").read_text())["episodes"] >= 4


def test_killed_before_the_first_checkpoint_it_begins_anew(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"iteration": 1}\n{"itera')
    train(config(episodes=4), tmp_path, resume=True)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == list(range(1, len(rows) + 1))
    assert all("return" in row for row in rows)


def test_damaged_checkpoints_are_named(tmp_path):
    train(config(episodes=4), tmp_path)
    (tmp_path / CHECKPOINT).write_bytes((tmp_path / CHECKPOINT).read_bytes()[:200])
    with pytest.raises(ValueError, match=r"latest\.pt .*choose another folder"):
        train(config(), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"algorithm": {"name": "pp"}}, "Did you mean 'ppo'"),
        ({"algorithm": {"name": "ppo", "options": {"gama": 1}}}, "no option 'gama'"),
        ({"algorithm": {"name": "ppo", "options": {"decisions": 7}}}, "must be a multiple"),
        *(
            ({"algorithm": {"name": "ppo", "options": {name: float("nan")}}}, f"{name} must be a")
            for name in ("learning_rate", "discount", "gae_lambda", "log_std")
        ),
        ({"task": {"name": "digts"}}, "Did you mean 'digits'"),
        ({"task": {"name": "tiny:Nothing"}}, "cannot import task"),
        ({"environment": {"rewards": {"final_accuracy": 1.0}}}, "unknown reward"),
    ],
)
def test_bad_configs_fail_before_any_work(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        train(config(**fields), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_it_learns(tmp_path):
    """A policy that starts at a hundredth of a good LR learns to raise it."""
    settings = config(
        task={"name": "tiny:TinyFamily"},
        environment={
            "base_lr": [0.0005, 0.0005],
            "multipliers": {"kind": "log", "low": 0.1, "high": 1000.0},
            "rewards": {"source_loss_change": 1.0},
            "signal_dropout": 0.0,
        },
        algorithm={
            "name": "ppo",
            "options": {"decisions": 128, "minibatches": 4, "epochs": 8, "learning_rate": 0.01},
        },
        episodes=320,
        evaluation={"every": 100, "tasks": 1, "base_lrs": [0.0005]},
    )
    policy = l2o.load_policy(train(settings, tmp_path))
    gains = []
    for chosen in (policy, l2o.SchedulePolicy("constant")):
        run = FineTune(TinyFamily().sample(7), settings.finetuning, policy=chosen, base_lr=0.0005)
        run.advance(run.steps)
        gains.append(run.scores("source_validation")["loss"])
    assert gains[0] < gains[1] - 0.2
    assert "ppo" in ALGORITHMS


def test_a_critic_of_its_own_moves_no_policy_and_is_not_exported():
    options = {"decisions": 16, "minibatches": 2, "epochs": 2, "critic_first": 1}
    learner = PPOLearner(config(), separate_critic=True, **options)
    try:
        before = {k: v.clone() for k, v in learner.model.policy.network.state_dict().items()}
        critic = {k: v.clone() for k, v in learner.model.policy.critic.state_dict().items()}
        learner.iterate()
        after = learner.model.policy.network.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        now = learner.model.policy.critic.state_dict()
        assert any(not torch.equal(critic[name], now[name]) for name in critic)
        learner.iterate()
        after = learner.model.policy.network.state_dict()
        assert any(not torch.equal(before[name], after[name]) for name in before)
        assert not any("critic" in name for name in learner.policy().network.state_dict())
    finally:
        learner.close()

"""PPO with memory: sequences replayed as they were lived, and all that PPO does besides."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from test_train import config as plain_config

import l2o
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.policies.common.checkpoint import load_checkpoint
from l2o.policies.sb3 import PPOLearner, RecurrentLayerPolicy
from l2o.policies.sb3.sequences import SequenceBuffer
from l2o.policies.train import train

# Six decisions a rollout, four an episode: episodes begin and end within rollouts and across them.
OPTIONS = {"decisions": 24, "minibatches": 2, "epochs": 2}
BINS = {"base_lr": [0.01, 0.1], "multipliers": {"kind": "bins"}}


def config(**fields):
    base = {
        "network": {"hidden": 8, "recurrent": True},
        "algorithm": {"name": "ppo", "options": OPTIONS},
    }
    return plain_config(**(base | fields))


@pytest.fixture
def make():
    made = []

    def build(settings, **options):
        made.append(PPOLearner(settings, **(settings.algorithm.options | options)))
        return made[-1]

    yield build
    for learner in made:
        learner.close()


class Keep(BaseCallback):
    """Keeps what was decided: observations, actions, ends, log-probabilities, memory before."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def _on_step(self):
        names = ("obs_tensor", "actions", "dones", "log_probs", "values")
        self.rows.append({name: self.locals[name] for name in names})
        return True


def collect(learner, rollouts=1):
    """Collect without learning; return what was lived and the buffer of the last rollout."""
    kept, original = Keep(), learner.model.train
    learner.model.train = lambda: None
    learn = learner.model.learn

    def watched(total, callback, **more):
        return learn(total, callback=[*callback, kept], **more)

    learner.model.learn = watched
    for _ in range(rollouts):
        learner.iterate()
    learner.model.learn, learner.model.train = learn, original
    return kept.rows, learner.model.rollout_buffer


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("environment", [{"base_lr": [0.01, 0.1]}, BINS], ids=["log", "bins"])
def test_a_rollout_is_replayed_as_it_was_lived(make, environment, separate):
    """Before any update the ratio of PPO is 1: also in rollouts that begin amid episodes."""
    learner = make(config(environment=environment), separate_critic=separate)
    shake(learner)
    lived, buffer = collect(learner, rollouts=2)
    policy = learner.model.policy
    batches = list(buffer.get(OPTIONS["decisions"] // OPTIONS["minibatches"]))
    assert [len(batch.actions) for batch in batches] == [12, 12]
    seen = []
    for batch in batches:
        values, chances, entropies = policy.evaluate_actions(batch.observations, batch.actions)
        torch.testing.assert_close(chances, batch.old_log_prob, rtol=0, atol=2e-5)
        torch.testing.assert_close(values.flatten(), batch.old_values, rtol=0, atol=1e-5)
        assert entropies.shape == chances.shape == (12,)
        seen += batch.old_log_prob.tolist()
    expected = torch.stack([row["log_probs"] for row in lived[-6:]])
    assert sorted(seen) == pytest.approx(sorted(expected.flatten().tolist()), abs=1e-6)


def shake(learner):
    """Make the memory matter: an untrained network's outputs are nearly the same whatever it is."""
    torch.manual_seed(1)
    with torch.no_grad():
        learner.model.policy.network.head[-1].weight.normal_()


@pytest.mark.parametrize("stacked", [True, False])
def test_the_memory_is_that_of_one_episode(make, stacked):
    """Log-probabilities are those of the exported network, run episode by episode from nothing."""
    learner = make(config(stacked=stacked), minibatches=1)
    shake(learner)
    lived, _ = collect(learner, rollouts=2)
    network, log_std = learner.model.policy.network, learner.model.policy.log_std
    environments = len(lived[0]["actions"])
    reset = 0
    for number in range(environments):
        state = network.initial_state(1, 4)
        for row in lived:
            outputs, _, state = network(row["obs_tensor"][number : number + 1], state)
            there = row["obs_tensor"][number, :, 0] > 0
            each = torch.distributions.Normal(outputs[0, there, 0], log_std.exp())
            taken = torch.as_tensor(row["actions"])[number, there]
            assert float(row["log_probs"][number]) == pytest.approx(
                float(each.log_prob(taken).sum().detach()), abs=2e-5
            )
            if row["dones"][number]:
                state, reset = network.initial_state(1, 4), reset + 1
    assert reset >= environments, "no episode ended; nothing was tested"


def sequences(n=2, steps=5, layers=3, hidden=4):
    torch.manual_seed(0)
    seen = torch.randn(n, steps, layers, 5)
    seen[..., 0] = 1.0
    starts = torch.zeros(n, steps)
    starts[0, 3] = 1.0
    memory = torch.randn(n, layers, 2 * hidden)
    return {"seen": seen, "starts": starts, "memory": memory}, torch.randn(n * steps, layers)


def policy_of(layers, hidden=4, network=None):
    torch.manual_seed(0)
    made = RecurrentLayerPolicy(
        spaces.Box(-10, 10, (layers, 5), np.float32),
        spaces.Box(-1, 1, (layers,), np.float32),
        lambda _: 1e-3,
        make_network=lambda: LayerPolicyNetwork(5, 1, hidden, recurrent=True),
    )
    made.network.load_state_dict(network.state_dict() if network else made.network.state_dict())
    torch.nn.init.normal_(made.network.head[-1].weight)
    return made


def test_padding_changes_nothing():
    short, padded = policy_of(3), policy_of(5)
    observations, actions = sequences()
    wide = {
        "seen": torch.cat([observations["seen"], torch.zeros(2, 5, 2, 5)], dim=2),
        "starts": observations["starts"],
        "memory": torch.cat([observations["memory"], torch.randn(2, 2, 8)], dim=1),
    }
    wide_actions = torch.cat([actions, torch.randn(10, 2)], dim=1)
    told = short.evaluate_actions(observations, actions)
    for mine, theirs in zip(told, padded.evaluate_actions(wide, wide_actions)):
        torch.testing.assert_close(mine, theirs)


def test_gradients_go_through_time_but_not_through_the_end_of_an_episode():
    policy = policy_of(3)
    observations, actions = sequences()
    observations["memory"].requires_grad_(True)
    observations["seen"].requires_grad_(True)
    _, chances, _ = policy.evaluate_actions(observations, actions)
    chances.view(2, 5)[:, 4].sum().backward()
    reached = observations["seen"].grad.abs().amax(dim=(2, 3)) > 0
    # The first of the two begins an episode at its fourth decision.
    assert reached.tolist() == [[False, False, False, True, True], [True] * 5]
    assert (observations["memory"].grad.abs().amax(dim=(1, 2)) > 0).tolist() == [False, True]


def test_a_buffer_gives_each_environment_once_and_in_order():
    box = spaces.Box(-10, 10, (2, 1), np.float32)
    buffer = SequenceBuffer(3, box, spaces.Box(-1, 1, (2,), np.float32), "cpu", n_envs=4)
    buffer.memory = torch.arange(4.0).view(4, 1, 1)
    for t in range(3):
        number = np.arange(4, dtype=np.float32) + 10 * t
        observation = np.broadcast_to(number[:, None, None], (4, 2, 1))
        actions = np.broadcast_to(number[:, None], (4, 2))
        told = torch.from_numpy(number)
        buffer.add(observation, actions, number, number > 20, told[:, None], told)
    drawn = []
    for batch in buffer.get(6):
        memory = batch.observations["memory"].flatten()
        expected = memory[:, None] + torch.tensor([0.0, 10.0, 20.0])
        assert torch.equal(batch.observations["seen"][..., 0, 0], expected)
        assert torch.equal(batch.observations["starts"], (expected > 20).float())
        for flat in (batch.actions[:, 1], batch.old_values, batch.old_log_prob):
            assert torch.equal(flat, expected.flatten())
        drawn += memory.tolist()
    assert sorted(drawn) == [0.0, 1.0, 2.0, 3.0]
    (whole,) = buffer.get()
    assert whole.actions.shape == (12, 2)
    with pytest.raises(ValueError, match="whole sequences of 3"):
        next(buffer.get(4))


def test_predict_remembers_what_the_caller_gives_back():
    policy = policy_of(3)
    seen = sequences()[0]["seen"].numpy()
    one, state = policy.predict(seen[:, 0], deterministic=True)
    two, _ = policy.predict(seen[:, 1], state, np.array([False, True]), deterministic=True)
    outputs, _, memory = policy.network(torch.from_numpy(seen[:, 0]), torch.zeros(2, 3, 8))
    np.testing.assert_allclose(one, outputs.detach()[..., 0].clamp(-1, 1), atol=1e-6)
    memory[1] = 0.0
    outputs, _, _ = policy.network(torch.from_numpy(seen[:, 1]), memory)
    np.testing.assert_allclose(two, outputs.detach()[..., 0].clamp(-1, 1), atol=1e-6)
    alone, _ = policy.predict(seen[0, 0], deterministic=True)
    np.testing.assert_allclose(alone, one[0], atol=1e-6)


def test_it_does_what_ppo_does_besides(make):
    """Group baseline, critic first, separate critic, decay: as without memory."""
    environment = {"base_lr": [0.01, 0.1], "group": 2}
    options = {"separate_critic": True, "critic_first": 1, "group_baseline": True, "decay": True}
    learner = make(config(environment=environment), **options)
    before = {k: v.clone() for k, v in learner.model.policy.network.state_dict().items()}
    learner.iterate()
    after = learner.model.policy.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    told = learner.iterate()
    after = learner.model.policy.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"memory.weight_hh", "memory.weight_ih", "head.2.weight", "encode.0.weight"} <= moved
    assert {"approx_kl", "value_loss", "std", "seconds", "share_learning"} <= set(told)
    rate = learner.model.policy.optimizer.param_groups[0]["lr"]
    assert 1e-4 < rate < 1e-3


def test_resume_and_export(tmp_path):
    settings = config(episodes=8, checkpoint_every=1)
    train(settings, tmp_path)
    before = load_checkpoint(tmp_path)
    train(config(episodes=20, checkpoint_every=1), tmp_path, resume=True)
    after = load_checkpoint(tmp_path)
    assert after["iteration"] > before["iteration"]
    steps = [int(s["step"]) for s in after["learner"]["optimizer"]["state"].values()]
    assert max(steps) == after["iteration"] * 4
    policy = l2o.load_policy(tmp_path)
    assert policy.network.recurrent
    state = policy.initial_state(3)
    assert state["memory"].shape == (3, 16)
    _, state = policy(torch.ones(3, len(policy.signals)), state)
    assert state["memory"].any()


def test_the_state_of_a_learner_goes_over(make):
    learner, again = make(config()), make(config())
    learner.iterate()
    again.load_state_dict(learner.state_dict())
    assert (again.episodes, again.iterations) == (learner.episodes, 1)
    theirs = again.model.policy.state_dict()
    for name, value in learner.model.policy.state_dict().items():
        assert torch.equal(value, theirs[name])
    again.iterate()


def test_minibatches_are_of_whole_environments(tmp_path):
    options = {"decisions": 24, "minibatches": 3}
    with pytest.raises(ValueError, match="minibatches=3 must divide the 4 environments"):
        train(config(algorithm={"name": "ppo", "options": options}), tmp_path / "run")
    assert not (tmp_path / "run").exists()

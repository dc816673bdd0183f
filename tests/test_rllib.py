"""Learning by RLlib: a run like any other, whose exported policy is the module that learned."""

import sys

import numpy as np
import pytest
import torch

import l2o
from l2o.configs.schema import TrainConfig
from l2o.extras import MissingExtraError
from l2o.policies.common.checkpoint import load_checkpoint
from l2o.policies.train import Training, train

pytest.importorskip("ray", reason="Ray is not installed: l2o[ray]")
pytestmark = pytest.mark.timeout(900)  # Ray takes long to start where others are at work
# With so small a target, an iteration's passes end at their second step.
OPTIONS = {"decisions": 16, "minibatches": 2, "epochs": 2, "target_kl": 1e-9}


def training(**fields):
    settings = {
        "task": {"name": "tiny:TinyFamily"},
        "finetuning": {"interval": 5},
        "network": {"hidden": 8},
        "algorithm": {"name": "rllib_ppo", "options": OPTIONS},
        "episodes": 8,
        "workers": 1,
        "environments": 4,
        "checkpoint_every": 1,
        "evaluation": {"every": 2, "tasks": 1, "base_lrs": [0.05]},
    }
    return TrainConfig.model_validate(settings | fields)


def test_a_run_of_rllib_learns_resumes_and_exports(ray_cluster, tmp_path):
    train(training(), tmp_path / "run")
    state = load_checkpoint(tmp_path / "run")  # by torch's safe loader: no pickle of RLlib's
    assert state["learner"]["episodes"] >= 8
    steps = {int(each["step"]) for each in state["learner"]["optimizer"]["state"].values()}
    assert steps == {state["learner"]["iterations"]}
    train(training(episodes=16), tmp_path / "run", resume=True)
    again = Training(training(episodes=16), tmp_path / "run")
    try:
        saved = load_checkpoint(tmp_path / "run")
        again.resume(saved)
        learner = again.learner
        for name, value in learner.module.state_dict().items():
            assert torch.equal(value, saved["learner"]["policy"][name])
        assert learner.episodes == saved["learner"]["episodes"] >= 16
        policy = learner.policy()
        observation = torch.rand(3, len(policy.signals))
        observation[:, 0] = 1.0  # present
        told = learner.module._forward({"obs": observation.unsqueeze(0)})["action_dist_inputs"]
        wanted = policy.multipliers.decode(told[0, :3].detach().clamp(-1.0, 1.0))
        torch.testing.assert_close(policy(observation, policy.initial_state(3))[0], wanted)
    finally:
        again.close()
    assert l2o.read_card(tmp_path / "run")["signals"]


def test_how_far_a_policy_has_moved():
    from l2o.policies.rllib.learner import divergence

    log_ratio = torch.tensor([0.1, -0.2, 5.0])
    wanted = np.mean([np.exp(0.1) - 1.1, np.exp(-0.2) - 0.8])
    assert divergence(log_ratio, torch.tensor([True, True, False])) == pytest.approx(
        wanted, rel=1e-4
    )


def test_advantages_are_standardised_over_decisions_alone():
    from l2o.policies.rllib.learner import standardized

    numbers = torch.tensor([1.0, 2.0, 6.0, 1000.0])
    real = np.array([1.0, 2.0, 6.0])
    wanted = (real - real.mean()) / (real.std(ddof=1) + 1e-8)
    found = standardized(numbers, torch.tensor([True, True, True, False]))
    np.testing.assert_allclose(found, [*wanted, 0.0], rtol=1e-6)
    np.testing.assert_allclose(standardized(numbers[:3]), wanted, rtol=1e-6)


def test_the_row_after_an_episodes_last_decision_moves_nothing(ray_cluster, tmp_path):
    """The loss is that of the decisions, whatever RLlib writes beside them as an advantage."""
    run = Training(training(), tmp_path / "run")
    try:
        learner = run.learner._learner
        module = run.learner.module
        batch = {"obs": torch.rand(5, *learner.module["default_policy"].observation_space.shape)}
        batch["obs"][..., 0] = 1.0  # present
        told = module._forward(batch)
        taken = told["action_dist_inputs"].detach()
        kind = module.get_train_action_dist_cls().from_logits(taken)
        batch |= {"actions": kind.sample(), "action_dist_inputs": taken}
        batch["action_logp"] = kind.logp(batch["actions"])
        batch["value_targets"] = torch.zeros(5)
        batch["loss_mask"] = torch.tensor([True] * 4 + [False])
        losses = []
        for beside in (0.0, 1000.0):
            batch["advantages"] = torch.tensor([1.0, -2.0, 0.5, 3.0, beside])
            loss = learner.compute_loss_for_module(
                module_id="default_policy",
                config=learner.config.get_config_for_module("default_policy"),
                batch=batch,
                fwd_out=told,
            )
            losses.append(float(loss.detach()))
        # The ratio is 1 and the mean of the advantages 0: what is left is the critic's loss.
        critic = 0.5 * float(told["embeddings"][:4].detach().square().mean())
        assert losses == pytest.approx([critic, critic], rel=1e-4, abs=1e-6)
    finally:
        run.close()


def test_the_return_of_an_episode_that_was_cut_is_whole():
    from ray.rllib.env.single_agent_episode import SingleAgentEpisode
    from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

    from l2o.policies.rllib.environments import TOLD, EpisodeNotes

    notes, logger = EpisodeNotes(), MetricsLogger(root=True)
    episode = SingleAgentEpisode(observations=[0], infos=[{}])
    for number, reward in enumerate((1.0, 2.0, 4.0)):
        if number == 2:
            episode = episode.cut()
        last = {"terminated": True, "infos": {"target_accuracy": 0.5}} if number == 2 else {}
        episode.add_env_step(1, 0, reward, **({"infos": {}} | last))
        notes.on_episode_step(episode=episode)
    notes.on_episode_end(episode=episode, metrics_logger=logger)
    assert logger.peek(f"{TOLD}return") == 7.0
    assert logger.peek(f"{TOLD}target_accuracy") == 0.5
    assert notes.returns == {}


def test_layers_that_are_absent_do_not_count():
    from l2o.policies.rllib.module import LayerGaussian

    numbers = torch.tensor([[0.1, 0.2, 0.3, -1.0, -1.0, -1.0, 1.0, 1.0, 0.0]])
    one = LayerGaussian.from_logits(numbers)
    other = LayerGaussian.from_logits(numbers + torch.tensor([[0, 0, 9, 0, 0, 9, 0, 0, 0]]))
    actions = torch.tensor([[0.0, 0.5, 7.0]])
    assert torch.equal(one.logp(actions), other.logp(actions))
    assert torch.equal(one.entropy(), other.entropy())
    assert float(one.kl(other)) == 0.0
    std = np.exp(-1.0)
    deviations = (np.array([0.0, 0.5]) - [0.1, 0.2]) / std
    wanted = (-0.5 * deviations**2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum()
    assert float(one.logp(actions)) == pytest.approx(wanted, rel=1e-5)


def test_without_ray_there_is_one_message(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'rllib_ppo needs ray: pip install "l2o\[ray\]"'):
        Training(training(), tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"environment": {"multipliers": {"kind": "bins", "values": [0.1, 1.0]}}},
            "rllib_ppo needs continuous actions",
        ),
        ({"network": {"recurrent": True}}, "rllib_ppo has no recurrent policy"),
        ({"stacked": False}, "learns on stacked fine-tunes"),
        ({"environments": 5, "workers": 2}, "must be a multiple of workers=2"),
        ({"algorithm": {"name": "rllib_ppo", "options": {"decision": 16}}}, "Did you mean 'deci"),
        ({"algorithm": {"name": "rllib_ppo", "options": {"decisions": 9}}}, "must be a multiple"),
        ({"algorithm": {"name": "rllib_ppo", "options": {"discount": 2.0}}}, "discount must be"),
    ],
)
def test_what_it_cannot_learn_is_refused(fields, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Training(training(**fields), tmp_path)

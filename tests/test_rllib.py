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

    wanted = np.mean([np.exp(0.1) - 1.1, np.exp(-0.2) - 0.8])
    assert divergence(torch.tensor([0.1, -0.2])) == pytest.approx(wanted, rel=1e-4)


def test_advantages_are_standardised_as_by_ppo():
    from l2o.policies.rllib.learner import standardized

    real = np.array([1.0, 2.0, 6.0])
    wanted = (real - real.mean()) / (real.std(ddof=1) + 1e-8)
    np.testing.assert_allclose(standardized(torch.tensor([1.0, 2.0, 6.0])), wanted, rtol=1e-6)
    assert standardized(torch.tensor([5.0])).tolist() == [5.0]


def test_what_is_learned_from_are_decisions_alone_in_a_random_order():
    """Neither the row after an episode's last decision, nor one episode after the other."""
    from ray.rllib.policy.sample_batch import SampleBatch

    from l2o.policies.rllib.learner import decisions_of

    decided = torch.arange(44) % 11 != 10  # four episodes of ten, with a row more each
    rows = {"loss_mask": decided, "obs": torch.arange(44).float(), "advantages": torch.zeros(44)}
    found = decisions_of(SampleBatch(rows))
    seen = found["obs"].long().tolist()
    assert sorted(seen) == [step for step in range(44) if step % 11 != 10]
    assert seen != sorted(seen)
    assert found["loss_mask"].all()
    assert len(found["advantages"]) == 40


def test_the_loss_is_that_of_ppo(ray_cluster, tmp_path):
    run = Training(training(), tmp_path / "run")
    try:
        learner = run.learner._learner
        module = run.learner.module
        batch = {"obs": torch.rand(4, *learner.module["default_policy"].observation_space.shape)}
        batch["obs"][..., 0] = 1.0  # present
        told = module._forward(batch)
        taken = told["action_dist_inputs"].detach()
        kind = module.get_train_action_dist_cls().from_logits(taken)
        batch |= {"actions": kind.sample(), "action_dist_inputs": taken}
        batch["action_logp"] = kind.logp(batch["actions"]) - torch.tensor([0.1, 0.0, 0.4, -0.3])
        batch["advantages"] = torch.tensor([1.0, -2.0, 0.5, 3.0])
        batch["value_targets"] = torch.zeros(4)
        loss = learner.compute_loss_for_module(
            module_id="default_policy",
            config=learner.config.get_config_for_module("default_policy"),
            batch=batch,
            fwd_out=told,
        )
        own = (batch["advantages"] - 0.625) / batch["advantages"].std()
        ratio = torch.tensor([0.1, 0.0, 0.4, -0.3]).exp()
        gained = torch.minimum(own * ratio, own * ratio.clamp(0.8, 1.2)).mean()
        critic = 0.5 * told["embeddings"].detach().square().mean()
        assert float(loss.detach()) == pytest.approx(float(critic - gained), rel=1e-4)
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

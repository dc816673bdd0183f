"""Imitation: what the teacher does, that the pupil does it, and that training begins there."""

import copy

import numpy as np
import pytest
import torch
from test_train import config
from tiny import TinyFamily

from l2o.deciding.bundle import save_policy
from l2o.envs.stacked import StackedFineTuneEnv
from l2o.policies.common.networks import build_layer_network, export_policy
from l2o.policies.imitation import imitate
from l2o.policies.imitation.demonstrations import Demonstrations, decisions, sequences
from l2o.policies.imitation.fit import answers
from l2o.policies.imitation.teachers import ScheduleTeacher
from l2o.policies.sb3.ppo import PPOLearner
from l2o.signals import DEFAULT_SIGNALS, KIND_SIGNALS

ENVIRONMENT = {
    "optimizers": [
        {"name": "sgd", "base_lr": [0.01, 1.0]},
        {"name": "adamw", "base_lr": [1e-4, 1e-2]},
    ],
    "multipliers": {"kind": "log", "low": 1e-4, "high": 1e3},
    "rewards": {"target_accuracy_change": 10.0},
}


def settings(**fields):
    base = {
        "environment": ENVIRONMENT,
        "imitation": {"schedule": "linear", "episodes": 16, "epochs": 60},
        "network": {"anchor": "update", "hidden": 16},
        "environments": 8,
    }
    return config(**(base | fields))


def test_the_teacher_knows_the_right_base_lr_of_each_optimizer():
    given = settings()
    env = StackedFineTuneEnv(TinyFamily(steps=20), given.finetuning, given.environment, num_envs=8)
    _, infos = env.reset(seed=0)
    teacher = ScheduleTeacher(given, env)
    teacher.note(env.reset_infos)
    multipliers = teacher(torch.zeros(0))
    right = np.where(infos["optimizer"] == 0, 0.1, 1e-3)
    # The middle of the first window of 5 steps of 20, linearly from 1 to 0.
    rates = multipliers[:, :3] * torch.from_numpy(infos["base_lr"])[:, None]
    expected = torch.from_numpy(right)[:, None] * torch.tensor([0.1, 0.1, 1.0]) * (1 - 2.5 / 20)
    torch.testing.assert_close(rates, expected, rtol=1e-5, atol=0, check_dtype=False)
    assert (multipliers[:, 3] == 1).all(), "padding"


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_pupil_comes_near_the_teacher(recurrent):
    given = settings(network={"anchor": "update", "hidden": 16, "recurrent": recurrent})
    network = build_layer_network(given)
    told = imitate(network, given)
    assert told["demonstrations"] == 16
    assert told["after"] < told["before"] / 4
    # A root mean square of 0.07 of half the range, 3.5 decades: a factor of 1.8.
    assert told["after"] < 0.005


def test_episodes_are_cut_where_they_begin():
    torch.manual_seed(0)
    starts = torch.tensor([[1, 1], [0, 0], [1, 0], [0, 1], [0, 1]], dtype=torch.bool)
    shown = [
        Demonstrations(torch.rand(5, 2, 3, 4), torch.rand(5, 2, 3), starts),
        Demonstrations(torch.rand(1, 2, 3, 4), torch.rand(1, 2, 3), starts[:1]),
    ]
    seen, wanted = sequences(shown)
    spans = [(0, 0, 0, 2), (0, 0, 2, 5), (0, 1, 0, 3), (0, 1, 3, 4), (0, 1, 4, 5), (1, 0, 0, 1)]
    assert seen.shape == (7, 3, 3, 4)
    for row, (part, number, first, last) in enumerate(spans):
        length = last - first
        assert torch.equal(seen[row, :length], shown[part].seen[first:last, number])
        assert torch.equal(wanted[row, :length], shown[part].wanted[first:last, number])
        assert not seen[row, length:].any()
    assert torch.equal(decisions(shown)[0][3], shown[0].seen[1, 1])
    assert torch.equal(decisions(shown)[1][-1], shown[1].wanted[0, 1])


def test_a_recurrent_pupil_is_fitted_to_what_its_policy_will_do():
    """Actions of padded sequences are those of the policy that decides one by one."""
    given = settings(network={"hidden": 8, "recurrent": True})
    network = build_layer_network(given)
    torch.nn.init.normal_(network.head[-1].weight)
    torch.manual_seed(0)
    seen = torch.randn(2, 4, 3, network.features)
    seen[..., 0] = 1.0
    seen[1, 2:] = 0.0
    policy = export_policy(given, network)
    with torch.no_grad():
        chosen = policy.multipliers.decode(answers(network, seen))
    for row, length in enumerate((4, 2)):
        state = policy.initial_state(3)
        for t in range(length):
            multipliers, state = policy(seen[row, t], state)
            torch.testing.assert_close(chosen[row, t], multipliers)


def test_training_begins_where_imitation_ends():
    given = settings(
        algorithm={
            "name": "ppo",
            "options": {"decisions": 16, "minibatches": 2, "epochs": 2, "critic_first": 1},
        }
    )
    expected = build_layer_network(given)
    learner = PPOLearner(given, decisions=16, minibatches=2, epochs=2, critic_first=1)
    try:
        before = copy.deepcopy(learner._network.state_dict())
        learner.iterate()
        after = learner._network.state_dict()
        assert learner.episodes >= 16
        imitated = not torch.equal(before["anchor.seen.weight"], after["anchor.seen.weight"])
        assert imitated
        # Only the critic has learned since: the head's last layer is as imitation left it.
        expected.load_state_dict(before)
        imitate(expected, given)
        for name in ("head.2.weight", "anchor.blind.bias"):
            torch.testing.assert_close(after[name], expected.state_dict()[name])
        assert not torch.equal(after["value.2.weight"], expected.state_dict()["value.2.weight"])
    finally:
        learner.close()


FEW = (
    "present",
    "is_head",
    "depth",
    "multiplier",
    "base_lr",
    "update_norm",
    "has_gradient",
    "progress",
)


@pytest.mark.parametrize(
    "signals", [FEW, (*DEFAULT_SIGNALS[:5], *KIND_SIGNALS, *DEFAULT_SIGNALS[5:])]
)
def test_a_policy_learns_from_one_of_other_signals(tmp_path, signals):
    expert = build_layer_network(settings())
    imitate(expert, settings())
    save_policy(tmp_path, export_policy(settings(), expert), {"name": "expert"})
    given = settings(
        environment=ENVIRONMENT | {"signals": signals},
        imitation={"policy": str(tmp_path), "episodes": 16, "epochs": 60},
    )
    pupil = build_layer_network(given)
    assert pupil.features == len(signals)
    told = imitate(pupil, given)
    assert told["after"] < told["before"] / 4
    assert told["after"] < 0.005


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"imitation": None}, ["imitation"]),
        (
            {"environment": {"multipliers": {"kind": "bins"}}, "network": {"hidden": 8}},
            ["kind: log"],
        ),
    ],
)
def test_what_does_not_fit_is_refused(fields, words):
    given = settings(**fields)
    network = build_layer_network(given)
    with pytest.raises(ValueError) as error:
        imitate(network, given)
    assert all(word in str(error.value) for word in words)

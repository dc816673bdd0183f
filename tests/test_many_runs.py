"""Several runs decided in one call of a network are decided as one by one, bit for bit."""

import pytest
import torch

import l2o
from l2o.deciding.bundle import load_bundle
from l2o.deciding.learned import LearnedPolicy
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.multipliers import Bins, LogRange
from l2o.service.server.policies.batches import Question, decide

SIZES = [(1, 2), (2, 5), (7, 3), (32, 33), (64, 2), (65, 3), (100, 2)]


def compared(policy, layers, runs):
    seen = torch.rand(runs, layers, len(policy.signals)) * 2 - 1
    seen[..., 0] = 1.0
    states = [policy.initial_state(layers) for _ in range(runs)]
    for state in states:
        for value in state.values():
            value.normal_()
    alone = [policy(each, state) for each, state in zip(seen, states, strict=True)]
    together, kept = policy.many(seen, states)
    return torch.stack([chosen for chosen, _ in alone]), [s for _, s in alone], together, kept


@pytest.mark.parametrize("name", l2o.list_policies())
@pytest.mark.parametrize(("layers", "runs"), SIZES)
def test_shipped_policies(name, layers, runs):
    policy = load_bundle(name)
    layers = getattr(policy, "groups", layers)
    alone, states, together, kept = compared(policy, layers, runs)
    assert torch.equal(alone, together)
    for one, other in zip(states, kept, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.allclose(one[key], other[key], atol=1e-6) for key in one)


@pytest.mark.parametrize("pooling", ["mean", "attention", "none"])
@pytest.mark.parametrize("multipliers", [LogRange(), Bins()])
@pytest.mark.parametrize("recurrent", [False, True])
def test_networks_of_every_kind(pooling, multipliers, recurrent):
    spec = l2o.SignalSpec(("present", "is_head", "depth", "loss"))
    network = LayerPolicyNetwork(
        len(spec), multipliers.outputs, 16, recurrent=recurrent, pooling=pooling
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    policy = LearnedPolicy(network, multipliers, spec)
    alone, states, together, kept = compared(policy, 6, 5)
    assert torch.allclose(alone, together, rtol=1e-5)
    if not recurrent:
        assert torch.equal(alone, together)
    for one, other in zip(states, kept, strict=True):
        assert all(torch.allclose(one[key], other[key], atol=1e-6) for key in one)


def test_questions_of_all_kinds_at_once():
    policies = [load_bundle("asg-base"), load_bundle("asg-lite")]
    questions, expected = [], []
    for number in range(150):
        policy = policies[number % 2]
        seen = torch.rand(2 + number % 5, len(policy.signals))
        seen[:, 0] = 1.0
        questions.append(Question(policy, seen, {}))
        expected.append(policy(seen, {})[0])
    decide(questions)
    for question, chosen in zip(questions, expected, strict=True):
        assert question.multipliers.tolist() == chosen.tolist()

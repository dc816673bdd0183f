"""Anchors: what they aim at, and the same numbers wherever the network runs."""

import math

import numpy as np
import pytest
import torch

import l2o
from l2o.anchor import RATIO, START
from l2o.bundle import load_policy, save_policy
from l2o.configs.schema import TrainConfig
from l2o.frozen import FrozenNetwork
from l2o.multipliers import LogRange
from l2o.policies.networks import build_layer_network
from l2o.policies.sb3.ppo import less_group_mean
from l2o.signals import DEFAULT_SIGNALS

RANGE = {"kind": "log", "low": 1e-6, "high": 1e4}


def build(anchor, **fields):
    environment = {"multipliers": RANGE} | fields
    config = {"network": {"anchor": anchor, "hidden": 8}, "environment": environment}
    return build_layer_network(TrainConfig.model_validate(config))


def observe(base_lr, multiplier=1.0, ratio=None, layers=3):
    """Return an observation as the signals encode it; no ratio: nothing was seen yet."""
    seen = torch.zeros(layers, len(DEFAULT_SIGNALS))
    place = DEFAULT_SIGNALS.index
    seen[:, place("present")] = 1.0
    seen[:, place("base_lr")] = math.log10(base_lr) / 4
    seen[:, place("multiplier")] = math.log10(multiplier) / 3
    if ratio is not None:
        seen[:, place("has_gradient")] = 1.0
        seen[:, place("update_norm")] = math.log10(ratio) / 4
    return seen


def multiplier_of(network, seen):
    with torch.no_grad():
        # The rest of the untrained network gives nearly nothing; take it out altogether.
        outputs = network.anchor(seen)
    return LogRange(RANGE["low"], RANGE["high"]).best(outputs)


@pytest.mark.parametrize("base_lr", [1e-4, 0.01, 1.0])
@pytest.mark.parametrize("anchor", ["base_lr", "update"])
def test_unseen_layers_begin_at_one_learning_rate_whatever_the_base_lr(anchor, base_lr):
    chosen = multiplier_of(build(anchor), observe(base_lr))
    torch.testing.assert_close(chosen * base_lr, torch.full((3,), START), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("multiplier", "ratio"), [(1.0, 0.1), (0.01, 1e-5), (30.0, 0.01)])
def test_seen_layers_get_updates_of_one_size(multiplier, ratio):
    chosen = multiplier_of(build("update"), observe(0.03, multiplier, ratio))
    expected = multiplier * RATIO / ratio
    torch.testing.assert_close(chosen, torch.full((3,), expected), rtol=1e-4, atol=0)


def test_an_untrained_network_is_its_anchor():
    network, seen = build("update"), observe(0.03, 1.0, 0.01)
    torch.testing.assert_close(network(seen)[0], network.anchor(seen), rtol=0, atol=0.05)


def test_the_frozen_network_computes_the_same():
    network = build("update")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    frozen = FrozenNetwork(network)
    for seen in (observe(0.03), observe(0.3, 2.0, 0.01), torch.randn(5, len(DEFAULT_SIGNALS))):
        seen[:, 0] = 1.0
        assert frozen.takes(seen)
        torch.testing.assert_close(frozen(seen), network(seen)[0].detach(), rtol=1e-4, atol=1e-5)


def test_a_bundle_keeps_the_anchor(tmp_path):
    network = build("update")
    policy = l2o.LearnedPolicy(network, LogRange(RANGE["low"], RANGE["high"]), l2o.SignalSpec())
    save_policy(tmp_path, policy, {"name": "anchored"})
    again = load_policy(tmp_path)
    seen = observe(0.3, 2.0, 0.01)
    torch.testing.assert_close(again(seen, {})[0], policy(seen, {})[0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"signals": ["present", "loss"]}, ["base_lr", "environment.signals"]),
        ({"multipliers": {"kind": "bins"}}, ["kind: log"]),
    ],
)
def test_what_an_anchor_needs_is_told(fields, words):
    with pytest.raises(ValueError) as error:
        build("update", **fields)
    assert all(word in str(error.value) for word in words)


def test_less_group_mean_is_leave_one_out():
    generator = np.random.default_rng(0)
    advantages = generator.normal(size=(5, 6)).astype(np.float32)
    got = less_group_mean(advantages, 3)
    for t in range(5):
        for i in range(6):
            others = [j for j in range(6) if j // 3 == i // 3 and j != i]
            expected = advantages[t, i] - advantages[t, others].mean()
            assert got[t, i] == pytest.approx(expected, abs=1e-5)

"""Anchors: what they aim at, and the same numbers wherever the network runs."""

import math

import numpy as np
import pytest
import torch
from tiny import TinyFamily

import l2o
from l2o.configs.schema import FineTuning, TrainConfig
from l2o.deciding.bundle import load_bundle, save_policy
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.networks.anchor import RATIO, START
from l2o.networks.multipliers import LogRange
from l2o.networks.numpy_network import FrozenNetwork
from l2o.policies.common.networks import build_layer_network
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
@pytest.mark.parametrize("anchor", ["base_lr", "update", "multiplier"])
def test_unseen_layers_begin_at_one_learning_rate_whatever_the_base_lr(anchor, base_lr):
    chosen = multiplier_of(build(anchor), observe(base_lr))
    torch.testing.assert_close(chosen * base_lr, torch.full((3,), START), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("multiplier", "ratio"), [(1.0, 0.1), (0.01, 1e-5), (30.0, 0.01)])
def test_seen_layers_get_updates_of_one_size(multiplier, ratio):
    chosen = multiplier_of(build("update"), observe(0.03, multiplier, ratio))
    expected = multiplier * RATIO / ratio
    torch.testing.assert_close(chosen, torch.full((3,), expected), rtol=1e-4, atol=0)


@pytest.mark.parametrize("bounds", [(1e-6, 1e4), (0.02, 5.0)])
@pytest.mark.parametrize("multiplier", [1e-4, 0.01, 1.0, 30.0])
def test_seen_layers_keep_the_multiplier_in_force(bounds, multiplier):
    """Encoded: the action that decodes to it, wherever in the range, whatever else is seen."""
    low, high = bounds
    network = build("multiplier", multipliers={"kind": "log", "low": low, "high": high})
    seen = observe(0.03, multiplier, 0.01)
    with torch.no_grad():
        outputs = network.anchor(seen)
    half, middle = math.log10(high / low) / 2, math.log10(high * low) / 2
    encoded = (math.log10(multiplier) - middle) / half
    torch.testing.assert_close(outputs, torch.full((3, 1), encoded), rtol=1e-4, atol=1e-6)
    kept = min(max(multiplier, low), high)
    chosen = LogRange(low, high).best(outputs)
    torch.testing.assert_close(chosen, torch.full((3,), kept), rtol=1e-4, atol=0)
    # What the network adds is a factor: a tenth of the range, here.
    factor = LogRange(low, high).best(outputs + 0.2) / chosen
    if low < kept < high / 10:
        torch.testing.assert_close(factor, torch.full((3,), (high / low) ** 0.1), rtol=1e-4, atol=0)


def test_relative_multipliers_begin_at_one_learning_rate_and_stay_there():
    """A whole fine-tune under the anchor alone: decided once, at the first decision, and kept."""
    network = build("multiplier")
    for part in (network.head[-1].weight, network.head[-1].bias):
        torch.nn.init.zeros_(part)
    multipliers = LogRange(RANGE["low"], RANGE["high"])
    policy = l2o.LearnedPolicy(network, multipliers, l2o.SignalSpec(), interval=5)
    run = FineTune(TinyFamily().sample(0), FineTuning(interval=5), policy=policy, base_lr=0.03)
    run.advance(run.steps)
    chosen = torch.tensor([decision.multipliers for decision in run.controller.history])
    assert len(chosen) == 5
    torch.testing.assert_close(chosen * 0.03, torch.full((5, 3), START), rtol=1e-3, atol=0)


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
    again = load_bundle(tmp_path)
    seen = observe(0.3, 2.0, 0.01)
    torch.testing.assert_close(again(seen, {})[0], policy(seen, {})[0])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"signals": ["present", "loss"]}, ["base_lr", "environment.signals"]),
        ({"multipliers": {"kind": "bins"}}, ["kind: log"]),
    ],
)
@pytest.mark.parametrize("anchor", ["base_lr", "update", "multiplier"])
def test_what_an_anchor_needs_is_told(anchor, fields, words):
    with pytest.raises(ValueError) as error:
        build(anchor, **fields)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("anchor", "needed"),
    [
        ("base_lr", []),
        ("update", ["multiplier", "update_norm"]),
        ("multiplier", ["multiplier"]),
    ],
)
def test_an_anchor_needs_only_what_it_looks_at(anchor, needed):
    signals = ["present", "has_gradient", "base_lr"]
    assert build(anchor, signals=signals + needed).features == 3 + len(needed)
    for name in needed:
        with pytest.raises(ValueError, match=f"needs the signals {name}"):
            build(anchor, signals=signals + [other for other in needed if other != name])


def test_less_group_mean_is_leave_one_out():
    generator = np.random.default_rng(0)
    advantages = generator.normal(size=(5, 6)).astype(np.float32)
    got = less_group_mean(advantages, 3)
    for t in range(5):
        for i in range(6):
            others = [j for j in range(6) if j // 3 == i // 3 and j != i]
            expected = advantages[t, i] - advantages[t, others].mean()
            assert got[t, i] == pytest.approx(expected, abs=1e-5)

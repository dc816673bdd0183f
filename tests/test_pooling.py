"""Poolings across layers: exact numbers, padding, order, and the cards that name them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2o.configs.schema import TrainConfig
from l2o.deciding.architectures import make_network
from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.pooling import POOLINGS
from l2o.policies.common.networks import build_layer_network

ALL = pytest.mark.parametrize("name", list(POOLINGS))


def made(name, hidden=4):
    pool = POOLINGS[name](hidden)
    for parameter in pool.parameters():
        torch.nn.init.normal_(parameter, 0.0, 2.0)
    return pool


def network(name, **fields):
    built = LayerPolicyNetwork(5, 2, hidden=8, pooling=name, **fields)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.5)
    return built


def by_hand(name, pool, encoded, present):
    """Return the pooled encoding of one run, number by number."""
    there = [row for row, flag in zip(encoded.tolist(), present[:, 0].tolist()) if flag]
    if name == "attention":
        query = pool.query.tolist()
        weights = [math.exp(sum(q * e for q, e in zip(query, row))) for row in there]
    else:
        weights = [1.0] * len(there)
    total = sum(weights)
    return [
        sum(w * row[i] for w, row in zip(weights, there)) / (total or 1.0)
        for i in range(encoded.shape[1])
    ]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    flags=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=3),
)
@ALL
def test_a_pooling_is_what_a_loop_computes(name, seed, flags):
    torch.manual_seed(seed)
    pool, present = made(name), torch.tensor(flags, dtype=torch.float32).unsqueeze(-1)
    encoded = torch.randn(len(flags), 5, 4)
    pooled = pool(encoded, present)
    for run in range(len(flags)):
        expected = by_hand(name, pool, encoded[run], present[run])
        assert pooled[run].tolist() == pytest.approx(expected, abs=1e-5)


@ALL
@pytest.mark.parametrize("recurrent", [False, True])
def test_padding_and_order_change_nothing(name, recurrent):
    torch.manual_seed(0)
    built, seen = network(name, recurrent=recurrent), torch.randn(2, 3, 5)
    seen[..., 0] = 1.0
    state = built.initial_state(2, 3)
    outputs, value, _ = built(seen, state)
    # Padding is zeros; what its encoding is does not matter.
    padded = torch.cat([seen, torch.zeros(2, 4, 5)], dim=1)
    padded_outputs, padded_value, _ = built(padded, built.initial_state(2, 7))
    torch.testing.assert_close(padded_outputs[:, :3], outputs)
    torch.testing.assert_close(padded_value, value)
    order = torch.tensor([2, 0, 1])
    shuffled, value_shuffled, _ = built(seen[:, order], state)
    torch.testing.assert_close(shuffled, outputs[:, order])
    torch.testing.assert_close(value_shuffled, value)


@pytest.mark.parametrize(("name", "sees"), [("mean", True), ("attention", True), ("none", False)])
def test_whether_a_layer_sees_the_others(name, sees):
    torch.manual_seed(0)
    built, seen = network(name), torch.rand(3, 5)
    seen[:, 0] = 1.0
    other = seen.clone()
    other[1:, 1:] += 1.0
    before, value, _ = built(seen)
    after, other_value, _ = built(other)
    assert torch.equal(before[0], after[0]) != sees
    assert not torch.equal(value, other_value)


def test_none_has_the_value_of_the_mean():
    torch.manual_seed(0)
    mean, seen = network("mean"), torch.rand(4, 3, 5).round()
    none = LayerPolicyNetwork(5, 2, hidden=8, pooling="none")
    none.load_state_dict(mean.state_dict())
    assert torch.equal(none(seen)[1], mean(seen)[1])


def test_attention_begins_as_the_mean_and_learns():
    torch.manual_seed(0)
    built, mean = LayerPolicyNetwork(5, 1, 8, pooling="attention"), LayerPolicyNetwork(5, 1, 8)
    built.load_state_dict(mean.state_dict(), strict=False)
    seen = torch.rand(6, 3, 5)
    seen[..., 0] = torch.tensor([1.0, 1.0, 0.0])
    torch.testing.assert_close(built(seen)[0], mean(seen)[0])
    built(seen)[0][:, :2].sum().backward()
    assert built.pool.query.grad.abs().max() > 0


@ALL
def test_a_card_names_the_pooling_unless_it_is_the_mean(name):
    config = TrainConfig.model_validate({"network": {"pooling": name, "hidden": 8}})
    built = build_layer_network(config)
    architecture = built.architecture()
    assert architecture.get("pooling", "mean") == name == built.pooling
    # Cards of older versions have no such key, and their weights no such entry.
    assert ("pooling" in architecture) == (name != "mean")
    extra = {"pool.query"} if name == "attention" else set()
    assert set(built.state_dict()) - set(LayerPolicyNetwork(5, 1).state_dict()) == extra
    again = make_network(architecture)
    again.load_state_dict(built.state_dict())
    assert again.architecture() == architecture


def test_unknown_poolings_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'attention'"):
        LayerPolicyNetwork(5, 1, pooling="atention")

"""Fast paths of a decision against what they stand for: the encoder, the frozen network."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import l2o
from l2o.networks.numpy_network import MOST_LAYERS, FrozenNetwork
from l2o.signals import SIGNALS, Measurement, Signal
from l2o.signals.encoding import Encoder
from l2o.signals.loss import Loss
from l2o.signals.table import (
    LAYER_FIELDS,
    ROW,
    ROWS,
    RUN_FIELDS,
    MeasuredTable,
    rows_on_host,
    with_fields,
)

SPECIAL = torch.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, 1e-30, 1e30, -3.0])


class Ours(Signal):
    """A signal with code of its own."""

    limit = 2.0

    def compute(self, measured):
        return measured.gradient_norm - measured.loss.unsqueeze(-1)


class Changed(Loss):
    """A declared signal whose code is another's."""

    def compute(self, measured):
        return super().compute(measured) + 0.125


class Called(Signal):
    """A signal that is called in a way of its own."""

    def compute(self, measured):
        raise AssertionError("not asked for")

    def __call__(self, measured):
        return measured.present / 2


def measurement(seed, *shape):
    """Draw a measurement: positive numbers over twelve decades, and any special one."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*size):
        values = 10.0 ** (12.0 * torch.rand(size, generator=generator) - 6.0)
        special = SPECIAL[torch.randint(len(SPECIAL), size, generator=generator)]
        return torch.where(torch.rand(size, generator=generator) < 0.3, special, values)

    fields = {name: draw(*shape) for name in LAYER_FIELDS}
    fields |= {name: draw(*shape[:-1]) for name in RUN_FIELDS}
    fields["present"] = torch.rand(shape, generator=generator).round()
    return Measurement(**fields)


@pytest.mark.parametrize("shape", [(1,), (5,), (19,), (2, 3), (2, 2, 9)], ids=str)
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_all_at_once_is_bit_equal_to_one_by_one(shape, seed):
    measured = measurement(seed, *shape)
    signals = [*(make() for make in SIGNALS.values()), Ours(), Changed(), Called()]
    seen = Encoder(signals)(measured)
    assert seen.is_contiguous()
    assert torch.equal(seen, torch.stack([signal(measured) for signal in signals], dim=-1))


@pytest.mark.parametrize("layers", [1, 5, 19, 32])
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_on_the_host_all_at_once_is_bit_equal_to_one_by_one(layers, seed):
    """A single run on the CPU, with declared signals only: what NumPy computes."""
    measured = measurement(seed, layers)
    declared = [signal() for name, signal in SIGNALS.items() if name != "is_guidance"]
    encoder = Encoder(declared)
    assert not encoder._others
    seen = encoder(measured)
    assert seen.is_contiguous()
    assert torch.equal(seen, torch.stack([signal(measured) for signal in declared], dim=-1))


@pytest.mark.parametrize("names", [("present",), ("present", "loss"), ("present", "has_loss")])
def test_any_choice_of_signals(names):
    measured = MeasuredTable(torch.rand(len(ROWS), 1).repeat(1, 4))
    measured.rows[ROWS.index("one")] = 1.0
    signals = [SIGNALS[name]() for name in names]
    expected = torch.stack([signal(measured) for signal in signals], dim=-1)
    assert torch.equal(Encoder(signals)(measured), expected)


def test_a_table_is_a_measurement():
    rows = torch.rand(len(ROWS), 3)
    measured = MeasuredTable(rows)
    assert torch.equal(measured.drift_norm, rows[ROWS.index("drift_norm")])
    assert measured.loss.shape == ()
    measured.loss = torch.tensor(7.0)
    assert rows[ROWS.index("loss")].tolist() == [7.0] * 3
    other = with_fields(measured, {"loss": torch.tensor(8.0), "depth": torch.zeros(3)})
    assert (float(other.loss), float(measured.loss)) == (8.0, 7.0)
    assert not other.depth.any()
    with pytest.raises(AttributeError, match="no 'losss'"):
        _ = measured.losss


def test_a_table_made_of_an_array_is_the_same_measurement():
    rows = torch.rand(len(ROWS), 3)
    array = rows.clone().numpy()
    measured = MeasuredTable(array)
    assert rows_on_host(measured) is array  # no tensor is made for that
    assert torch.equal(measured.rows, rows)
    measured.depth = torch.tensor([1.0, 2.0, 3.0])
    assert array[ROWS.index("depth")].tolist() == [1.0, 2.0, 3.0]
    assert rows_on_host(measured)[ROWS.index("depth")].tolist() == [1.0, 2.0, 3.0]
    for other in (copy.deepcopy(measured), pickle.loads(pickle.dumps(MeasuredTable(array)))):
        other.loss = torch.tensor(7.0)
        assert rows_on_host(other)[ROWS.index("loss")].tolist() == [7.0] * 3
        assert torch.equal(measured.loss, rows[ROWS.index("loss"), 0])


RANGES = [l2o.LogRange(), l2o.LogRange(1e-6, 1e4), l2o.Bins(), l2o.Bins((0.0, 0.5, 2.0))]


@pytest.mark.parametrize("multipliers", RANGES, ids=repr)
@given(
    seed=st.integers(0, 2**31), layers=st.integers(1, 90), scale=st.sampled_from([0.1, 1.0, 9.0])
)
def test_the_likeliest_multipliers_on_the_host_are_equal_to_the_bit(
    multipliers, seed, layers, scale
):
    random = torch.Generator().manual_seed(seed)
    outputs = torch.randn(layers, multipliers.outputs, generator=random) * scale
    expected = multipliers.best(outputs.clone())
    assert torch.equal(torch.from_numpy(multipliers.best_on_host(outputs.numpy())), expected)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0.0, atol=5e-7)


def network_of(outputs, pooling):
    network = l2o.LayerPolicyNetwork(7, outputs, hidden=16, pooling=pooling)
    if pooling == "attention":
        torch.nn.init.normal_(network.pool.query)
    return network


@pytest.mark.parametrize("layers", [1, 2, 32, MOST_LAYERS])
@pytest.mark.parametrize(
    ("outputs", "pooling"), [(1, "mean"), (11, "mean"), (1, "attention"), (1, "none")]
)
def test_the_frozen_network_equals_the_module(layers, outputs, pooling):
    torch.manual_seed(layers)
    network = network_of(outputs, pooling)
    frozen, seen = FrozenNetwork(network), torch.randn(layers, 7)
    seen[:, 0] = torch.tensor([1.0, 0.0]).repeat(layers)[:layers]
    with torch.no_grad():
        assert frozen.takes(seen)
        close(frozen(seen), network(seen)[0])
        # Changed in place, and by other memory in its place.
        network.head[-1].weight.mul_(100.0)
        network.encode[0].weight.data = torch.randn(16, 7)
        assert frozen.takes(seen)
        close(frozen(seen), network(seen)[0])
        fresh = network_of(outputs, pooling)
        network.load_state_dict(fresh.state_dict(), assign=True)
        assert frozen.takes(seen)
        close(frozen(seen), fresh(seen)[0])
        close(frozen(torch.zeros(layers, 7)), fresh(torch.zeros(layers, 7))[0])


def test_the_shipped_policy_decides_as_its_network_does():
    policy = l2o.load_policy("asg-base")
    seen = torch.rand(12, len(policy.signals))
    seen[:, 0] = 1.0
    with torch.no_grad():
        expected = policy.multipliers.best(policy.network(seen)[0])
    torch.testing.assert_close(policy(seen, {})[0], expected, rtol=2e-6, atol=0.0)


def test_a_copied_policy_follows_its_own_network():
    policy = l2o.load_policy("asg-base")
    seen = torch.rand(3, len(policy.signals))
    before = policy(seen, {})[0]
    for other in (copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert torch.equal(other(seen, {})[0], before)
        with torch.no_grad():
            other.network.head[-1].bias.add_(0.1)
            close(other._frozen(seen), other.network(seen)[0])
    assert torch.equal(policy(seen, {})[0], before)


def test_what_the_frozen_network_leaves_to_the_module():
    network = l2o.LayerPolicyNetwork(3, 1, hidden=4)
    recurrent = l2o.LayerPolicyNetwork(3, 1, hidden=4, recurrent=True)
    seen = torch.ones(2, 3)
    assert not FrozenNetwork(recurrent).takes(seen)
    assert not FrozenNetwork(network).takes(torch.ones(MOST_LAYERS + 1, 3))
    assert not FrozenNetwork(network).takes(torch.ones(5, 2, 3))
    assert not FrozenNetwork(network.double()).takes(seen)
    policy = l2o.LearnedPolicy(
        network.float(), l2o.LogRange(), l2o.SignalSpec(("present", "loss", "drift"))
    )
    assert policy(torch.ones(100, 3), {})[0].shape == (100,)


@pytest.mark.parametrize("runs", [2, 3, 4, 40])
@pytest.mark.parametrize("layers", [1, 3, 17, 32, MOST_LAYERS])
def test_runs_together_have_the_bits_that_each_has_alone(runs, layers):
    policy = l2o.load_policy("asg-base")
    draw = np.random.default_rng(runs)
    tables = draw.lognormal(size=(runs, len(ROWS), layers)).astype(np.float32)
    tables[:, ROW["present"]] = 1.0
    tables[0, ROW["gradient_norm"], 0] = np.nan
    seen = policy.signals.encode(MeasuredTable(tables))
    together, _ = policy.many(seen, [{}] * runs)
    for table, observation, multipliers in zip(tables, seen, together, strict=True):
        assert torch.equal(policy.signals.encode(MeasuredTable(table)), observation)
        assert torch.equal(policy(observation, {})[0], multipliers)

"""The policy network and multiplier ranges."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from l2o.networks.layer_shared import LayerPolicyNetwork
from l2o.networks.multipliers import MULTIPLIERS, Bins, LogRange, multipliers_from_dict


def observation(*shape):
    torch.manual_seed(0)
    seen = torch.randn(*shape)
    seen[..., 0] = 1.0
    return seen


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("layers", [1, 3, 32])
def test_any_depth_and_leading_dimensions(recurrent, layers):
    network = LayerPolicyNetwork(5, 11, hidden=16, recurrent=recurrent)
    state = network.initial_state(2, layers)
    outputs, value, new = network(observation(2, layers, 5), state)
    assert outputs.shape == (2, layers, 11)
    assert value.shape == (2,)
    assert (new is not None) == recurrent


def test_padding_changes_nothing():
    network = LayerPolicyNetwork(5, 1, hidden=16)
    seen = observation(3, 5)
    padded = torch.cat([seen, torch.zeros(4, 5)])
    outputs, value, _ = network(seen)
    padded_outputs, padded_value, _ = network(padded)
    torch.testing.assert_close(padded_outputs[:3], outputs)
    torch.testing.assert_close(padded_value, value)


def test_layers_are_shared_and_order_does_not_matter():
    network = LayerPolicyNetwork(5, 1, hidden=16)
    seen = observation(4, 5)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(network(seen[order])[0], network(seen)[0][order])


def test_untrained_networks_choose_the_middle():
    outputs, _, _ = LayerPolicyNetwork(5, 1)(observation(6, 5))
    torch.testing.assert_close(
        LogRange(0.001, 10.0).best(outputs), torch.full((6,), 0.1), rtol=0.3, atol=0
    )


@given(st.floats(1e-6, 1.0), st.floats(1.5, 1e6), st.floats(-3, 3))
def test_log_range_decodes_within_bounds_and_back(low, ratio, action):
    chosen = LogRange(low, low * ratio)
    multiplier = chosen.decode(torch.tensor(action, dtype=torch.float64))
    assert low <= float(multiplier) <= low * ratio
    back = float(chosen.encode(multiplier))
    assert back == pytest.approx(max(-1.0, min(1.0, action)), abs=1e-6)


def test_bins_are_those_of_the_paper():
    assert Bins().values == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    index = torch.tensor([0, 10, 99, -5])
    assert Bins().decode(index).tolist() == [0.0, 1.0, 1.0, 0.0]
    assert Bins().encode(torch.tensor([0.04, 0.96, 7.0])).tolist() == [0, 10, 10]
    logits = torch.zeros(2, 11)
    logits[0, 3] = logits[1, 7] = 1.0
    torch.testing.assert_close(Bins().best(logits), torch.tensor([0.3, 0.7]))


@pytest.mark.parametrize("made", [LogRange(0.5, 2.0), Bins((0.0, 0.5))], ids=["log", "bins"])
def test_ranges_survive_as_plain_data(made):
    assert multipliers_from_dict(made.to_dict()) == made
    assert made.kind in MULTIPLIERS


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "logg"}, "Did you mean 'log'"),
        ({}, "unknown multiplier range"),
        ({"kind": "log", "low": 0.0, "high": 1.0}, "needs Bins"),
        ({"kind": "bins", "values": [1.0]}, "two or more"),
        ({"kind": "bins", "values": [0.5, 0.1]}, "rising"),
        ({"kind": "bins", "values": [-1, 1]}, "non-negative"),
        ({"kind": "log", "lo": 1}, "unexpected keyword"),
    ],
)
def test_bad_ranges_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        multipliers_from_dict(data)

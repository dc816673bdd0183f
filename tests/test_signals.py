"""Signals: a contract over the table, and exact numbers for each."""

import math
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from l2o.layers.facts import LayerFacts
from l2o.layers.groups import group_layers
from l2o.measuring.meter import Meter
from l2o.measuring.window import WindowMean
from l2o.signals import DEFAULT_SIGNALS, KIND_SIGNALS, SIGNALS, Measurement
from l2o.signals.spec import SignalSpec

RUN = (
    *("loss", "previous_loss", "proxy_kl", "previous_proxy_kl"),
    *("validation_loss", "previous_validation_loss", "progress", "steps_left"),
    *("window_progress", "head_mean", "head_std"),
)
LAYERS = [field.name for field in fields(Measurement) if field.name not in RUN]


def measurement(layers=2, **given):
    values = {name: torch.full((layers,), math.nan) for name in LAYERS}
    values |= {name: torch.tensor(math.nan) for name in RUN}
    values["present"] = torch.ones(layers)
    for name, value in given.items():
        shape = (layers,) if name in LAYERS else ()
        values[name] = torch.as_tensor(value, dtype=torch.float32).expand(shape)
    return Measurement(**values)


@pytest.mark.parametrize("name", SIGNALS)
def test_missing_inputs_are_a_zero(name):
    value = SIGNALS[name]()(measurement())
    assert torch.equal(value, torch.ones(2) if name == "present" else torch.zeros(2))


anything = st.floats(width=32, allow_nan=True, allow_infinity=True)


@pytest.mark.parametrize("name", SIGNALS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_always_finite_and_within_the_limit(name, data):
    drawn = {field: data.draw(anything) for field in (*LAYERS[1:], *RUN)}
    value = SIGNALS[name]()(measurement(**drawn))
    assert value.shape == (2,)
    assert torch.isfinite(value).all()
    assert (value.abs() <= SIGNALS[name].limit).all()


EXACT = {
    "present": ({}, 1.0),
    "is_head": ({"is_head": 1.0}, 1.0),
    "depth": ({"depth": 0.25}, 0.25),
    "size": ({"numel": 1e4}, 0.5),
    "multiplier": ({"multiplier": 0.1}, -1 / 3),
    "base_lr": ({"base_lr": 0.01}, -0.5),
    "gradient_norm": ({"gradient_norm": 0.1, "weight_norm": 10.0}, -0.5),
    "update_norm": ({"update_norm": 0.01, "weight_norm": 10.0}, -0.75),
    "drift": ({"drift_norm": 0.1, "start_norm": 10.0}, -0.5),
    "gradient_alignment": (
        {"gradient_dot_update": 1.0, "gradient_norm": 2.0, "update_norm": 4.0},
        0.125,
    ),
    "has_gradient": ({"gradient_norm": 3.0}, 1.0),
    "loss": ({"loss": 0.1}, -0.5),
    "loss_trend": ({"loss": 0.5, "previous_loss": 5.0}, -1.0),
    "has_loss": ({"loss": 0.1}, 1.0),
    "proxy_kl": ({"proxy_kl": 0.01}, -1.0),
    "proxy_kl_trend": ({"proxy_kl": 2.0, "previous_proxy_kl": 1.0}, math.log10(2)),
    "has_proxy_kl": ({"proxy_kl": 0.01}, 1.0),
    "validation_loss": ({"validation_loss": 10.0}, 0.5),
    "validation_loss_trend": (
        {"validation_loss": 1.0, "previous_validation_loss": 2.0},
        -math.log10(2),
    ),
    "has_validation_loss": ({"validation_loss": 1.0}, 1.0),
    "progress": ({"progress": 0.3}, 0.3),
    "steps_left": ({"steps_left": 999.0}, 0.5),
    "has_progress": ({"progress": 0.0}, 1.0),
    "current_factor": ({"multiplier": 0.3}, 0.3),
    "window_loss": ({"loss": 2.5}, 2.5),
    "window_proxy_kl": ({"proxy_kl": 12.0}, 12.0),
    "window_progress": ({"window_progress": 0.3}, 0.3),
    "head_mean": ({"head_mean": -0.02}, -0.02),
    "head_std": ({"head_std": 0.07}, 0.07),
    "is_guidance": ({"is_guidance": 1.0}, 1.0),
    "fan_in": ({"fan_in": 100.0}, 0.5),
    "vector_share": ({"vector_share": 0.5}, 0.5),
    "largest_update": ({"largest_update": 0.01}, -0.5),
    "weight_rms": ({"weight_norm": 0.1, "root_numel": 10.0}, -0.5),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_exact_numbers(name):
    given_fields, expected = EXACT[name]
    torch.testing.assert_close(
        SIGNALS[name]()(measurement(**given_fields)), torch.full((2,), expected)
    )


def test_padding_is_all_zero_and_leading_dimensions_stay():
    measured = measurement(loss=0.1, multiplier=0.1, progress=0.5)
    measured.present = torch.tensor([1.0, 0.0])
    seen = SignalSpec().encode(measured)
    assert seen.shape == (2, len(DEFAULT_SIGNALS))
    assert seen[0].any()
    assert not seen[1].any()
    many = Measurement(**{k: torch.stack([v, v, v]) for k, v in vars(measured).items()})
    torch.testing.assert_close(SignalSpec().encode(many), torch.stack([seen] * 3))


@pytest.mark.parametrize(
    ("names", "version", "message"),
    [
        (("present", "drfit"), 1, "Did you mean 'drift'"),
        (("drift",), 1, "must begin with 'present'"),
        (("present", "drift", "drift"), 1, "must not repeat"),
        (("present",), 99, "signal version 99"),
    ],
)
def test_bad_specs_are_refused(names, version, message):
    with pytest.raises(ValueError, match=message):
        SignalSpec(names, version)


def test_the_meter_measures_what_plain_loops_measure():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    groups = group_layers(model)
    meter = Meter(groups, SignalSpec().needs, total_steps=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    start = [[p.detach().clone() for p in g.parameters] for g in groups]
    for step in range(2):
        optimizer.zero_grad()
        model(torch.randn(5, 3).double()).square().sum().backward()
        meter.observe(loss=1.0 + step, proxy_kl=torch.tensor(2.0))
        before = [[p.detach().clone() for p in g.parameters] for g in groups]
        meter.before_step()
        optimizer.step()
    measured = meter.measure(2, torch.tensor([0.5, 1.0]), [0.1, 0.1])

    def norm(tensors):
        return math.sqrt(sum(float((t**2).sum()) for t in tensors))

    for index, group in enumerate(groups):
        weights = [p.detach() for p in group.parameters]
        moved = [p - b for p, b in zip(weights, before[index])]
        gradients = [p.grad for p in group.parameters]
        expected = {
            "weight_norm": norm(weights),
            "gradient_norm": norm(gradients),
            "update_norm": norm(moved),
            "drift_norm": norm([p - s for p, s in zip(weights, start[index])]),
            "start_norm": norm(start[index]),
            "gradient_dot_update": -sum(float((g * m).sum()) for g, m in zip(gradients, moved)),
            "numel": float(sum(p.numel() for p in weights)),
        }
        for name, value in expected.items():
            assert float(getattr(measured, name)[index]) == pytest.approx(value, rel=1e-5), name
    assert float(measured.loss) == 1.5
    assert math.isnan(float(measured.previous_loss))
    assert float(measured.proxy_kl) == 2.0
    assert float(measured.progress) == 0.5
    assert float(measured.steps_left) == 2.0


def test_parameters_without_gradients_are_missing_not_zero():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    meter = Meter(group_layers(model), SignalSpec().needs)
    model[1](torch.ones(1, 4)).sum().backward()
    measured = meter.measure(1, torch.ones(2), [0.1, 0.1])
    assert math.isnan(float(measured.gradient_norm[0]))
    assert float(measured.gradient_norm[1]) > 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_window_mean_equals_the_mean(values):
    window = WindowMean()
    for value in values:
        window.add(value)
    assert window.close()[0] == pytest.approx(sum(values) / len(values), rel=1e-4, abs=1.0)
    assert math.isnan(window.close()[0])


def test_window_tells_missing_from_non_finite():
    window = WindowMean()
    assert math.isnan(window.close()[0])
    window.add(math.nan)
    assert window.close()[0] == math.inf


def test_facts_of_a_layer_equal_plain_loops():
    last = nn.Conv2d(8, 4, 1, bias=False)
    convolutions = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), last)
    model = nn.Sequential(convolutions, nn.Flatten(), nn.Linear(16, 5))
    groups = group_layers(model, by=1)
    with torch.no_grad():
        model[2].weight.fill_(0.3)
        model[2].bias.fill_(0.3)
    spec = SignalSpec(("present", *KIND_SIGNALS))
    seen = spec.encode(Meter(groups, spec.needs).measure(0, torch.ones(2), [0.1, 0.1]))
    fan_in = [(8 * 27 + 4 * 8) / 12, 16.0]
    expected = [[1.0, math.log10(fan) / 4, share] for fan, share in zip(fan_in, [3 / 5, 1 / 2])]
    torch.testing.assert_close(seen[:, :3], torch.tensor(expected))
    assert float(seen[1, 3]) == pytest.approx(math.log10(0.3) / 4)


def test_facts_of_layers_without_matrices_are_missing_or_plain():
    facts = LayerFacts.of([torch.Size([7]), torch.Size([1, 7]), torch.Size([])])
    assert (facts.numel, facts.vector_share) == (15.0, 1.0)
    assert math.isnan(facts.fan_in)
    assert math.isnan(LayerFacts.of([]).vector_share)

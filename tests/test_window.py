"""Losses as loops give them: scalars, one per example, on any default; and what is no loss."""

import gc
import math
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import l2o
from l2o.measuring.meter import Meter
from l2o.measuring.sampling import Budget
from l2o.measuring.window import WindowMean
from l2o.signals.spec import SignalSpec

NAMES = {"loss": "loss", "proxy_kl": "proxy_kl", "val_loss": "validation_loss"}


def meter():
    return Meter(l2o.group_layers(nn.Linear(2, 2)), frozenset())


@pytest.mark.parametrize(
    "value",
    [
        2.0,
        2,
        np.float32(2.0),
        np.array([1.0, 3.0]),
        torch.tensor(2.0),
        torch.tensor([2.0]),
        torch.tensor([1.0, 3.0]),
        torch.tensor([[1.0], [2.0], [3.0]]),
        torch.tensor([1.0, 3.0], dtype=torch.float64),
        torch.tensor([1.0, 3.0], dtype=torch.bfloat16),
        torch.full((3000,), 2.0, dtype=torch.float16),
    ],
    ids=str,
)
def test_every_kind_of_loss_is_one_number(value):
    window = WindowMean()
    window.add(value)
    window.add(4.0)
    assert window.close() == (3.0, pytest.approx(math.nan, nan_ok=True))


def test_losses_of_changing_length_are_averaged_step_by_step():
    each = meter()
    for loss in (torch.tensor([1.0, 3.0]), torch.tensor(4.0), torch.tensor([6.0] * 5)):
        each.observe(loss=loss, proxy_kl=loss, validation_loss=loss)
    measured = each.measure(3, torch.ones(1), [0.1])
    assert float(measured.loss) == float(measured.proxy_kl) == 4.0
    assert float(measured.validation_loss) == 6.0
    assert float(measured.previous_validation_loss) == 4.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (torch.tensor(3), TypeError, "floating-point, got torch.int64"),
        (torch.tensor([True, False]), TypeError, "floating-point, got torch.bool"),
        (torch.tensor(1 + 1j), TypeError, "floating-point, got torch.complex64"),
        (np.array([1, 2]), TypeError, "floating-point, got torch.int64"),
        (torch.empty(0), ValueError, r"no elements, got shape \(0,\)"),
        (torch.empty(3, 0), ValueError, r"no elements, got shape \(3, 0\)"),
        (True, TypeError, "got True"),
        (1j, TypeError, "got 1j"),
        ("0.5", TypeError, "got '0.5'"),
        ([0.5], TypeError, r"got \[0.5\]"),
        ({"loss": 0.5}, TypeError, "got {'loss'"),
    ],
    ids=str,
)
def test_what_is_no_loss_is_refused_by_name_and_poisons_nothing(name, value, error, says):
    each = meter()
    each.observe(loss=1.0, proxy_kl=1.0, validation_loss=1.0)
    given = dict.fromkeys(NAMES.values(), 9.0) | {NAMES[name]: value}
    with pytest.raises(error, match=f"^{name} .*{says}"):
        each.observe(**given)
    measured = each.measure(1, torch.ones(1), [0.1])
    assert float(measured.loss) == float(measured.proxy_kl) == 1.0
    assert float(measured.validation_loss) == 1.0
    assert measured.previous_validation_loss.isnan()


class Held:
    """Something that only a graph holds."""


class Same(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, held):
        ctx.held = held
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@pytest.mark.parametrize("shape", [(), (3,)])
def test_no_graph_is_kept_alive(shape):
    each = meter()
    for _ in range(2):
        held = Held()
        alive = weakref.ref(held)
        loss = Same.apply(torch.ones(shape, requires_grad=True), held)
        each.observe(loss=loss, proxy_kl=loss, validation_loss=loss)
        del loss, held
        gc.collect()
        assert alive() is None


DEFAULTS = {
    "float64": lambda: torch.set_default_dtype(torch.float64),
    "bfloat16": lambda: torch.set_default_dtype(torch.bfloat16),
    "meta": lambda: torch.set_default_device("meta"),
}


@pytest.fixture
def restore():
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


@pytest.mark.parametrize("settle", DEFAULTS.values(), ids=DEFAULTS)
@pytest.mark.parametrize("budget", [None, Budget(whole=0, share=0.1, least=0, floor=16)])
def test_a_users_defaults_do_not_matter(settle, budget, restore):
    spec = SignalSpec()

    def measured(defaults):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 5))
        inputs, ones = torch.randn(4, 30), torch.ones(2)
        defaults()
        each = Meter(l2o.group_layers(model), spec.needs | {"head"}, 10, budget=budget)
        loss = model(inputs).square().mean()
        each.observe(loss=0.3, proxy_kl=loss, validation_loss=[loss, 0.3][budget is None])
        loss.backward()
        each.begin_step()
        each.before_step()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(parameter.grad)
        again = Meter(l2o.group_layers(model), spec.needs | {"head"}, 10, budget=budget)
        again.load_state_dict(each.state_dict())
        found = [spec.encode(each.measure(1, ones, [0.1, 0.1]))]
        return [*found, spec.encode(again.measure(1, ones, [0.1, 0.1]))]

    wanted = measured(lambda: None)
    found = measured(settle)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.dtype is torch.float32
        assert torch.equal(mine, theirs)

"""The last good weights: what a light copy costs, how exact it is, and what is never kept."""

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import l2o.guarding.last_good
from l2o.guarding.last_good import LastGood

SHARE, OF_LARGEST = 5e-4, 1e-7


def optimizer_of(tensors):
    """Return an optimizer with a state of each tensor that has a gradient."""
    optimizer = torch.optim.SGD([t for t in tensors if t.requires_grad], lr=0.1, momentum=0.9)
    for group in optimizer.param_groups:
        for p in group["params"]:
            optimizer.state[p] = {"momentum_buffer": torch.ones_like(p)}
    return optimizer


def back(tensors, light=True):
    """Return what comes back once the tensors have gone astray."""
    good = LastGood(light)
    assert good.keep(tensors)
    moved = [torch.full_like(t, 3) for t in tensors]
    assert good.restore(moved, torch.optim.SGD([torch.ones(1, requires_grad=True)]))
    return moved


def test_the_docstring_runs():
    assert doctest.testmod(l2o.guarding.last_good, extraglobs={"torch": torch}).failed == 0


@settings(max_examples=150)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12),
    st.floats(-30, 30),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_a_light_copy_is_within_its_bound(values, decades, dtype):
    tensor = (torch.tensor([values], dtype=torch.float64) * 10.0**decades).to(dtype)
    (found,) = back([tensor])
    assert found.dtype == dtype
    error, largest = (found - tensor).abs(), float(tensor.abs().max())
    tiny = torch.finfo(dtype).tiny
    assert (error <= torch.clamp(SHARE * tensor.abs(), min=OF_LARGEST * largest + tiny)).all()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_error_of_normal_weights_is_small_beside_them(scale):
    weights = torch.randn(200, 100) * scale
    (found,) = back([weights])
    # In double precision: squares of 1e30 overflow.
    error = (found.double() - weights.double()).norm() / weights.double().norm()
    assert 0 < float(error) < 3e-4


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(1000),
        torch.tensor(0.1),
        torch.randn(20, 20, dtype=torch.bfloat16),
        torch.randn(20, 20).half(),
        torch.arange(12).view(3, 4),
        torch.tensor([[True, False]]),
        torch.randn(3, 3, dtype=torch.complex64),
        torch.zeros(4, 4),
        torch.ones(4, 4),
        torch.empty(0, 5),
    ],
    ids=lambda t: f"{str(t.dtype)[6:]}{list(t.shape)}",
)
def test_what_stays_exact(tensor):
    found, _ = back([tensor, torch.randn(2, 2)])
    assert torch.equal(found, tensor)


def test_an_exact_copy_is_exact():
    weights = [torch.randn(20, 20), torch.randn(20), torch.randn(3, 3).double()]
    assert all(map(torch.equal, back(weights, light=False), weights))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_light_copy_takes_two_bytes_a_weight(dtype):
    model = nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)).to(dtype)
    weights, good = list(model.parameters()), LastGood(light=True)
    good.keep(weights)
    matrices = sum(p.numel() for p in weights if p.dim() > 1)
    vectors = sum(p.numel() for p in weights if p.dim() == 1)
    assert good.nbytes == 2 * matrices + dtype.itemsize * vectors
    assert good.nbytes <= 0.505 * 4 * (matrices + vectors) or dtype is torch.float64
    assert all(copy.device.type == "cpu" for copy in good._copy)
    exact = LastGood()
    exact.keep(weights)
    assert exact.nbytes == dtype.itemsize * (matrices + vectors)
    good.forget()
    assert good.nbytes == 0
    assert not good.restore(weights, torch.optim.SGD(weights))


def test_a_copy_holds_on_to_nothing_of_the_weights():
    for light in (True, False):
        weights = [torch.ones(3, 3), torch.ones(3)]
        good = LastGood(light)
        good.keep(weights)
        for weight in weights:
            weight.fill_(7.0)
        good.restore(weights, torch.optim.SGD([torch.ones(1, requires_grad=True)]))
        assert all((weight == 1.0).all() for weight in weights)


@pytest.mark.parametrize("light", [True, False])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", [0, 1])
def test_what_is_not_finite_is_never_kept(where, bad, light):
    weights = [nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3))]
    optimizer, good = optimizer_of(weights), LastGood(light)
    assert good.keep(weights)
    with torch.no_grad():
        weights[where].view(-1)[1] = bad
        weights[1 - where].fill_(5.0)
    assert not good.keep(weights)
    assert good.restore(weights, optimizer)
    assert all((weight == 1.0).all() for weight in weights)
    assert not optimizer.state


def test_no_copy_of_nothing():
    good = LastGood()
    assert not good.keep([])
    assert not good.keep([torch.arange(3)])
    assert not good.restore([], torch.optim.SGD([torch.ones(1, requires_grad=True)]))


@pytest.mark.parametrize("light", [True, False])
def test_shapes_that_changed(light):
    small, large = [nn.Parameter(torch.ones(2, 2))], [nn.Parameter(torch.full((3, 2), 5.0))]
    good = LastGood(light)
    good.keep(small)
    optimizer = optimizer_of(large)
    assert not good.restore(large, optimizer)
    assert not good.restore([*small, *large], optimizer)
    assert (large[0] == 5.0).all()
    assert len(optimizer.state) == 1
    assert good.keep(large)
    with torch.no_grad():
        large[0].zero_()
    assert good.restore(large, optimizer)
    assert (large[0] == 5.0).all()
    assert not good.restore(small, optimizer_of(small))


def test_only_an_exact_copy_rides_in_checkpoints():
    weights = [torch.randn(3, 3), torch.randn(3)]
    exact, light = LastGood(), LastGood(light=True)
    for good in (exact, light):
        good.keep(weights)
    assert light.state_dict() == []
    again = LastGood()
    again.load_state_dict(exact.state_dict())
    moved = [torch.zeros_like(weight) for weight in weights]
    plain = torch.optim.SGD([torch.ones(1, requires_grad=True)])
    assert again.restore(moved, plain)
    assert all(map(torch.equal, moved, weights))
    # What a light copy was of, before the load, is not to come back.
    light.load_state_dict(exact.state_dict())
    assert not light.restore(moved, plain)

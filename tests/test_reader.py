"""Reading parameters and gradients: blocks and whole tensors against plain sums."""

import copy
import math

import numpy as np
import pytest
import torch
from far_device import DEVICE, FarDevice
from torch import nn

import l2o
from l2o.benchmarks.speed.syncs import HostReads
from l2o.measuring.block_sums import BLOCK, SMALL
from l2o.measuring.meter import Meter
from l2o.measuring.reader import DOT, DRIFT, GRADIENT, UPDATE, WEIGHT, Reader

NEEDS = frozenset({"gradient", "update", "drift"})
SHAPES = [(2, 3), (), (SMALL,), (SMALL + 1,), (BLOCK + 5,), (2 * BLOCK,), (0,), (7,)]


def watched(dtype=torch.float32, shapes=SHAPES):
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in shapes]
    for index, parameter in enumerate(parameters):
        if index != 1:
            parameter.grad = torch.randn_like(parameter)
    return parameters


def walk(reader, parameters):
    """Take a step of a walk and return the sums as they should be."""
    reader.before_step()
    before = [p.detach().clone().double() for p in parameters]
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    rows = []
    for parameter, old, start in zip(parameters, before, reader.start):
        now, gradient = parameter.detach().double(), parameter.grad
        squares = [now, old - now, now - start.double()]
        weight, update, drift = (float(t.square().sum()) for t in squares)
        if gradient is None:
            rows.append((weight, math.nan, update, 0.0, drift))
            continue
        gradient = gradient.to_dense().double()
        dot = float(((old - now) * gradient).sum())
        rows.append((weight, float(gradient.square().sum()), update, dot, drift))
    return np.array(rows).T


def check(found, expected, rtol=2e-6):
    scale = np.sqrt(np.nan_to_num(expected[GRADIENT]) * expected[UPDATE])
    np.testing.assert_allclose(found[DOT], expected[DOT], rtol=0, atol=rtol * scale.max())
    for row in (WEIGHT, GRADIENT, UPDATE, DRIFT):
        np.testing.assert_allclose(found[row], expected[row], rtol=rtol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_blocks_give_the_plain_sums(dtype):
    parameters = watched(dtype)
    reader = Reader(parameters, NEEDS)
    assert reader._blocks is not None
    for _ in range(2):  # memory is used again
        expected = walk(reader, parameters)
        found, scalars = reader.read(True, [torch.tensor(3.0)])
        check(found, expected)
        assert scalars == [3.0]


@pytest.mark.parametrize(
    ("change", "rtol"),
    [
        (lambda p: p.to(memory_format=torch.channels_last), 1e-6),
        (lambda p: p.to(torch.bfloat16), 5e-2),
        (lambda p: p.double(), 1e-6),
    ],
    ids=["channels_last", "bfloat16", "mixed types"],
)
def test_whole_tensors_give_the_plain_sums(change, rtol):
    parameters = watched(shapes=[(8, 4, 3, 3), (5,)])
    parameters[0] = nn.Parameter(change(parameters[0].detach()))
    parameters[0].grad = torch.randn_like(parameters[0])
    reader = Reader(parameters, NEEDS)
    assert reader._blocks is None
    expected = walk(reader, parameters)
    found, scalars = reader.read(True, [torch.tensor([3.0])])
    check(found, expected, rtol)
    assert scalars == [3.0]


def test_before_a_step_other_shapes_are_told():
    parameters = watched(shapes=[(2, 3), (5,)])
    for needs in (NEEDS, frozenset({"gradient"})):
        reader = Reader(parameters, needs)
        assert reader.before_step()
        for changed in (torch.ones(3, 2), torch.ones(6), torch.ones(2, 3, dtype=torch.complex64)):
            kept, parameters[0].data = parameters[0].data, changed
            assert not reader.before_step()
            parameters[0].data = kept
        assert reader.before_step()


def test_sparse_gradients_are_read():
    embedding = nn.Embedding(10, 3, sparse=True)
    embedding(torch.tensor([1, 1, 4])).square().sum().backward()
    parameters = [embedding.weight]
    reader = Reader(parameters, NEEDS)
    expected = walk(reader, parameters)
    check(reader.read(True)[0], expected)


@pytest.mark.parametrize("size", [3, SMALL + 1, BLOCK + 1])
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
def test_what_is_not_finite_is_inf_and_what_is_missing_nan(size, bad):
    parameters = watched(shapes=[(size,), (3,)])
    reader = Reader(parameters, frozenset({"gradient"}))
    parameters[0].grad[-1] = bad
    found, _ = reader.read(True)
    assert found[GRADIENT, 0] == math.inf
    assert math.isnan(found[GRADIENT, 1])
    assert np.isnan(found[[UPDATE, DOT, DRIFT]]).all()
    assert np.isnan(reader.read(False)[0][GRADIENT]).all()


def test_a_layer_s_gradient_is_that_of_the_parameters_that_have_one():
    layer = nn.Linear(3, 2)
    layer.weight.grad = torch.full((2, 3), 2.0)
    rest = nn.Linear(3, 2)
    model = nn.Sequential(layer, rest)
    read, _ = Meter(l2o.group_layers(model), NEEDS).read(gradients=True)
    assert read[GRADIENT, 0] == pytest.approx(math.sqrt(24.0))
    assert math.isnan(read[GRADIENT, 1])


OPTIMIZERS = {
    "SGD": lambda held: torch.optim.SGD(held, lr=0.1, momentum=0.9),
    "fused AdamW": lambda held: torch.optim.AdamW(held, lr=0.01, fused=True),
    "tensor LR": lambda held: torch.optim.AdamW(held, lr=torch.tensor(0.01), fused=True),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("mode", ["groups", "update_scale"])
def test_no_host_read_between_decisions(make, mode):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = make(model.parameters())
    policy = l2o.load_policy("asg-base")
    controller = l2o.LRController(policy, optimizer, model, total_steps=20, interval=5, mode=mode)
    counts = []
    for _ in range(11):
        with HostReads() as reads:
            loss = model(torch.ones(2, 4)).square().mean()
            controller.observe(loss=loss, proxy_kl=loss, val_loss=loss)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        counts.append(reads.total)
    # Decisions after 1, 2 and 4 steps, before the first interval ends, and at its end.
    assert [step for step, count in enumerate(counts) if count] == [0, 1, 3, 4, 9]


@pytest.mark.parametrize("mode", ["groups", "update_scale"])
def test_on_a_device_a_decision_is_one_copy_and_all_else_none(mode):
    torch.manual_seed(0)
    near = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))

    def train(device):
        model = copy.deepcopy(near)
        for layer in (model[0], model[2]):
            for name, parameter in list(layer.named_parameters()):
                setattr(layer, name, nn.Parameter(parameter.detach().to(device)))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=False)
        policy, inputs = l2o.load_policy("asg-base"), torch.ones(2, 4).to(device)
        controller = l2o.LRController(
            policy, optimizer, model, total_steps=20, interval=3, mode=mode
        )
        counts = []
        for _ in range(9):
            far.counts.clear()
            loss = model(inputs).square().mean()
            controller.observe(loss=loss, proxy_kl=loss, val_loss=loss)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            counts.append(dict(far.counts))
        return controller, counts

    with FarDevice() as far:
        controller, counts = train(DEVICE)
        one = {"to host": 1}
        assert counts[1:] == [one, one, {}, {}, one, {}, {}, one]
        here, _ = train(torch.device("cpu"))
    for mine, wanted in zip(controller.history, here.history, strict=True):
        assert mine.multipliers == pytest.approx(wanted.multipliers, rel=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cuda_gives_the_plain_sums(dtype):
    parameters = [nn.Parameter(p.detach().cuda()) for p in watched(dtype)]
    for parameter in parameters[1:]:
        parameter.grad = torch.randn_like(parameter)
    reader = Reader(parameters, NEEDS)
    expected = walk(reader, parameters)
    check(reader.read(True)[0], expected, 1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", ["groups", "update_scale"])
def test_cuda_is_not_waited_for_between_decisions(mode):
    model = nn.Linear(4, 3).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    policy, inputs = l2o.load_policy("asg-base"), torch.ones(2, 4, device="cuda")
    controller = l2o.LRController(policy, optimizer, model, total_steps=9, interval=5, mode=mode)
    for index in range(4):
        torch.cuda.set_sync_debug_mode("error" if index else "default")
        try:
            loss = model(inputs).square().mean()
            controller.observe(loss=loss, proxy_kl=loss, val_loss=loss)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_a_validation_loss_stays_where_it_is_until_a_decision():
    meter = Meter(l2o.group_layers(nn.Linear(2, 2)), frozenset())
    value = torch.tensor(2.0)
    meter.observe(validation_loss=value)
    value.fill_(9.0)
    meter.observe(validation_loss=1.0)
    measured = meter.measure(1, torch.ones(1), [0.1])
    assert float(measured.validation_loss) == 1.0
    assert float(measured.previous_validation_loss) == 2.0
    meter.observe(validation_loss=torch.tensor(0.5))
    assert meter.state_dict()["validation_loss"] == [0.5, 1.0]

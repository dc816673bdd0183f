"""Inner optimizers, step by step against plain loops."""

from __future__ import annotations

import copy
import doctest
import importlib
import pkgutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import l2o.envs.optimizers
import l2o.optimizers.hypergradient_sgd
import l2o.optimizers.lion
import l2o.optimizers.momentum_lr_sgd
from l2o.envs.optimizers import OPTIMIZERS, SGD, SGDLRMomentum
from l2o.envs.stacked.optimizers import STACKED_OPTIMIZERS
from l2o.layers.groups import group_layers, param_groups
from l2o.optimizers.momentum_lr_sgd import MomentumLRSGD

RATES = [0.1, 0.1, 0.02, 0.0, 0.3, 0.1]
DECAY = 0.05
Numbers = dict[str, Tensor]


def sgd(theta: Tensor, g: Tensor, lr: float, memory: Numbers, step: int) -> Tensor:
    memory["v"] = 0.9 * memory.get("v", torch.zeros_like(theta)) + g + DECAY * theta
    return theta - lr * memory["v"]


def sgd_lr_momentum(theta: Tensor, g: Tensor, lr: float, memory: Numbers, step: int) -> Tensor:
    old = memory.get("v", torch.zeros_like(theta))
    memory["v"] = 0.9 * old + lr * (g + DECAY * theta)
    return theta - memory["v"]


def adam(theta: Tensor, g: Tensor, lr: float, memory: Numbers, step: int) -> Tensor:
    return adam_step(theta, g + DECAY * theta, lr, memory, step)


def adamw(theta: Tensor, g: Tensor, lr: float, memory: Numbers, step: int) -> Tensor:
    return adam_step(theta - lr * DECAY * theta, g, lr, memory, step)


def adam_step(theta: Tensor, g: Tensor, lr: float, memory: Numbers, step: int) -> Tensor:
    zeros = torch.zeros_like(theta)
    memory["m"] = 0.9 * memory.get("m", zeros) + 0.1 * g
    memory["s"] = 0.999 * memory.get("s", zeros) + 0.001 * g**2
    mean, square = memory["m"] / (1 - 0.9**step), memory["s"] / (1 - 0.999**step)
    return theta - lr * mean / (square.sqrt() + 1e-8)


def rmsprop(theta: Tensor, g: Tensor, lr: float, memory: Numbers, step: int) -> Tensor:
    g, zeros = g + DECAY * theta, torch.zeros_like(theta)
    memory["s"] = 0.99 * memory.get("s", zeros) + 0.01 * g**2
    return theta - lr * g / (memory["s"].sqrt() + 1e-8)


def lion(theta: Tensor, g: Tensor, lr: float, memory: Numbers, step: int) -> Tensor:
    old = memory.get("m", torch.zeros_like(theta))
    memory["m"] = 0.99 * old + 0.01 * g
    return theta - lr * ((0.9 * old + 0.1 * g).sign() + DECAY * theta)


PLAIN: dict[str, Callable[[Tensor, Tensor, float, Numbers, int], Tensor]] = {
    "sgd": sgd,
    "sgd_lr_momentum": sgd_lr_momentum,
    "adam": adam,
    "adamw": adamw,
    "rmsprop": rmsprop,
    "lion": lion,
}


def gradients(steps: int, shape: tuple[int, ...] = (3, 2)) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(steps, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", PLAIN)
def test_equals_plain_loop_while_the_rate_moves(name: str) -> None:
    weight = nn.Parameter(torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2))
    optimizer = OPTIMIZERS[name](weight_decay=DECAY).build([{"params": [weight], "lr": 1.0}])
    expected, memory = weight.detach().clone(), dict[str, Tensor]()
    for step, (rate, gradient) in enumerate(zip(RATES, gradients(len(RATES))), start=1):
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = gradient.clone()
        optimizer.step()
        expected = PLAIN[name](expected, gradient, rate, memory, step)
        torch.testing.assert_close(weight.detach(), expected)
        assert torch.equal(weight.grad, gradient)


def train(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter]) -> Tensor:
    for gradient in gradients(20, (len(weights), 4)):
        for weight, row in zip(weights, gradient):
            weight.grad = row.to(weight.dtype)
        optimizer.step()
    return torch.cat([weight.detach() for weight in weights])


def weights(count: int = 3) -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(4, dtype=torch.float64)) for _ in range(count)]


@pytest.mark.parametrize("name", [n for n in PLAIN if OPTIMIZERS[n] in STACKED_OPTIMIZERS])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_stacked_form_equals_it_step_by_step(name: str, momentum: float) -> None:
    settings = {"momentum": momentum} if "momentum" in vars(OPTIMIZERS[name]()) else {}
    config = OPTIMIZERS[name](weight_decay=DECAY, **settings)
    weight = nn.Parameter(torch.linspace(-1, 1, 6, dtype=torch.float64))
    flat = weight.detach().clone()
    optimizer = config.build([{"params": [weight], "lr": 1.0}])
    stacked = STACKED_OPTIMIZERS[type(config)](flat, config)
    for rate, gradient in zip(RATES, gradients(len(RATES), (6,))):
        optimizer.param_groups[0]["lr"] = rate
        stacked.rates.fill_(rate)
        weight.grad = gradient.clone()
        optimizer.step()
        stacked.step(gradient)
        torch.testing.assert_close(flat, weight.detach(), rtol=1e-13, atol=1e-13)


def test_equals_torch_sgd_while_the_rate_stands_still() -> None:
    ours, theirs = weights(), weights()
    left = train(MomentumLRSGD(ours, lr=0.1, momentum=0.9, weight_decay=0.01), ours)
    right = train(torch.optim.SGD(theirs, lr=0.1, momentum=0.9, weight_decay=0.01), theirs)
    torch.testing.assert_close(left, right)


@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1, dtype=torch.float64)])
def test_foreach_equals_plain(rate: float | Tensor) -> None:
    results = []
    for foreach in (False, True):
        held = weights()
        optimizer = MomentumLRSGD(held, lr=rate, weight_decay=0.01, foreach=foreach)
        results.append(train(optimizer, held))
    assert torch.equal(*results)


def test_momentum_lr_sgd_resumes_and_skips_what_has_no_gradient() -> None:
    held, idle = weights(1)[0], nn.Parameter(torch.ones(2))
    optimizer = MomentumLRSGD([held, idle], lr=0.1)
    held.grad = torch.ones(4, dtype=torch.float64)
    assert optimizer.step(lambda: 3.0) == 3.0
    assert torch.equal(idle, torch.ones(2))
    twin = nn.Parameter(held.detach().clone())
    resumed = MomentumLRSGD([twin, nn.Parameter(torch.ones(2))], lr=0.5)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    twin.grad = held.grad.clone()
    optimizer.step()
    resumed.step()
    assert torch.equal(held, twin)
    held.grad = torch.ones(4, dtype=torch.float64).to_sparse()
    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_contract(name: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    config = OPTIMIZERS[name]()
    assert config == OPTIMIZERS[name]()
    optimizer = config.build(param_groups(group_layers(model), base_lr=1.0))
    wanted = config.weight_decay  # type: ignore[attr-defined]
    for group in optimizer.param_groups:
        assert group["lr"] == 1.0
        assert group["weight_decay"] == wanted
    explicit = config.build(param_groups(group_layers(model), 0.01, weight_decay=0.7))
    assert explicit.param_groups[0]["weight_decay"] == 0.7
    before = [p.detach().clone() for p in model.parameters()]
    model(torch.ones(5, 3)).square().mean().backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters()))
    with pytest.raises(ValueError, match="no 'lr'"):
        config.build([{"params": [nn.Parameter(torch.ones(1))]}])
    with pytest.raises(ValueError, match="no param groups"):
        config.build([])
    with pytest.raises(ValueError, match="weight_decay"):
        OPTIMIZERS[name](weight_decay=-1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(momentum=1.0),
        lambda: SGD(momentum=0.0, nesterov=True),
        lambda: SGDLRMomentum(momentum=-0.1),
        lambda: OPTIMIZERS["adam"](betas=(0.9, 1.0)),
        lambda: OPTIMIZERS["adamw"](betas=(0.9,)),
        lambda: OPTIMIZERS["adam"](eps=0.0),
        lambda: OPTIMIZERS["rmsprop"](alpha=1.0),
        lambda: OPTIMIZERS["rmsprop"](momentum=1.0),
        lambda: OPTIMIZERS["rmsprop"](eps=0.0),
        lambda: MomentumLRSGD(weights(), lr=-1.0),
        lambda: OPTIMIZERS["lion"](betas=(0.9, 1.0)),
        lambda: l2o.optimizers.lion.Lion(weights(), lr=-1.0),
        lambda: l2o.optimizers.lion.Lion(weights(), betas=(0.9,)),
        lambda: MomentumLRSGD(weights(), momentum=1.0),
        lambda: MomentumLRSGD(weights(), lr=torch.ones(2)),
    ],
)
def test_bad_arguments(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"alpha|momentum|betas|eps|lr|nesterov"):
        make()


def test_docstrings_run() -> None:
    package = l2o.envs.optimizers
    modules = [
        l2o.optimizers.momentum_lr_sgd,
        l2o.optimizers.hypergradient_sgd,
        l2o.optimizers.lion,
    ]
    for info in pkgutil.iter_modules(package.__path__):
        modules.append(importlib.import_module(f"{package.__name__}.{info.name}"))
    for module in modules:
        result = doctest.testmod(module, extraglobs={"torch": torch, "nn": nn})
        assert result.failed == 0, module.__name__

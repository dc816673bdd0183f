"""Ctrl-C at any place within a step: what is left is the user's own optimizer, and it goes on."""

import os
import sys

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

import l2o
from l2o.deciding.policy import Policy
from l2o.signals.spec import SignalSpec

STRIDE = int(os.environ.get("L2O_STRIDE", "3"))
"""Every which line is interrupted."""
FACTORS = (0.25, 1.5)
FILES = ("/l2o/controller", "/l2o/stepping", "/l2o/hooks", "/l2o/rates", "/l2o/modes/")
FILES += ("/torch/optim/",)


class Fixed(Policy):
    signals = SignalSpec(("present", "base_lr", "update_norm"))
    interval = 1

    def __call__(self, observation, state):
        return torch.tensor(FACTORS), state


class Interrupt:
    """Raises KeyboardInterrupt at the n-th line that runs in these files."""

    def __init__(self, at):
        self.at, self.lines = at, 0

    def __call__(self, frame, event, _):
        if not any(part in frame.f_code.co_filename for part in FILES):
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                raise KeyboardInterrupt
        return self

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self)

    def __exit__(self, *_):
        sys.settrace(self.before)
        # torch's own wrapper, interrupted where it turns gradients on again, leaves them off.
        torch.set_grad_enabled(True)


class Bench:
    def __init__(self, mode, schedule, kind, guard):
        self.model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).double()
        layers = [list(layer.parameters()) for layer in self.model]
        users = [{"params": [*layers[0], layers[1][0]]}, {"params": [layers[1][1]], "lr": 0.02}]
        self.optimizer = torch.optim.SGD(users, lr=0.1)
        if kind == "tensor":
            for group in self.optimizer.param_groups:
                group["lr"] = torch.tensor(group["lr"], dtype=torch.float64)
        self.scheduler = schedulers.LambdaLR(self.optimizer, lambda step: 0.5)
        self.controller = l2o.LRController(
            Fixed(), self.optimizer, self.model, mode=mode, schedule=schedule, guard=guard
        )
        self.users = self.optimizer.param_groups
        self.dicts = list(self.users)
        self.held = [group["lr"] for group in self.users]
        self.rates = [float(lr) for lr in self.held]

    def closure(self):
        assert self.optimizer.param_groups is self.users
        return torch.zeros(())

    def step(self):
        for parameter in self.model.parameters():
            parameter.data.zero_()
            parameter.grad = torch.ones_like(parameter)
        self.optimizer.step(self.closure)

    def assert_the_user_s(self):
        assert self.optimizer.param_groups is self.users
        assert all(a is b for a, b in zip(self.users, self.dicts, strict=True))
        for group, held, rate in zip(self.users, self.held, self.rates, strict=True):
            assert group["lr"] is held
            assert float(held) == rate

    def assert_goes_on(self, schedule):
        """A step later the multipliers act as ever."""
        steps = self.controller.steps
        self.step()
        self.assert_the_user_s()
        assert self.controller.steps == steps + 1
        times = 2.0 if schedule == "override" else 1.0
        low, high = (times * rate for rate in self.rates)
        wanted = [low * FACTORS[0]] * 2 + [low * FACTORS[1], high * FACTORS[1]]
        moved = [-p.view(-1)[0].item() for p in self.model.parameters()]
        assert moved == pytest.approx(wanted, rel=1e-12)


CASES = [
    ("groups", "compose", "float", None),
    ("groups", "override", "tensor", True),
    ("update_scale", "override", "float", True),
]


@pytest.mark.parametrize(("mode", "schedule", "kind", "guard"), CASES)
def test_an_interrupt_anywhere_leaves_the_user_s_optimizer(mode, schedule, kind, guard):
    whole = Bench(mode, schedule, kind, guard)
    count = Interrupt(0)
    with count:
        whole.step()
    assert count.lines > 100
    interrupted = 0
    for at in range(1, count.lines + 1, STRIDE):
        bench = Bench(mode, schedule, kind, guard)
        try:
            with Interrupt(at):
                bench.step()
        except KeyboardInterrupt:
            interrupted += 1
        bench.assert_the_user_s()
        state = bench.optimizer.state_dict()
        assert [float(group["lr"]) for group in state["param_groups"]] == bench.rates
        assert len(state["param_groups"]) == 2
        bench.assert_goes_on(schedule)
    assert interrupted > 30


@pytest.mark.parametrize("mode", ["groups", "update_scale"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, StopIteration])
def test_a_closure_that_raises_leaves_the_user_s_optimizer(error, mode):
    bench = Bench(mode, "override", "float", True)

    def fails():
        bench.closure()
        raise error

    with pytest.raises(error):
        bench.optimizer.step(fails)
    bench.assert_the_user_s()
    assert bench.controller.steps == 0
    bench.assert_goes_on("override")


@pytest.mark.parametrize("mode", ["groups", "update_scale"])
def test_a_hook_that_raises_leaves_the_user_s_optimizer(mode):
    bench = Bench(mode, "override", "float", True)

    def fails(*_):
        raise KeyboardInterrupt

    for register in (
        bench.optimizer.register_step_pre_hook,
        bench.optimizer.register_step_post_hook,
    ):
        handle = register(fails)
        with pytest.raises(KeyboardInterrupt):
            bench.step()
        bench.assert_the_user_s()
        handle.remove()
        bench.assert_goes_on("override")


def test_a_rate_set_after_an_interrupt_holds():
    bench = Bench("groups", "compose", "float", None)
    with pytest.raises(KeyboardInterrupt), Interrupt(80):
        bench.step()
    for group in bench.users:
        group["lr"] = 0.01
    bench.held, bench.rates = [group["lr"] for group in bench.users], [0.01, 0.01]
    bench.assert_goes_on("compose")

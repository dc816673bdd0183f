"""Optimizers around an optimizer: sharpness-aware minimization, Lookahead, and both."""

import copy

import pytest
import torch
from torch import nn

import l2o
from l2o.control.unwrap import unwrap_optimizer
from l2o.deciding.policy import Policy
from l2o.modes import choose_mode

FACTORS = (0.25, 1.5)
STEPS = 6


class Fixed(Policy):
    interval = 2

    def __call__(self, observation, state):
        return torch.tensor(FACTORS), state


class SharpnessAware(torch.optim.Optimizer):
    """Takes the gradient at the worst point nearby, then a step of the optimizer within."""

    def __init__(self, base_optimizer, rho=0.05):
        self.base_optimizer = base_optimizer
        params = [p for group in base_optimizer.param_groups for p in group["params"]]
        super().__init__(params, {"rho": rho})
        self.param_groups = base_optimizer.param_groups

    @torch.no_grad()
    def step(self, closure):
        params = [p for group in self.param_groups for p in group["params"]]
        norm = torch.stack([p.grad.norm() for p in params]).norm()
        uphill = [p.grad * (0.05 / norm) for p in params]
        torch._foreach_add_(params, uphill)
        self.zero_grad()
        with torch.enable_grad():
            loss = closure()
        torch._foreach_sub_(params, uphill)
        self.base_optimizer.step()
        return loss

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.base_optimizer.param_groups = self.param_groups


class Lookahead(torch.optim.Optimizer):
    """Every third step, weights go half the way from where they were three steps before."""

    def __init__(self, optimizer):
        self.optimizer = optimizer
        params = [p for group in optimizer.param_groups for p in group["params"]]
        super().__init__(params, {})
        self.param_groups = optimizer.param_groups
        self.slow = [p.detach().clone() for p in params]
        self.done = 0

    @torch.no_grad()
    def step(self, closure=None):
        loss = self.optimizer.step(closure) if closure else self.optimizer.step()
        self.done += 1
        if self.done % 3 == 0:
            params = [p for group in self.param_groups for p in group["params"]]
            for p, slow in zip(params, self.slow, strict=True):
                p.copy_(slow.add_(p - slow, alpha=0.5))
        return loss

    def state_dict(self):
        return {
            "fast": self.optimizer.state_dict(),
            "slow": [slow.clone() for slow in self.slow],
            "done": self.done,
        }

    def load_state_dict(self, state_dict):
        self.optimizer.load_state_dict(state_dict["fast"])
        self.param_groups = self.optimizer.param_groups
        self.slow = [slow.clone() for slow in state_dict["slow"]]
        self.done = state_dict["done"]


WRAPPERS = {
    "sam": SharpnessAware,
    "lookahead": Lookahead,
    "lookahead of sam": lambda optimizer: Lookahead(SharpnessAware(optimizer)),
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()


def begin(wrapper, controlled, mode="auto"):
    model = network()
    layers = [list(model[0].parameters()), list(model[2].parameters())]
    if controlled:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    else:
        groups = [
            {"params": layer, "lr": 0.1 * factor}
            for layer, factor in zip(layers, FACTORS, strict=True)
        ]
        optimizer = torch.optim.SGD(groups, momentum=0.9)
    outer = WRAPPERS[wrapper](optimizer)
    if not controlled:
        return model, outer, None
    return model, outer, l2o.LRController(Fixed(), outer, model, mode=mode)


def train(model, optimizer, first=0, last=STEPS):
    for index in range(first, last):
        x = torch.randn(6, 3, generator=torch.Generator().manual_seed(index)).double()

        def closure(x=x):
            loss = model(x).square().mean()
            loss.backward()
            return loss

        loss = closure()
        optimizer.step(closure) if "sam" in kind_of(optimizer) else optimizer.step()
        optimizer.zero_grad()
    return loss


def kind_of(optimizer):
    inner = getattr(optimizer, "optimizer", optimizer)
    return "sam" if isinstance(inner, SharpnessAware) else "other"


def assert_same(mine, wanted):
    for a, b in zip(mine.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["groups", "update_scale"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_multipliers_act_in_the_step_of_the_optimizer_within(wrapper, mode):
    model, outer, controller = begin(wrapper, True, mode)
    assert type(controller.optimizer) is torch.optim.SGD
    reference, plain, _ = begin(wrapper, False)
    train(model, outer)
    train(reference, plain)
    assert controller.steps == STEPS
    assert_same(model, reference)
    assert outer.param_groups[0]["lr"] == 0.1
    assert outer.param_groups is controller.optimizer.param_groups


@pytest.mark.parametrize("at", [1, 3, 4])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_controller_s_state_rides_in_the_outer_one_s(wrapper, at, tmp_path):
    whole = begin(wrapper, True)
    train(*whole[:2])
    first = begin(wrapper, True)
    train(*first[:2], 0, at)
    saved = {"model": first[0].state_dict(), "optimizer": first[1].state_dict()}
    if wrapper == "sam":  # its own state dict, whose state is that of the optimizer within
        saved["within"] = first[1].base_optimizer.state_dict()
        assert saved["optimizer"]["l2o"]["step"] == at
    path = tmp_path / "checkpoint.pt"
    torch.save(saved, path)
    saved = torch.load(path, weights_only=True)
    model, outer, controller = begin(wrapper, True)
    model.load_state_dict(saved["model"])
    outer.load_state_dict(saved["optimizer"])
    if wrapper == "sam":
        assert controller.steps == at
        assert controller.multipliers == first[2].multipliers
        outer.base_optimizer.load_state_dict(saved["within"])
        outer.param_groups = outer.base_optimizer.param_groups
    assert controller.steps == at
    train(model, outer, at)
    assert controller.steps == STEPS
    if wrapper != "lookahead of sam":
        assert_same(model, whole[0])


def test_a_state_of_another_run_is_refused_by_the_outer_one():
    _, outer, controller = begin("sam", True)
    state = copy.deepcopy(outer.state_dict())
    state["l2o"]["groups"] = ["x", "y"]
    state["param_groups"][0]["lr"] = 9.0
    with pytest.raises(ValueError, match="attach the same policy to the same model"):
        outer.load_state_dict(state)
    assert outer.param_groups[0]["lr"] == 0.1
    assert controller.steps == 0


def test_detaching_lets_go_of_all_of_them():
    model, outer, controller = begin("sam", True)
    train(model, outer, 0, 1)
    controller.detach()
    assert "l2o" not in outer.state_dict()
    assert "l2o" not in outer.base_optimizer.state_dict()
    train(model, outer, 1, 2)
    assert controller.steps == 1


def test_the_outermost_comes_last():
    optimizer = torch.optim.SGD(network().parameters(), lr=0.1)
    middle = SharpnessAware(optimizer)
    outer = Lookahead(middle)
    assert unwrap_optimizer(outer) == (optimizer, [middle, outer])
    assert unwrap_optimizer(middle) == (optimizer, [middle])
    assert unwrap_optimizer(optimizer) == (optimizer, [])


class Beside(torch.optim.SGD):
    """Keeps another optimizer, of other parameters or of itself."""

    def __init__(self, params, base, name="base"):
        super().__init__(params, lr=0.1)
        setattr(self, name, base)


@pytest.mark.parametrize("name", ["base", "base_optimizer", "optim", "inner_optimizer"])
def test_an_optimizer_of_other_parameters_is_not_looked_into(name):
    model, other = network(), network()
    stranger = torch.optim.SGD(other.parameters(), lr=0.1)
    optimizer = Beside(model.parameters(), stranger, name)
    assert unwrap_optimizer(optimizer) == (optimizer, [])
    setattr(optimizer, name, optimizer)
    assert unwrap_optimizer(optimizer) == (optimizer, [])
    mine = torch.optim.SGD(model.parameters(), lr=0.1)
    setattr(optimizer, name, mine)
    assert unwrap_optimizer(optimizer) == (mine, [optimizer])


def test_wrappers_in_a_circle_end():
    one = torch.optim.SGD(network().parameters(), lr=0.1)
    two = torch.optim.SGD(one.param_groups[0]["params"], lr=0.1)
    one.base, two.base = two, one
    assert unwrap_optimizer(one)[0] in (one, two)


@pytest.mark.parametrize("given", [None, 0.1, "SGD", torch.optim.SGD, nn.Linear(2, 2), [1]])
def test_what_is_no_optimizer_is_refused(given):
    with pytest.raises(TypeError, match="is no torch optimizer; pass the"):
        l2o.LRController(Fixed(), given, network())


# Subclasses ------------------------------------------------------------------------------------


class Renamed(torch.optim.AdamW):
    """A subclass with other defaults, and the step of its base."""

    def __init__(self, params, lr=0.3):
        super().__init__(params, lr=lr)


class Clipping(torch.optim.Adam):
    def step(self, closure=None):
        return super().step(closure)


class OfClipping(Clipping):
    """Inherits a step that is not torch's."""


class MyLBFGS(torch.optim.LBFGS):
    """Takes one param group, as its base does."""


class MyRprop(torch.optim.Rprop):
    def step(self, closure=None):
        return super().step(closure)


class FromScratch(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})

    def step(self, closure=None):
        return None


@pytest.mark.parametrize(
    ("kind", "mode", "reason"),
    [
        (torch.optim.AdamW, "groups", "AdamW follows one learning rate per param group"),
        (Renamed, "groups", "Renamed follows one learning rate per param group"),
        (Clipping, "update_scale", "Clipping has a step of its own, not that of Adam"),
        (OfClipping, "update_scale", "OfClipping has a step of its own, not that of Adam"),
        (MyLBFGS, "update_scale", "LBFGS takes a single param group"),
        (MyRprop, "update_scale", "Rprop reads the learning rate at its first step only"),
        (torch.optim.Adafactor, "update_scale", "Adafactor bounds the learning rate by a"),
        (FromScratch, "update_scale", "FromScratch is not known to follow one LR per param group"),
    ],
)
def test_the_mode_of_subclasses(kind, mode, reason):
    model = network()
    found = choose_mode(kind(model.parameters()))
    assert (found[0], found[1][: len(reason)]) == (mode, reason)
    controller = l2o.LRController(Fixed(), kind(model.parameters()), model)
    assert (controller.report()["mode"], controller.report()["mode_reason"]) == found


def test_a_subclass_is_the_same_after_a_scheduler_wrapped_its_step():
    optimizer = Renamed(network().parameters())
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    assert choose_mode(optimizer)[0] == "groups"

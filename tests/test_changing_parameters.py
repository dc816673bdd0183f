"""Parameters that are replaced, appended, grown or thawed in the middle of a run."""

import copy

import pytest
import torch
from torch import nn

import l2o
from l2o.control.controller import MANY
from l2o.deciding.policy import Policy
from l2o.signals.spec import SignalSpec

FACTORS = {"0": 0.25, "2": 0.5, "4": 1.5}
STEPS, AT = 8, 3


class ByName(Policy):
    """A multiplier per layer, by the depth that is observed; looks at all signals."""

    signals = SignalSpec()
    interval = 2

    def __call__(self, observation, state):
        depth = observation[:, self.signals.index("depth")]
        values = torch.tensor(list(FACTORS.values()))
        return values[(2 * depth).round().long()], state


def network():
    torch.manual_seed(0)
    made = [nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3)]
    return nn.Sequential(*made).double()


def replaced(model, group, shape_of):
    """Put another tensor in the place of the last layer's weight; return the old one and it."""
    old = model[4].weight
    values = torch.full(shape_of(old), 0.1, dtype=torch.float64)
    model[4].weight = new = nn.Parameter(values)
    index = next(i for i, p in enumerate(group["params"]) if p is old)
    group["params"][index] = new
    return old, new


class Change:
    """A change of a model and the one param group of its optimizer, done to two runs alike."""

    def begin(self, model):
        return list(model.parameters())

    def change(self, model, optimizer):
        raise NotImplementedError


class Replace(Change):
    def change(self, model, optimizer):
        for group in optimizer.param_groups:
            if any(p is model[4].weight for p in group["params"]):
                replaced(model, group, lambda old: old.shape)
                return


class Reassign(Replace):
    """Another list, too, as `group["params"] = [...]` makes it."""

    def change(self, model, optimizer):
        for group in optimizer.param_groups:
            group["params"] = list(group["params"])
        super().change(model, optimizer)


class Grow(Change):
    """`p.data = larger`: the same parameter, of another shape."""

    def change(self, model, optimizer):
        torch.manual_seed(1)
        for name, shape in (("weight", (5, 6)), ("bias", (5,))):
            parameter = getattr(model[4], name)
            parameter.data = torch.randn(shape).double() * 0.1
            parameter.grad = None
            optimizer.state.pop(parameter, None)


class Append(Change):
    """A layer that the optimizer gets to know by appending to a group's list."""

    def begin(self, model):
        return [p for index in (0, 4) for p in model[index].parameters()]

    def change(self, model, optimizer):
        optimizer.param_groups[-1]["params"].extend(model[2].parameters())


class Thaw(Change):
    def begin(self, model):
        model[2].requires_grad_(False)
        return list(model.parameters())

    def change(self, model, optimizer):
        model[2].requires_grad_(True)


class AddGroup(Append):
    def change(self, model, optimizer):
        optimizer.add_param_group({"params": list(model[2].parameters()), "lr": 0.05})


CHANGES = {kind.__name__: kind() for kind in (Replace, Reassign, Grow, Append, Thaw, AddGroup)}


def loss_of(model, index):
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(index)).double()
    return model(x).square().mean()


def rate_by_parameter(model, optimizer):
    """Return the user's rate of each parameter that is trained, times its layer's factor."""
    layer = {id(p): name.split(".")[0] for name, p in model.named_parameters()}
    rates = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            rates[id(p)] = group["lr"] * FACTORS[layer[id(p)]]
    return rates


@pytest.mark.parametrize("guard", [None, True])
@pytest.mark.parametrize("mode", ["groups", "update_scale"])
@pytest.mark.parametrize("name", CHANGES)
def test_multipliers_follow_the_parameters(name, mode, guard):
    change, model, twin = CHANGES[name], network(), network()
    optimizer = torch.optim.SGD(change.begin(model), lr=0.1)
    mirror = torch.optim.SGD(change.begin(twin), lr=0.1)
    controller = l2o.LRController(
        ByName(), optimizer, model, mode=mode, guard=guard, total_steps=STEPS
    )
    for index in range(STEPS):
        if index == AT:
            change.change(model, optimizer)
            change.change(twin, mirror)
            assert set(controller.get_last_lr()) <= set(FACTORS)  # may be asked at any time
        loss = loss_of(model, index)
        controller.observe(loss=loss)
        loss.backward()
        del loss  # with its graph, which knows the shapes of before
        loss_of(twin, index).backward()
        rates = rate_by_parameter(twin, mirror)
        optimizer.step()
        with torch.no_grad():
            for p in twin.parameters():
                if p.grad is not None and id(p) in rates:
                    p -= rates[id(p)] * p.grad
        model.zero_grad()
        twin.zero_grad()
        for mine, wanted in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(mine, wanted, rtol=1e-6, atol=1e-9)
    assert controller.steps == STEPS
    assert list(controller.multipliers) == list(FACTORS)
    assert list(controller.multipliers.values()) == pytest.approx(list(FACTORS.values()))
    assert controller.observation.isfinite().all()
    assert controller.report()["interventions"] == {}
    # A checkpoint after the change goes on in a run that had it from the start.
    again = copy.deepcopy((model, optimizer))
    resumed = l2o.LRController(ByName(), again[1], again[0], mode=mode, guard=guard)
    resumed.load_state_dict(controller.state_dict())
    assert resumed.multipliers == controller.multipliers


@pytest.mark.parametrize("name", CHANGES)
def test_adamw_goes_on_under_a_shipped_policy(name):
    change, model = CHANGES[name], network()
    optimizer = torch.optim.AdamW(change.begin(model), lr=1e-3)
    controller = l2o.LRController("asg-lite", optimizer, model, total_steps=STEPS, interval=2)
    for index in range(STEPS):
        if index == AT:
            change.change(model, optimizer)
        loss = loss_of(model, index)
        controller.observe(loss=loss)
        loss.backward()
        del loss
        optimizer.step()
        optimizer.zero_grad()
    assert all(p.isfinite().all() for p in model.parameters())
    assert set(controller.multipliers) == set(FACTORS)


# What is said ----------------------------------------------------------------------------------


def test_strangers_are_told_of_once(caplog):
    model = network().float()
    strangers = [nn.Parameter(torch.ones(2, n)) for n in (1, 2, 3, 4)]
    optimizer = torch.optim.SGD([*model.parameters(), *strangers], lr=0.1)
    l2o.LRController(l2o.SchedulePolicy("constant"), optimizer, model)
    (said,) = caplog.messages
    assert "4 parameters of the optimizer (of shape (2, 1), (2, 2), (2, 3), ...)" in said
    assert "groups=..." in said
    late = nn.Parameter(torch.ones(7))
    optimizer.add_param_group({"params": [late]})
    for p in (*strangers, late):
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert len(caplog.messages) == 1
    assert torch.equal(strangers[0], torch.full((2, 1), 0.9))
    assert torch.equal(late, torch.full((7,), 0.9))


def test_frozen_strangers_are_no_news_until_they_are_trained(caplog):
    model, stranger = network(), nn.Parameter(torch.ones(3), requires_grad=False)
    optimizer = torch.optim.SGD([*model.parameters(), stranger], lr=0.1)
    l2o.LRController(l2o.SchedulePolicy("constant"), optimizer, model)
    assert caplog.messages == []
    stranger.requires_grad_(True)
    optimizer.step()
    optimizer.step()
    (said,) = caplog.messages
    assert "1 parameters of the optimizer (of shape (3,))" in said


def test_a_model_of_which_all_is_held_has_no_strangers(caplog):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    l2o.LRController(l2o.SchedulePolicy("constant"), optimizer, model)
    assert caplog.messages == []


def test_many_losses_without_a_step_are_told_of_once(caplog):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = l2o.LRController(l2o.SchedulePolicy("constant"), optimizer, model)
    for _ in range(MANY - 1):
        controller.observe(loss=1.0)
    assert caplog.messages == []
    for _ in range(3 * MANY):
        controller.observe(loss=1.0)
    (said,) = caplog.messages
    assert said.startswith(f"l2o: {MANY} losses were observed since the last step of SGD")
    assert "pass the optimizer that steps" in said


@pytest.mark.parametrize("between", [1, 8, MANY - 1])
def test_accumulated_losses_are_no_reason_to_warn(between, caplog):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = l2o.LRController(l2o.SchedulePolicy("constant"), optimizer, model)
    for _ in range(3):
        for _ in range(between):
            controller.observe(loss=1.0)
        optimizer.step()
    assert caplog.messages == []


@pytest.mark.parametrize("guard", [None, True])
@pytest.mark.parametrize("at", [0, 1, 2, 5])
def test_all_of_a_model_may_grow_at_any_step(at, guard):
    model = nn.Linear(3, 2, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    controller = l2o.LRController(Watching(), optimizer, model, guard=guard, total_steps=STEPS)
    for index in range(STEPS):
        if index == at:
            model.weight.data, model.weight.grad = torch.ones(7, 3), None
            optimizer.state.clear()
        model.weight.grad = torch.ones_like(model.weight)
        optimizer.step()
    assert controller.report()["interventions"] == {}
    torch.testing.assert_close(model.weight, model.weight[:1, :1].expand(7, 3))
    names = ("drift", "update_norm")
    assert all(controller.observation[0, controller.spec.index(name)] != 0 for name in names)


class Watching(Policy):
    """The user's own rates, under a look at all signals."""

    signals = SignalSpec()
    interval = 2

    def __call__(self, observation, state):
        return torch.ones(len(observation)), state

"""What a controller is made from: names, kinds, lengths, and what is refused with the remedy."""

import doctest
import importlib
import math

import numpy as np
import pytest
import torch
from torch import nn

import l2o
from l2o.deciding.policy import Policy


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def make(policy=None, model=None, **options):
    model = model or network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    policy = policy or l2o.SchedulePolicy("constant")
    return l2o.LRController(policy, optimizer, model, **options)


def weights_after(policy, steps=3):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = l2o.LRController(policy, optimizer, model, total_steps=steps)
    for _ in range(steps):
        loss = model(torch.ones(2, 4)).square().mean()
        controller.observe(loss=loss)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize("name", ["asg-base", "asg-lite", "asg-wide"])
def test_a_shipped_policy_by_name_is_the_loaded_one(name):
    assert torch.equal(weights_after(name), weights_after(l2o.load_policy(name)))
    assert isinstance(make(name, total_steps=3).policy, l2o.LearnedPolicy)


def test_a_folder_is_a_policy(tmp_path):
    policy = l2o.load_policy("asg-lite")
    l2o.save_policy(tmp_path / "mine", policy, {})
    for given in (tmp_path / "mine", str(tmp_path / "mine")):
        assert torch.equal(weights_after(given), weights_after("asg-lite"))


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises((ValueError, FileNotFoundError), match="asg-base"):
        make("asg-bass")


@pytest.mark.parametrize(
    "policy", [0.1, {"kind": "cosine"}, [1.0, 2.0], torch.ones(2), l2o.SchedulePolicy, Policy, True]
)
def test_what_is_no_policy_is_refused(policy):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match=r"policy must be an l2o\.Policy .*, or None, got"):
        l2o.LRController(policy, optimizer, model)
    make(model=model)
    l2o.LRController(None, optimizer, model)  # nothing was left behind by the refusal


@pytest.mark.parametrize(
    "model",
    [
        list(network().parameters()),
        network().state_dict(),
        network().parameters(),
        nn.Sequential,
        "net",
    ],
    ids=["list", "state dict", "generator", "class", "name"],
)
def test_what_is_no_model_is_refused(model):
    optimizer = torch.optim.SGD(network().parameters(), lr=0.1)
    with pytest.raises(TypeError, match="pass the module itself"):
        l2o.LRController(l2o.SchedulePolicy("constant"), optimizer, model)


@pytest.mark.parametrize(
    "steps", [0, -5, 0.5, 2.5, math.nan, math.inf, -math.inf, "100", True, [1], 1j]
)
def test_a_length_that_is_none_is_refused(steps):
    with pytest.raises(ValueError, match="total_steps must be at least 1, a whole number"):
        make(total_steps=steps)


@pytest.mark.parametrize(
    "steps", [1, 100, 100.0, np.int64(100), np.float32(100.0), 10**9], ids=repr
)
def test_lengths(steps):
    assert make(total_steps=steps).meter.total_steps == int(steps)
    assert make(total_steps=None).meter.total_steps is None


@pytest.mark.parametrize("given", ["overide", "", None, "Compose", 1])
def test_an_unknown_schedule_is_refused(given):
    with pytest.raises(ValueError, match="schedule"):
        make(schedule=given)


@pytest.mark.parametrize("guard", [True, False, None, l2o.Guard(patience=1)])
def test_guards(guard):
    controller = make(guard=guard)
    if isinstance(guard, l2o.Guard):
        assert controller.guard is guard
    else:
        assert (controller.guard is not None) == bool(guard)


def test_a_refused_controller_leaves_the_optimizer_free():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for bad in ({"mode": "group"}, {"interval": 0}, {"total_steps": -1}, {"schedule": "none"}):
        with pytest.raises(ValueError):
            l2o.LRController(l2o.SchedulePolicy("constant"), optimizer, model, **bad)
    assert not optimizer._optimizer_step_pre_hooks
    assert "step" not in vars(optimizer)
    l2o.LRController(l2o.SchedulePolicy("constant"), optimizer, model)


@pytest.mark.parametrize(
    "name",
    [
        "control.controller",
        "control.skips",
        "control.state",
        "control.unwrap",
        "modes.choose",
        "modes.split",
        "checks",
    ],
)
def test_docstrings_run(name):
    module = importlib.import_module(f"l2o.{name}")
    assert doctest.testmod(module, extraglobs={"torch": torch, "nn": nn}).failed == 0

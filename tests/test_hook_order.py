"""Hooks of the user's, registered whenever: the multipliers come last, and leave no trace."""

import doctest
import gc
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

import l2o
import l2o.control.hook_order
from l2o.control.hook_order import LastHook
from l2o.deciding.policy import Policy


class Quarter(Policy):
    def __call__(self, observation, state):
        return torch.full(observation.shape[:1], 0.25), state


def make(schedule=None):
    weight = nn.Linear(1, 1, bias=False).double()
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.5)
    return weight, optimizer


def control(model, optimizer):
    return l2o.LRController(Quarter(), optimizer, model, guard=None)


def moved(model, optimizer):
    """Return the rate that a step is done with."""
    with torch.no_grad():
        model.weight.zero_()
    model.weight.grad = torch.ones_like(model.weight)
    optimizer.step()
    return -model.weight.item()


def sets(rate):
    """Return a hook that sets the rate, and counts."""

    def hook(optimizer, *_):
        hook.calls += 1
        for group in optimizer.param_groups:
            group["lr"] = rate

    hook.calls = 0
    return hook


def test_the_docstring_runs():
    names = {"OrderedDict": OrderedDict}
    assert doctest.testmod(l2o.control.hook_order, extraglobs=names).failed == 0


def test_hooks_run_in_the_order_in_which_they_came_and_ours_last():
    older = OrderedDict({3: "a", 5: "b"})
    hooks = LastHook(older, "last")
    hooks[9] = "c"
    assert hooks.values() == ["a", "b", "c", "last"]
    assert list(hooks) == [3, 5, 9]
    del older[3], hooks[9]
    assert hooks.values() == ["b", "last"]
    hooks.last = None
    assert hooks.values() == ["b"]
    assert LastHook.of(hooks, "again") is hooks
    assert hooks.values() == ["b", "again"]
    other = LastHook.of(hooks, "outer")  # whoever is still at work is not put out
    assert other is not hooks
    assert hooks.last == "again"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_hook_acts_before_the_multipliers_and_its_handle_removes_it(when):
    model, optimizer = make()
    hook = sets(2.0)
    if when == "before":
        handle = optimizer.register_step_pre_hook(hook)
    control(model, optimizer)
    if when == "after":
        handle = optimizer.register_step_pre_hook(hook)
    assert moved(model, optimizer) == 0.5
    assert hook.calls == 1
    handle.remove()
    handle.remove()
    gc.collect()
    optimizer.param_groups[0]["lr"] = 1.0
    assert moved(model, optimizer) == 0.25
    assert hook.calls == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_hooks_survive_the_controller(when):
    model, optimizer = make()
    hook, post = sets(2.0), []
    if when == "before":
        handle = optimizer.register_step_pre_hook(hook)
        other = optimizer.register_step_post_hook(lambda *_: post.append(1))
    controller = control(model, optimizer)
    if when == "after":
        handle = optimizer.register_step_pre_hook(hook)
        other = optimizer.register_step_post_hook(lambda *_: post.append(1))
    controller.detach()
    assert moved(model, optimizer) == 2.0
    assert (hook.calls, len(post)) == (1, 1)
    handle.remove()
    other.remove()
    moved(model, optimizer)
    assert (hook.calls, len(post)) == (1, 1)


def test_a_second_controller_acts_once():
    model, optimizer = make()
    late = sets(1.0)
    for _ in range(3):
        controller = control(model, optimizer)
        handle = optimizer.register_step_pre_hook(late)
        before = late.calls
        assert moved(model, optimizer) == 0.25
        assert (controller.steps, late.calls) == (1, before + 1)
        handle.remove()
        controller.detach()
        assert moved(model, optimizer) == 1.0
    mine = [key for key in vars(optimizer) if key == "step"]
    assert mine == []
    assert not optimizer._optimizer_step_post_hooks
    assert optimizer._optimizer_step_pre_hooks.values() == []


def test_the_user_s_post_hooks_see_the_user_s_optimizer():
    model, optimizer = make()
    seen = []

    def note(optimizer, *_):
        seen.append((optimizer.param_groups[0]["lr"], len(optimizer.param_groups)))

    optimizer.register_step_post_hook(note)
    control(model, optimizer)
    optimizer.register_step_post_hook(note)
    optimizer.register_step_pre_hook(note)
    moved(model, optimizer)
    assert seen == [(0.5, 1)] * 3


def test_a_hook_may_change_the_arguments_of_the_step():
    model, optimizer = make()
    control(model, optimizer)
    calls = []

    def closure():
        calls.append(1)
        return torch.zeros(())

    optimizer.register_step_pre_hook(lambda o, args, kwargs: (args, {"closure": closure}))
    assert moved(model, optimizer) == 0.125
    assert calls == [1]


ORDERS = ["scheduler first", "controller first", "around both"]


@pytest.mark.parametrize("order", ORDERS)
def test_detaching_under_a_scheduler(order):
    model, optimizer = make()

    def schedule():
        return schedulers.LambdaLR(optimizer, lambda step: 0.5**step)

    made = [schedule()] if order != "controller first" else []
    controller = control(model, optimizer)
    if order != "scheduler first":
        made.append(schedule())
    lr = optimizer.param_groups[0]["lr"]
    assert moved(model, optimizer) == lr / 4
    controller.detach()
    assert moved(model, optimizer) == lr
    made[-1].step()
    lr = optimizer.param_groups[0]["lr"]
    assert lr == 0.25
    assert moved(model, optimizer) == lr
    again = control(model, optimizer)
    assert moved(model, optimizer) == lr / 4
    assert (again.steps, controller.steps) == (1, 1)
    again.detach()
    assert moved(model, optimizer) == lr


def test_a_step_that_raises_after_detaching_is_the_user_s_own():
    model, optimizer = make()
    controller = control(model, optimizer)
    schedulers.LambdaLR(optimizer, lambda step: 1.0)
    controller.detach()

    def fails():
        raise KeyError("no batch")

    with pytest.raises(KeyError, match="no batch"):
        optimizer.step(fails)
    assert moved(model, optimizer) == 0.5


def test_a_detached_optimizer_saves_and_loads_nothing_of_ours():
    model, optimizer = make()
    controller = control(model, optimizer)
    moved(model, optimizer)
    state = optimizer.state_dict()
    assert state["l2o"]["step"] == 1
    controller.detach()
    controller.detach()
    assert "l2o" not in optimizer.state_dict()
    optimizer.load_state_dict(state)
    assert controller.steps == 1

"""The user's rates: the reference, the schedule's factor, and what a step is done with."""

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributed.checkpoint import state_dict as distributed
from torch.optim import lr_scheduler as schedulers

import l2o
import l2o.control.rates
from l2o.control.rates import Rates, as_floats
from l2o.layers.groups import LayerGroup


def weights(count=1):
    return [nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(count)]


def layer(*parameters, name="0"):
    names = tuple(str(index) for index in range(len(parameters)))
    return LayerGroup(name, names, tuple(parameters), 0.0, False)


def rates_of(lr, **noted):
    (weight,) = weights()
    optimizer = torch.optim.SGD([weight], lr=lr)
    optimizer.param_groups[0].update(noted)
    return Rates(optimizer, [layer(weight)]), optimizer.param_groups[0]


def test_the_docstring_runs():
    assert doctest.testmod(l2o.control.rates, extraglobs={"torch": torch}).failed == 0


@pytest.mark.parametrize(
    ("lr", "noted", "reference"),
    [
        (0.1, {}, 0.1),
        (0.0, {"initial_lr": 0.5}, 0.5),
        (0.2, {"initial_lr": 0.1}, 0.2),
        (0.004, {"initial_lr": 0.004, "max_lr": 0.1}, 0.1),
        (0.1, {"initial_lr": torch.tensor(0.25)}, 0.25),
        (0.1, {"initial_lr": None, "max_lr": "none"}, 0.1),
        (torch.tensor(0.5), {}, 0.5),
        (torch.tensor([0.5]), {}, 0.5),
        (0.0, {}, 0.0),
    ],
)
def test_the_reference_is_the_largest_rate_that_is_known(lr, noted, reference):
    rates, group = rates_of(0.1)
    group.update(lr=lr, **noted)
    rates = Rates(rates._optimizer, rates._groups)
    assert rates.references() == [reference]
    now = float(lr)
    assert rates.factors() == [now / reference if reference else 0.0]
    assert rates.currents() == [now]
    assert rates.dormant == (now == 0.0)


class Model:
    """What `Rates` promises, spelled out for one param group."""

    def __init__(self, lr):
        self.largest, self.marks = lr, (0.0, 0.0)
        self.reference = lr

    def read(self, lr, marks):
        self.largest = lr if marks != self.marks else max(lr, self.largest)
        self.marks = marks
        before, self.reference = self.reference, max(self.largest, *marks)
        return self.reference > before


RATE = st.sampled_from([0.0, 0.01, 0.1, 0.1, 0.5, 2.0])
EVENTS = st.lists(
    st.tuples(st.sampled_from(["lr", "lr", "initial_lr", "max_lr"]), RATE), max_size=12
)


@settings(max_examples=200)
@given(RATE, EVENTS, st.booleans())
def test_references_follow_rates_and_what_schedulers_note(first, events, as_tensor):
    rates, group = rates_of(torch.tensor(first, dtype=torch.float64) if as_tensor else first)
    model = Model(first)
    for what, value in events:
        if what == "lr" and as_tensor:
            group["lr"].fill_(value)
        else:
            group[what] = value
        marks = (group.get("initial_lr", 0.0), group.get("max_lr", 0.0))
        assert rates.read() == model.read(float(group["lr"]), marks)
        assert rates.references() == [model.reference]
        wanted = float(group["lr"]) / model.reference if model.reference else 0.0
        assert rates.factors() == [wanted]


def test_a_decay_moves_the_factor_and_a_new_scheduler_begins_anew():
    rates, group = rates_of(0.1)
    assert group["lr"] == 0.1
    schedulers.ExponentialLR(rates._optimizer, 0.5)
    group["lr"] = 0.01
    assert (rates.read(), rates.references()) == (False, [0.1])
    assert rates.factors() == [0.01 / 0.1]
    # At the very rate that was read last: only what is noted tells that this is another schedule.
    del group["initial_lr"]
    schedulers.ConstantLR(rates._optimizer, 1.0)
    assert (rates.read(), rates.references(), rates.factors()) == (False, [0.01], [1.0])
    group["lr"] = 0.02
    assert (rates.read(), rates.references()) == (True, [0.02])


def test_layers_over_several_param_groups_have_the_mean():
    a, b, c = weights(3)
    optimizer = torch.optim.SGD([{"params": [a, c], "lr": 0.1}, {"params": [b], "lr": 0.4}])
    rates = Rates(optimizer, [layer(a, b), layer(c, name="1")])
    assert rates.references() == pytest.approx([0.25, 0.1])
    optimizer.param_groups[1]["lr"] = 0.2
    assert not rates.read()
    assert rates.currents() == pytest.approx([0.15, 0.1])
    assert rates.factors() == pytest.approx([0.6, 1.0])
    rates.follow([layer(b)])
    assert rates.references() == [0.4]
    (late,) = weights()
    optimizer.add_param_group({"params": [late], "lr": 1.0})
    assert not rates.read()  # what has come is not what has risen
    rates.follow([layer(late)])
    assert rates.references() == [1.0]


@pytest.mark.parametrize("how", ["in place", "another list", "gone"])
def test_rates_of_parameters_that_were_replaced(how):
    a, b, new = weights(3)
    optimizer = torch.optim.SGD([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.4}])
    rates = Rates(optimizer, [layer(a, b), layer(b, name="1")])
    assert rates.references() == [0.25, 0.4]
    held = optimizer.param_groups[1]
    if how == "in place":
        held["params"][0] = new
    else:
        held["params"] = [new] if how == "another list" else []
    rates.read()
    assert len(rates.references()) == 2  # until layer groups follow
    rates.follow([layer(a), layer(new, name="1")] if how != "gone" else [layer(a)])
    assert rates.references() == [0.1, 0.4][: 1 + (how != "gone")]


def test_no_rate_is_never_a_rate():
    (weight,) = weights()
    optimizer = torch.optim.Adafactor([weight])
    optimizer.param_groups[0]["lr"] = None
    rates = Rates(optimizer, [layer(weight)])
    assert math.isnan(rates.references()[0])
    assert rates.factors() == [1.0]  # as if there were no schedule
    assert not rates.dormant
    assert not rates.read()
    rates.take_over()
    assert optimizer.param_groups[0]["lr"] is None


@pytest.mark.parametrize("zeros", [[0.0, 0.0], [0.0, 0.1]])
def test_only_a_step_at_rate_0_in_all_groups_trains_nothing(zeros):
    a, b = weights(2)
    optimizer = torch.optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.1)
    for group, lr in zip(optimizer.param_groups, zeros, strict=True):
        group["lr"] = lr
    assert Rates(optimizer, [layer(a, b)]).dormant == (not any(zeros))


@pytest.mark.parametrize("as_tensor", [False, True])
def test_references_stand_in_and_the_user_s_rates_come_back(as_tensor):
    a, b = weights(2)
    optimizer = torch.optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.1)
    held = [torch.tensor(x) if as_tensor else x for x in (0.025, 0.0)]
    for group, lr in zip(optimizer.param_groups, held, strict=True):
        group.update(lr=lr, initial_lr=0.1)
    rates = Rates(optimizer, [layer(a), layer(b, name="1")])
    rates.give_back()  # of what was never taken
    rates.take_over()
    assert [float(g["lr"]) for g in optimizer.param_groups] == pytest.approx([0.1, 0.0])
    rates.give_back()
    rates.give_back()
    assert [g["lr"] for g in optimizer.param_groups] == [held[0], held[1]]
    assert all(g["lr"] is lr for g, lr in zip(optimizer.param_groups, held, strict=True))
    assert float(held[0]) == pytest.approx(0.025)
    assert (rates.read(), rates.references()) == (False, [0.1, 0.1])


def test_rates_of_all_kinds_are_floats():
    kinds = [0.5, None, torch.tensor(2.0), torch.tensor([3.0], dtype=torch.float64), 1]
    found = as_floats(kinds)
    assert math.isnan(found.pop(1))
    assert found == [0.5, 2.0, 3.0, 1.0]
    assert all(isinstance(rate, float) for rate in found)


def test_the_largest_rate_survives_a_checkpoint():
    rates, group = rates_of(0.1, initial_lr=0.05)
    group["lr"] = 0.01
    rates.read()
    other, _ = rates_of(0.01, initial_lr=0.05)
    assert other.references() == [0.05]
    other.load_state_dict(rates.state_dict())
    assert other.references() == [0.1]  # before anybody reads the rates again, too
    other.read()
    assert (other.references(), other.factors()) == ([0.1], [0.01 / 0.1])
    older, _ = rates_of(0.01)
    older.load_state_dict({})
    older.read()
    assert older.references() == [0.01]


def test_a_checkpoint_of_another_schedule_does_not_bind_this_one():
    rates, _ = rates_of(1.0, initial_lr=1.0)
    other, _ = rates_of(0.01, initial_lr=0.01)
    other.load_state_dict(rates.state_dict())
    other.read()
    assert other.references() == [0.01]


@pytest.mark.parametrize("schedule", ["compose", "override"])
@pytest.mark.parametrize("through", ["_init_optim_state", "get_optimizer_state_dict"])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_torch_s_dummy_step_before_a_checkpoint_counts_nothing(kind, through, schedule):
    def run(policy, dummy):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
        optimizer = kind(model.parameters(), lr=0.1, weight_decay=0.1)
        scheduler = schedulers.LambdaLR(optimizer, lambda step: 0.5)
        controller = l2o.LRController(
            policy, optimizer, model, total_steps=9, schedule=schedule, mode="groups"
        )
        before = [p.detach().clone() for p in model.parameters()]
        if dummy and through == "_init_optim_state":
            distributed._init_optim_state(optimizer)
        elif dummy:
            distributed.get_optimizer_state_dict(model, optimizer)
        assert (controller.steps, len(controller.history)) == (0, 0)
        assert optimizer.param_groups[0]["lr"] == 0.05
        assert all(map(torch.equal, before, model.parameters()))
        for index in range(3):
            x = torch.randn(5, 3, generator=torch.Generator().manual_seed(index)).double()
            model(x).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
        assert controller.steps == 3
        return controller, list(model.parameters())

    mine, moved = run(l2o.SchedulePolicy("cosine", interval=2), dummy=True)
    wanted, reference = run(l2o.SchedulePolicy("cosine", interval=2), dummy=False)
    assert mine.history[-1] == wanted.history[-1]
    assert mine.rates.references() == [0.1, 0.1]
    if kind is torch.optim.SGD:  # AdamW counts the dummy step itself
        for a, b in zip(moved, reference, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("schedule", ["compose", "override"])
@pytest.mark.parametrize("mode", ["groups", "update_scale"])
def test_asking_for_rates_within_a_step_changes_none(mode, schedule):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = l2o.LRController(None, optimizer, model, hooks=False, mode=mode, schedule=schedule)
    controller.set_multipliers(torch.tensor([5.0, 0.5]))
    optimizer.param_groups[0]["lr"] = 0.05
    for _ in range(2):
        controller.before_step()
        asked = controller.get_last_lr()
        controller.set_multipliers(torch.tensor([5.0, 0.5]))
        optimizer.step()
        controller.step()
        assert asked == controller.get_last_lr()
        assert list(asked.values()) == ([0.25, 0.025] if schedule == "compose" else [0.5, 0.05])
    with controller.applied():
        assert controller.get_last_lr() == asked
    assert controller.rates.references() == [0.1, 0.1]
    assert optimizer.param_groups[0]["lr"] == 0.05

"""A state that is refused, by torch or by us or midway, leaves the run as it was."""

import copy

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

import l2o
from l2o.deciding.policy import Policy
from l2o.signals.spec import SignalSpec

STEPS = 9


class Turns(Policy):
    """Multipliers that depend on a memory and on all signals; may exceed the user's rates."""

    signals = SignalSpec()
    interval = 2
    cautious = True

    def initial_state(self, num_layers):
        return {"turn": torch.zeros(num_layers)}

    def __call__(self, observation, state):
        turn = state["turn"] + 0.3 + 0.1 * observation.mean(dim=-1)
        return 1.0 + 0.9 * turn.sin(), {"turn": turn}


class Run:
    def __init__(self, lr=0.05, groups=1, policy=None, guard=True, schedule=None, **options):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        params = list(self.model.parameters())
        split = [{"params": params[:2]}, {"params": params[2:]}] if groups == 2 else params
        self.optimizer = torch.optim.SGD(split, lr=lr, momentum=0.9)
        self.scheduler = schedule(self.optimizer) if schedule else None
        self.controller = l2o.LRController(
            policy or Turns(), self.optimizer, self.model, guard=guard, **options
        )

    def steps(self, first, last):
        for index in range(first, last):
            x = torch.randn(8, 4, generator=torch.Generator().manual_seed(index))
            loss = nn.functional.cross_entropy(self.model(x), (x[:, 0] > 0).long())
            self.controller.observe(loss=loss)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            if self.scheduler is not None:
                self.scheduler.step()
        return self

    @property
    def weights(self):
        return [p.detach().clone() for p in self.model.parameters()]


def same(a, b):
    """Return whether two states are equal, NaN to NaN."""
    if isinstance(a, torch.Tensor):
        return torch.equal(torch.nan_to_num(a.float(), 7e7), torch.nan_to_num(b.float(), 7e7))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


def assert_as_before(run, states, refused):
    """The run's state is what it was, and it goes on as one that nothing was loaded into."""
    assert same(run.controller.state_dict(), states[0])
    if refused:
        assert same(run.optimizer.state_dict(), states[1])
        run.steps(4, STEPS)
        wanted = Run().steps(0, STEPS)
        assert all(map(torch.equal, run.weights, wanted.weights))
        assert same(run.controller.state_dict(), wanted.controller.state_dict())


def begun():
    run = Run().steps(0, 4)
    return run, (
        copy.deepcopy(run.controller.state_dict()),
        copy.deepcopy(run.optimizer.state_dict()),
    )


def other_state():
    return copy.deepcopy(Run(lr=0.2).steps(0, 7).optimizer.state_dict())


def test_refused_by_torch():
    run, states = begun()
    stranger = copy.deepcopy(Run(groups=2).steps(0, 7).optimizer.state_dict())
    with pytest.raises(ValueError, match="param"):
        run.optimizer.load_state_dict(stranger)
    assert_as_before(run, states, refused=True)


REFUSED = {
    "groups": lambda state: state.update(groups=["x", "y"]),
    "signals": lambda state: state.update(signals=["present"]),
    "newer": lambda state: state.update(version=10**6),
}


@pytest.mark.parametrize("through", ["optimizer", "controller"])
@pytest.mark.parametrize("how", REFUSED)
def test_refused_by_us(how, through):
    run, states = begun()
    state = other_state()
    REFUSED[how](state["l2o"])
    target = getattr(run, through)
    with pytest.raises(ValueError, match=r"attach the same policy|newer release"):
        target.load_state_dict(state if through == "optimizer" else state["l2o"])
    assert_as_before(run, states, refused=True)


def without(key):
    return lambda state: state.pop(key)


def instead(key, value):
    return lambda state: state.update({key: value})


DAMAGED = {
    "no multipliers": without("multipliers"),
    "multipliers too few": instead("multipliers", torch.ones(1)),
    "multipliers of text": instead("multipliers", "fast"),
    "no meter": without("meter"),
    "an empty meter": instead("meter", {}),
    "another shape": lambda state: state["meter"].update(
        start=[torch.ones(2)] * len(state["meter"]["start"])
    ),
    "rates of text": instead("rates", {"largest": ["much"]}),
    "an empty guard": instead("guard", {}),
    "a policy state of numbers": instead("policy_state", {"turn": 3.0}),
    "nothing": lambda state: state.clear(),
}


@pytest.mark.parametrize("through", ["optimizer", "controller"])
@pytest.mark.parametrize("how", DAMAGED)
def test_failing_midway(how, through):
    run, states = begun()
    state = other_state()
    DAMAGED[how](state["l2o"])
    with pytest.raises((KeyError, IndexError, ValueError, TypeError, AttributeError)):
        getattr(run, through).load_state_dict(state if through == "optimizer" else state["l2o"])
    # What torch has read of an optimizer's state by then stays: it was asked for, and is whole.
    assert_as_before(run, states, refused=through == "controller")


PARTS = ["meter", "mode", "rates", "guard"]


@pytest.mark.parametrize("part", PARTS)
def test_any_part_that_raises_undoes_the_rest(part, monkeypatch):
    run, states = begun()
    owner = getattr(run.controller, part)
    original, calls = owner.load_state_dict, []

    def fails_once(state, **options):
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError("no memory")
        return original(state, **options)

    monkeypatch.setattr(owner, "load_state_dict", fails_once)
    with pytest.raises(MemoryError):
        run.controller.load_state_dict(other_state()["l2o"])
    assert_as_before(run, states, refused=True)


def test_good_weights_are_still_there_after_a_load_that_failed():
    run, _ = begun()
    good = Run().weights  # those at the start are kept for twenty steps
    bad = other_state()["l2o"]
    bad["guard"] = {}
    with pytest.raises(KeyError):
        run.controller.load_state_dict(bad)
    run.controller.observe(loss=float("inf"))
    run.optimizer.step()
    run.controller.observe(loss=float("inf"))
    run.optimizer.step()
    for found, wanted in zip(run.weights, good, strict=True):
        torch.testing.assert_close(found, wanted, rtol=5e-4, atol=1e-7)


def test_a_refused_state_after_a_good_one():
    run, _ = begun()
    run.optimizer.load_state_dict(other_state())
    assert run.controller.steps == 7
    bad = other_state()
    bad["l2o"]["version"] = 99
    with pytest.raises(ValueError, match="newer release"):
        run.optimizer.load_state_dict(bad)
    assert run.controller.steps == 7
    plain = other_state()
    plain.pop("l2o")
    run.optimizer.load_state_dict(plain)  # of a run without a controller: this one goes on
    assert run.controller.steps == 7


def test_a_loaded_state_is_not_written_on():
    run, _ = begun()
    state = other_state()
    kept = copy.deepcopy(state)
    run.optimizer.load_state_dict(state)
    run.steps(7, STEPS)
    assert same(state["l2o"], kept["l2o"])


SCHEDULES = {
    "none": None,
    "warm-up": lambda o: schedulers.LambdaLR(o, lambda step: min(1.0, (step + 1) / 4)),
    "one cycle": lambda o: schedulers.OneCycleLR(o, 0.2, 40, cycle_momentum=False),
    "cosine": lambda o: schedulers.CosineAnnealingLR(o, 40),
}


@pytest.mark.parametrize("schedule", ["compose", "override"])
@pytest.mark.parametrize("after", SCHEDULES)
@pytest.mark.parametrize("before", SCHEDULES)
def test_resumed_under_another_schedule(before, after, schedule):
    """The controller's own state goes on; the rates are those of the schedule that is there."""
    first = Run(lr=0.1, schedule=SCHEDULES[before]).steps(0, 6)
    second = Run(lr=0.05, schedule=SCHEDULES[after])
    second.controller.detach()
    second.controller = l2o.LRController(
        Turns(), second.optimizer, second.model, schedule=schedule, guard=None
    )
    second.controller.load_state_dict(copy.deepcopy(first.controller.state_dict()))
    assert second.controller.steps == 6
    group = second.optimizer.param_groups[0]
    marks = (group.get("initial_lr", 0.0), group.get("max_lr", 0.0))
    again = before == after or (before == "none" and after == "none")
    for index in range(6, STEPS):
        lr = group["lr"]
        rates = second.controller.rates
        rates.read()
        reference = rates.references()[0]
        if not any(marks):  # nothing tells that the schedule is another one, if before had none
            assert reference == (0.1 if before == "none" else 0.05)
        elif not again:
            assert reference == pytest.approx(max(lr, *marks))
        used = second.controller.get_last_lr()
        own = reference if schedule == "override" else lr
        factors = second.controller.multipliers
        assert used == {name: pytest.approx(own * factors[name]) for name in used}
        second.steps(index, index + 1)
        if second.scheduler is None:
            assert group["lr"] == lr
    assert second.controller.steps == STEPS


def test_rates_are_known_right_after_a_load():
    first = Run(lr=0.1).steps(0, 6)
    second = Run(lr=0.1, policy=None)
    second.controller.load_state_dict(first.controller.state_dict())
    assert second.controller.rates.references() == [0.1, 0.1]
    second.controller.rates.load_state_dict({})
    assert second.controller.rates.factors() == [1.0, 1.0]

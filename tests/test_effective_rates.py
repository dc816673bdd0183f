"""What a step is really done with: multiplier × reference × factor, under every schedule."""

import pytest
import torch
from test_controller_schedulers import SCHEDULERS
from torch import nn
from torch.optim import lr_scheduler as schedulers

import l2o
from l2o.deciding.policy import Policy
from l2o.signals import SIGNALS, Measurement
from l2o.signals.spec import SignalSpec

FACTORS = (0.25, 1.5)
STEPS = 12
MODES = ["groups", "update_scale"]


class Noting(Policy):
    """Fixed multipliers, and a record of what was observed and remembered at each decision."""

    def __init__(self, *signals, interval=4):
        self.signals = SignalSpec(("present", *signals))
        self.interval = interval
        self.seen, self.counts = [], []

    def initial_state(self, num_layers):
        return {"count": torch.zeros(())}

    def __call__(self, observation, state):
        self.seen.append(observation[0, 1:].tolist())
        self.counts.append(int(state["count"]))
        return torch.tensor(FACTORS), {"count": state["count"] + 1}


class Bench:
    """A network in which every step moves each weight from 0 by exactly the rate it is done with.

    Gradients are 1, and the optimizer's memory is cleared before each step.
    """

    def __init__(self, lr=0.1, optimizer=None):
        self.model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).double()
        make = optimizer or (lambda params, rate: torch.optim.SGD(params, rate, momentum=0.9))
        self.optimizer = make(self.model.parameters(), lr)
        self.group = self.optimizer.param_groups[0]

    def control(self, policy=None, **options):
        self.controller = l2o.LRController(
            policy or Noting(), self.optimizer, self.model, guard=None, **options
        )
        return self.controller

    def prepare(self):
        for parameter in self.model.parameters():
            parameter.data.zero_()
            parameter.grad = torch.ones_like(parameter)

    def step(self, *args):
        """Return the rates by layer that a step was done with."""
        self.prepare()
        self.optimizer.state.clear()
        self.optimizer.step(*args)
        moved = [-torch.cat([p.flatten() for p in layer.parameters()]) for layer in self.model]
        assert all((layer == layer[0]).all() for layer in moved)
        return [layer[0].item() for layer in moved]


def noted(group):
    """Return what schedulers note in a param group."""
    return group.get("initial_lr", 0.0), group.get("max_lr", 0.0)


def assert_rates(found, wanted, mode):
    """Exact by param groups; to rounding where updates are scaled."""
    assert found == (wanted if mode == "groups" else pytest.approx(wanted, rel=1e-12))


@pytest.mark.parametrize("schedule", ["compose", "override"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_effective_rates_under_every_scheduler(name, before, mode, schedule):
    bench = Bench()
    if before:
        scheduler = SCHEDULERS[name](bench.optimizer)
    controller = bench.control(mode=mode, schedule=schedule)
    if not before:
        scheduler = SCHEDULERS[name](bench.optimizer)
    rates, trained = [], 0
    for _ in range(STEPS):
        lr = bench.group["lr"]
        rates.append(lr)
        reference = max(*rates, *noted(bench.group))
        used = bench.step()
        assert controller.rates.references() == [reference] * 2
        own = reference if schedule == "override" and lr else lr
        assert_rates(used, [own * factor for factor in FACTORS], mode)
        factor = controller.rates.factors()[0] if schedule == "compose" else float(lr > 0)
        assert used == pytest.approx([f * reference * factor for f in FACTORS], rel=1e-12)
        trained += lr > 0
        assert (bench.group["lr"], controller.steps) == (lr, trained)
        assert bench.optimizer.param_groups == [bench.group]
        scheduler.step(*((1.0,) if name == "ReduceLROnPlateau" else ()))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("schedule", ["compose", "override"])
def test_tensor_rates_are_used_in_place_and_come_back(schedule, mode):
    def make(params, lr):
        return torch.optim.Adam(params, torch.tensor(lr, dtype=torch.float64), foreach=False)

    bench = Bench(0.1, make)
    held = bench.group["lr"]
    scheduler = schedulers.LambdaLR(bench.optimizer, lambda step: 1 / (1 + step))
    bench.control(mode=mode, schedule=schedule)
    for index in range(3):
        own = 0.1 / (1 + index) if schedule == "compose" else 0.1
        # Adam's first step is lr · g / (|g| + eps).
        assert bench.step() == pytest.approx([own * factor for factor in FACTORS], rel=1e-7)
        assert bench.group["lr"] is held
        assert float(held) == pytest.approx(0.1 / (1 + index))
        scheduler.step()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("schedule", ["compose", "override"])
@pytest.mark.parametrize("rate", [0.3, 0.02, 0.0])
def test_a_hook_that_was_registered_later_sets_the_rate(rate, schedule, mode):
    bench = Bench()
    bench.control(mode=mode, schedule=schedule)
    bench.optimizer.register_step_pre_hook(lambda *_: bench.group.update(lr=rate))
    own = max(rate, 0.1) if schedule == "override" and rate else rate
    assert_rates(bench.step(), [own * factor for factor in FACTORS], mode)
    assert bench.group["lr"] == rate
    assert bench.controller.steps == (rate > 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("schedule", ["compose", "override"])
@pytest.mark.parametrize("how", ["positional", "keyword"])
@pytest.mark.parametrize("rate", [0.3, 0.02, 0.0])
def test_a_closure_sets_the_rate(rate, how, schedule, mode):
    bench = Bench()
    bench.control(mode=mode, schedule=schedule)
    seen = []

    def closure():
        seen.append(bench.optimizer.param_groups[0]["lr"])
        bench.optimizer.param_groups[0]["lr"] = rate
        return torch.zeros(())

    bench.prepare()
    bench.optimizer.step(closure) if how == "positional" else bench.optimizer.step(closure=closure)
    moved = [-layer.bias[0].item() for layer in bench.model]
    own = max(rate, 0.1) if schedule == "override" and rate else rate
    assert_rates(moved, [own * factor for factor in FACTORS], mode)
    assert seen == [0.1]
    assert bench.group["lr"] == rate
    assert bench.controller.steps == (rate > 0)


@pytest.mark.parametrize("schedule", ["compose", "override"])
def test_steps_at_rate_0_are_not_counted_and_decide_nothing(schedule):
    bench, policy = Bench(0.0), Noting(interval=2)
    bench.group["initial_lr"] = 0.1
    bench.control(policy, schedule=schedule)
    rates = [0.0, 0.0, 0.1, 0.0, 0.05, 0.0, 0.0, 0.1, 0.1]
    for lr in rates:
        bench.group["lr"] = lr
        used = bench.step()
        assert (used == [0.0, 0.0]) == (lr == 0.0)
    # Before the first step that trains, then after 2 and 4 of them.
    assert bench.controller.steps == 4
    assert [decision.step for decision in bench.controller.history] == [0, 2, 4]
    assert policy.counts == [0, 1, 2]


@pytest.mark.parametrize("guard", [None, True])
def test_a_warm_up_from_0_decides_on_the_full_rate(guard):
    bench, policy = Bench(), Noting("base_lr")
    scheduler = schedulers.LambdaLR(bench.optimizer, lambda step: min(1.0, step / 4))
    bench.control(policy)
    for index in range(5):
        assert bench.step() == [index / 4 * 0.1 * factor for factor in FACTORS]
        scheduler.step()
    assert policy.seen == [[encoded("base_lr", base_lr=0.1)]] * 2
    assert [decision.step for decision in bench.controller.history] == [0, 4]


def test_a_decision_waits_for_steps_large_enough_to_be_judged():
    bench, policy = Bench(), Noting(interval=2)
    bench.control(policy)
    for lr in [0.1, 0.1, 0.1, 0.9e-4, 0.1, 0.1]:
        bench.group["lr"] = lr
        bench.step()
    assert [decision.step for decision in bench.controller.history] == [0, 2, 6]


def encoded(name, **fields):
    """Return a signal of a layer of which only these fields are known."""
    measured = Measurement.__new__(Measurement)
    measured.present = torch.ones(1)
    for field, value in fields.items():
        setattr(measured, field, torch.tensor([value]))
    return float(SIGNALS[name]()(measured)[0])


@pytest.mark.parametrize("by", ["user", "hook", "closure", "scheduler"])
@pytest.mark.parametrize("guard", [None, True])
def test_a_reference_that_rises_within_a_window_is_decided_on_again(guard, by):
    bench, policy = Bench(), Noting("base_lr", "multiplier")
    controller = l2o.LRController(policy, bench.optimizer, bench.model, guard=guard)
    rise = [False]

    def hook(*_):
        if rise[0]:
            bench.optimizer.param_groups[0]["lr"] = 0.2

    def closure():
        hook()
        return torch.zeros(())

    if by == "hook":
        bench.optimizer.register_step_pre_hook(hook)
    for index in range(6):
        rise[0] = index == 2
        if rise[0] and by == "user":
            bench.group["lr"] = 0.2
        if rise[0] and by == "scheduler":
            schedulers.OneCycleLR(bench.optimizer, 0.2, 20)
        bench.step(*([closure] if by == "closure" else []))
    base, higher = encoded("base_lr", base_lr=0.1), encoded("base_lr", base_lr=0.2)
    first, half = encoded("multiplier", multiplier=1.0), encoded("multiplier", multiplier=0.5)
    # At the end of the window, 4 steps on, the multiplier of the new decision has acted.
    wanted = [[base, first], [higher, half], [higher, encoded("multiplier", multiplier=FACTORS[0])]]
    assert policy.seen == [pytest.approx(row) for row in wanted]
    assert policy.counts == [0, 0, 1]  # the memory is that from before the decision
    assert [decision.step for decision in controller.history] == [0, 2, 4]
    lr = 0.2 if by != "scheduler" else bench.group["lr"]
    assert controller.history[1].learning_rates == pytest.approx([lr * f for f in FACTORS])


class Inverse(Policy):
    """Wants the same rate whatever the user's is; the higher, the lower its multiplier."""

    signals = SignalSpec(("present", "base_lr"))

    def __call__(self, observation, state):
        higher = observation[:, 1] > encoded("base_lr", base_lr=0.15)
        return torch.where(higher, 0.25, 0.5), state


@pytest.mark.parametrize("begins", [0.1, 0.0])
@pytest.mark.parametrize("guard", [None, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_rate_that_a_closure_raises_is_decided_on_in_that_very_step(mode, guard, begins):
    bench = Bench(begins)
    controller = l2o.LRController(Inverse(), bench.optimizer, bench.model, mode=mode, guard=guard)
    bench.step()
    assert set(controller.multipliers.values()) == {0.5 if begins else 1.0}

    def closure():
        bench.optimizer.param_groups[0]["lr"] = 0.2
        return torch.zeros(())

    assert_rates(bench.step(closure), [0.2 * 0.25] * 2, mode)
    assert controller.steps == 1 + (begins > 0)


@pytest.mark.parametrize("signals", [(), ("multiplier",), ("drift", "loss")])
def test_a_policy_that_does_not_look_at_the_rate_is_not_asked_again(signals):
    bench, policy = Bench(), Noting(*signals)
    controller = bench.control(policy)
    for lr in (0.1, 0.1, 0.2, 0.3, 0.3):
        bench.group["lr"] = lr
        bench.step()
    assert policy.counts == [0, 1]
    assert [decision.step for decision in controller.history] == [0, 4]


def test_a_rate_that_falls_is_no_reason_to_decide():
    bench, policy = Bench(), Noting("base_lr")
    bench.control(policy)
    for lr in (0.1, 0.05, 0.1, 0.01):
        bench.group["lr"] = lr
        bench.step()
    assert policy.seen == [[encoded("base_lr", base_lr=0.1)]] * 2


def test_updates_are_seen_as_if_no_schedule_were_on():
    def observed(factor):
        bench, policy = Bench(), Noting("update_norm", interval=2)
        schedulers.LambdaLR(bench.optimizer, lambda step: factor)
        bench.control(policy)
        for _ in range(3):
            bench.step()
        return policy.seen[-1]

    # From weights of zero the update is all that there is: ‖Δθ‖ / ‖θ‖ = 1 at the rate it was taken
    # with, 8 as if the rate were eight times that.
    for factor in (1.0, 0.125):
        wanted = encoded("update_norm", update_norm=1.0 / factor, weight_norm=1.0)
        assert observed(factor) == [pytest.approx(wanted, rel=1e-5)]

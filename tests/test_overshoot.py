"""The overshoot: where the loss rises again, good weights come back and steps become smaller."""

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import l2o
import l2o.guarding.overshoot
from l2o.deciding.policy import Policy
from l2o.guarding.overshoot import CUTS, LOST, ROSE, Overshoot
from l2o.signals.spec import SignalSpec

MISSING = math.nan


def told(losses, every=10, total=None, watch=None, begin=0):
    """Return what is said after each window of so many steps."""
    watch = watch or Overshoot()
    return [
        watch.note(loss, every * index, MISSING if total is None else every * index / total)
        for index, loss in enumerate(losses, begin + 1)
    ]


def test_the_docstring_runs():
    assert doctest.testmod(l2o.guarding.overshoot).failed == 0


@pytest.mark.parametrize(("share", "overshot"), [(LOST - 1e-3, False), (LOST + 1e-3, True)])
def test_three_quarters_of_the_fall_are_lost(share, overshot):
    assert told([2.0, 1.0, 1.0 + share])[-1] == overshot


@pytest.mark.parametrize(("ratio", "overshot"), [(ROSE - 1e-3, False), (ROSE + 1e-3, True)])
def test_a_loss_that_only_rises_rose_by_five_percent(ratio, overshot):
    assert told([2.0, 2.0, 2.0 * ratio])[-1] == overshot


def test_nothing_is_said_too_early():
    assert told([2.0, 9.0], every=8) == [False, False]  # 16 steps
    assert told([2.0, 9.0], every=10) == [False, True]
    assert told([2.0, 9.0, 9.0], every=10, total=300) == [False, False, True]


def test_single_batches_are_no_blocks():
    assert not any(told([2.0] * 30 + [1.8, 2.2] * 8, every=1))
    # Of 8 steps one is another: (7 · 2 + x) / 8 is above 2.1 for x above 2.8.
    assert not told([2.0] * 30 + [2.79], every=1)[-1]
    assert told([2.0] * 30 + [2.81], every=1)[-1]


def test_the_first_steps_are_those_that_were_looked_at():
    watch = Overshoot()
    watch.look(2.0, 4)  # too few
    assert not watch.above_start
    watch.look(2.0, 8)
    assert told([2.2, 2.2], watch=watch) == [False, True]
    assert watch.above_start
    assert watch.worse


def test_what_is_worse_has_lost_a_quarter_of_the_fall():
    for loss, worse in ((1.24, False), (1.26, True)):
        watch = Overshoot()
        told([2.0, 1.0, loss], watch=watch)
        assert watch.worse == worse
        assert not watch.above_start


def test_once_gone_back_it_begins_anew():
    watch = Overshoot()
    assert told([2.0, 1.0, 2.0], watch=watch)[-1]
    watch.begin_anew()
    assert not watch.worse
    # After as many steps as at first.
    assert told([1.5, 2.0, 2.0], watch=watch, begin=3) == [False, True, True]
    watch.begin_anew()
    assert told([2.5, 2.5], watch=watch, begin=6) == [False, True]


def test_going_back_within_the_first_steps_leaves_it_watching():
    watch = Overshoot()
    told([2.0], every=4, watch=watch)  # a bad window, before anything is known
    watch.begin_anew()
    assert not watch.worse
    assert told([2.0, 1.0, 2.0, 2.0], watch=watch)[-1]


def test_it_is_said_so_often_and_no_more():
    watch = Overshoot()
    watch.cuts = CUTS
    assert not any(told([2.0, 1.0, 9.0], watch=watch))
    assert watch.worse


@pytest.mark.parametrize("losses", [[0.0, 0.0, 1.0], [-2.0, -3.0, -1.0], [1.0, -1.0, 1.0]])
def test_a_loss_that_may_be_zero_or_below_has_no_shares(losses):
    watch = Overshoot()
    assert not any(told(losses, watch=watch))
    assert not watch.worse


LOSS = st.one_of(st.just(MISSING), st.just(math.inf), st.floats(0.1, 10.0))


@settings(max_examples=200)
@given(st.lists(LOSS, max_size=12), st.integers(0, 12), st.integers(1, 25), st.floats(0.01, 100.0))
def test_state_round_trip_and_scale(losses, at, every, scale):
    whole = told(losses, every)
    first, second = Overshoot(), Overshoot()
    begun = told(losses[:at], every, watch=first)
    second.load_state_dict(first.state_dict())
    assert begun + told(losses[at:], every, watch=second, begin=len(begun)) == whole
    powers = 2.0 ** round(math.log2(scale))  # exact, so that what lies on the border stays there
    assert told([powers * loss for loss in losses], every) == whole
    older = Overshoot()
    older.load_state_dict({})
    assert str(older.state_dict()) == str(Overshoot().state_dict())


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=12), st.integers(1, 25))
def test_a_loss_that_never_rises_is_left_alone(losses, every):
    assert not any(told(sorted(losses, reverse=True), every))


class Constant(Policy):
    """Always says the same; may say that it learned, or that it might exceed the user's rates."""

    signals = SignalSpec(("present", "multiplier"))
    interval = 10
    cautious = True

    def __init__(self, multiplier):
        self.multiplier = multiplier

    def __call__(self, observation, state):
        return torch.full((len(observation),), self.multiplier), state


class Run:
    """A network under a constant policy, whose losses are told."""

    def __init__(self, multiplier=0.5, guard=True, **flags):
        torch.manual_seed(0)
        self.model = nn.Linear(4, 2)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        policy = Constant(multiplier)
        for name, value in flags.items():
            setattr(policy, name, value)
        self.start = self.weights
        self.controller = l2o.LRController(
            policy, self.optimizer, self.model, total_steps=200, guard=guard
        )

    @property
    def weights(self):
        return torch.cat([p.detach().flatten().clone() for p in self.model.parameters()])

    def steps(self, *losses):
        for loss in losses:
            for _ in range(10):
                self.model(torch.randn(16, 4)).square().mean().backward()
                self.controller.observe(loss=loss)
                self.optimizer.step()
                self.optimizer.zero_grad()
        return self

    @property
    def multiplier(self):
        (found,) = set(self.controller.multipliers.values())
        return found

    @property
    def reasons(self):
        return self.controller.report()["interventions"]


@pytest.mark.parametrize(
    ("flags", "watched"),
    [({}, True), ({"cautious": False, "learned": True}, True), ({"cautious": False}, False)],
)
def test_the_weights_come_back_and_multipliers_are_a_tenth(flags, watched, caplog):
    run = Run(**flags).steps(2.0, 1.0)  # at step 20 there is a copy, of these
    good = run.weights
    run.steps(2.0)
    assert run.reasons.get("the loss rose again", 0) == watched
    assert torch.allclose(run.weights, good, rtol=1e-3, atol=1e-4) == watched
    assert run.multiplier == pytest.approx(0.05 if watched else 0.5)
    # For good: neither good windows nor another blow-up bring the old ones back.
    run.steps(*[1.5 - 0.1 * n for n in range(10)])
    assert run.multiplier == pytest.approx(0.05 if watched else 0.5)
    said = [line for line in caplog.messages if "the loss rose again" in line]
    assert said == ["l2o: the loss rose again; multipliers are 0.1 of the policy's"] * watched


def test_a_second_time_is_a_hundredth_and_the_last():
    run = Run().steps(2.0, 1.0, 2.0, 1.5, 2.0)
    assert run.multiplier == pytest.approx(0.005)
    run.steps(1.5, 1.9, 1.9)
    assert run.multiplier == pytest.approx(0.005)
    assert run.reasons["the loss rose again"] == CUTS


def test_weights_that_lost_what_was_gained_are_not_kept():
    run = Run()
    run.steps(2.0, 1.0)  # at step 20 a copy is made, of these
    good = run.weights
    run.steps(1.0, 1.3)  # at step 40 another one would be
    run.steps(1.9)
    assert run.reasons["the loss rose again"] == 1
    assert torch.allclose(run.weights, good, rtol=1e-3, atol=1e-4)


def test_the_user_s_rates_are_not_tried_where_they_would_go_farther():
    run = Run(0.5).steps(2.0, 2.2, *[2.05] * 12)
    assert "the loss does not fall" not in run.reasons
    bold = Run(2.0).steps(2.0, 2.2, *[2.05] * 12)
    assert bold.reasons["the loss does not fall"] == 1


def test_a_standstill_above_the_beginning_leaves_the_beginning_to_go_back_to():
    run = Run(0.5).steps(2.0, 2.05)  # no fall, and no rise of five percent
    assert run.reasons == {"the loss does not fall": 1}
    run.steps(9.0)
    assert torch.allclose(run.weights, run.start, rtol=1e-3, atol=1e-4)


def test_no_copies_no_way_back():
    run = Run(guard=l2o.Guard(roll_back=False)).steps(2.0, 1.0, 2.0, 2.0)
    assert run.reasons == {"the loss does not fall": 1}
    assert run.multiplier == 1.0


@pytest.mark.parametrize("at", [2, 3, 4])
def test_a_resumed_run_goes_on_the_same(at):
    losses = [2.0, 1.0, 2.0, 1.5, 2.0, 1.4, 1.3]
    whole, first, second = (Run(guard=l2o.Guard(roll_back=True)) for _ in range(3))
    for run in (whole, first):
        run.steps(*losses[:at])
    state = torch.random.get_rng_state()
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.controller.load_state_dict(first.controller.state_dict())
    second.steps(*losses[at:])
    torch.random.set_rng_state(state)
    first.steps(*losses[at:])
    assert torch.equal(first.weights, second.weights)
    assert first.multiplier == second.multiplier
    assert first.reasons == second.reasons

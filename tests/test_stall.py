"""The stall: where the loss does not fall under a policy, multipliers come back to 1."""

import doctest
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import l2o
import l2o.guarding.stall
from l2o.deciding.policy import Policy
from l2o.guarding.stall import FALL, RISE, TRIAL, TRIES, Stall
from l2o.signals import Measurement
from l2o.signals.spec import SignalSpec

MISSING = math.nan


def floors(losses, every=10, total=None, stall=None, begin=0):
    """Return the floor after each window of so many steps."""
    stall = stall or Stall()
    found = []
    for index, loss in enumerate(losses, begin + 1):
        step = index * every
        stall.note(loss, step, MISSING if total is None else step / total)
        found.append(stall.floor)
    return found


def test_the_docstring_runs():
    assert doctest.testmod(l2o.guarding.stall, extraglobs={"torch": torch}).failed == 0


def test_a_loss_that_stands_still_lifts_the_floor_at_once():
    assert floors([2.3] * 6) == [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("ratio", "last"), [(FALL - 1e-6, 0.0), (FALL + 1e-6, 1.0)])
def test_a_fall_is_three_percent(ratio, last):
    assert floors([2.0] + [2.0 * ratio] * 5)[-1] == last


def test_the_median_of_three_windows_decides():
    assert floors([2.0, 1.0, 9.0, 1.0, 9.0, 1.0])[-1] == 1.0  # (9, 1, 9) at the fifth
    assert floors([2.0, 1.0, 1.0, 9.0, 1.0, 1.0]) == [0.0] * 6


def test_the_floor_stays_once_the_loss_falls():
    assert floors([2.0, 2.0, 1.0, 1.0, 1.0]) == [0.0, 1.0, 1.0, 1.0, 1.0]
    # The median of 2.0 and 1.0 is 1.5: it fell at the third window.


@pytest.mark.parametrize(("ratio", "last"), [(RISE - 1e-6, 1.0), (RISE + 1e-6, 0.0)])
def test_a_rise_of_three_percent_takes_the_floor_back(ratio, last):
    assert floors([2.0, 2.0, 2.0 * ratio])[-1] == last


def test_after_three_windows_the_floor_stays_whatever_comes():
    assert floors([2.0] * (2 + TRIAL) + [9.0] * 3)[1:] == [1.0] * (4 + TRIAL)
    assert floors([2.0] * (1 + TRIAL) + [9.0])[-1] == 0.0


def test_it_is_tried_twice_and_the_second_time_on_three_windows():
    assert floors([2.0, 2.0, 9.0, 2.0, 2.0, 2.0, 9.0] + [2.0] * 5) == [
        *(0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        *[0.0] * 5,
    ]


def test_nothing_is_said_before_twenty_steps_or_a_tenth_of_the_training():
    assert floors([2.0] * 6, every=4) == [0.0] * 4 + [1.0, 1.0]
    assert floors([2.0] * 6, total=500) == [0.0] * 4 + [1.0, 1.0]
    assert floors([2.0] * 3, total=100) == [0.0, 1.0, 1.0]


def test_the_beginning_is_the_mean_over_steps_not_over_windows():
    stall = Stall()
    # 1, 2, 4, 8 and 10 steps done: 1·4 + 1·4 + 2·2 + 4·1 + 2·1 = 18 over 10 steps.
    for step, loss in ((1, 4.0), (2, 4.0), (4, 2.0), (8, 1.0), (10, 1.0)):
        stall.note(loss, step, MISSING)
    assert stall.state_dict()["beginning"] == [18.0, 10]
    stall.note(1.8 * FALL - 1e-6, 20, MISSING)
    assert stall.floor == 0.0
    stall.note(9.0, 30, MISSING)
    assert stall.floor == 1.0


def test_windows_without_a_loss_say_nothing():
    assert floors([2.0, MISSING, MISSING, MISSING]) == [0.0] * 4
    assert floors([MISSING] * 6) == [0.0] * 6
    # The beginning is that of the first losses, whenever they come.
    assert floors([MISSING, MISSING, 2.0, 2.0]) == [0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("loss", [0.0, -2.0])
def test_losses_that_begin_at_zero_or_below_have_no_scale(loss):
    assert floors([loss] * 6) == [0.0] * 6


def early(losses, total, looks=(1, 2, 4, 8)):
    """Return the floor after each window of ten steps that begins with looks, of a loss a step."""
    stall, found = Stall(), []
    for step in range(1, len(losses) + 1):
        begin = (step - 1) // 10 * 10
        mean = sum(losses[begin:step]) / (step - begin)
        if step < 10 and step in looks:
            stall.look(mean, step, step / total)
        if step % 10 == 0:
            stall.note(mean, step, step / total)
            found.append(stall.floor)
    return found


def test_in_a_short_training_its_first_window_may_tell():
    assert early([2.0] * 30, total=100) == [1.0, 1.0, 1.0]
    assert early([2.0] * 30, total=101) == [0.0, 1.0, 1.0]
    assert early([2.0] * 30, total=100, looks=()) == [0.0, 1.0, 1.0]
    assert early([2.0] * 30, total=MISSING) == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(("ratio", "floor"), [(FALL - 1e-6, 0.0), (FALL + 1e-6, 1.0)])
def test_there_the_steps_after_the_fourth_are_held_to_those_before(ratio, floor):
    assert early([3.0, 1.0, 2.0, 2.0] + [2.0 * ratio] * 6, total=80) == [floor]


def test_a_short_training_goes_on_from_its_state():
    first, second = Stall(), Stall()
    first.look(2.0, 4, 0.05)
    second.load_state_dict(first.state_dict())
    assert [stall.note(2.0, 10, 0.125) for stall in (first, second)] == ["lifted"] * 2


def test_it_can_be_taken_back_by_its_owner():
    stall = Stall()
    assert [stall.note(2.0, step, MISSING) for step in (10, 20)] == [None, "lifted"]
    assert stall.on_trial
    assert stall.take_back() == "harmed"
    assert (stall.floor, stall.on_trial) == (0.0, False)


def test_a_window_without_steps_is_none():
    stall = Stall()
    stall.note(2.0, 0, 0.0)
    stall.note(2.0, 10, MISSING)
    stall.note(2.0, 10, MISSING)
    assert (stall.floor, stall.state_dict()["recent"]) == (0.0, [])


def test_only_layers_are_lifted():
    stall, window = Stall(), Measurement.__new__(Measurement)
    window.is_guidance = torch.tensor([0.0, 0.0, 1.0])
    chosen = torch.tensor([0.01, 3.0, 0.01])
    assert stall.lift(chosen, window) is chosen
    stall.floor = 0.1
    assert torch.equal(stall.lift(chosen, window), torch.tensor([0.1, 0.1, 0.01]))
    larger = torch.tensor([0.1, 3.0, 0.01])
    assert torch.equal(stall.lift(larger, window), larger)


LOSS = st.one_of(st.just(MISSING), st.floats(0.1, 10.0))


@settings(max_examples=200)
@given(st.lists(LOSS, max_size=12), st.integers(0, 12), st.integers(1, 25))
def test_state_round_trip(losses, at, every):
    whole = floors(losses, every)
    first, second = Stall(), Stall()
    begun = floors(losses[:at], every, stall=first)
    second.load_state_dict(first.state_dict())
    assert begun + floors(losses[at:], every, stall=second, begin=len(begun)) == whole
    lifts = [b > a for a, b in itertools.pairwise(whole)]
    assert sum(lifts) <= TRIES
    older = Stall()
    older.load_state_dict({})
    assert older.state_dict() == Stall().state_dict()


class Timid(Policy):
    """Hardly trains; may say that it learned, or that it might exceed the user's rates."""

    signals = SignalSpec(("present",))
    interval = 10
    cautious = True

    def __call__(self, observation, state):
        return torch.full((len(observation),), 1e-4), state


@pytest.mark.parametrize(
    ("cautious", "learned", "watched"), [(True, False, 1), (False, True, 1), (False, False, 0)]
)
def test_a_run_that_stands_still_comes_back_to_the_user_s_rates(cautious, learned, watched, caplog):
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    policy = Timid()
    policy.cautious, policy.learned = cautious, learned
    controller = l2o.LRController(policy, optimizer, model)
    for _ in range(40):
        model(torch.randn(16, 4)).square().mean().backward()
        controller.observe(loss=0.7)
        optimizer.step()
        optimizer.zero_grad()
    floors_of = [d.multipliers[0] for d in controller.history if d.step >= 10]
    wanted = [1e-4, 1.0, 1.0, 1.0] if watched else [1e-4] * 4
    assert floors_of == pytest.approx(wanted)
    said = [line for line in caplog.messages if "the loss does not fall" in line]
    assert len(said) == watched
    counted = controller.report()["interventions"].get("the loss does not fall", 0)
    assert counted == watched

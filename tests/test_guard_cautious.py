"""The guard under policies that learned or go far: back to good weights, then let go."""

import math
import re

import pytest
import torch
from torch import nn

import l2o
from l2o.deciding.policy import Policy
from l2o.guarding.last_good import LastGood
from l2o.signals.spec import SignalSpec

STEPS, INTERVAL = 16, 2


class Eager(Policy):
    """Goes beyond the user's rates, and remembers how often it was asked."""

    signals = SignalSpec(("present", "multiplier", "loss"))
    interval = INTERVAL
    cautious = True

    def initial_state(self, num_layers):
        return {"calls": torch.zeros(())}

    def __call__(self, observation, state):
        slope = torch.linspace(1.0, 3.0, len(observation))
        return slope + 0.1 * state["calls"], {"calls": state["calls"] + 1}


class Run:
    """A small network whose losses, as told, may be bad."""

    def __init__(self, guard=None, policy=None, controlled=True, total=None, **options):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        self.controller = None
        if controlled:
            self.controller = l2o.LRController(
                policy or Eager(),
                self.optimizer,
                self.model,
                guard=guard,
                total_steps=total,
                **options,
            )

    def steps(self, first, last, bad=()):
        for index in range(first, last):
            generator = torch.Generator().manual_seed(index)
            x = torch.randn(16, 4, generator=generator)
            y = torch.randint(0, 3, (16,), generator=generator)
            loss = nn.functional.cross_entropy(self.model(x), y)
            if self.controller is not None:
                told = math.inf if index in bad else loss.item()
                self.controller.observe(loss=told)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        return self

    @property
    def weights(self):
        return [p.detach().clone() for p in self.model.parameters()]


def equal(mine, wanted):
    return all(map(torch.equal, mine, wanted))


def test_after_three_bad_windows_the_user_s_own_schedule_has_the_run(caplog):
    run = Run(l2o.Guard()).steps(0, 10, bad=range(4, 10))
    assert run.controller.guard.handed_over
    assert set(run.controller.multipliers.values()) == {1.0}
    plain = Run(controlled=False)
    plain.model.load_state_dict(run.model.state_dict())
    plain.optimizer.load_state_dict(run.optimizer.state_dict())
    run.steps(10, 20, bad=(12, 15))
    assert equal(run.weights, plain.steps(10, 20).weights)
    assert set(run.controller.multipliers.values()) == {1.0}
    (said,) = [line for line in caplog.messages if "bad windows" in line]
    assert re.search("3 bad windows, the last because the loss is not finite; your own", said)
    # Roll-backs end with the hand-over: by then the policy is not what helps.
    reasons = run.controller.report()["interventions"]
    assert reasons["rolled back to the last good weights"] == 3
    assert reasons["the loss is not finite"] == 5


def test_what_is_said_after_the_hand_over_is_true(caplog):
    run = Run(l2o.Guard(patience=1)).steps(0, 6, bad=(4, 5))
    with torch.no_grad():
        run.model[0].weight.mul_(1e6)
    run.steps(6, 8)
    (said,) = [line for line in caplog.messages if "the weights grew" in line]
    assert said.endswith("training goes on")


@pytest.mark.parametrize("patience", [1, 2])
def test_patience(patience):
    run = Run(l2o.Guard(patience=patience)).steps(0, 4 + 2 * patience, bad=range(4, 20))
    assert run.controller.guard.handed_over
    early = Run(l2o.Guard(patience=patience)).steps(0, 2 + 2 * patience, bad=range(4, 20))
    assert not early.controller.guard.handed_over


def test_bad_windows_need_not_follow_each_other():
    run = Run(l2o.Guard()).steps(0, 12, bad=(2, 6, 10))
    assert run.controller.guard.handed_over


def test_a_policy_within_the_user_s_rates_keeps_the_run():
    policy = Eager()
    policy.cautious = False
    run = Run(l2o.Guard(), policy).steps(0, 12, bad=range(2, 12))
    assert not run.controller.guard.handed_over
    assert max(run.controller.multipliers.values()) < 1e-3
    assert "rolled back to the last good weights" not in run.controller.report()["interventions"]


@pytest.mark.parametrize("guard", [True, False])
def test_a_learned_policy_within_the_user_s_rates_is_watched_but_not_bounded(guard):
    policy = Eager()
    policy.cautious, policy.learned = False, True
    run = Run(l2o.Guard() if guard else None, policy).steps(0, 2)
    assert list(run.controller.multipliers.values()) == pytest.approx([1.1, 3.1])
    run.steps(2, 12, bad=range(4, 10) if guard else ())
    assert not guard or run.controller.guard.handed_over
    reasons = run.controller.report()["interventions"]
    assert reasons.get("rolled back to the last good weights", 0) == 3 * guard


@pytest.mark.parametrize("schedule", ["compose", "override"])
def test_the_user_s_own_schedule_has_the_run_after_an_override_too(schedule):
    run = Run(l2o.Guard(patience=1), schedule=schedule)
    group = run.optimizer.param_groups[0]
    group["lr"] = 0.02
    run.steps(0, 2)
    own = 0.05 if schedule == "override" else 0.02
    factors = run.controller.multipliers
    used = run.controller.get_last_lr()
    assert used == {name: pytest.approx(own * factors[name]) for name in factors}
    run.steps(2, 4, bad=(2, 3))
    assert run.controller.guard.handed_over
    assert run.controller.get_last_lr() == dict.fromkeys(factors, 0.02)
    plain = Run(controlled=False)
    plain.model.load_state_dict(run.model.state_dict())
    plain.optimizer.load_state_dict(run.optimizer.state_dict())
    assert plain.optimizer.param_groups[0]["lr"] == 0.02
    assert equal(run.steps(4, 8).weights, plain.steps(4, 8).weights)


def test_with_a_fallback_it_is_the_fallback_s():
    run = Run(l2o.Guard(fallback=l2o.SchedulePolicy("constant", "small_backbone")))
    run.steps(0, 12, bad=range(4, 10))
    assert run.controller.guard.handed_over
    assert list(run.controller.multipliers.values()) == pytest.approx([0.1, 1.0])


@pytest.mark.parametrize("roll_back", [None, True])
def test_a_bad_window_goes_back_to_good_weights(roll_back):
    run = Run(l2o.Guard(roll_back=roll_back))
    good = run.weights  # those at the start: the newest light copy for 20 steps
    if roll_back:
        good = run.steps(0, 4).weights
    else:
        run.steps(0, 4)
        assert not equal(run.weights, good)
    run.steps(4, 6, bad=(4, 5))
    # The window's roll-back was the end of that step.
    run.steps(6, 6)
    bound = 0.0 if roll_back else 5e-4
    for found, wanted in zip(run.weights, good, strict=True):
        exact = wanted.dim() == 1 or roll_back
        close = {"rtol": bound, "atol": 0.0 if exact else 1e-7}
        torch.testing.assert_close(found, wanted, **close)
    assert not run.optimizer.state


def test_light_copies_are_renewed_twenty_times_a_training_at_most(monkeypatch):
    kept = []
    original = LastGood.keep
    monkeypatch.setattr(LastGood, "keep", lambda s, t: kept.append(1) or original(s, t))
    Run(l2o.Guard(), total=60).steps(0, 60)
    assert len(kept) == 4  # at the start, and after at least 20 steps
    kept.clear()
    Run(l2o.Guard(roll_back=False), total=60).steps(0, 20)
    assert kept == []


def test_never_rolled_back_where_that_is_asked_for():
    run = Run(l2o.Guard(roll_back=False)).steps(0, 6, bad=(4, 5))
    assert equal(run.weights, Run(l2o.Guard(roll_back=False)).steps(0, 6).weights)


def test_a_loss_that_doubles_counts_under_a_policy_that_may_do_harm():
    def trouble(cautious, harm=2.0):
        policy = Eager()
        policy.cautious = cautious
        run = Run(l2o.Guard(harm=harm), policy)
        for told in (1.0, 1.0, 2.5, 2.5):
            model = run.model
            model(torch.ones(2, 4)).square().mean().backward()
            run.controller.observe(loss=told)
            run.optimizer.step()
            run.optimizer.zero_grad()
        return [decision.trouble for decision in run.controller.history][-1]

    assert trouble(True) == "the loss exceeds 2 times that of the run so far"
    assert trouble(True, harm=3.0) is None
    assert trouble(False) is None


BAD = {
    "none": (),
    "one": (5,),
    "two": (4, 9),
    "three": (2, 5, 9),
    "rows": tuple(range(6, 12)),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("at", [1, 3, 6, 7, 10, 12])
def test_a_resumed_run_goes_on_bit_for_bit(at, bad, tmp_path):
    whole = Run(l2o.Guard(roll_back=True)).steps(0, STEPS, BAD[bad])
    first = Run(l2o.Guard(roll_back=True)).steps(0, at, BAD[bad])
    path = tmp_path / "checkpoint.pt"
    torch.save([first.model.state_dict(), first.optimizer.state_dict()], path)
    second = Run(l2o.Guard(roll_back=True))
    weights, state = torch.load(path, weights_only=True)
    second.model.load_state_dict(weights)
    second.optimizer.load_state_dict(state)
    second.steps(at, STEPS, BAD[bad])
    assert equal(second.weights, whole.weights)
    assert second.controller.multipliers == whole.controller.multipliers
    mine, wanted = second.controller.guard, whole.controller.guard
    assert (mine.counts, mine.scale) == (wanted.counts, wanted.scale)
    assert (mine.handed_over, mine._bad, mine.dropped) == (
        wanted.handed_over,
        wanted._bad,
        wanted.dropped,
    )
    assert mine.handed_over == (bad in ("three", "rows"))


def test_a_light_copy_from_before_a_load_does_not_come_back():
    first = Run(l2o.Guard()).steps(0, 8)
    second = Run(l2o.Guard())
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    loaded = second.weights
    second.steps(8, 10, bad=(8, 9))
    reasons = second.controller.report()["interventions"]
    assert reasons == {"the loss is not finite": 1}
    second.steps(10, 12)  # a good window, which is kept at once
    kept = second.weights
    second.steps(12, 14, bad=(12, 13))
    for found, wanted in zip(second.weights, kept, strict=True):
        torch.testing.assert_close(found, wanted, rtol=5e-4, atol=1e-7)
    assert not equal(second.weights, loaded)


def test_what_an_older_release_did_not_keep_begins_anew():
    run = Run(l2o.Guard()).steps(0, 6)
    guard = l2o.Guard()
    old = {
        key: value
        for key, value in run.controller.guard.state_dict().items()
        if key in ("scale", "counts", "first_loss", "good")
    }
    guard.load_state_dict(old)
    assert not guard.handed_over
    assert guard._ceiling.state_dict() == {"descent": None}
    assert guard._stall.floor == 0.0

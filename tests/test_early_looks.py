"""Early looks: the guard sees what a policy's first answer does, before the first window ends."""

import math

import pytest
import torch
from torch import nn

import l2o
from l2o.deciding.policy import Policy
from l2o.measuring.window import WindowMean
from l2o.signals.spec import SignalSpec

INTERVAL = 10


class Bold(Policy):
    """Always asks for the same, and keeps what it was shown."""

    signals = SignalSpec(("present", "multiplier", "loss", "loss_trend"))
    interval = INTERVAL
    cautious = True

    def __init__(self, factor=24.0):
        self.factor, self.seen = factor, []

    def __call__(self, observation, state):
        self.seen.append(observation.clone())
        return torch.full((len(observation),), self.factor), state


def train(policy, steps, guard=None, lr=1e-4, losses=None, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    controller = l2o.LRController(policy, optimizer, model, guard=guard, **options)
    for index in range(steps):
        generator = torch.Generator().manual_seed(index)
        x = torch.randn(16, 4, generator=generator)
        y = torch.randint(0, 3, (16,), generator=generator)
        loss = nn.functional.cross_entropy(model(x), y)
        controller.observe(loss=loss.detach() if losses is None else losses[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return controller


def multipliers(controller):
    return {d.step: round(d.multipliers[0], 4) for d in controller.history}


def test_the_first_answer_is_reached_by_steps_that_were_measured():
    controller = train(Bold(), 12, l2o.Guard())
    assert multipliers(controller) == {0: 1.0, 1: 4.0, 2: 16.0, 4: 24.0, 10: 24.0}


def test_a_bold_policy_is_asked_at_its_own_windows_only_and_sees_them_whole():
    losses = [1.0 + 0.01 * index for index in range(20)]
    guarded, free = Bold(), Bold()
    train(guarded, 20, l2o.Guard(), losses=losses)
    train(free, 20, losses=losses)
    assert len(guarded.seen) == len(free.seen) == 3
    for mine, wanted in zip(guarded.seen, free.seen, strict=True):
        assert torch.equal(mine[:, 2:], wanted[:, 2:])  # its multipliers were held back at first


def test_one_that_stays_below_the_user_s_rates_is_asked_anew():
    policy = Bold(0.5)
    controller = train(policy, 20, l2o.Guard())
    assert multipliers(controller) == dict.fromkeys((0, 1, 2, 4, 8, 10, 20), 0.5)
    assert len(policy.seen) == 7


def test_which_of_both_a_run_is_stays_in_its_state():
    first, second = train(Bold(0.5), 1, l2o.Guard()), train(Bold(0.5), 0, l2o.Guard())
    assert first.guard.asks_early
    assert not second.guard.asks_early
    second.load_state_dict(first.state_dict())
    assert second.guard.asks_early
    assert not train(Bold(), 1, l2o.Guard()).guard.asks_early


def test_a_loss_that_explodes_is_seen_within_the_window():
    losses = [1.0, 1.0, 40.0, 40.0] + [40.0] * 6
    controller = train(Bold(), 5, l2o.Guard(), losses=losses)
    assert [d.trouble for d in controller.history][-1].startswith("the loss exceeds")
    assert multipliers(controller)[4] < 3.0


@pytest.mark.parametrize(
    ("interval", "steps"), [(1, range(10)), (2, [0, 1, 2, 4, 6, 8]), (8, [0, 1, 2, 4, 8])]
)
def test_looks_stay_within_the_first_window(interval, steps):
    controller = train(Bold(0.5), 9, l2o.Guard(), interval=interval)
    assert [d.step for d in controller.history] == list(steps)


def test_no_look_without_a_guard_or_for_a_policy_that_stays_below(monkeypatch):
    looked = []
    monkeypatch.setattr(l2o.LRController, "_look", lambda self: looked.append(self.steps))
    calm = Bold()
    calm.cautious = False
    train(calm, 12, l2o.Guard())
    train(Bold(), 12)
    assert looked == []
    train(Bold(), 12, l2o.Guard())
    assert looked == [1, 2, 4, 8]


def test_a_look_that_fails_leaves_the_training_alone(monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("no reading")

    controller = train(Bold(), 0, l2o.Guard())
    monkeypatch.setattr(controller.guard, "again", fail)
    controller.observe(loss=1.0)
    for p in controller.optimizer.param_groups[0]["params"]:
        p.grad = torch.ones_like(p)
    controller.optimizer.step()
    assert set(controller.multipliers.values()) == {1.0}
    assert any("could not be looked at" in line for line in caplog.messages)


def test_a_window_that_is_looked_at_goes_on():
    window = WindowMean()
    assert all(math.isnan(value) for value in window.look())
    window.add(1.0)
    window.add(2.0)
    assert window.look()[0] == 1.5
    window.add(6.0)
    assert window.close()[0] == 3.0
    assert window.look()[1] == 3.0

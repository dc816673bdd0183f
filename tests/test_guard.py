"""The guard: whatever fails, the run ends as the run with the fallback ends, bit for bit."""

from __future__ import annotations

import math

import faults
import pytest
import torch
from faults import Armed, Failing, Handover, Wave
from torch import nn

import l2o
import l2o.guarding.asking
from l2o.deciding.policy import Policy
from l2o.deciding.schedule_policy import SchedulePolicy
from l2o.guarding.health import Health
from l2o.measuring.meter import Meter
from l2o.signals import SIGNALS

STEPS = 12


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))


def train(policy, guard=None, tamper=None, steps=range(STEPS), begin=None, **options):
    """Train and return the controller and the weights."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    controller = l2o.LRController(
        policy, optimizer, model, total_steps=STEPS, guard=guard, **options
    )
    if begin is not None:
        model.load_state_dict(begin[0])
        optimizer.load_state_dict(begin[1])
    if tamper is not None:
        tamper(controller)
    for index in steps:
        generator = torch.Generator().manual_seed(index)
        x = torch.randn(16, 4, generator=generator)
        y = torch.randint(0, 3, (16,), generator=generator)
        loss = nn.functional.cross_entropy(model(x), y)
        controller.observe(loss=loss, proxy_kl=loss / 2, val_loss=loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return controller, [p.detach() for p in model.parameters()]


def equal(mine, wanted):
    return all(torch.equal(a, b) for a, b in zip(mine, wanted, strict=True))


def raises(*_):
    raise RuntimeError("boom")


FAULTS = {
    "raises": raises,
    "nan": lambda m, s: (m * math.nan, s),
    "infinite": lambda m, s: (m / 0, s),
    "negative": lambda m, s: (-m, s),
    "too few": lambda m, s: (m[1:], s),
    "a column": lambda m, s: (m.unsqueeze(-1), s),
    "nothing": lambda m, s: None,
    "no state": lambda m, s: m,
    "text": lambda m, s: ("fast", s),
    "state of text": lambda m, s: (m, "state"),
    "state of lists": lambda m, s: (m, {"phase": [0.0]}),
}
FALLBACKS = {"last good": None, "cosine": SchedulePolicy("cosine")}
AT = [0, 1, 4]


@pytest.mark.parametrize("fallback", FALLBACKS)
@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_policy_ends_as_its_fallback(fault, at, fallback):
    controller, weights = train(Failing(FAULTS[fault], at), l2o.Guard(fallback=FALLBACKS[fallback]))
    _, wanted = train(Handover(FALLBACKS[fallback], at))
    assert equal(weights, wanted)
    (count,) = controller.report()["interventions"].values()
    assert count == (1 if FALLBACKS[fallback] else 7 - at)


@pytest.mark.parametrize("fault", FAULTS)
def test_without_a_fallback_the_policy_is_asked_again(fault):
    _, weights = train(Failing(FAULTS[fault], 2, until=3), l2o.Guard())
    _, wanted = train(Handover(None, 2, until=3))
    assert equal(weights, wanted)


@pytest.mark.parametrize("fallback", FALLBACKS)
@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize("name", [name for name in SIGNALS if name != "present"])
def test_a_failing_signal_ends_as_the_fallback(name, at, fallback, monkeypatch):
    monkeypatch.setattr(Armed, "fault", raises)
    monkeypatch.setattr(Armed, "at", at)
    monkeypatch.setattr(Armed, "calls", 0)
    policy = Wave(faults.spec_with(name))
    controller, weights = train(policy, l2o.Guard(fallback=FALLBACKS[fallback]))
    _, wanted = train(Handover(FALLBACKS[fallback], at))
    assert equal(weights, wanted)
    reasons = set(controller.report()["interventions"])
    assert reasons == {"the signals could not be computed: RuntimeError: boom"}


@pytest.mark.parametrize("name", [name for name in SIGNALS if name != "present"])
def test_a_signal_that_is_not_a_number_is_a_zero(name, monkeypatch):
    def run(fault):
        monkeypatch.setattr(Armed, "fault", fault)
        return train(Wave(faults.spec_with(name)), l2o.Guard(fallback="cosine"))

    controller, weights = run(lambda value: value * math.nan)
    assert equal(weights, run(lambda value: value * 0.0)[1])
    assert controller.report()["interventions"] == {}


def fail_from(owner, method, at):
    """Replace an object's method by one that raises from call `at` on."""
    original, calls = getattr(owner, method), 0

    def instead(*args, **kwargs):
        nonlocal calls
        calls += 1
        return raises() if calls > at else original(*args, **kwargs)

    setattr(owner, method, instead)


@pytest.mark.parametrize("fallback", FALLBACKS)
@pytest.mark.parametrize("at", AT)
def test_a_failing_meter_ends_as_the_fallback(at, fallback):
    _, weights = train(
        Wave(),
        l2o.Guard(fallback=FALLBACKS[fallback]),
        tamper=lambda controller: fail_from(controller.meter, "measure", at),
    )
    _, wanted = train(Handover(FALLBACKS[fallback], at))
    assert equal(weights, wanted)


@pytest.mark.parametrize("answer", [raises, lambda *_: "state", lambda *_: {"phase": 0.0}])
@pytest.mark.parametrize("fallback", FALLBACKS)
def test_a_policy_without_a_first_state_ends_as_the_fallback(answer, fallback, monkeypatch):
    monkeypatch.setattr(Wave, "initial_state", answer)
    _, weights = train(Wave(), l2o.Guard(fallback=FALLBACKS[fallback]))
    monkeypatch.undo()
    _, wanted = train(Handover(FALLBACKS[fallback], 0))
    assert equal(weights, wanted)


def test_a_first_state_that_comes_later_is_enough(monkeypatch):
    policy = Wave()
    fail_once = iter([raises])
    original = policy.initial_state
    policy.initial_state = lambda count: next(fail_once, original)(count)
    _, weights = train(policy, l2o.Guard())
    assert equal(weights, train(Wave())[1])


SPARED = {
    "history": lambda controller, at: fail_from(controller.history, "add", at),
    "health": lambda controller, at: fail_from(controller.guard._health, "trouble", at),
}


@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize("point", SPARED)
def test_bookkeeping_that_fails_changes_nothing(point, at):
    controller, weights = train(
        Wave(), l2o.Guard(fallback="cosine"), tamper=lambda c: SPARED[point](c, at)
    )
    assert equal(weights, train(Wave())[1])
    assert sum(controller.report()["interventions"].values()) == 7 - at


def test_an_update_that_cannot_be_measured_is_a_missing_signal(monkeypatch):
    monkeypatch.setattr(Meter, "before_step", lambda self: None)
    _, wanted = train(Wave())
    monkeypatch.setattr(Meter, "before_step", raises)
    controller, weights = train(Wave(), l2o.Guard(fallback="cosine"))
    assert equal(weights, wanted)
    reasons = controller.report()["interventions"]
    assert reasons == {"the update cannot be measured: RuntimeError: boom": 6}


class Slow(Wave):
    """Takes 2 s of a clock of its own from decision `at` to `until`."""

    def __init__(self, at, until=10**9):
        super().__init__()
        self.at, self.until, self.calls, self.now = at, until, 0, 0.0

    def __call__(self, observation, state):
        self.calls += 1
        self.now += 2.0 if self.at < self.calls <= self.until else 0.1
        return super().__call__(observation, state)


@pytest.mark.parametrize("fallback", FALLBACKS)
def test_a_late_policy_is_dropped_after_three_late_answers(fallback, monkeypatch, caplog):
    policy = Slow(at=1)
    monkeypatch.setattr(l2o.guarding.asking, "perf_counter", lambda: policy.now)
    guard = l2o.Guard(fallback=FALLBACKS[fallback], time_limit=1.0)
    controller, weights = train(policy, guard)
    assert equal(weights, train(Handover(FALLBACKS[fallback], 4))[1])
    assert policy.calls == 4
    assert controller.report()["interventions"] == {
        "a decision took longer than 1 s": 3,
        "3 late decisions in a row": 1,
    }
    assert sum("longer than 1 s" in message for message in caplog.messages) == 1


def test_a_policy_that_is_late_now_and_then_stays(monkeypatch):
    policy = Slow(at=1, until=3)
    monkeypatch.setattr(l2o.guarding.asking, "perf_counter", lambda: policy.now)
    _, weights = train(policy, l2o.Guard(fallback="cosine", time_limit=1.0))
    assert equal(weights, train(Wave())[1])


def test_a_fallback_that_fails_too_leaves_the_last_good_multipliers():
    controller, _ = train(Failing(raises, 2), l2o.Guard(fallback=Failing(raises, 1)))
    chosen = [decision.multipliers for decision in controller.history]
    assert chosen[2] != chosen[1]
    assert chosen[3:] == [chosen[2]] * 4
    assert controller.report()["interventions"]["the fallback failed: RuntimeError: boom"] == 4


def test_each_reason_is_logged_once_and_reasons_are_bounded(caplog):
    texts = iter(range(300))

    def fault(*_):
        number = next(texts)
        raise RuntimeError(f"request {chr(1000 + number // 2)}{number}")

    controller, _ = train(Failing(fault, 0), l2o.Guard(), steps=range(482))
    counts = controller.report()["interventions"]
    assert len(counts) == l2o.guarding.asking.MAX_REASONS + 1
    assert counts["other reasons"] == 42
    assert len(caplog.messages) == len(counts)


def test_a_fallback_that_cannot_drive_the_run_is_refused_before_it():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="pass total_steps"):
        l2o.LRController(Wave(), optimizer, model, guard=l2o.Guard(fallback="cosine"))


def test_a_fallback_s_own_signals_are_measured():
    class OnlyPresent(Policy):
        interval = 2

        def __call__(self, observation, state):
            raise RuntimeError("boom")

    _, weights = train(OnlyPresent(), l2o.Guard(fallback=Wave()))
    assert equal(weights, train(Wave())[1])


@pytest.mark.parametrize("fallback", FALLBACKS)
def test_a_resumed_run_stays_with_the_fallback(fallback):
    guard = {"fallback": FALLBACKS[fallback]}
    _, wanted = train(Failing(raises, 2), l2o.Guard(**guard))
    controller, weights = train(Failing(raises, 2), l2o.Guard(**guard), steps=range(7))
    model = network()
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), weights, strict=True):
            parameter.copy_(value)
    begin = (model.state_dict(), controller.optimizer.state_dict())
    again = Failing(raises, 0)
    _, resumed = train(again, l2o.Guard(**guard), steps=range(7, STEPS), begin=begin)
    assert equal(resumed, wanted)
    assert again.calls == (0 if FALLBACKS[fallback] else 3)


@pytest.mark.parametrize("fault", ["raises", "nothing"])
def test_layers_that_thaw_join_the_fallback(fault):
    def run(policy, guard):
        model = network()
        model[0].requires_grad_(False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        controller = l2o.LRController(policy, optimizer, model, total_steps=STEPS, guard=guard)
        for index in range(STEPS):
            model[0].requires_grad_(index >= 5)
            model(torch.ones(2, 4)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return controller, [p.detach() for p in model.parameters()]

    cosine = SchedulePolicy("cosine")
    controller, weights = run(Failing(FAULTS[fault], 1), l2o.Guard(fallback=cosine))
    assert equal(weights, run(Handover(cosine, 1), None)[1])
    assert {len(decision.multipliers) for decision in controller.history} == {2, 3}
    assert len(run(Failing(FAULTS[fault], 1), l2o.Guard())[0].multipliers) == 3
    recurrent = l2o.Guard(fallback=Wave())
    assert len(run(Failing(FAULTS[fault], 1), recurrent)[0].multipliers) == 3
    assert len(recurrent.counts) == 1


def measurement(loss, weight=1.0, gradient=math.nan):
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    meter = Meter(l2o.group_layers(model), frozenset())
    measured = meter.measure(0, torch.ones(1), [0.1])
    measured.loss = torch.tensor(loss)
    measured.weight_norm = torch.tensor([weight])
    measured.gradient_norm = torch.tensor([gradient])
    return measured


NAN, INF = math.nan, math.inf
WINDOWS = {
    "falling": ([(1.0, 1, 1), (0.5, 1, 1)], None),
    "not observed": ([(NAN, 1, 1), (NAN, 1, 1)], None),
    "loss infinite": ([(1.0, 1, 1), (INF, 1, 1)], "the loss is not finite"),
    "loss explodes": ([(1.0, 1, 1), (10.5, 1, 1)], "the loss exceeds 10 times its first value"),
    "loss just below": ([(1.0, 1, 1), (9.5, 1, 1)], None),
    "negative loss": ([(-1.0, 1, 1), (7.5, 1, 1)], None),
    "negative explodes": ([(-1.0, 1, 1), (8.5, 1, 1)], "the loss exceeds 10 times its first value"),
    "loss of zero": ([(0.0, 1, 1), (1.0, 1, 1)], None),
    "weights infinite": ([(1.0, 1, 1), (1.0, INF, 1)], "the weights are not finite"),
    "weights jump": ([(1, 1, 1), (1, 11, 1)], "the weights grew more than 10-fold within a window"),
    "weights jump at once": ([(1, 11, 1)], "the weights grew more than 10-fold within a window"),
    "weights grow": ([(1.0, 5, 1), (1.0, 25, 1)], None),
    "gradient infinite": ([(1.0, 1, 1), (1.0, 1, INF)], "a gradient is not finite"),
    "gradient jumps": (
        [(1, 1, 1), (1, 1, 1001)],
        "a gradient exceeds 1000 times the largest before",
    ),
    "gradient grows": ([(1.0, 1, 1), (1.0, 1, 900), (1.0, 1, 9000)], None),
    "gradient vanished first": ([(1.0, 1, 0.0), (1.0, 1, 5.0)], None),
}


@pytest.mark.parametrize("case", WINDOWS)
def test_bad_windows(case):
    windows, wanted = WINDOWS[case]
    health = Health(10.0, 1000.0)
    *before, last = [health.trouble(measurement(*map(float, window))) for window in windows]
    assert before == [None] * len(before)
    assert last == wanted
    assert Health(INF, INF).trouble(measurement(1e30, 1e30, 1e30)) is None


def test_the_scale_neither_vanishes_nor_stays_down():
    guard = l2o.Guard()
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)])
    for _ in range(60):
        guard.check(measurement(INF), [], optimizer)
    assert guard.scale == pytest.approx(1e-6)
    for _ in range(31):
        guard.check(measurement(1.0), [], optimizer)
    assert guard.scale == 1.0


def test_roll_back_restores_weights_and_running_statistics():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    guard = l2o.Guard(roll_back=True)
    controller = l2o.LRController(Wave(), optimizer, model, total_steps=STEPS, guard=guard)
    good = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(2):
        loss = model(torch.full((5, 4), NAN)).sum()
        controller.observe(loss=loss)
        loss.backward()
        optimizer.step()
    assert all(torch.equal(good[name], value) for name, value in model.state_dict().items())
    assert not optimizer.state
    assert controller.report()["interventions"]["rolled back to the last good weights"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"explosion": 1.0}, "explosion must be above 1"),
        ({"gradient_explosion": 0.5}, "gradient_explosion must be above 1"),
        ({"backoff": 1.0}, "between 0 and 1"),
        ({"fallback": "cosin"}, "Did you mean 'cosine'"),
        ({"time_limit": 0.0}, "time_limit"),
        ({"max_late": 0}, "max_late"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        l2o.Guard(**arguments)


def test_a_fallback_of_another_kind_is_refused():
    with pytest.raises(TypeError, match=r"fallback must be .*name of a schedule"):
        l2o.Guard(fallback=0.1)

"""Schedules, layer profiles, and the policies made of them."""

from __future__ import annotations

import doctest
import importlib
import math
import pkgutil

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

import l2o.checks
import l2o.deciding.early_stopping
import l2o.deciding.schedule_policy
import l2o.profiles
import l2o.schedules
from l2o.control.controller import LRController
from l2o.deciding.early_stopping import EarlyStopping
from l2o.deciding.schedule_policy import SchedulePolicy
from l2o.profiles import PROFILES
from l2o.schedules import SCHEDULES, OneCycle, Schedule

STEPS = 40
DEPTH = torch.tensor([0.0, 0.25, 0.5, 1.0])
HEAD = torch.tensor([0.0, 0.0, 0.0, 1.0])
PRESENT = torch.ones(4)


def torch_factors(make: object, steps: int = STEPS) -> list[float]:
    """Return the learning rates, base 1, that a torch scheduler gives a real optimizer."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)  # type: ignore[operator]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def warmup_cosine(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    rise = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=10)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, STEPS - 10, eta_min=0.2)
    return lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[10])


def wsd(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    rise = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=10)
    stay = lr_scheduler.ConstantLR(optimizer, factor=1.0)
    fall = lr_scheduler.LinearLR(optimizer, 1.0, 0.2, total_iters=20)
    return lr_scheduler.SequentialLR(optimizer, [rise, stay, fall], milestones=[10, 20])


def wsd_factor(step: int) -> float:
    if step < 2:
        return 0.01 + 0.99 * step / 2
    return 1.0 if step < 32 else 1 - math.sqrt((step - 32) / 8)


def asg_factor(step: int, warmup: int = 100, steps: int = STEPS) -> float:
    rising = min(0.01 + 0.99 * (step / warmup) ** 2, 1.0)
    return float(rising * (1 - min(step / steps, 0.8)) ** 0.9)


EQUIVALENTS = [
    ("constant", {}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
    ("cosine", {}, lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)),
    ("cosine", {"end": 0.1}, lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.1)),
    (
        "linear",
        {"start": 0.5, "end": 0.25},
        lambda o: lr_scheduler.LinearLR(o, 0.5, 0.25, total_iters=STEPS),
    ),
    ("linear", {}, lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=STEPS)),
    ("step", {}, lambda o: lr_scheduler.MultiStepLR(o, [20, 30])),
    (
        "step",
        {"milestones": (0.3, 0.6, 0.9), "gamma": 0.5},
        lambda o: lr_scheduler.StepLR(o, 12, 0.5),
    ),
    ("warmup_cosine", {"warmup": 0.25, "start": 0.1, "end": 0.2}, warmup_cosine),
    ("poly", {}, lambda o: lr_scheduler.PolynomialLR(o, STEPS, power=0.9)),
    ("poly", {"power": 2.0}, lambda o: lr_scheduler.PolynomialLR(o, STEPS, power=2.0)),
    ("wsd", {"warmup": 0.25, "decay": 0.5, "start": 0.1, "end": 0.2, "shape": "linear"}, wsd),
    ("wsd", {}, lambda o: lr_scheduler.LambdaLR(o, wsd_factor)),
    (
        "asg",
        {"warmup": 10, "total_steps": STEPS},
        lambda o: lr_scheduler.LambdaLR(o, lambda i: asg_factor(i, 10)),
    ),
]


@pytest.mark.parametrize(("name", "arguments", "make"), EQUIVALENTS)
@pytest.mark.filterwarnings("ignore")
def test_equals_torch_scheduler(name: str, arguments: dict[str, object], make: object) -> None:
    progress = torch.arange(STEPS) / STEPS
    ours = SCHEDULES[name](**arguments)(progress)
    torch.testing.assert_close(ours, torch.tensor(torch_factors(make)), atol=2e-6, rtol=1e-5)


def test_one_cycle_equals_torch() -> None:
    expected = torch_factors(
        lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=STEPS + 1), STEPS
    )
    schedule = OneCycle(warmup=(0.3 * (STEPS + 1) - 1) / STEPS)
    ours = schedule(torch.arange(STEPS, dtype=torch.float64) / STEPS)
    torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64))


def test_every_scheduler_has_an_equivalent() -> None:
    assert {name for name, _, _ in EQUIVALENTS} | {"one_cycle"} == set(SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_contract(name: str) -> None:
    schedule = SCHEDULES[name]().of_length(STEPS)
    for progress in (
        torch.tensor(0.0),
        torch.tensor(1.0),
        torch.rand(3, 5),
        torch.tensor([-1.0, 2.0]),
    ):
        factor = schedule(progress)
        assert factor.shape == progress.shape
        assert factor.dtype == progress.dtype
        assert torch.isfinite(factor).all()
        assert (factor >= 0).all()
        assert (factor <= 1).all()
    assert schedule == SCHEDULES[name]().of_length(STEPS)
    assert torch.equal(schedule(torch.tensor([-1.0, 2.0])), schedule(torch.tensor([0.0, 1.0])))


def test_asg_counts_its_warm_up_in_steps_of_the_training() -> None:
    steps = 142_890  # 30 epochs of VisDA-17 in batches of 32
    at = [0, 1, 50, 99, 100, 101, 1000, 70_000, 114_312, 120_000, steps - 1]
    schedule = SCHEDULES["asg"]().of_length(steps)
    for dtype in (torch.float32, torch.float64):
        found = schedule(torch.tensor(at, dtype=dtype) / steps)
        torch.testing.assert_close(
            found, torch.tensor([asg_factor(i, 100, steps) for i in at], dtype=dtype)
        )
    assert schedule.of_length(10) is schedule
    assert SCHEDULES["asg"](hold=1.0, warmup=0)(torch.tensor(0.5)) == SCHEDULES["poly"]()(
        torch.tensor(0.5)
    )
    with pytest.raises(ValueError, match="warms up for 100 steps, but nobody said how many"):
        SCHEDULES["asg"]()(torch.tensor(0.5))


def test_schedules_that_count_in_steps_learn_the_length_from_the_controller() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    for wrap in (lambda policy: policy, lambda policy: EarlyStopping(policy, patience=3)):
        optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
        policy = wrap(SchedulePolicy("asg", "small_backbone"))
        controller = LRController(policy, optimizer, model, total_steps=STEPS, guard=None)
        for _ in range(4):
            loss = model(torch.ones(1, 2)).square().mean()
            controller.observe(loss=loss.detach())
            loss.backward()
            optimizer.step()
        found = [each.learning_rates for each in controller.history]
        wanted = [(0.2 * asg_factor(i), 2.0 * asg_factor(i)) for i in range(5)]
        torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", ["linear", "sqrt"])
def test_wsd_decays_from_exactly_1_to_exactly_its_end(shape: str, dtype: torch.dtype) -> None:
    for decay in (share / 100 for share in range(1, 101)):
        schedule = SCHEDULES["wsd"](warmup=0.0, decay=decay, shape=shape)
        assert schedule(torch.tensor([1.0 - decay, 1.0], dtype=dtype)).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", PROFILES)
def test_profile_contract(name: str) -> None:
    profile = PROFILES[name]()
    for now in (0.0, 0.3, 1.0):
        factor = profile(torch.tensor(now), DEPTH, HEAD, PRESENT)
        assert factor.shape == DEPTH.shape
        assert torch.isfinite(factor).all()
        assert (factor >= 0).all()
        assert (factor <= 1).all()
        assert factor[-1] == 1.0
        padded = [torch.cat([x, torch.zeros(2)]) for x in (DEPTH, HEAD, PRESENT)]
        assert torch.equal(profile(torch.tensor(now), *padded), torch.cat([factor, torch.zeros(2)]))
        many = profile(torch.tensor([now, 1.0]), *(x.expand(2, 4) for x in (DEPTH, HEAD, PRESENT)))
        assert torch.equal(many[0], factor)
    assert profile(torch.tensor(0.5), *(torch.ones(1),) * 3).tolist() == [1.0]


@pytest.mark.parametrize(
    ("name", "arguments", "now", "expected"),
    [
        ("flat", {}, 0.0, [1.0, 1.0, 1.0, 1.0]),
        ("small_backbone", {}, 0.0, [0.1, 0.1, 0.1, 1.0]),
        ("small_backbone", {"factor": 0.03}, 1.0, [0.03, 0.03, 0.03, 1.0]),
        ("frozen_backbone", {}, 1.0, [0.0, 0.0, 0.0, 1.0]),
        ("layerwise_decay", {}, 0.0, [0.65**3, 0.65**2, 0.65, 1.0]),
        ("gradual_unfreezing", {}, 0.0, [0.0, 0.0, 0.0, 1.0]),
        ("gradual_unfreezing", {}, 0.17, [0.0, 0.0, 1.0, 1.0]),
        ("gradual_unfreezing", {}, 0.34, [0.0, 1.0, 1.0, 1.0]),
        ("gradual_unfreezing", {}, 0.5, [1.0, 1.0, 1.0, 1.0]),
        ("gradual_unfreezing", {"until": 0.0}, 0.0, [1.0, 1.0, 1.0, 1.0]),
        ("lp_ft", {}, 0.49, [0.0, 0.0, 0.0, 1.0]),
        ("lp_ft", {}, 0.5, [1.0, 1.0, 1.0, 1.0]),
        ("lp_ft", {"until": 0.3}, 0.29, [0.0, 0.0, 0.0, 1.0]),
        ("lp_ft", {"until": 0.0}, 0.0, [1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_profile_numbers(
    name: str, arguments: dict[str, float], now: float, expected: list[float]
) -> None:
    factor = PROFILES[name](**arguments)(torch.tensor(now), DEPTH, HEAD, PRESENT)
    torch.testing.assert_close(factor, torch.tensor(expected))


@pytest.mark.parametrize(
    ("table", "name", "arguments"),
    [
        (SCHEDULES, "cosine", {"end": -0.1}),
        (SCHEDULES, "cosine", {"end": math.nan}),
        (SCHEDULES, "linear", {"start": math.inf}),
        (SCHEDULES, "step", {"milestones": (0.5, 0.5)}),
        (SCHEDULES, "step", {"milestones": (0.0,)}),
        (SCHEDULES, "step", {"milestones": (30,)}),
        (SCHEDULES, "step", {"gamma": 0.0}),
        (SCHEDULES, "warmup_cosine", {"warmup": 1.5}),
        (SCHEDULES, "one_cycle", {"warmup": 1.0}),
        (SCHEDULES, "one_cycle", {"div_factor": 0.5}),
        (SCHEDULES, "asg", {"warmup": -1}),
        (SCHEDULES, "asg", {"warmup": 0.5}),
        (SCHEDULES, "asg", {"hold": 0.0}),
        (SCHEDULES, "asg", {"total_steps": 0}),
        (SCHEDULES, "poly", {"power": 0.0}),
        (SCHEDULES, "poly", {"power": "two"}),
        (SCHEDULES, "wsd", {"warmup": 0.6, "decay": 0.5}),
        (SCHEDULES, "wsd", {"decay": -0.1}),
        (SCHEDULES, "wsd", {"shape": "cosine"}),
        (PROFILES, "small_backbone", {"factor": -1.0}),
        (PROFILES, "lp_ft", {"until": 2.0}),
        (PROFILES, "layerwise_decay", {"decay": 0.0}),
        (PROFILES, "layerwise_decay", {"decay": 1.5}),
        (PROFILES, "gradual_unfreezing", {"until": 2.0}),
    ],
)
def test_bad_arguments(table: dict[str, type], name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments)).rstrip("s")):
        table[name](**arguments)


def observe(progress: float | None, **extra: float) -> Tensor:
    """Return an observation of four layers, in `SchedulePolicy`'s order, with columns added."""
    known = 0.0 if progress is None else 1.0
    columns = [PRESENT, HEAD, DEPTH, PRESENT * (progress or 0.0), PRESENT * known]
    return torch.stack([*columns, *(PRESENT * value for value in extra.values())], dim=-1)


class Doubling(Schedule):
    def compute(self, progress: Tensor) -> Tensor:
        return progress * 2


def test_schedule_policy_multiplies() -> None:
    policy = SchedulePolicy("linear", "small_backbone", profile_args={"factor": 0.5})
    multipliers, state = policy(observe(0.25), policy.initial_state(4))
    torch.testing.assert_close(multipliers, torch.tensor([0.375, 0.375, 0.375, 0.75]))
    assert state == {}
    assert policy.interval == 1
    assert "Linear(start=1.0, end=0.0)" in repr(policy)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_schedule_policy(schedule: str, profile: str) -> None:
    policy = SchedulePolicy(schedule, profile, interval=5).of_length(STEPS)
    assert policy.interval == 5
    for now in (0.0, 0.5, 1.0):
        multipliers, _ = policy(observe(now), {})
        assert multipliers.shape == (4,)
        assert torch.isfinite(multipliers).all()
        assert (multipliers >= 0).all()
    needs = SCHEDULES[schedule].needs_progress or PROFILES[profile].needs_progress
    assert policy.needs_progress == needs
    assert EarlyStopping(policy).needs_progress == needs
    assert EarlyStopping(policy, budget=0.5).needs_progress
    if needs:
        with pytest.raises(ValueError, match="total_steps"):
            policy(observe(None), {})
    else:
        assert policy(observe(None), {})[0][-1] == 1.0


def test_schedule_policy_takes_dotted_paths_and_instances() -> None:
    by_path = SchedulePolicy("l2o.schedules.poly:Poly", schedule_args={"power": 2.0})
    assert by_path(observe(0.5), {})[0][0] == 0.25
    assert SchedulePolicy(Doubling())(observe(0.5), {})[0][0] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"profile": "flatt"}, "Did you mean 'flat'"),
        ({"schedule": "l2o.nowhere:Thing"}, "cannot import"),
        ({"schedule_args": {"ende": 1}}, "ende"),
        ({"schedule": Doubling(), "schedule_args": {"end": 1}}, "leave them out"),
        ({"schedule": Doubling}, "instance"),
        ({"profile": "builtins:dict"}, "profile must be a name"),
        ({"interval": 0}, "interval"),
        ({"interval": 1.5}, "interval"),
    ],
)
def test_schedule_policy_errors(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SchedulePolicy(**arguments)  # type: ignore[arg-type]


def test_profiles_that_need_a_head_say_so() -> None:
    observation = observe(0.0)
    observation[:, 1] = 0.0
    with pytest.raises(ValueError, match="head="):
        SchedulePolicy("constant", "frozen_backbone")(observation, {})


def test_docstrings_run() -> None:
    modules = [l2o.checks, l2o.deciding.early_stopping, l2o.deciding.schedule_policy]
    for package in (l2o.schedules, l2o.profiles):
        names = [info.name for info in pkgutil.iter_modules(package.__path__)]
        modules += [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    for module in modules:
        result = doctest.testmod(module, extraglobs={"torch": torch})
        assert result.failed == 0, module.__name__

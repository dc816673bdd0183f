"""Random combinations of optimizer, layout, schedule and loop against a plain reference.

500 of them, or as many as L2O_EXAMPLES says.
"""

import copy
import os
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optimizer_cases import CASES, Case, layer_of, network
from optimizer_loops import Run, control, layers_of
from torch import nn
from torch.optim import lr_scheduler as schedulers

from l2o.deciding.policy import Policy
from l2o.signals.spec import SignalSpec

# Its packages are optional, and its eight bits round differently after the smallest change.
NAMES = [
    name
    for name, case in CASES.items()
    if case.package == "torch" and case.model != "embedding" and not name.startswith("8-bit")
]
# Their state holds the rate: one of zero does not stop them at once, and one that changes is not
# the same as an update that is scaled.
GLIDES = {"ASGD", "MomentumLRSGD"}
LOOPS = ("plain", "closure", "accumulate", "zero_before", "raise", "reload", "no_gradient")
LOOPS += ("closure_rate", "hook_rate", "resume")
SCHEDULES = {
    "exponential": lambda o: schedulers.ExponentialLR(o, 0.8),
    "warm_up": lambda o: schedulers.LambdaLR(o, lambda step: min(1.0, step / 3)),
    "one_cycle": lambda o: schedulers.OneCycleLR(
        o, [float(group["lr"]) for group in o.param_groups], 12, cycle_momentum=False
    ),
    "restarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 2),
}
NEVER = 99


class Script(Policy):
    """Multipliers by decision and layer, as drawn."""

    def __init__(self, rows: list[tuple[float, ...]], interval: int, sees_rate: bool) -> None:
        self.signals = SignalSpec(("present", "base_lr") if sees_rate else ("present",))
        self.rows = rows
        self.interval = interval
        self.calls = 0

    def __call__(self, observation: Any, state: Any) -> Any:
        row = self.rows[self.calls % len(self.rows)]
        self.calls += 1
        return torch.tensor(row[: len(observation)]), state


@dataclass
class Draw:
    """One combination."""

    name: str
    mode: str
    tensor_rate: bool
    layout: str
    frozen: frozenset[int]
    thaw_at: int
    add_at: int
    replace_at: int
    replaced: int
    scheduled: str
    schedule: str
    override: bool
    sees_rate: bool
    rate_factors: list[float]
    loops: list[str]
    rows: list[tuple[float, ...]]
    interval: int


FACTOR = st.sampled_from([0.0, 0.001, 0.5, 1.0, 1.0, 3.0])


@st.composite
def draws(draw: Any) -> Draw:
    name = draw(st.sampled_from(NAMES))
    case = CASES[name]
    whole = not case.splits and case.needs_closure
    loops = draw(st.lists(st.sampled_from(LOOPS), min_size=2, max_size=5))
    rate = "fused" if name in ("SGD", "Adam", "AdamW", "Adagrad") else ""
    return Draw(
        name=name,
        mode=draw(st.sampled_from(["auto", *case.modes])),
        tensor_rate=draw(st.booleans()) and bool(rate),
        layout="one" if whole else draw(st.sampled_from(["one", "layers", "crossed"])),
        frozen=frozenset(draw(st.sets(st.integers(0, 1)))),
        thaw_at=draw(st.integers(0, 6)),
        add_at=NEVER if whole else draw(st.sampled_from([1, 2, NEVER, NEVER])),
        replace_at=draw(st.sampled_from([1, 2, 3, NEVER, NEVER])),
        replaced=draw(st.integers(0, 2)),
        scheduled=draw(st.sampled_from(["", "before", "after"])),
        schedule=draw(st.sampled_from(list(SCHEDULES))),
        override=draw(st.booleans()),
        sees_rate=draw(st.booleans()),
        rate_factors=draw(st.lists(st.sampled_from([0.0, 0.3, 1.0, 2.0]), min_size=1, max_size=3)),
        loops=loops,
        rows=draw(st.lists(st.tuples(FACTOR, FACTOR, FACTOR), min_size=1, max_size=3)),
        interval=draw(st.integers(1, 3)),
    )


def user_groups(layout: str, rows: list[list[Any]], lr: float) -> list[dict[str, Any]]:
    """Return the param groups that a user might make of the layers."""
    flat = [p for row in rows for p in row]
    if layout == "layers":
        return [{"params": row, "lr": lr * (i + 1) / 2} for i, row in enumerate(rows)]
    if layout == "crossed":
        return [{"params": flat[::2], "lr": lr}, {"params": flat[1::2], "lr": lr / 2}]
    return [{"params": flat, "lr": lr}]


def as_rate(value: float, tensor: bool) -> Any:
    return torch.tensor(value, dtype=torch.float64) if tensor else value


class References:
    """What each of the user's param groups' rate is without its schedule, as documented."""

    def __init__(self) -> None:
        self.largest: list[float] = []
        self.marks: list[tuple[float, float]] = []
        self.found: list[float] = []

    def read(self, optimizer: Any) -> None:
        for index, group in enumerate(optimizer.param_groups):
            rate = float(group["lr"])
            marks = (float(group.get("initial_lr", 0.0)), float(group.get("max_lr", 0.0)))
            if index == len(self.marks):
                self.largest.append(rate)
                self.marks.append(marks)
                self.found.append(rate)
            goes_on = self.marks[index] == marks
            self.largest[index] = max(rate, self.largest[index]) if goes_on else rate
            self.marks[index] = marks
            self.found[index] = max(self.largest[index], *marks)


class Pair:
    """A controlled run and its reference, which has one param group per parameter."""

    def __init__(self, case: Case, drawn: Draw) -> None:
        self.case, self.drawn = case, drawn
        self.ours, self.theirs = network(case), network(case)
        flags = {"foreach": False} if drawn.tensor_rate else {}
        for index in drawn.frozen:
            self.freeze(index, True)
        rows = layers_of(self.ours)
        late = rows.pop(0) if drawn.add_at < 9 else []
        groups = user_groups(drawn.layout, rows, case.lr)
        for group in groups:
            group["lr"] = as_rate(group["lr"], drawn.tensor_rate)
        self.optimizer = case.make(groups, as_rate(case.lr, drawn.tensor_rate), **flags)
        self.late = {"params": late, "lr": as_rate(case.lr, drawn.tensor_rate)}
        if drawn.scheduled == "before":
            self.schedule()
        self.policy = Script(drawn.rows, drawn.interval, drawn.sees_rate)
        self.used: dict[str, float] = {}
        self.references, self.counted = References(), 0
        self.attach()
        self.references.read(self.optimizer)
        self.new_rates: float | None = None
        self.by_closure = False
        self.by_hook = self.optimizer.register_step_pre_hook(lambda *_: self.before_step())
        if drawn.scheduled == "after":
            self.schedule()
        self.names = dict(self.ours.named_parameters())
        self.twin = dict(self.theirs.named_parameters())
        self.reference = (
            case.make(
                [{"params": [p], "lr": as_rate(case.lr, drawn.tensor_rate)} for p in self.order()],
                as_rate(case.lr, drawn.tensor_rate),
                **flags,
            )
            if case.splits
            else None
        )
        self.run = Run(self.ours, self.optimizer, case.needs_closure)

    @property
    def stops(self) -> bool:
        """Whether a multiplier of zero stops a layer at once."""
        return self.case.name not in GLIDES or self.controller.mode.name == "update_scale"

    def order(self) -> list[Any]:
        return [self.twin[name] for name in self.names]

    def schedule(self) -> None:
        self.scheduler = SCHEDULES[self.drawn.schedule](self.optimizer)

    def attach(self) -> None:
        """Attach a controller; what its mode is told to apply is what the step is held to."""
        kind = "override" if self.drawn.override else "compose"
        self.controller = control(
            self.policy, self.optimizer, self.ours, mode=self.drawn.mode, schedule=kind
        )
        mode = self.controller.mode
        original = mode.before_step

        def before_step(multipliers: Any) -> None:
            names = list(self.controller.multipliers)
            self.used = dict(zip(names, multipliers.tolist(), strict=True))
            original(multipliers)

        mode.before_step = before_step

    def resume(self) -> None:
        """Go on with another controller, from a checkpoint."""
        state = copy.deepcopy(self.optimizer.state_dict())
        self.controller.detach()
        self.attach()
        # After the controller's own, which reads the rates before a hook of the user's sets them.
        self.by_hook.remove()
        self.by_hook = self.optimizer.register_step_pre_hook(lambda *_: self.before_step())
        self.optimizer.load_state_dict(state)

    def before_step(self) -> None:
        """The user's last hook."""
        if self.new_rates is not None and not self.by_closure:
            self.set_rates()
        self.references.read(self.optimizer)

    def set_rates(self) -> None:
        assert self.new_rates is not None
        for group in self.optimizer.param_groups:
            group["lr"] = as_rate(self.case.lr * self.new_rates, self.drawn.tensor_rate)

    def replace(self) -> None:
        """Put another tensor in the place of a layer's weight, as users do by hand."""
        name = f"layers.{self.drawn.replaced}.weight"
        for model, optimizer, held in (
            (self.ours, self.optimizer, self.names),
            (self.theirs, self.reference, self.twin),
        ):
            old, layer = held[name], model.layers[self.drawn.replaced]
            new = nn.Parameter(old.detach() * 0.5, requires_grad=old.requires_grad)
            layer.weight = held[name] = new
            for group in (*(optimizer.param_groups if optimizer else ()), self.late):
                group["params"][:] = [new if p is old else p for p in group["params"]]
            if optimizer:
                optimizer.state.pop(old, None)

    def freeze(self, index: int, frozen: bool) -> None:
        for model in (self.ours, self.theirs):
            for parameter in layers_of(model)[index]:
                parameter.requires_grad_(not frozen)

    def step(self, index: int, loop: str) -> None:
        if loop == "reload":
            self.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        if loop == "resume":
            self.resume()
        before = {name: p.detach().clone() for name, p in self.names.items()}
        groups = list(self.optimizer.param_groups)
        rates = [float(group["lr"]) for group in groups]
        self.by_closure = loop == "closure_rate"
        if loop in ("closure_rate", "hook_rate"):
            factors = self.drawn.rate_factors
            self.new_rates = factors[index % len(factors)]
            rates = [self.case.lr * self.new_rates] * len(groups)
        self.references.read(self.optimizer)
        self.used = {}
        self.drive(index, loop)
        self.new_rates = None
        self.ours.zero_grad()  # of what the optimizer does not hold yet, too
        assert list(map(id, self.optimizer.param_groups)) == list(map(id, groups))
        assert [float(group["lr"]) for group in groups] == rates
        self.counted += any(rates)
        if self.drawn.override:
            found = zip(rates, self.references.found, strict=True)
            rates = [reference if rate else 0.0 for rate, reference in found]
        rate_of = {id(p): rate for g, rate in zip(groups, rates, strict=True) for p in g["params"]}
        for name, parameter in self.names.items():
            used = self.used.get(layer_of(name), 1.0)
            still = not parameter.requires_grad or id(parameter) not in rate_of
            still = still or name == "idle.weight" or loop == "no_gradient"
            still = still or (used == 0.0 and self.stops)
            if still:
                assert torch.equal(parameter, before[name]), name
        comparable = self.case.name not in GLIDES or self.controller.mode.name == "groups"
        if self.reference is not None and comparable:
            self.follow(index, loop, rate_of)

    def drive(self, index: int, loop: str) -> None:
        """Do one step in the way of the loop."""
        run = self.run
        run.step = self.optimizer.step
        if loop == "raise":

            def fails() -> Any:
                raise KeyError("no such batch")

            with pytest.raises(KeyError):
                self.optimizer.step(fails)
        if loop == "closure_rate":
            run.step = self.step_with_rates
        if loop in ("closure", "closure_rate") or run.needs_closure:
            if loop == "no_gradient":
                self.optimizer.step(lambda: torch.zeros(()))
            else:
                run.with_closure(index)
            self.optimizer.zero_grad()
            return
        if loop == "zero_before":
            self.optimizer.zero_grad(set_to_none=False)
        if loop != "no_gradient":
            run.loss(index).backward()
        if loop == "accumulate":
            run.loss(index + 50).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def step_with_rates(self, closure: Any) -> Any:
        """Step with a closure that sets the rates, too."""

        def sets() -> Any:
            loss = closure()
            self.set_rates()
            self.references.read(self.optimizer)
            return loss

        return self.optimizer.step(sets)

    def follow(self, index: int, loop: str, rate_of: dict[int, float]) -> None:
        """Do the same in the reference, at torch's own per-group rates."""
        if loop != "no_gradient":
            Run(self.theirs, self.reference).loss(index).backward()
        if loop == "accumulate":
            Run(self.theirs, self.reference).loss(index + 50).backward()
        for (name, mine), group in zip(
            self.names.items(), self.reference.param_groups, strict=True
        ):
            if id(mine) not in rate_of:
                group["params"][0].grad = None
                continue
            rate = rate_of[id(mine)] * self.used.get(layer_of(name), 1.0)
            group["lr"] = as_rate(rate, self.drawn.tensor_rate)
        self.reference.step()
        self.reference.zero_grad()
        for name, mine in self.names.items():
            torch.testing.assert_close(mine, self.twin[name], rtol=1e-5, atol=1e-7)


@settings(
    max_examples=int(os.environ.get("L2O_EXAMPLES", "500")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(draws())
def test_random_combination(drawn):
    case = CASES[drawn.name]
    pair = Pair(case, drawn)
    for index, loop in enumerate(drawn.loops):
        if index == drawn.add_at:
            pair.optimizer.add_param_group(pair.late)
        if index == drawn.thaw_at:
            for layer in drawn.frozen:
                pair.freeze(layer, False)
        if index == drawn.replace_at:
            pair.replace()
        loads = loop in ("reload", "resume")
        pair.step(index, "plain" if index == drawn.add_at and loads else loop)
        if drawn.scheduled and len(pair.optimizer.param_groups) == len(pair.scheduler.base_lrs):
            pair.scheduler.step()
    assert pair.controller.steps == pair.counted

"""Training loops of all kinds, and the plain references that a controlled run must equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from optimizer_cases import Case, Network, batch, layer_of, network
from torch import Tensor, nn

import l2o
from l2o.deciding.policy import Policy
from l2o.signals.spec import SignalSpec

FACTORS = (0.25, 1.5, 0.0)
STEPS = 6


class Fixed(Policy):
    """Constant multipliers, those of the last layers where not all are there."""

    interval = 2

    def __init__(self, *factors: float) -> None:
        self.factors = torch.tensor(factors)

    def __call__(self, observation: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.factors[-len(observation) :], state


class Turns(Policy):
    """Each decision hands the multipliers on to the next layer; looks at all signals."""

    signals = SignalSpec()
    interval = 2

    def initial_state(self, num_layers: int) -> dict[str, Tensor]:
        return {"turn": torch.zeros((), dtype=torch.long), "row": torch.ones(num_layers)}

    def __call__(self, observation: Tensor, state: Any) -> tuple[Tensor, Any]:
        turn = int(state["turn"])
        chosen = torch.tensor(FACTORS).roll(turn)[: len(observation)] * state["row"]
        return chosen, {"turn": state["turn"] + 1, "row": state["row"] * 0.9}


def control(policy: Policy, optimizer: Any, model: nn.Module, **options: Any) -> l2o.LRController:
    """Attach a controller to a test network; its policy's errors come through."""
    groups = {"by": layer_of, "head": "layers.2", "guard": None}
    return l2o.LRController(policy, optimizer, model, **groups, **options)


@dataclass
class Run:
    """A model, its optimizer, and what a loop does with them."""

    model: Any
    optimizer: Any
    needs_closure: bool = False
    dtype: torch.dtype = torch.float64
    observe: Callable[..., None] = lambda **_: None
    before_step: Callable[[], None] = lambda: None
    step: Callable[..., Any] = field(init=False)

    def __post_init__(self) -> None:
        self.step = self.optimizer.step

    def loss(self, index: int) -> Tensor:
        x, y = batch(index, self.dtype)
        out = self.model(x)
        return nn.functional.cross_entropy(out[:, :3], y)

    def plain(self, first: int = 0, last: int = STEPS) -> None:
        """Run steps of the plainest loop that the optimizer takes."""
        for index in range(first, last):
            self.one(index)

    def one(self, index: int) -> None:
        if self.needs_closure:
            self.with_closure(index)
            return
        loss = self.loss(index)
        self.observe(loss=loss)
        loss.backward()
        self.before_step()
        self.step()
        self.optimizer.zero_grad()

    def step_with(self, scaler: Any) -> None:
        """Step through a GradScaler, which calls the optimizer's own `step`."""
        self.optimizer.step, own = self.step, self.optimizer.step
        try:
            scaler.step(self.optimizer)
        finally:
            self.optimizer.step = own

    def with_closure(self, index: int) -> None:
        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = self.loss(index)
            loss.backward()
            self.before_step()
            return loss

        self.observe(loss=self.step(closure))


def trained(model: Network) -> list[nn.Parameter]:
    """Return the parameters in the order of their layers."""
    return [p for layer in layers_of(model) for p in layer]


def layers_of(model: Network) -> list[list[nn.Parameter]]:
    """Return the parameters of each of the three layers, biases where a kind has them."""
    rows: dict[str, list[nn.Parameter]] = {"0": [], "1": [], "2": []}
    for name, parameter in model.named_parameters():
        # Muon takes matrices only, SparseAdam sparse gradients only: what is idle has none.
        if name != "idle.weight" or model.kind != "embedding":
            rows[layer_of(name)].append(parameter)
    return list(rows.values())


def controlled(
    case: Case, policy: Policy | None = None, lr: Any = None, mode: str = "auto", **options: Any
) -> tuple[Run, l2o.LRController]:
    """Return a run of a user's own single param group, under a controller."""
    dtype = options.pop("dtype", torch.float64)
    model = network(case, dtype)
    optimizer = case.make(trained(model), lr, **options)
    controller = control(policy or Fixed(*FACTORS), optimizer, model, mode=mode)
    run = Run(model, optimizer, case.needs_closure, dtype, controller.observe)
    return run, controller


def plain(case: Case, lr: Any = None, **options: Any) -> Run:
    """Return the same run without a controller."""
    dtype = options.pop("dtype", torch.float64)
    model = network(case, dtype)
    return Run(model, case.make(trained(model), lr, **options), case.needs_closure, dtype)


def reference(case: Case, lr: Any = None, **options: Any) -> Run:
    """Return a run with torch's own per-group rates, or, where an optimizer refuses them, one
    whose steps are scaled by hand."""
    if not case.splits:
        run = plain(case, lr, **options)
        run.step = scaled_by_hand(run)
        return run
    dtype = options.pop("dtype", torch.float64)
    model = network(case, dtype)
    rate = case.lr if lr is None else lr
    groups = [
        {"params": layer, "lr": rate * factor}
        for layer, factor in zip(layers_of(model), FACTORS, strict=True)
    ]
    return Run(model, case.make(groups, lr, **options), case.needs_closure, dtype)


def scaled_by_hand(run: Run) -> Callable[..., Any]:
    """Return a step that moves each layer by its factor of what the optimizer's moves it."""

    own = run.optimizer.step

    def step(*args: Any) -> Any:
        rows = layers_of(run.model)
        before = [[p.detach().clone() for p in row] for row in rows]
        result = own(*args)
        with torch.no_grad():
            for row, old, factor in zip(rows, before, FACTORS, strict=True):
                for p, b in zip(row, old, strict=True):
                    p.copy_(b + factor * (p - b))
        return result

    return step


def assert_same(ours: Run, theirs: Run, exact: bool = False, narrow: bool = False) -> None:
    """Compare weights; `exact`: bit for bit, `narrow`: in single precision."""
    for (name, mine), wanted in zip(
        ours.model.named_parameters(), theirs.model.parameters(), strict=True
    ):
        if exact:
            assert torch.equal(mine, wanted), name
        else:
            tight = mine.dtype == torch.float64 and not narrow
            tolerance = {"rtol": 1e-9, "atol": 1e-11} if tight else {"rtol": 2e-5, "atol": 1e-6}
            torch.testing.assert_close(mine, wanted, **tolerance, msg=lambda m, n=name: f"{n}: {m}")


def assert_untouched(run: Run, case: Case, rate: Any = None) -> None:
    """Check what no run may change: layout and rates of the user, weights without a gradient."""
    (group,) = run.optimizer.param_groups
    assert group["lr"] == (case.lr if rate is None else rate)
    assert len(group["params"]) == len(trained(run.model))
    fresh = network(case, run.dtype)
    assert torch.equal(run.model.idle.weight, fresh.idle.weight)
    # The last layer's factor is zero.
    for mine, first in zip(layers_of(run.model)[2], layers_of(fresh)[2], strict=True):
        assert torch.equal(mine, first)
    moved = zip(layers_of(run.model)[0], layers_of(fresh)[0], strict=True)
    assert all(not torch.equal(mine, first) for mine, first in moved)

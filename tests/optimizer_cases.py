"""Every optimizer that the compatibility tests run, and what each can do."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from l2o.optimizers.momentum_lr_sgd import MomentumLRSGD

FLAGS = ("foreach", "fused", "capturable", "maximize", "differentiable")


class NotOffered(Exception):
    """The optimizer, or torch, does not have what a cell of the table asks for."""


class Refused(Exception):
    """The controller refuses what a cell asks for, and says what to do instead."""


class EightBitSGD(Optimizer):
    """SGD whose momentum is kept in 8 bits, in the manner of bitsandbytes.

    It keeps its own table of state, has a step of its own, and loads its state without calling
    torch's hooks.
    """

    def __init__(self, params: Any, lr: float = 0.1, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self.initialized = False

    def init_state(self, p: Tensor) -> None:
        self.state[p] = {
            "step": 0,
            "state1": torch.zeros_like(p, dtype=torch.int8),
            "absmax1": torch.zeros((), dtype=p.dtype),
        }

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.initialized = True
        for gindex, group in enumerate(self.param_groups):
            for pindex, p in enumerate(group["params"]):
                if p.grad is None:
                    continue
                if not self.state[p]:
                    self.init_state(p)
                self.update_step(group, p, gindex, pindex)
        return loss

    def update_step(self, group: dict[str, Any], p: Tensor, gindex: int, pindex: int) -> None:
        state = self.state[p]
        state["step"] += 1
        momentum = state["state1"].to(p.dtype) * state["absmax1"] / 127
        momentum = group["momentum"] * momentum + p.grad
        state["absmax1"] = momentum.abs().max()
        state["state1"] = (momentum / state["absmax1"] * 127).round().to(torch.int8)
        p.sub_(momentum, alpha=float(group["lr"]))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        saved = [name for group in state_dict["param_groups"] for name in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for name, p in zip(saved, params, strict=True):
            if name in state_dict["state"]:
                row = state_dict["state"][name]
                self.state[p] = {k: v.clone() if torch.is_tensor(v) else v for k, v in row.items()}
        for group, theirs in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({key: value for key, value in theirs.items() if key != "params"})


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        name: as the table has it.
        kind: the optimizer's class.
        lr: a rate at which six steps of the test network go well.
        options: further arguments.
        linear: whether its update is proportional to the LR, so that both modes agree.
        splits: whether different rates in different param groups drive it.
        narrow: whether it keeps its rate in single precision, whatever the weights'.
        model: which test network it can train: "mlp", "matrices" (no biases) or "embedding".
        needs_closure: whether `step` must have one.
        package: that has to be installed.
    """

    name: str
    kind: Any
    lr: float
    options: dict[str, Any] = field(default_factory=dict)
    linear: bool = True
    splits: bool = True
    narrow: bool = False
    model: str = "mlp"
    needs_closure: bool = False
    package: str = "torch"

    def make(self, params: Any, lr: Any = None, **flags: Any) -> Optimizer:
        """Make the optimizer; `NotOffered` if it lacks a flag or refuses it here."""
        kind = self.cls
        known = inspect.signature(kind.__init__).parameters
        if missing := [flag for flag in flags if flag not in known]:
            raise NotOffered(f"{self.name} has no {missing}")
        optimizer = kind(params, lr=self.lr if lr is None else lr, **self.options, **flags)
        if self.package == "schedulefree":
            optimizer.train()
        return optimizer

    @property
    def modes(self) -> list[str]:
        """The controller's modes that can drive it."""
        return ["groups"] * self.splits + ["update_scale"] * self.linear

    @property
    def cls(self) -> Any:
        """The class, imported."""
        if not isinstance(self.kind, str):
            return self.kind
        module, _, name = self.kind.rpartition(".")
        return getattr(importlib.import_module(module), name)


_OPTIM = torch.optim
ROWS = [
    Case("SGD", _OPTIM.SGD, 0.1, {"momentum": 0.9, "weight_decay": 0.01}),
    Case("Adam", _OPTIM.Adam, 0.01, {"weight_decay": 0.01}),
    Case("AdamW", _OPTIM.AdamW, 0.01, {"weight_decay": 0.1}),
    Case("NAdam", _OPTIM.NAdam, 0.01),
    Case("RAdam", _OPTIM.RAdam, 0.01),
    Case("Adamax", _OPTIM.Adamax, 0.01),
    Case("Adagrad", _OPTIM.Adagrad, 0.05, {"lr_decay": 0.01}),
    Case("Adadelta", _OPTIM.Adadelta, 1.0),
    Case("RMSprop", _OPTIM.RMSprop, 0.01, {"momentum": 0.9, "centered": True}),
    # With λ its step is not proportional to the LR.
    Case("ASGD", _OPTIM.ASGD, 0.1, {"lambd": 0.0}, narrow=True),
    Case("Rprop", _OPTIM.Rprop, 0.01, splits=False),
    Case("LBFGS", _OPTIM.LBFGS, 0.1, {"max_iter": 3}, splits=False, needs_closure=True),
    Case("Adafactor", _OPTIM.Adafactor, 0.01),
    Case("SparseAdam", _OPTIM.SparseAdam, 0.01, model="embedding"),
    Case("Muon", _OPTIM.Muon, 0.02, model="matrices"),
    Case("MomentumLRSGD", MomentumLRSGD, 0.1, {"weight_decay": 0.01}),
    Case("8-bit SGD, in bitsandbytes' manner", EightBitSGD, 0.1),
    Case(
        "schedule-free SGD",
        "schedulefree.SGDScheduleFree",
        0.1,
        {"warmup_steps": 2},
        linear=False,
        package="schedulefree",
    ),
    Case(
        "schedule-free AdamW",
        "schedulefree.AdamWScheduleFree",
        0.01,
        {"warmup_steps": 2},
        linear=False,
        package="schedulefree",
    ),
    Case("Prodigy", "prodigyopt.Prodigy", 1.0, {"d0": 1e-3}, splits=False, package="prodigyopt"),
    Case(
        "D-Adapt Adam",
        "dadaptation.DAdaptAdam",
        1.0,
        {"d0": 1e-3},
        splits=False,
        package="dadaptation",
    ),
]
CASES = {case.name: case for case in ROWS}


class Scale(nn.Module):
    """A factor with no dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.value


class Network(nn.Module):
    """Three layers in use, one layer without gradients, one frozen parameter and a scalar."""

    def __init__(self, kind: str = "mlp") -> None:
        super().__init__()
        if kind == "embedding":
            made = [nn.Embedding(10, 4, sparse=True) for _ in range(3)]
        else:
            made = [nn.Linear(a, b, bias=kind == "mlp") for a, b in ((4, 6), (6, 5), (5, 3))]
        self.kind = kind
        self.layers = nn.ModuleList(made)
        self.scale = Scale() if kind == "mlp" else nn.Identity()
        self.idle = nn.Linear(2, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "embedding":
            index = (x.abs() * 10).long() % 10
            return sum(layer(index).sum(1) ** (i + 1) for i, layer in enumerate(self.layers))
        first, second, third = self.layers
        hidden = second(first(x).tanh()).tanh()
        return third(self.scale(hidden))


def layer_of(name: str) -> str:
    """Return the layer group that a parameter of `Network` belongs to."""
    return "1" if name in ("scale.value", "idle.weight") else name.split(".")[1]


def network(case: Case, dtype: torch.dtype = torch.float64) -> Network:
    """Return the network that a case trains, the same one each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network(case.model).to(dtype)


def batch(index: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the batch of a step."""
    generator = torch.Generator().manual_seed(index)
    x = torch.randn(8, 4, generator=generator, dtype=torch.float64).to(dtype)
    return x, torch.randint(0, 3, (8,), generator=generator)

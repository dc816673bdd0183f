"""SGD that moves its learning rates along the hypergradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from l2o.checks import check_decay, check_number


class HypergradientSGD(Optimizer):
    """SGD with momentum whose learning rate α goes down the gradient of the loss by α itself.

    g ← ∇f(θ) + λθ; h = ⟨g, v⟩, v the last step's direction, so that ∂f/∂α = −h;
    α ← α·(1 + β·h/(‖g‖‖v‖)), or α ← max(0, α + β·h) if additive; v ← m·v + g; θ ← θ − α·v.
    Source: Baydin et al., Online Learning Rate Adaptation with Hypergradient Descent, ICLR 2018
    (additive, and its multiplicative rule). There is one α for all there; here each param group
    has its own. The momentum is PyTorch's, where the paper has Nesterov's.

    α is `lr` times a factor that the optimizer keeps, so that `lr` stays the user's.

    Args:
        params: parameters or param groups.
        lr: first α, not negative.
        hyper_lr: β, not negative; below 1 unless additive.
        momentum: m, in [0, 1).
        weight_decay: λ, not negative.
        additive: add β·h to α, in place of scaling α.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = HypergradientSGD([weight], lr=0.1, hyper_lr=0.5, momentum=0.0)
        >>> for _ in range(2):
        ...     weight.grad = torch.ones(1)
        ...     optimizer.step()
        >>> weight
        Parameter containing:
        tensor([0.7500], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        hyper_lr: float = 0.02,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        additive: bool = False,
    ) -> None:
        check_number("lr", lr)
        check_hypergradient(hyper_lr, momentum, weight_decay, additive)
        defaults = {
            "lr": lr,
            "hyper_lr": hyper_lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "additive": additive,
            "factor": 1.0,
        }
        super().__init__(params, defaults)

    # torch declares two overloads.
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step.

        Args:
            closure: reevaluates the model and returns the loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        trained = [p for p in group["params"] if p.grad is not None]
        gradients = [p.grad.add(p, alpha=group["weight_decay"]) for p in trained]
        self._adapt(group, trained, gradients)
        for weight, gradient in zip(trained, gradients, strict=True):
            state = self.state[weight]
            if "direction" in state:
                state["direction"].mul_(group["momentum"]).add_(gradient)
            else:
                state["direction"] = gradient.clone()
            weight.add_(state["direction"], alpha=-group["lr"] * group["factor"])

    def _adapt(self, group: dict[str, Any], trained: list[Tensor], gradients: list[Tensor]) -> None:
        """Move a group's factor by how the gradient agrees with the last step."""
        dot = squares = last = 0.0
        for weight, gradient in zip(trained, gradients, strict=True):
            direction = self.state[weight].get("direction")
            if direction is not None:
                dot += float((gradient * direction).sum())
                squares += float(gradient.square().sum())
                last += float(direction.square().sum())
        if group["additive"]:
            rate = float(group["lr"])
            moved = max(0.0, rate * group["factor"] + group["hyper_lr"] * dot)
            group["factor"] = moved / rate if rate else group["factor"]
        elif squares > 0.0 and last > 0.0:
            group["factor"] *= 1.0 + group["hyper_lr"] * dot / (squares * last) ** 0.5


def check_hypergradient(
    hyper_lr: float, momentum: float, weight_decay: float, additive: bool
) -> None:
    """Raise ValueError unless these are settings that `HypergradientSGD` can run with."""
    check_number("hyper_lr", hyper_lr)
    if not additive and hyper_lr >= 1.0:
        raise ValueError(
            f"hyper_lr must be below 1, or one step turns the learning rate around; got {hyper_lr}"
        )
    check_decay("momentum", momentum)
    check_number("weight_decay", weight_decay)

"""Lion: the sign of an interpolated momentum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from l2o.checks import check_decay, check_number


class Lion(Optimizer):
    """θ ← θ − lr·(sign(β₁m + (1−β₁)g) + λθ); m ← β₂m + (1−β₂)g.

    Every weight moves by the same amount, so a learning rate is some 3 to 10 times smaller than
    Adam's. Source: Chen et al., Symbolic Discovery of Optimization Algorithms, NeurIPS 2023.

    Args:
        params: parameters, named parameters or param groups.
        lr: the learning rate, a float or a tensor of one element.
        betas: β₁ and β₂, in [0, 1).
        weight_decay: λ, not negative.

    Raises:
        ValueError: an argument out of range.
        RuntimeError: sparse gradients.

    Example:
        >>> weight = nn.Parameter(torch.tensor([1.0, -1.0]))
        >>> optimizer = Lion([weight], lr=0.1)
        >>> weight.grad = torch.tensor([5.0, -0.001])
        >>> optimizer.step()
        >>> weight.data
        tensor([ 0.9000, -0.9000])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError(f"a tensor lr must have one element, got {tuple(lr.shape)}")
        check_number("lr", float(lr))
        check_betas(betas)
        check_number("weight_decay", weight_decay)
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient; return the closure's loss, if any."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                if gradient.is_sparse:
                    raise RuntimeError("Lion takes no sparse gradients; use dense embeddings")
                momentum = self._momentum(parameter)
                update = momentum.mul(beta1).add_(gradient, alpha=1 - beta1).sign_()
                update.add_(parameter, alpha=group["weight_decay"])
                parameter.sub_(update * group["lr"])
                momentum.mul_(beta2).add_(gradient, alpha=1 - beta2)
        return loss

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "exp_avg" not in state:
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        momentum: Tensor = state["exp_avg"]
        return momentum


def check_betas(betas: tuple[float, float]) -> None:
    """Raise ValueError unless these are two decays in [0, 1)."""
    if len(betas) != 2:
        raise ValueError(f"betas must be two numbers, got {betas}")
    for beta in betas:
        check_decay("a beta of betas", beta)

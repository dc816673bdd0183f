"""SGD whose momentum buffer holds the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from l2o.checks import check_decay, check_number


class MomentumLRSGD(Optimizer):
    """SGD with the learning rate folded into the momentum: v ← m·v + lr·(g + λθ); θ ← θ − v.

    `torch.optim.SGD` has v ← m·v + g; θ ← θ − lr·v. Both are the same while the learning rate
    stands still; here a change acts on new gradients only, and at a learning rate of 0 the weights
    still glide until the momentum has died away. The optimizer of the VisDA-17 release of Chen et
    al., Automated Synthetic-to-Real Generalization, ICML 2020; the form is that of Sutskever et
    al., On the Importance of Initialization and Momentum in Deep Learning, ICML 2013.

    Args:
        params: parameters, named parameters or param groups.
        lr: the learning rate, a float or a tensor of one element.
        momentum: m, in [0, 1).
        weight_decay: λ, not negative.
        foreach: update all parameters of a group at once. None: where they are all on an
            accelerator.

    Raises:
        ValueError: an argument out of range.
        RuntimeError: sparse gradients.

    Example:
        >>> weight = nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = MomentumLRSGD([weight], lr=0.1, momentum=0.5)
        >>> weight.grad = torch.tensor([1.0])
        >>> optimizer.step()
        >>> optimizer.param_groups[0]["lr"] = 0.0
        >>> optimizer.step()
        >>> weight.data
        tensor([0.8500])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
    ) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError(f"a tensor lr must have one element, got {tuple(lr.shape)}")
        check_number("lr", float(lr))
        check_decay("momentum", momentum)
        check_number("weight_decay", weight_decay)
        defaults: dict[str, Any] = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "foreach": foreach,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient; return the closure's loss, if any."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            gradients = [p.grad for p in parameters]
            if any(gradient.is_sparse for gradient in gradients):
                raise RuntimeError("MomentumLRSGD takes no sparse gradients; use dense embeddings")
            foreach = group["foreach"]
            if foreach is None:
                foreach = all(p.device.type not in ("cpu", "meta") for p in parameters)
            update = _update_foreach if foreach else _update_plain
            buffers = [self._buffer(p) for p in parameters]
            update(
                parameters,
                gradients,
                buffers,
                group["lr"],
                group["momentum"],
                group["weight_decay"],
            )
        return loss

    def _buffer(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(
                parameter, memory_format=torch.preserve_format
            )
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def _update_plain(
    parameters: list[Tensor],
    gradients: list[Tensor],
    buffers: list[Tensor],
    lr: float | Tensor,
    momentum: float,
    weight_decay: float,
) -> None:
    for parameter, gradient, buffer in zip(parameters, gradients, buffers, strict=True):
        decayed = gradient.add(parameter, alpha=weight_decay) if weight_decay else gradient
        buffer.mul_(momentum).add_(decayed * lr)
        parameter.sub_(buffer)


def _update_foreach(
    parameters: list[Tensor],
    gradients: list[Tensor],
    buffers: list[Tensor],
    lr: float | Tensor,
    momentum: float,
    weight_decay: float,
) -> None:
    decayed = gradients
    if weight_decay:
        decayed = list(torch._foreach_add(gradients, parameters, alpha=weight_decay))
    torch._foreach_mul_(buffers, momentum)
    torch._foreach_add_(buffers, torch._foreach_mul(decayed, lr))
    torch._foreach_sub_(parameters, buffers)

"""The importance of parameters, as synaptic intelligence needs it: gathered, or estimated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from l2o.checks import check_number
from l2o.guidance.backbone import copy_parameters


class ImportanceTracker:
    """Gathers Ω_k = ω_k / (Δ_k² + ξ) while a network is trained.

    ω_k = Σ over steps of −g_k · Δθ_k is the path integral of the loss's gradient: how much
    parameter k let the loss fall. Δ_k is how far it went. Negative ω (a noisy gradient, or the
    price of another parameter's progress) counts zero: a negative importance would reward
    distance without bound.

    The optimizer's gradients must still be there after its step, as with every torch optimizer.

    Args:
        parameters: by name.
        damping: ξ, above 0; bounds the importance of what hardly moved.

    Raises:
        ValueError: `damping` is not above 0, or there are no parameters.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> tracker = ImportanceTracker(dict(model.named_parameters()))
        >>> stop = tracker.attach(optimizer)
        >>> model(torch.ones(1, 2)).sum().backward()
        >>> optimizer.step()
        >>> tracker.importance()["bias"]  # ω = 1 · 0.1, Δ = 0.1, ξ = 0.1
        tensor([0.9091])
    """

    def __init__(self, parameters: Mapping[str, Tensor], damping: float = 0.1) -> None:
        check_number("damping", damping, above=True)
        if not parameters:
            raise ValueError("there are no parameters whose importance could be gathered")
        self.damping = damping
        self._parameters = dict(parameters)
        self._start = copy_parameters(self._parameters)
        self._before: dict[str, Tensor] = {}
        self._integral = {name: torch.zeros_like(p) for name, p in self._start.items()}
        self._past = {name: torch.zeros_like(p) for name, p in self._start.items()}

    def attach(self, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
        """Watch an optimizer's steps; returns what ends it when called."""
        before = optimizer.register_step_pre_hook(lambda *_: self.before_step())
        after = optimizer.register_step_post_hook(lambda *_: self.after_step())

        def detach() -> None:
            before.remove()
            after.remove()

        return detach

    def before_step(self) -> None:
        """Remember where the parameters are; for loops that step without a torch optimizer."""
        self._before = copy_parameters(self._parameters)

    @torch.no_grad()
    def after_step(self) -> None:
        """Add −g · Δθ of the step just taken."""
        for name, parameter in self._parameters.items():
            if parameter.grad is not None:
                moved = parameter - self._before[name]
                self._integral[name].addcmul_(parameter.grad, moved, value=-1)

    @torch.no_grad()
    def consolidate(self) -> None:
        """End a task: its importance is added to that of the tasks before, and a new one begins."""
        self._past = self.importance()
        self._start = copy_parameters(self._parameters)
        for integral in self._integral.values():
            integral.zero_()

    @torch.no_grad()
    def importance(self) -> dict[str, Tensor]:
        """Return Ω by name, summed over tasks, the present one included."""
        return {
            name: self._past[name]
            + integral.clamp_min(0)
            / ((self._parameters[name] - self._start[name]).square() + self.damping)
            for name, integral in self._integral.items()
        }

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return what pretraining must save to go on gathering later."""
        return {"start": self._start, "integral": self._integral, "past": self._past}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave.

        Raises:
            ValueError: parameters of other names or shapes.
        """
        wanted = {name: p.shape for name, p in self._start.items()}
        for part in ("start", "integral", "past"):
            if {name: t.shape for name, t in state.get(part, {}).items()} != wanted:
                raise ValueError(f"{part} must hold tensors for {sorted(wanted)}, of their shapes")
        self._start = copy_parameters(state["start"])
        self._integral = copy_parameters(state["integral"])
        self._past = copy_parameters(state["past"])


@torch.enable_grad()
def estimate_importance(
    model: nn.Module,
    images: Iterable[Tensor],
    parameters: Mapping[str, Tensor],
    *,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Estimate Ω of a pretrained network whose pretraining was not watched.

    Not the path integral, which is lost, but what it would be for a loss that is quadratic around
    the pretrained weights, with the diagonal Fisher information F as its curvature: ½ F_k Δ_k² is
    gained on the way of length Δ_k, so that Ω_k = ½ F_k (for Δ_k² well above ξ). F_k is the mean
    over images of the squared gradient of the log-likelihood of a label drawn from the network's
    own prediction: no labels are needed. It sees the curvature at the end, not the way there, and
    its scale differs from a gathered Ω's: choose the weight anew.

    Args:
        model: the pretrained network with its *own* head: image batch -> logits. Put it into eval
            mode first; its gradients are left as they were.
        images: proxy images, each `[C, H, W]` (iterating a batch `[N, C, H, W]` gives them); a
            few hundred do. One backward pass each.
        parameters: of the model, by name: those whose importance is wanted.
        seed: of the labels drawn.

    Raises:
        ValueError: no images.

    Example:
        >>> model = nn.Linear(2, 3)
        >>> found = estimate_importance(model, torch.randn(8, 2), dict(model.named_parameters()))
        >>> found["weight"].shape
        torch.Size([3, 2])
    """
    generator = torch.Generator().manual_seed(seed)
    names, tensors = list(parameters), list(parameters.values())
    squares = [torch.zeros_like(tensor) for tensor in tensors]
    count = 0
    for image in images:
        log_p = functional.log_softmax(model(image[None]), dim=1)
        label = torch.multinomial(log_p[0].detach().exp().cpu(), 1, generator=generator)
        gradients = torch.autograd.grad(log_p[0, int(label)], tensors, allow_unused=True)
        for square, gradient in zip(squares, gradients, strict=True):
            if gradient is not None:
                square.addcmul_(gradient, gradient)
        count += 1
    if count == 0:
        raise ValueError("importance is estimated from proxy images, and there are none")
    return {name: square / (2 * count) for name, square in zip(names, squares, strict=True)}

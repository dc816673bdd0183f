"""Parts of a network: without the modules that a part never calls, and their weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

Run = Callable[[Any], Any]
"""What is done with a network, or with its copy."""


class ProxyHead(nn.Module):
    """A network's own classifier: what `forward_features` gives -> logits `[N, classes]`; frozen.

    It is a copy, always in evaluation mode, of what the network's `forward_head` calls.

    Args:
        network: by timm's convention, with the classifier that it was pretrained with.
        features: an example of what its `forward_features` gives.
    """

    def __init__(self, network: nn.Module, features: Any) -> None:
        super().__init__()
        self.tail: Any = keep_called(network, lambda net: net.forward_head(features))
        self.eval().requires_grad_(False)

    def forward(self, features: Any) -> Tensor:
        """Return logits."""
        logits: Tensor = self.tail.forward_head(features)
        return logits

    def train(self, mode: bool = True) -> ProxyHead:
        """Stay in evaluation mode: the frozen network's dropout is off."""
        del mode
        super().train(False)
        return self


def example_image(network: nn.Module, size: tuple[int, int]) -> Tensor:
    """Return an image `[1, 3, H, W]` to try a network with, where its parameters are."""
    device = next(network.parameters()).device
    values = torch.linspace(-1.0, 1.0, 3 * size[0] * size[1], device=device)
    return values.sin().view(1, 3, *size)


def keep_called(network: nn.Module, run: Run) -> nn.Module:
    """Return a copy of a network in which modules that `run` does not call are gone.

    What is gone is an `nn.Identity`, so that it weighs nothing. Where the copy would answer
    otherwise (parameters are used without a call of their module), it keeps everything.

    Args:
        network: it stays as it is.
        run: what is done with it; called in evaluation mode, without gradients.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> keep_called(network, lambda net: net[1](torch.ones(1, 3)))[0]
        Identity()
    """
    before = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            called, answer = _calls(network, run)
            kept = _copy_of(network, called)
            if not _answers(kept, run, answer):
                kept = copy.deepcopy(network)
    finally:
        for module, training in before.items():
            module.training = training
    for module in kept.modules():
        module.training = network.training
    return kept


def _calls(network: nn.Module, run: Run) -> tuple[set[int], Any]:
    """Return the ids of modules that are called, and the answer."""
    called: set[int] = set()
    with ExitStack() as stack:
        for module in network.modules():
            hook = module.register_forward_pre_hook(lambda m, _: called.add(id(m)))
            stack.callback(hook.remove)
        answer = run(network)
    return called, answer


def _copy_of(network: nn.Module, called: set[int]) -> nn.Module:
    """Copy a network less what was not called; tensors that are not needed are never copied."""
    memo: dict[int, Any] = {}
    for module in network.modules():
        for child in module.children():
            # A container is not called, what lies in it may be.
            if not any(id(m) in called for m in child.modules()):
                memo[id(child)] = nn.Identity()
    return copy.deepcopy(network, memo)


def _answers(network: nn.Module, run: Run, answer: Any) -> bool:
    try:
        again = run(network)
    except Exception:  # whatever a network does without a part of it
        return False
    if isinstance(answer, Tensor) and answer.device.type == "meta":
        return bool(again.shape == answer.shape)
    return _equal(again, answer)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    return len(one) == len(other) and all(_equal(a, b) for a, b in zip(one, other))

"""A training's objects, put back bit by bit as they were."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Snapshot:
    """All of a model and its optimizer that a training changes, to put back as often as wanted.

    Weights, gradients, buffers and the mode of each module; the optimizer's state and the values of
    its param groups. Tensors are put back in place, so that whatever else holds them is right, too.

    Args:
        model: the network.
        optimizer: of its parameters, or of those of others, too.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> before = Snapshot(model, optimizer)
        >>> model(torch.ones(1, 2)).sum().backward(); optimizer.step()
        >>> before.put_back(); len(optimizer.state), model.weight.grad
        (0, None)
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        grouped = (p for group in optimizer.param_groups for p in group["params"])
        held = {id(p): p for p in (*model.parameters(), *grouped)}
        self._weights = [(p, p.detach().clone(), _copied(p.grad)) for p in held.values()]
        self._grads = [p.grad for p in held.values()]
        self._buffers = [
            (module, name, buffer, _copied(buffer))
            for module in model.modules()
            for name, buffer in module._buffers.items()
        ]
        self._modes = [(module, module.training) for module in model.modules()]
        self._state = {p: _copied(own) for p, own in optimizer.state.items()}
        self._groups = [
            {name: _copied(value) for name, value in group.items() if name != "params"}
            for group in optimizer.param_groups
        ]
        # What LR schedulers note there, to warn of a loop that never steps.
        self._stepped = vars(optimizer).get("_opt_called")

    @property
    def weights(self) -> dict[int, Tensor]:
        """The weights as they were, by the `id` of their parameter."""
        return {id(p): kept for p, kept, _ in self._weights}

    @torch.no_grad()
    def put_back(self) -> None:
        """Put everything back."""
        for (parameter, kept, grad), held in zip(self._weights, self._grads, strict=True):
            parameter.copy_(kept)
            parameter.grad = held
            if held is not None:
                held.copy_(grad)
        for module, name, buffer, kept in self._buffers:
            module._buffers[name] = buffer
            if buffer is not None:
                buffer.copy_(kept)
        for module, training in self._modes:
            module.training = training
        self._put_optimizer_back()

    def _put_optimizer_back(self) -> None:
        self._optimizer.state.clear()
        self._optimizer.state.update({p: _copied(own) for p, own in self._state.items()})
        for group, kept in zip(self._optimizer.param_groups, self._groups, strict=True):
            for name in [name for name in group if name != "params" and name not in kept]:
                del group[name]
            for name, value in kept.items():
                own = group.get(name)
                if isinstance(own, Tensor) and isinstance(value, Tensor):
                    # A learning rate that is a tensor is held by captured graphs, too.
                    own.copy_(value)
                else:
                    group[name] = _copied(value)
        if self._stepped is not None:
            vars(self._optimizer)["_opt_called"] = self._stepped


def _copied(value: Any) -> Any:
    """Return plain data with its tensors copied."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_copied(each) for each in value]
    return copy.deepcopy(value)


@contextmanager
def random_states(*generators: torch.Generator) -> Iterator[None]:
    """Put the random states of torch, NumPy and Python, and those given, back afterwards."""
    # The state that others draw from, so the old interface is the one to keep.
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    own = [(each, each.get_state()) for each in generators]
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            for generator, state in own:
                generator.set_state(state)


def seed_all(seed: int, *generators: torch.Generator) -> None:
    """Seed torch, NumPy and Python, and the generators given."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    for generator in generators:
        generator.manual_seed(seed)

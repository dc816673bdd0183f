"""A fine-tune's own random stream, for what draws from torch's global generators: dropout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_DRAWING = ("dropout", "droppath", "stochasticdepth")
"""Modules that draw while training, by what their class is called."""


class RandomStream:
    """Lends the global generators to a fine-tune, step by step; outside they stay as they were.

    Args:
        seed: of the stream.
        device: of the network; its generator is lent, too.
        needed: whether anything draws; lending takes some 50 microseconds.
    """

    def __init__(self, seed: int, device: torch.device, needed: bool = True) -> None:
        self.needed = needed
        self._devices = [device] if device.type == "cuda" else []
        self._states = [torch.Generator().manual_seed(seed).get_state()]
        self._states += [torch.Generator(d).manual_seed(seed).get_state() for d in self._devices]

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Draw from this stream within."""
        if not self.needed:
            yield
            return
        with torch.random.fork_rng(devices=self._devices):
            torch.set_rng_state(self._states[0])
            for device, state in zip(self._devices, self._states[1:], strict=True):
                torch.cuda.set_rng_state(state, device)
            yield
            self._states = [torch.get_rng_state()]
            self._states += [torch.cuda.get_rng_state(device) for device in self._devices]

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the generators."""
        return {"states": list(self._states)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        if len(state["states"]) == len(self._states):
            self._states = list(state["states"])
        else:
            # Another kind of device draws other numbers in any case.
            self._states[0] = state["states"][0]


def draws(model: nn.Module) -> bool:
    """Tell whether a network draws random numbers while it trains.

    Example:
        >>> draws(nn.Dropout(0.5)), draws(nn.Dropout(0.0)), draws(nn.ReLU())
        (True, False, False)
    """
    return any(
        type(module).__name__.lower().startswith(_DRAWING) and _rate(module) > 0
        for module in model.modules()
    )


def _rate(module: nn.Module) -> float:
    rates = (getattr(module, name, None) for name in ("p", "drop_prob"))
    return max((float(rate) for rate in rates if isinstance(rate, int | float)), default=1.0)

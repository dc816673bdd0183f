"""Global generators that belong to one search: libraries draw from them, and others do not see."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


class OwnRandom:
    """States of torch's and numpy's global generators that are in place within `drawing()`.

    They begin as the global ones are when they are first used, which a library that is seeded then
    seeds; outside, the global ones are as they were.

    Example:
        >>> own = OwnRandom()
        >>> with own.drawing():
        ...     _ = torch.manual_seed(0), torch.rand(1)
    """

    def __init__(self) -> None:
        self._states: tuple[Any, Any] | None = None

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Let the global generators be these ones within."""
        numpys: Any = np.random.mtrand._rand  # the global generator that libraries draw from
        before = torch.get_rng_state(), numpys.get_state(), random.getstate()
        if self._states is not None:
            torch.set_rng_state(self._states[0])
            numpys.set_state(self._states[1])
        try:
            yield
        finally:
            self._states = torch.get_rng_state(), numpys.get_state()
            torch.set_rng_state(before[0])
            numpys.set_state(before[1])
            random.setstate(before[2])

    def state_dict(self) -> dict[str, Any]:
        """Return both states, as plain data and tensors."""
        assert self._states is not None  # it was used
        own, numpys = self._states
        kind, keys, *rest = numpys
        return {
            "torch_random": own.clone(),
            "numpy_random": [kind, torch.from_numpy(keys.astype(np.int64)), *rest],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from both states."""
        kind, keys, *rest = state["numpy_random"]
        numpys = (kind, keys.numpy().astype(np.uint32), *rest)
        self._states = state["torch_random"], numpys

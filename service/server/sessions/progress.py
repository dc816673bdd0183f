"""How far a session is: all that its next decision rests on, as bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from l2o.deciding.learned import LearnedPolicy
from l2o.deciding.policy import State
from l2o.signals.base import MISSING

Array = NDArray[np.float32]
_HEAD = struct.Struct("<IIqdddd")
_FORMAT = 1


@dataclass
class Progress:
    """How far a session is.

    Attributes:
        step: at which it was decided last; -1: never.
        arrays: `[3, L]`: multipliers, norms of the weights at the start, and the newest reference
            learning rates.
        loss: mean over the last window; NaN: missing.
        proxy_kl: likewise.
        validation_loss: the newest.
        previous_validation_loss: the one before.
        memory: the policy's state.
    """

    step: int
    arrays: Array
    loss: float = MISSING
    proxy_kl: float = MISSING
    validation_loss: float = MISSING
    previous_validation_loss: float = MISSING
    memory: State | None = None

    @property
    def multipliers(self) -> Array:
        """The last answer `[L]`."""
        found: Array = self.arrays[0]
        return found

    @property
    def answer(self) -> Array:
        """Multipliers and learning rates `[2, L]`."""
        found = self.arrays[:2].copy()
        with np.errstate(over="ignore"):
            np.multiply(found[0], self.arrays[2], out=found[1])
        return found

    def to_bytes(self) -> bytes:
        """Return it as bytes."""
        head = _HEAD.pack(
            _FORMAT,
            self.arrays.shape[1],
            self.step,
            self.loss,
            self.proxy_kl,
            self.validation_loss,
            self.previous_validation_loss,
        )
        parts = [head, self.arrays.astype("<f4", copy=False).tobytes()]
        for _, value in sorted((self.memory or {}).items()):
            parts.append(value.numpy().astype("<f4", copy=False).tobytes())
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes, policy: LearnedPolicy) -> Progress:
        """Return what `to_bytes` wrote, for the policy that it was written for.

        Raises:
            ValueError: other bytes.
        """
        if len(data) < _HEAD.size:
            raise ValueError(f"the state of a session has {len(data)} bytes: it is cut short")
        written, layers, step, *losses = _HEAD.unpack_from(data)
        if written != _FORMAT:
            raise ValueError(f"the state of a session has format {written}, not {_FORMAT}")
        numbers = np.frombuffer(data, dtype="<f4", offset=_HEAD.size).astype(np.float32)
        first = policy.initial_state(layers)
        expected = 3 * layers + sum(value.numel() for value in first.values())
        if len(numbers) != expected:
            raise ValueError(f"a session's state has {len(numbers)} numbers, {expected} expected")
        memory: State = {}
        at = 3 * layers
        for name, value in sorted(first.items()):
            part = numbers[at : at + value.numel()]
            memory[name] = torch.from_numpy(part.copy()).view_as(value)
            at += value.numel()
        found = cls(step, numbers[: 3 * layers].reshape(3, layers), *losses)
        found.memory = memory
        return found

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
        multipliers: `[L]`, the answer.
        start_norm: `[L]`, norms of the weights at the start.
        base_lr: `[L]`, the newest reference learning rates.
        loss: mean over the last window; NaN: missing.
        proxy_kl: likewise.
        validation_loss: the newest.
        previous_validation_loss: the one before.
        memory: the policy's state.
    """

    step: int
    multipliers: Array
    start_norm: Array
    base_lr: Array
    loss: float = MISSING
    proxy_kl: float = MISSING
    validation_loss: float = MISSING
    previous_validation_loss: float = MISSING
    memory: State | None = None

    @property
    def answer(self) -> Array:
        """Multipliers and learning rates `[2, L]`."""
        with np.errstate(over="ignore"):
            return np.stack([self.multipliers, self.multipliers * self.base_lr])

    def to_bytes(self) -> bytes:
        """Return it as bytes."""
        head = _HEAD.pack(
            _FORMAT,
            len(self.multipliers),
            self.step,
            self.loss,
            self.proxy_kl,
            self.validation_loss,
            self.previous_validation_loss,
        )
        arrays = [self.multipliers, self.start_norm, self.base_lr]
        arrays += [value.numpy().ravel() for _, value in sorted((self.memory or {}).items())]
        return head + b"".join(array.astype("<f4", copy=False).tobytes() for array in arrays)

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
        multipliers, start, base = numbers[: 3 * layers].reshape(3, layers)
        loss, proxy_kl, newest, before = losses
        return cls(step, multipliers, start, base, loss, proxy_kl, newest, before, memory)

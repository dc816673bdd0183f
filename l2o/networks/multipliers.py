"""Multiplier ranges: how a policy's action becomes the factors on the base learning rates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.registry import unknown_name

Array = NDArray[np.float32]


class MultiplierRange(ABC):
    """Maps actions to multipliers and back.

    Attributes:
        outputs: numbers the policy network gives per layer for this range.
        neutral: the raw action that stands for "no opinion" (the network starts there).
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers that a policy network gives per layer."""

    @property
    @abstractmethod
    def largest(self) -> float:
        """The largest multiplier."""

    @abstractmethod
    def decode(self, action: Tensor) -> Tensor:
        """Return the multipliers of actions (any shape); out-of-range actions are clamped."""

    @abstractmethod
    def encode(self, multipliers: Tensor) -> Tensor:
        """Return the nearest action of multipliers."""

    @abstractmethod
    def best(self, outputs: Tensor) -> Tensor:
        """Return the most likely multipliers `[..., L]` of network outputs `[..., L, outputs]`."""

    def best_on_host(self, outputs: Array) -> Array:
        """Return the same as `best`, bit for bit, of an array."""
        found: Array = self.best(torch.from_numpy(outputs)).numpy()
        return found

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, for cards and configs."""


@dataclass(frozen=True)
class LogRange(MultiplierRange):
    """Continuous multipliers on a log scale: action a in [-1, 1] -> low · (high/low)^((a+1)/2).

    Example:
        >>> LogRange(0.01, 1.0).decode(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([0.0100, 0.1000, 1.0000])
    """

    low: float = 1e-3
    high: float = 10.0
    kind: ClassVar[str] = "log"

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < float("inf"):
            raise ValueError(
                f"LogRange needs 0 < low < high, got low={self.low}, high={self.high}; "
                "a multiplier of exactly 0 needs Bins"
            )

    @property
    def outputs(self) -> int:
        """One number per layer: the mean action."""
        return 1

    @property
    def largest(self) -> float:
        """The upper end."""
        return self.high

    def _log_bounds(self, like: Tensor) -> tuple[float, float]:
        return _log(self.low, like.dtype), _log(self.high, like.dtype)

    def decode(self, action: Tensor) -> Tensor:
        """Return the multipliers; actions are clamped to [-1, 1]."""
        low, high = self._log_bounds(action)
        share = action.clamp(-1.0, 1.0).add_(1.0).mul_((high - low) / 2.0)
        return share.add_(low).exp_().clamp_(self.low, self.high)

    def encode(self, multipliers: Tensor) -> Tensor:
        """Return the actions; multipliers are clamped to [low, high]."""
        low, high = self._log_bounds(multipliers)
        logs = multipliers.clamp(self.low, self.high).log()
        return ((logs - low) / (high - low) * 2.0 - 1.0).clamp(-1.0, 1.0)

    def best(self, outputs: Tensor) -> Tensor:
        """Return the multipliers of the mean action."""
        return self.decode(outputs.squeeze(-1))

    def best_on_host(self, outputs: Array) -> Array:
        """Return the same with NumPy, which is called sooner; `outputs` is overwritten."""
        low, high = _log(self.low, torch.float32), _log(self.high, torch.float32)
        found = _clip(outputs[..., 0], -1.0, 1.0)
        found += 1.0
        found *= (high - low) / 2.0
        found += low
        # Torch's exponential: the last bit of NumPy's is another one.
        torch.from_numpy(found).exp_()
        return _clip(found, self.low, self.high)

    def to_dict(self) -> dict[str, Any]:
        """Return `{"kind": "log", "low": ..., "high": ...}`."""
        return {"kind": self.kind, "low": self.low, "high": self.high}


def _clip(values: Array, low: float, high: float) -> Array:
    """Clip in place; of `np.clip` the most time goes into finding out what is asked."""
    np.maximum(values, low, out=values)
    return np.minimum(values, high, out=values)


@cache
def _log(bound: float, dtype: torch.dtype) -> float:
    """Return the logarithm as this type has it."""
    return float(torch.tensor(bound, dtype=dtype, device="cpu").log())


@dataclass(frozen=True)
class Bins(MultiplierRange):
    """Discrete multipliers: the action is an index. ASG's are {0, 0.1, ..., 1.0}.

    Source: Chen et al., Automated Synthetic-to-Real Generalization, ICML 2020.

    Example:
        >>> Bins((0.0, 0.5, 1.0)).decode(torch.tensor([2, 0]))
        tensor([1., 0.])
    """

    values: Sequence[float] = tuple(round(0.1 * i, 1) for i in range(11))
    kind: ClassVar[str] = "bins"

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(float(value) for value in self.values))
        finite = all(0 <= value < float("inf") for value in self.values)
        if len(self.values) < 2 or not finite or list(self.values) != sorted(set(self.values)):
            raise ValueError(
                f"Bins needs two or more finite, rising, non-negative values, got {self.values}"
            )

    @property
    def outputs(self) -> int:
        """One logit per bin."""
        return len(self.values)

    @property
    def largest(self) -> float:
        """The last bin."""
        return float(self.values[-1])

    def _table(self, like: Tensor) -> Tensor:
        return torch.tensor(self.values, dtype=torch.float32, device=like.device)

    def decode(self, action: Tensor) -> Tensor:
        """Return the multipliers of bin indices; indices are clamped to the table."""
        index = action.long().clamp(0, len(self.values) - 1)
        return self._table(action)[index]

    def encode(self, multipliers: Tensor) -> Tensor:
        """Return the nearest bins' indices."""
        distance = (multipliers.unsqueeze(-1) - self._table(multipliers)).abs()
        return distance.argmin(dim=-1)

    def best(self, outputs: Tensor) -> Tensor:
        """Return the multipliers of the likeliest bins."""
        return self.decode(outputs.argmax(dim=-1))

    def to_dict(self) -> dict[str, Any]:
        """Return `{"kind": "bins", "values": [...]}`."""
        return {"kind": self.kind, "values": list(self.values)}


MULTIPLIERS: dict[str, type[MultiplierRange]] = {"log": LogRange, "bins": Bins}


def multipliers_from_dict(data: dict[str, Any]) -> MultiplierRange:
    """Build a range from plain data such as `{"kind": "log", "low": 0.001, "high": 10}`.

    Raises:
        ValueError: unknown kind or arguments, or values the range refuses.
    """
    arguments = dict(data)
    kind = arguments.pop("kind", None)
    if kind not in MULTIPLIERS:
        raise ValueError(unknown_name("multiplier range", str(kind), MULTIPLIERS))
    try:
        return MULTIPLIERS[kind](**arguments)
    except TypeError as error:
        raise ValueError(f"multiplier range {kind!r}: {error}") from error

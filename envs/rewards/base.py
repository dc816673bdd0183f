"""The contract of rewards: named terms on what was measured before and after a decision."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

Need = Literal["source_validation", "target_validation"]
"""Data sets that cost an evaluation per decision; the environment does it only when needed."""


@dataclass(frozen=True)
class Outcome:
    """What is known of a fine-tune at one decision; NaN where it was not measured.

    Attributes:
        source_loss: mean cross-entropy on the source batches of the last window.
        proxy_kl: mean proxy KL of the last window.
        validation_loss: cross-entropy on the source validation set.
        validation_accuracy: accuracy there.
        target_accuracy: accuracy on the real validation set (meta-training only).
        diverged: whether the loss went non-finite.
        done: whether the fine-tune has ended.
    """

    source_loss: float = math.nan
    proxy_kl: float = math.nan
    validation_loss: float = math.nan
    validation_accuracy: float = math.nan
    target_accuracy: float = math.nan
    diverged: bool = False
    done: bool = False


class Reward(ABC):
    """One term of the reward; larger is better. Calling it gives a finite number."""

    needs: ClassVar[frozenset[Need]] = frozenset()
    limit: ClassVar[float] = 10.0

    @abstractmethod
    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return the term; NaN where it cannot be told."""

    def __call__(self, before: Outcome, after: Outcome) -> float:
        """Return the term within `[-limit, limit]`; 0 where it cannot be told."""
        value = self.compute(before, after)
        return 0.0 if math.isnan(value) else max(-self.limit, min(self.limit, value))

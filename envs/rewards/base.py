"""The contract of rewards: named terms on what was measured before and after a decision."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from l2o.envs.objectives import Classification, Objective

Need = Literal["source_validation", "target_validation"]
"""Data sets that cost an evaluation per decision; the environment does it only when needed."""

_SHORT = {"source_validation": "validation", "target_validation": "target"}
"""What infos call the splits."""


@dataclass(frozen=True)
class Outcome:
    """What is known of a fine-tune at one decision; NaN where it was not measured.

    Attributes:
        source_loss: mean loss on the source batches of the last window.
        proxy_kl: mean proxy KL of the last window.
        scores: split -> metric -> value; the real validation set is looked at while meta-training
            only.
        objective: what the metrics are.
        diverged: whether the loss went non-finite.
        done: whether the fine-tune has ended.
    """

    source_loss: float = math.nan
    proxy_kl: float = math.nan
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    objective: Objective = field(default_factory=Classification)
    diverged: bool = False
    done: bool = False

    def gain(self, split: Need, metric: str | None = None) -> float:
        """Return a metric, with the sign that makes more the better; NaN if it was not measured.

        Args:
            split: the data set.
            metric: its name; None is the objective's main one.

        Example:
            >>> outcome = Outcome(scores={"source_validation": {"loss": 0.5, "accuracy": 0.8}})
            >>> outcome.gain("source_validation"), outcome.gain("source_validation", "loss")
            (0.8, -0.5)
        """
        found = self.objective.metric(metric)
        return found.gain(self.scores.get(split, {}).get(found.name, math.nan))

    def facts(self) -> dict[str, float | bool]:
        """Return what was measured, as infos have it: `target_accuracy`, `validation_loss`, ...

        Metrics are called by split and name.
        """
        facts: dict[str, float | bool] = {"source_loss": self.source_loss}
        facts["proxy_kl"] = self.proxy_kl
        for split, found in self.scores.items():
            facts |= {f"{_SHORT.get(split, split)}_{name}": value for name, value in found.items()}
        facts |= {"diverged": self.diverged, "done": self.done}
        return {name: value for name, value in facts.items() if not math.isnan(value)}


class Reward(ABC):
    """One term of the reward; larger is better. Calling it gives a finite number."""

    needs: ClassVar[frozenset[Need]] = frozenset()
    limit: ClassVar[float] = 10.0

    def check(self, objective: Objective) -> None:
        """Raise ValueError unless an objective has what the term reads."""
        del objective

    @abstractmethod
    def compute(self, before: Outcome, after: Outcome) -> float:
        """Return the term; NaN where it cannot be told."""

    def __call__(self, before: Outcome, after: Outcome) -> float:
        """Return the term within `[-limit, limit]`; 0 where it cannot be told."""
        value = self.compute(before, after)
        return 0.0 if math.isnan(value) else max(-self.limit, min(self.limit, value))

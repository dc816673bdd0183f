"""What a fine-tune's record holds: typed, versioned, checked when read."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

RECORD_VERSION = 4
"""Raised when a record's layout or meaning changes: cells with older records are run again."""

Scores = dict[str, dict[str, float | None]]
"""Split -> metric -> value; null for what is no finite number."""


class Frozen(BaseModel):
    """Base of what is written and read as JSON: immutable, unknown fields refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Failure(Frozen):
    """Something that failed or was not run."""

    label: str
    error: str
    id: str = ""


class Point(Frozen):
    """What was measured on the way.

    Attributes:
        step: optimizer steps done.
        scores: on the target's test and the source's validation split.
        proxy_kl: mean since the point before.
    """

    step: int
    scores: Scores
    proxy_kl: float | None


class LearningRates(Frozen):
    """What was decided.

    Attributes:
        step: of each decision.
        groups: names of the layer groups.
        multipliers: of each decision, by layer group.
        base_lr: what they multiply.
        guidance: multipliers of the weights of guidance terms, where a policy scales them.
        stages: name -> first step, of a fine-tune that has several; multipliers of later ones refer
            to the first one's base LR, and have the factor of its schedule within.
    """

    step: tuple[int, ...]
    groups: tuple[str, ...]
    multipliers: tuple[tuple[float | None, ...], ...]
    base_lr: float
    guidance: dict[str, tuple[float | None, ...]] | None = None
    stages: dict[str, int] | None = None


class Scored(Frozen):
    """Base of records: what their scores are in.

    Attributes:
        metric: the objective's main one, which tables rank by.
        direction: whether more or less of it is better.
        unit: of it; "%" for a share.
    """

    metric: str = "accuracy"
    direction: Literal["max", "min"] = "max"
    unit: str = "%"

    @property
    def in_short(self) -> dict[str, str]:
        """These three by name."""
        return {"metric": self.metric, "direction": self.direction, "unit": self.unit}


class Searched(Frozen):
    """What a search took, of which a record's fine-tune is the one that was chosen.

    Attributes:
        fine_tunes: that were begun.
        steps: optimizer steps of all of them.
        seconds: of the search.
    """

    fine_tunes: int
    steps: int
    seconds: float


class Record(Scored):
    """The record of one fine-tune; one that failed has its settings and `error` alone.

    Attributes:
        version: of the layout.
        id: of the cell.
        task_seed: which task of the family.
        seed: of the new head and the batches.
        base_lr_factor: times the task's base learning rate.
        error: what went wrong; null if nothing.
        traceback: where.
        scores: at the end, on `target_test`, `source_validation` and `proxy_test`.
        measures: what the target's outputs say beyond its metrics.
        class_accuracy: of each class of the target.
        diverged: whether the loss became infinite or not a number.
        chance: what guessing gives in the task's main metric.
        steps: optimizer steps of a whole fine-tune.
        seconds: of computing.
        curve: over training.
        learning_rates: what was decided.
        searched: what finding it took, of a row that is a search.
    """

    version: int = RECORD_VERSION
    id: str
    task_seed: int
    seed: int
    base_lr_factor: float
    error: str | None = None
    traceback: str | None = None
    scores: Scores = {}
    measures: dict[str, float | None] = {}
    class_accuracy: tuple[float | None, ...] = ()
    diverged: bool = False
    chance: float | None = None
    steps: int = 0
    seconds: float = 0.0
    curve: tuple[Point, ...] = ()
    learning_rates: LearningRates | None = None
    searched: Searched | None = None

    @property
    def rates(self) -> LearningRates:
        """What was decided, of a fine-tune that did not fail."""
        assert self.learning_rates is not None, f"fine-tune {self.id} failed: {self.error}"
        return self.learning_rates


def finite(value: float, digits: int = 6) -> float | None:
    """Return the rounded number, or None for what JSON cannot hold."""
    return round(float(value), digits) if math.isfinite(value) else None

"""What of a record tables, claims and figures show: a metric on a split, or a measure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from l2o.benchmarks.cells.record import Frozen, Record, Scores
from l2o.benchmarks.cells.target_measures import ENERGIES, HALVES
from l2o.benchmarks.statistics import Estimate
from l2o.envs.objectives.base import Metric

SPLITS = {"target": "target_test", "proxy": "proxy_test", "source": "source_validation"}
"""Split, as configs and tables call it -> as records do."""
MAIN = "accuracy"
"""The metric that tables rank by."""
NEAR_CHANCE = 1.5
"""A run whose score is at most this many times chance counts as at chance."""
METRICS: Mapping[str, Metric] = {
    "accuracy": Metric("accuracy", "max", "%"),
    "loss": Metric("loss", "min", ""),
}


class Quantity(Frozen):
    """One number of a record, and how it is to be read.

    Attributes:
        name: in configs and results, `<split>_<metric>` or a measure's: "target_accuracy".
        split: "target", "proxy" or "source"; "" for a measure.
        metric: its name in the record; `MAIN` stands for the objective's main one.
        direction: whether larger or smaller is better.
        unit: "%" for a share.
        chance: what guessing gives, where that is one number.
    """

    name: str
    split: str
    metric: str
    direction: Literal["max", "min"] = "max"
    unit: str = ""
    chance: float | None = None

    @property
    def words(self) -> str:
        """The name as people write it."""
        return f"{self.split} {self.metric}".replace("_", " ").strip()

    def named(self, record: Record) -> Quantity:
        """Return it with the objective's main metric where `MAIN` stands.

        The proxy may have an objective of its own: what it has of `MAIN` is shown as such.
        """
        measured = record.scores.get(SPLITS[self.split], {}) if self.split == "proxy" else {}
        if self.metric != MAIN or MAIN in measured:
            return self
        return self.model_copy(update=record.in_short)

    def like(self, main: Quantity) -> Quantity:
        """Return it with the metric of `main`, as an objective has it, where `MAIN` stands."""
        if self.metric != MAIN:
            return self
        return main.model_copy(update={"name": self.name, "split": self.split})

    def of(self, record: Record) -> float:
        """Return its value in a record: a lost score counts as the worst, a lost measure is NaN."""
        if self.split:
            return self.named(record).in_scores(record.scores)
        value = record.measures.get(self.metric)
        return math.nan if value is None else value

    def in_scores(self, scores: Scores) -> float:
        """Return its value in scores, split -> metric -> value; the worst where it is lost."""
        value = scores.get(SPLITS[self.split], {}).get(self.metric)
        if value is not None:
            return value
        lowest, highest = (0.0, 1.0) if self.unit == "%" else (-math.inf, math.inf)
        return lowest if self.direction == "max" else highest

    @property
    def points(self) -> str:
        """What differences are in, as people write it."""
        return "percentage points" if self.unit == "%" else self.unit

    @property
    def differs_in(self) -> tuple[str, float]:
        """Unit of differences, as claims are made in it, and the factor to it."""
        return ("points", 100.0) if self.unit == "%" else (self.words.replace(" ", "_"), 1.0)

    @property
    def sign(self) -> float:
        """1 where more is better, -1 where less is: what makes the larger one the better one."""
        return 1.0 if self.direction == "max" else -1.0

    def worth(self, found: Estimate | None) -> float:
        """Return what to rank by: the better, the larger; less than any where nothing is known."""
        return self.sign * found.value if found is not None and found.is_known else -math.inf


def list_quantities(metrics: Mapping[str, Metric] = METRICS) -> dict[str, Quantity]:
    """Return all quantities of an objective's metrics, by name.

    Example:
        >>> list_quantities()["target_accuracy"].split
        'target'
    """
    scored = [
        Quantity(
            name=f"{split}_{metric.name}",
            split=split,
            metric=metric.name,
            direction=metric.direction,
            unit=metric.unit,
            chance=metric.chance,
        )
        for metric in metrics.values()
        for split in SPLITS
    ]
    measures = [
        *(Quantity(name=name, split="", metric=name, direction="min") for name in ENERGIES),
        *(Quantity(name=name, split="", metric=name, unit="%") for name in HALVES),
    ]
    return {quantity.name: quantity for quantity in (*scored, *measures)}


QUANTITIES = list_quantities()
SHOWN = tuple(f"{split}_{MAIN}" for split in SPLITS)
"""The main metric on the target, the proxy's and the source's split."""
TARGET, KEPT, SOURCE = SHOWN


def is_at_chance(record: Record) -> bool:
    """Tell whether a fine-tune ended no better than guessing, or nearly so."""
    main = QUANTITIES[TARGET].named(record)
    return is_near_chance(main, main.of(record), record.chance)


def is_near_chance(main: Quantity, score: float, chance: float | None) -> bool:
    """Tell whether a score is no better than what guessing gives, or nearly so."""
    if chance is None:
        return False
    return score <= NEAR_CHANCE * chance if main.sign > 0 else score >= chance / NEAR_CHANCE

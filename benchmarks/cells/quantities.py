"""What of a record tables, claims and figures show: a metric on a split, or a measure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from l2o.benchmarks.cells.record import Frozen, Record, Scores
from l2o.benchmarks.cells.target_measures import ENERGIES, HALVES
from l2o.envs.objectives.base import Metric

SPLITS = {"target": "target_test", "proxy": "proxy_test", "source": "source_validation"}
"""Split, as configs and tables call it -> as records do."""


MAIN = "accuracy"
"""The metric that tables rank by."""
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

    def named(self, main: str) -> Quantity:
        """Return it with an objective's main metric where `MAIN` stands."""
        return self.model_copy(update={"metric": main}) if self.metric == MAIN else self

    def of(self, record: Record) -> float:
        """Return its value in a record: a lost score counts as the worst, a lost measure is NaN."""
        if not self.split:
            value = record.measures.get(self.metric)
            return math.nan if value is None else value
        return self.in_scores(record.scores, record.metric)

    def in_scores(self, scores: Scores, main: str | None = None) -> float:
        """Return its value in the scores of a record or of a point of its curve.

        Args:
            scores: split -> metric -> value.
            main: the objective's main metric; None: the first that is not the loss.
        """
        values = scores.get(SPLITS[self.split], {})
        name = self.metric
        if name == MAIN and name not in values:
            name = main or next((metric for metric in values if metric != "loss"), MAIN)
        value = values.get(name)
        if value is not None:
            return value
        worst = 0.0 if self.unit == "%" else -math.inf
        return worst if self.direction == "max" else math.inf


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

"""One run of a set, and what it leaves: plain data, one line of `cells.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scipy.stats import binom

from l2o.benchmarks.studies.base import name_of

PLAIN = "plain"
"""The contender without a controller."""
EARLY = 50
"""The first steps, whose worst loss is told apart."""


@dataclass(frozen=True)
class Cell:
    """What is run.

    Attributes:
        network: name of the network.
        optimizer: name of the optimizer.
        lr: its base learning rate.
        schedule: name of the learning-rate schedule.
        steps: optimizer steps.
        seed: of head and batches.
        policy: a shipped policy, or "plain".
        order: whether the user made the scheduler "before" or "after" the controller.
        told: total steps that the controller is told; None: it is told none.
    """

    network: str
    optimizer: str
    lr: float
    schedule: str
    steps: int
    seed: int
    policy: str = PLAIN
    order: str = ""
    told: int | None = None


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Accuracies on new source images and on the target; nothing where a set does not score."""

    source_accuracy: float | None = None
    target_accuracy: float | None = None
    chance_bar: float | None = None
    at_chance: bool = False


@dataclass(frozen=True, kw_only=True)
class Record(Cell, Scores):
    """A cell and what came of it.

    Attributes:
        max_loss: the largest finite loss; `early_max_loss` that of the first steps.
        final_loss: mean of the last tenth; None if it is not finite.
        non_finite: losses that were not finite.
        interventions: the guard's, counted by reason.
        seconds: of processor time.
        error: what a run that failed said.
    """

    id: str
    plain: str
    max_loss: float = 0.0
    early_max_loss: float = 0.0
    final_loss: float | None = None
    non_finite: int = 0
    interventions: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None

    @classmethod
    def of(cls, cell: Cell, **found: Any) -> Record:
        """Return the record of a cell with what was found."""
        return cls(**vars(cell), id=name_of(cell), plain=name_of(plain_of(cell)), **found)


def plain_of(cell: Cell) -> Cell:
    """Return the run without a controller that a run is compared with."""
    return replace(cell, policy=PLAIN, order="", told=None)


def make_record(
    cell: Cell, losses: Sequence[float], scores: Scores, acted: Mapping[str, int], seconds: float
) -> Record:
    """Return what a run leaves: of the losses of every step, and what the guard did, by reason."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    last = losses[-max(1, len(losses) // 10) :]
    return Record.of(
        cell,
        **vars(scores),
        max_loss=max(finite, default=0.0),
        early_max_loss=max(filter(math.isfinite, losses[:EARLY]), default=0.0),
        final_loss=sum(last) / len(last) if all(map(math.isfinite, last)) else None,
        non_finite=len(losses) - len(finite),
        interventions=acted,
        seconds=round(seconds, 2),
    )


def make_scores(source: float, target: float, classes: int, images: int) -> Scores:
    """Return the scores; a run is at chance where the source is not above what guessing gets."""
    bar = chance_bar(classes, images)
    return Scores(
        source_accuracy=source, target_accuracy=target, chance_bar=bar, at_chance=source <= bar
    )


def chance_bar(classes: int, images: int) -> float:
    """Return the accuracy up to which a run counts as at chance.

    The 99th percentile of what guessing gets right, `binomial(images, 1 / classes)`.

    Example:
        >>> round(chance_bar(8, 128), 3)
        0.195
    """
    return float(binom.ppf(0.99, images, 1 / classes)) / images

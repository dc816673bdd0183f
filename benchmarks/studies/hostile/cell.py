"""One run of the hostile set, and what it leaves: plain data, one line of `cells.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from scipy.stats import binom

Record = dict[str, Any]

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

    @property
    def id(self) -> str:
        """A name for it, the same in every run."""
        return "/".join(str(value) for value in asdict(self).values())

    @property
    def plain(self) -> Cell:
        """The run without a controller that it is compared with."""
        return replace(self, policy=PLAIN, order="", told=None)


def make_record(
    cell: Cell, losses: Sequence[float], scores: Record, interventions: Record, seconds: float
) -> Record:
    """Return what a run leaves.

    Args:
        cell: what was run.
        losses: of every step.
        scores: what `score` tells, or nothing.
        interventions: the guard's, counted by reason.
        seconds: of processor time that the run took.
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    last = losses[-max(1, len(losses) // 10) :]
    return {
        "id": cell.id,
        "plain": cell.plain.id,
        **asdict(cell),
        "max_loss": max(finite, default=0.0),
        "early_max_loss": max((x for x in losses[:EARLY] if math.isfinite(x)), default=0.0),
        "final_loss": sum(last) / len(last) if all(map(math.isfinite, last)) else None,
        "non_finite": len(losses) - len(finite),
        **scores,
        "interventions": interventions,
        "seconds": round(seconds, 2),
    }


def chance_bar(classes: int, images: int) -> float:
    """Return the accuracy up to which a run counts as at chance.

    The 99th percentile of what guessing gets right, `binomial(images, 1 / classes)`.

    Example:
        >>> round(chance_bar(8, 128), 3)
        0.195
    """
    return float(binom.ppf(0.99, images, 1 / classes)) / images

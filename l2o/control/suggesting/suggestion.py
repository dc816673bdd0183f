"""A suggestion: what to take, what each candidate did, and what speaks against trusting it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2o.control.suggesting.candidates import Candidate
from l2o.control.suggesting.choosing import Ranked
from l2o.control.suggesting.pretraining import PretrainingCheck
from l2o.deciding.policy import Policy
from l2o.files.seals import write_json


@dataclass(frozen=True)
class Suggestion:
    """What `l2o.suggest` found.

    Attributes:
        candidate: what to take.
        ranked: all candidates, the suggested one first.
        start: the score before any training.
        steps: of each run.
        scored_by: what the scores are: accuracy, loss (negated), or metric.
        percent: whether they are shares.
        pretraining: the linear probe; None where there was none.
        warnings: sentences.

    Example:
        `found = l2o.suggest(...)`, `print(found)`, and then
        `l2o.LRController(found.policy(), optimizer, model, total_steps=3000)`.
    """

    candidate: Candidate
    ranked: Sequence[Ranked]
    start: float
    steps: int
    scored_by: str
    percent: bool
    pretraining: PretrainingCheck | None
    warnings: Sequence[str]

    @property
    def name(self) -> str:
        """What the suggested candidate is called."""
        return self.candidate.name

    @property
    def choice(self) -> Mapping[str, Any]:
        """The field `choice` of a config that stands for it; empty for a policy given as such."""
        return self.candidate.choice

    def policy(self) -> Policy:
        """Return the suggested policy, for `LRController`."""
        return self.candidate.policy()

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of its table: a row for each candidate, in the order of `COLUMNS`."""
        return [self._row(each) for each in self.ranked]

    def _row(self, row: Ranked) -> tuple[str, ...]:
        tried = row.tried
        moved = f"{100 * tried.moved:.2g} %"
        if tried.diverged:
            return tried.name, "diverged", "–", moved, f"{tried.seconds:.1f} s"
        behind = "suggested"
        if tried is not self.ranked[0].tried:
            # Less nothing, so that a zero has no minus.
            mean, low, high = (self._shown(0.0 - e, "+") for e in (row.behind, row.high, row.low))
            behind = mean if math.isnan(row.low) else f"{mean} [{low}, {high}]"
        return tried.name, self._shown(tried.score), behind, moved, f"{tried.seconds:.1f} s"

    def _shown(self, value: float, sign: str = "") -> str:
        return f"{100 * value:{sign}.1f}" if self.percent else f"{value:{sign}.4g}"

    def __str__(self) -> str:
        """Return the table, the probe and the warnings as text."""
        head = ("candidate", self.shown_as, "against it", "backbone moved", "time")
        table = [head, *self.rows()]
        widths = [max(len(row[column]) for row in table) for column in range(len(head))]
        lines = [
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]
        return "\n".join([f"suggested: {self.name}", "", *lines, "", *self.notes()]).rstrip()

    @property
    def shown_as(self) -> str:
        """The heading of the scores."""
        return "accuracy, %" if self.percent else {"loss": "−loss"}.get(self.scored_by, "metric")

    def notes(self) -> list[str]:
        """Return what a table does not say: the probe's sentence, and the warnings."""
        probe = self.pretraining
        if probe is None:
            return [f"warning: {each}" for each in self.warnings]
        told = (
            f"linear probe: {100 * probe.pretrained:.1f} % by the network's features, "
            f"{100 * probe.shuffled:.1f} % by those of its weights shuffled"
        )
        return [told, *(f"warning: {each}" for each in self.warnings)]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain JSON data; what is not finite is null."""
        return {
            "suggested": self.name,
            "choice": dict(self.choice) or None,
            "steps": self.steps,
            "scored_by": self.scored_by,
            "start": _finite(self.start),
            "candidates": [_plain(each) for each in self.ranked],
            "pretraining": self.pretraining and {**vars(self.pretraining)},
            "warnings": list(self.warnings),
        }

    def save(self, path: str | Path) -> None:
        """Write it as a sealed JSON file.

        Args:
            path: of the file; written whole or not at all.
        """
        write_json(Path(path), self.to_json())


def _plain(row: Ranked) -> dict[str, Any]:
    tried = row.tried
    return {
        "name": tried.name,
        "score": _finite(tried.score),
        "behind": _finite(row.behind),
        "interval": [_finite(row.low), _finite(row.high)],
        "parts": len(tried.scores),
        "moved": _finite(tried.moved),
        "loss": _finite(tried.loss),
        "seconds": round(tried.seconds, 3),
        "diverged": tried.diverged,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

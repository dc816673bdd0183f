"""Figures: measured values held against what they must and what they should be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2o.files.atomic import write_atomically


@dataclass(frozen=True)
class Figure:
    """One row of the table that a benchmark is held against.

    Attributes:
        figure: what is measured.
        value: the measurement.
        must: the bound that decides whether it holds.
        goal: the bound aimed at.
        at_least: whether larger is better.

    Example:
        >>> Figure("ratio", 3.0, must=2.5, goal=4.0).to_dict()["holds"]
        True
    """

    figure: str
    value: float
    must: float
    goal: float
    at_least: bool = True

    def _reaches(self, bound: float) -> bool:
        return self.value >= bound if self.at_least else self.value <= bound

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, with its verdicts."""
        sign = ">=" if self.at_least else "<="
        return {
            "figure": self.figure,
            "value": round(self.value, 3),
            "must": f"{sign} {self.must:g}",
            "goal": f"{sign} {self.goal:g}",
            "holds": self._reaches(self.must),
            "reaches_goal": self._reaches(self.goal),
        }


def publish(results: dict[str, Any], path: Path | None) -> None:
    """Print the figures of results, and write the results to a file, if there is one."""
    for figure in results["figures"]:
        print(f"{figure['figure']}: {figure['value']} (must {figure['must']}) {figure['holds']}")
    if path:
        write_atomically(path, json.dumps(results, indent=2) + "\n")

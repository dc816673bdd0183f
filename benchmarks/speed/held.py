"""`l2o speed footprint`: memory and time that a controller takes with large networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from l2o.benchmarks.speed.footprint import footprint_tables, measure
from l2o.benchmarks.speed.large import LARGE
from l2o.benchmarks.studies.base import Study
from l2o.benchmarks.studies.options import Json, count, text

_SOME_OF = f"Some of {','.join(LARGE)}."


@dataclass(frozen=True, kw_only=True)
class Footprint(Study[Mapping[str, Any]]):
    """Measure what a controller takes of memory and time in training large networks, on the CPU.

    Memory is what a controller holds after two decisions; steps are timed in pairs, in turn.
    """

    examples = ("l2o speed footprint --models resnet50,bert --json footprint.json",)
    models: Annotated[str, text(_SOME_OF)] = ",".join(LARGE)
    rounds: Annotated[int, count("Pairs of steps per row.")] = 6
    json: Json = None

    def answer(self) -> Mapping[str, Any]:
        """Measure each network."""
        return measure(self.models.split(","), self.rounds)

    def to_json(self, answer: Mapping[str, Any]) -> Mapping[str, object]:
        """Return all that was measured."""
        return answer

    def show(self, answer: Mapping[str, Any]) -> None:
        """Print Markdown."""
        print(footprint_tables(dict(answer)))

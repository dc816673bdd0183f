"""What a search found, read from its trials' folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2o.benchmarks.tuning.engines import TIME
from l2o.benchmarks.tuning.kinds import Searched
from l2o.benchmarks.tuning.trial import ABOUT, FAILED, REMEDY, REPORTS, TRIALS, Plan
from l2o.files.jsonl import read_rows


@dataclass(frozen=True)
class Trial:
    """A trial of a search.

    Attributes:
        number: in the order they were begun.
        params: its values; with PBT those it ended with.
        reports: what it told, in order.
        computed: steps that were computed for it.
        changes: with PBT, step and values of each change on its way.
        error: why it failed; empty if it did not.
        whole: whether it went to the end.
        folder: of its last state, among those of the trials.
    """

    number: int
    params: Mapping[str, Any]
    reports: tuple[Mapping[str, float], ...]
    computed: int
    changes: tuple[tuple[int, Mapping[str, Any]], ...]
    error: str
    whole: bool
    folder: str = ""

    @property
    def step(self) -> int:
        """How far it got."""
        return int(self.reports[-1][TIME]) if self.reports else 0

    @property
    def outcome(self) -> str:
        """Return how it ended, in a word or its error."""
        return self.error or ("whole" if self.whole else "stopped early")


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        trials: in the order they were begun.
        best: the one whose last value is the best; None: none has told anything.
        steps: computed in all.
        seconds: of this run.
    """

    trials: tuple[Trial, ...]
    best: Trial | None
    steps: int
    seconds: float

    @property
    def reason(self) -> str:
        """Why the first trial that failed did."""
        reasons = [each.error for each in self.trials if each.error]
        return reasons[0] if reasons else "it was stopped before its first report"


def collect(
    plan: Plan, of: Searched, ended: Mapping[int, str], reached: Mapping[int, int], seconds: float
) -> Found:
    """Return what the folders of a search hold, as far as it looked at it.

    Args:
        plan: of the search.
        of: what it is of.
        ended: how trials ended, by number.
        reached: how far the search let each go: what an earlier run computed beyond is not its.
        seconds: of this run.
    """
    by_number: dict[int, list[_Part]] = {}
    for part in _parts(plan.out / TRIALS):
        by_number.setdefault(part.number, []).append(part)
    trials = tuple(
        _trial(number, by_number[number], of, ended.get(number, ""), reached.get(number))
        for number in sorted(by_number)
    )
    told = [each for each in trials if each.reports and not each.error]
    sign = 1.0 if of.mode == "min" else -1.0
    # Of equals, the one that went further, then the earlier one.
    best = min(
        told,
        key=lambda each: (sign * each.reports[-1][of.metric], -each.step, each.number),
        default=None,
    )
    return Found(trials, best, sum(each.computed for each in trials), seconds)


@dataclass(frozen=True)
class _Part:
    key: str
    number: int
    params: dict[str, Any]
    parent: tuple[str, int] | None
    reports: list[dict[str, Any]]
    error: str
    written: float


def _parts(folder: Path) -> Iterator[_Part]:
    for path in sorted(folder.glob(f"*/{ABOUT}")):
        about = json.loads(path.read_text(encoding="utf-8"))
        failed = path.parent / FAILED
        error = json.loads(failed.read_text(encoding="utf-8"))["error"] if failed.exists() else ""
        parent = about["parent"]
        rows = read_rows(path.parent / REPORTS, REMEDY)
        yield _Part(
            path.parent.name,
            about["number"],
            about["params"],
            None if parent is None else (parent[0], parent[1]),
            [{k: v for k, v in row.items() if k != "sha256"} for row in rows],
            error,
            path.stat().st_mtime,
        )


def _trial(number: int, parts: list[_Part], of: Searched, ended: str, reached: int | None) -> Trial:
    """Put the stretches of a trial together, the one that was begun last at the end."""
    parts = sorted(parts, key=lambda part: part.written)
    failed = parts[-1].error
    # One that told nothing trained nothing: a population changes values at its very end, too.
    parts = [part for part in parts if part.reports] or parts[-1:]
    last = parts[-1]
    reports: list[dict[str, Any]] = []
    for part in parts:
        begin = part.parent[1] if part.parent else 0
        reports = [row for row in reports if row[TIME] <= begin] + part.reports
    if reached is not None and len(parts) == 1:
        reports = [row for row in reports if row[TIME] <= reached]
        last.reports[:] = reports
    computed = sum(
        int(part.reports[-1][TIME]) - (part.parent[1] if part.parent else 0)
        for part in parts
        if part.reports
    )
    error = failed or (ended if ended not in ("", "ended") else "")
    whole = bool(reports) and int(reports[-1][TIME]) >= of.length
    changes = tuple((part.parent[1], part.params) for part in parts if part.parent)
    return Trial(number, last.params, tuple(reports), computed, changes, error, whole, last.key)

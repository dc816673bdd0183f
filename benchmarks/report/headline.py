"""The few figures a benchmark stands or falls by."""

from __future__ import annotations

from typing import Any

from l2o.benchmarks.comparisons.table.comparison import DEFAULT, MISJUDGED, SETTINGS
from l2o.benchmarks.comparisons.table.tuning import WHOLE_GRID, Tuned

Entry = dict[str, Any]


def headline_figures(policies: list[Entry], claims: list[Entry], tuned: list[Tuned]) -> list[Entry]:
    """Return `{figure, value, must, goal, holds}` for each thing that is promised.

    `value` is a difference of accuracies, against the schedule that comes out hardest to beat; it
    has to be above `must`, and is hoped to be above `goal`. `holds` asks more: that the whole 95 %
    interval is above. It is null where there are too few runs for an interval.
    """
    figures = [_figure(claim["claim"], claim, must=0.0, goal=None) for claim in claims]
    for policy in policies:
        figures += _of_policy(policy)
    return figures


def _of_policy(policy: Entry) -> list[Entry]:
    label, against = policy["label"], policy["against"]
    over = [entry for entry in against if entry["setting"] == MISJUDGED]
    flat = [entry for entry in over if entry["profile"] == "flat"]
    here = [entry for entry in against if entry["setting"] == DEFAULT]
    figures = []
    if flat:
        name = f"{label} − best one-LR schedule, misjudged base LRs"
        figures.append(_figure(name, _hardest(flat), must=0.0, goal=None))
    if over:
        name = f"{label} − best schedule, misjudged base LRs"
        figures.append(_figure(name, _hardest(over), must=None, goal=0.0))
    if here:
        name = f"{label} − best schedule, default base LR"
        figures.append(_figure(name, _hardest(here), must=None, goal=0.0))
    return figures + _against_tuned(label, against)


def _against_tuned(label: str, against: list[Entry]) -> list[Entry]:
    figures = []
    for setting in SETTINGS.values():
        entries = [entry for entry in against if entry["setting"] == setting]
        whole = [entry for entry in entries if entry["label"] == WHOLE_GRID] or entries
        if whole:
            name = f"{label} − best schedule {setting}"
            figures.append(_figure(name, _hardest(whole), must=None, goal=0.0))
    return figures


def _hardest(entries: list[Entry]) -> Entry:
    """Return the comparison that is worst for the policy."""
    return min(entries, key=lambda entry: _value(entry))


def _value(entry: Entry) -> float:
    value = entry["difference"]["value"]
    return float("inf") if value is None else value


def _figure(name: str, entry: Entry, must: float | None, goal: float | None) -> Entry:
    found = entry["difference"]
    bound = must if must is not None else goal
    holds = None if found["low"] is None or bound is None else found["low"] > bound
    return {
        "figure": name,
        "value": found["value"],
        "low": found["low"],
        "high": found["high"],
        "new_tasks": found["new_tasks"],
        "must": must,
        "goal": goal,
        "holds": holds,
        "against": entry.get("label") or entry.get("worse"),
    }

"""What the runs of a set say: harm done, and the price or gain on the target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from l2o.benchmarks.studies.hostile.cell import PLAIN, Record

Summary = dict[str, Any]


def summarise(records: Sequence[Record], bound: float) -> Summary:
    """Compare every run under a policy with the plain run of its setting.

    Args:
        records: of all cells.
        bound: how many times the plain run's worst loss a run may reach.

    Returns:
        `policies` (name -> figures), `harmed` (the runs that break a claim, the worst first),
        `claims` and `failures`.
    """
    plain = {record["id"]: record for record in records if record["policy"] == PLAIN}
    whole = {key: record for key, record in plain.items() if not record["error"]}
    pairs = [
        _pair(record, whole[record["plain"]])
        for record in records
        if record["policy"] != PLAIN and not record["error"] and record["plain"] in whole
    ]
    names = list(dict.fromkeys(pair["policy"] for pair in pairs))
    failures = [
        {"label": record["id"], "error": record["error"]} for record in records if record["error"]
    ]
    harmed = [pair for pair in pairs if pair["harmed"] or pair["ratio"] > bound]
    return {
        "bound": bound,
        "plain": _mean([record.get("target_accuracy") for record in whole.values()]),
        "policies": {
            name: _figures([pair for pair in pairs if pair["policy"] == name], bound)
            for name in names
        },
        "harmed": [_plain_data(pair) for pair in sorted(harmed, key=_badness, reverse=True)],
        "claims": _claims(pairs, failures, bound),
        "failures": failures,
    }


def worst_loss(record: Record) -> float:
    """Return the largest loss of a run; infinity if one was not finite."""
    return math.inf if record["non_finite"] else float(record["max_loss"])


def _pair(record: Record, plain: Record) -> Summary:
    worst, allowed = worst_loss(record), worst_loss(plain)
    target, rival = record.get("target_accuracy"), plain.get("target_accuracy")
    return {
        "id": record["id"],
        "policy": record["policy"],
        "network": record["network"],
        "ratio": 1.0 if math.isinf(allowed) else worst / allowed,
        "harmed": bool(record.get("at_chance") and not plain["at_chance"]),
        "target": target,
        "difference": None if target is None or rival is None else target - rival,
        "interventions": sum(record["interventions"].values()),
    }


def _figures(pairs: Sequence[Summary], bound: float) -> Summary:
    worst = max(pairs, key=lambda pair: float(pair["ratio"]))
    return {
        "runs": len(pairs),
        "at_chance": sum(pair["harmed"] for pair in pairs),
        "beyond_bound": sum(pair["ratio"] > bound for pair in pairs),
        "worst_ratio": _known(worst["ratio"]),
        "worst_run": worst["id"],
        "interventions": sum(pair["interventions"] for pair in pairs),
        "target": _mean([pair["target"] for pair in pairs]),
        "difference": _interval([pair["difference"] for pair in pairs]),
    }


def _claims(pairs: Sequence[Summary], failures: Sequence[Any], bound: float) -> list[Summary]:
    """Return the claims; that about chance only where runs are scored."""
    at_chance = sum(pair["harmed"] for pair in pairs)
    worst = max((pair["ratio"] for pair in pairs), default=1.0)
    scored = any(pair["target"] is not None for pair in pairs)
    chance: list[Summary] = [
        {
            "claim": "0 runs end at chance where the plain run does not",
            "found": at_chance,
            "holds": at_chance == 0 and not failures,
        }
    ]
    return chance * scored + [
        {
            "claim": f"worst loss <= {bound:g} x the plain run's worst",
            "found": _known(worst),
            "holds": worst <= bound and not failures,
        },
    ]


def _interval(differences: Sequence[float | None]) -> Summary:
    """Return the mean and its 95 % bootstrap interval over settings."""
    known = np.array([each for each in differences if each is not None])
    if len(known) < 2:
        return {"value": float(known.mean()) if len(known) else None, "low": None, "high": None}
    span = bootstrap(
        (known,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return {"value": float(known.mean()), "low": float(span.low), "high": float(span.high)}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _badness(pair: Summary) -> tuple[float, bool]:
    return float(pair["ratio"]), pair["harmed"]


def _plain_data(pair: Summary) -> Summary:
    return pair | {"ratio": _known(pair["ratio"])}


def _known(ratio: float) -> float | None:
    """Return a ratio, None for infinity, which JSON has no word for."""
    return round(float(ratio), 4) if math.isfinite(ratio) else None

"""From the records of an ablation's runs to its `results.json`."""

from __future__ import annotations

from typing import Any

import numpy as np

from l2o.benchmarks.cells.cell import Record
from l2o.benchmarks.cells.machine import machine_facts
from l2o.benchmarks.comparisons.ablation.intervals import LEVEL, estimate_mean
from l2o.benchmarks.comparisons.ablation.plan import Run
from l2o.benchmarks.comparisons.results_file import FORMAT
from l2o.benchmarks.comparisons.table.summary import NEAR_CHANCE
from l2o.benchmarks.statistics import Array
from l2o.configs.ablation import AblationConfig
from l2o.configs.compare import differences

KIND = "ablation"
"""What `kind` of a results.json says, so that a report knows how to read it."""
Found = list[tuple[Run, Record]]


def summarise(config: AblationConfig, found: Found, failures: list[Record]) -> dict[str, Any]:
    """Return the content of `results.json`.

    Args:
        config: the ablation.
        found: the runs that were learned and scored, with their records.
        failures: `label` and `error` of the others.
    """
    scores = {label: _scores(found, label) for label in config.variants}
    return {
        "format": FORMAT,
        "kind": KIND,
        "title": config.title,
        "train": config.train,
        "base": next(iter(config.variants)),
        "fine_tunes": config.fine_tunes,
        "seeds": list(config.seeds),
        "episodes": config.episodes,
        "seconds": round(sum(record["seconds"] for _, record in found), 1),
        "machine": machine_facts(found[0][0].config.workers),
        "bootstrap": {"resamples": config.bootstrap, "level": LEVEL},
        "rows": [_row(config, label, found, scores) for label in _in_groups(config)],
        "failures": failures,
    }


def _in_groups(config: AblationConfig) -> list[str]:
    """Return the labels, those of a group together, else in the config's order."""
    groups = list(dict.fromkeys(variant.group for variant in config.variants.values()))
    return sorted(config.variants, key=lambda label: groups.index(config.variants[label].group))


def _row(
    config: AblationConfig, label: str, found: Found, scores: dict[str, dict[int, Array]]
) -> dict[str, Any]:
    own = [record for run, record in found if run.label == label]
    against = config.reference(label)
    row: dict[str, Any] = {
        "label": label,
        "group": config.variants[label].group,
        "against": against,
        "changes": _changes(found, label, against),
        "seeds": sorted(scores[label]),
        "accuracy": None,
        "difference": None,
        "scored": sum(len(record["accuracy"]) for record in own),
        "at_chance": sum(map(_at_chance, own)),
        "diverged": sum(sum(record["diverged"]) for record in own),
        "fine_tunes": None,
        "minutes": None,
        "scores": [values.tolist() for _, values in sorted(scores[label].items())],
    }
    if own:
        row["accuracy"] = _estimate(scores[label], config.bootstrap)
        row["fine_tunes"] = round(float(np.mean([record["fine_tunes"] for record in own])))
        row["minutes"] = round(float(np.mean([record["seconds"] for record in own])) / 60, 2)
    if against is not None:
        gaps = {
            seed: values - scores[against][seed]
            for seed, values in scores[label].items()
            if seed in scores[against]
        }
        row["difference"] = _estimate(gaps, config.bootstrap)
    return row


def _scores(found: Found, label: str) -> dict[int, Array]:
    """Return the accuracies of a variant by learning seed."""
    return {
        run.seed: np.array(record["accuracy"], dtype=np.float64)
        for run, record in found
        if run.label == label
    }


def _estimate(scores: dict[int, Array], resamples: int) -> dict[str, Any] | None:
    if not scores:
        return None
    matrix = np.stack([scores[seed] for seed in sorted(scores)])
    return estimate_mean(matrix, resamples).to_json()


def _changes(found: Found, label: str, against: str | None) -> list[str]:
    """Return in which fields a variant's training differs from that of its reference."""
    configs = {}
    for run, _ in found:
        same = {"name": "", "seed": run.config.seed - run.seed}
        configs[run.label] = run.config.model_copy(update=same)
    if against is None or label not in configs or against not in configs:
        return []
    return differences(configs[against], configs[label])


def _at_chance(record: Record) -> int:
    pairs = zip(record["accuracy"], record["chance"], strict=True)
    return sum(accuracy <= NEAR_CHANCE * chance for accuracy, chance in pairs)

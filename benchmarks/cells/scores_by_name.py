"""The one place that asks a fine-tune for its metrics, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from l2o.envs.fine_tuning.adapting.staged import Run
    from l2o.envs.stacked import StackedFineTune

PROXY = "proxy_test"
UNLABELLED = "target_train"
"""Where scores by which a network is chosen without labels are kept."""
ON_THE_WAY = ("target_test", "source_validation")
"""Splits that are scored over training, too."""


def score(run: Run, split: str) -> dict[str, float]:
    """Return a fine-tune's metrics on a split; the loss only where one may choose by it."""
    return _chosen(split, run.proxy_scores() if split == PROXY else run.scores(split))


def score_stacked(
    stack: StackedFineTune, splits: Sequence[str], slots: Sequence[int]
) -> dict[str, dict[int, dict[str, float]]]:
    """Return the same of each of these slots: split -> slot -> metric -> value."""
    if not slots:
        return {}
    found = stack.evaluate(list(splits), list(slots))
    return {
        split: {
            slot: _chosen(split, {name: float(of[slot]) for name, of in found[split].items()})
            for slot in slots
        }
        for split in splits
    }


def _chosen(split: str, scores: dict[str, float]) -> dict[str, float]:
    return {k: v for k, v in scores.items() if k != "loss" or split == "source_validation"}

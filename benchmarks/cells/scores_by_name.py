"""The one place that asks a fine-tune for its metrics, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from l2o.envs.fine_tune import FineTune
    from l2o.envs.stacked import StackedFineTune

PROXY = "proxy_test"
ON_THE_WAY = ("target_test", "source_validation")
"""Splits that are scored over training, too."""


def score(run: FineTune, split: str) -> dict[str, float]:
    """Return a fine-tune's metrics on a split; the loss only where one may choose by it."""
    if split == PROXY:
        return {"accuracy": run.proxy_accuracy()}
    found = {"accuracy": run.accuracy(split)}
    return found | {"loss": run.loss(split)} if split == "source_validation" else found


def score_stacked(
    stack: StackedFineTune, split: str, slots: Sequence[int]
) -> list[dict[str, float]]:
    """Return the same of each of these slots."""
    if not slots:
        return []
    if split == PROXY:
        return [{"accuracy": value} for value in stack.proxy_accuracy(slots).tolist()]
    found = [{"accuracy": value} for value in stack.accuracy(split, slots).tolist()]
    if split == "source_validation":
        losses = stack.loss(split, slots).tolist()
        return [each | {"loss": loss} for each, loss in zip(found, losses, strict=True)]
    return found

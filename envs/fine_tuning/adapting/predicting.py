"""What a network gives on unlabelled images of the target, in passes over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from l2o.adaptation import LABEL_FREE, EmaTeacher, HeadInputs, Predictions, Side
from l2o.envs.fine_tuning.scoring import Scoring
from l2o.envs.objectives import Objective
from l2o.envs.tasks.base import Examples, LabelledData, Loading
from l2o.envs.tasks.loading import scoring_batches

ROWS = 2000
"""Predictions that scores without labels look at: they compare each with each."""


def predictions(
    data: LabelledData,
    model: Any,
    scoring: Scoring,
    loading: Loading,
    device: torch.device,
    teacher: EmaTeacher | None = None,
) -> Iterator[Side]:
    """Yield the network's predictions on all images, in order, labels as the data set has them.

    Args:
        data: as images are scored.
        model: by timm's convention.
        scoring: holds it as it is scored.
        loading: how images are read.
        device: of the model.
        teacher: predicts in its place.
    """
    taken = nullcontext() if teacher is None else teacher.in_place_of(model)
    with taken, HeadInputs(model.get_classifier()) as caught:
        for images, labels in _batches(data, loading, device):
            with scoring.scored():
                outputs = model.forward_head(model.forward_features(scoring.images(images)))
                side = Side(outputs.float(), caught.features, labels, last=caught.last)
            yield side


def _batches(
    data: LabelledData, loading: Loading, device: torch.device
) -> Iterable[tuple[Tensor, Tensor]]:
    if not isinstance(data, Examples):
        return scoring_batches(data, loading, device)
    held = data.to(device)
    size = loading.scoring_batch
    return zip(held.images.split(size), held.labels.split(size), strict=True)


def label_free_scores(
    target: Iterable[Side], source: Iterable[Side], objective: Objective
) -> dict[str, float]:
    """Return the scores of `l2o.adaptation.LABEL_FREE` of a network, by name.

    Args:
        target: its predictions on unlabelled images.
        source: likewise on held-out source images, with labels.
        objective: gives the losses of these.
    """
    outputs, features = _gathered(target)
    losses, held = [], []
    for side in source:
        assert side.labels is not None
        counts = objective.predictions(side.labels)
        each = objective.losses(side.outputs, side.labels)
        losses.append((each if counts is None else each / counts.clamp_min(1)).cpu())
        held.append(_rows(side.features))
    found = Predictions(outputs, features, torch.cat(held), torch.cat(losses))
    return {name: score(found) for name, score in LABEL_FREE.items()}


def _gathered(sides: Iterable[Side]) -> tuple[Tensor, Tensor]:
    """Return logits as rows, at most so many of them, spread evenly, and features by image."""
    logits, features = [], []
    for side in sides:
        rows = side.outputs.movedim(1, -1).flatten(0, -2).cpu()
        logits.append(_spread(rows, max(1, ROWS * len(side.outputs) // 100)))
        features.append(_rows(side.features))
    return _spread(torch.cat(logits), ROWS), torch.cat(features)


def _rows(features: Tensor) -> Tensor:
    return (features.flatten(2).mean(dim=2) if features.dim() > 2 else features).float().cpu()


def _spread(rows: Tensor, most: int) -> Tensor:
    if len(rows) <= most:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, most).long()]

"""From splits of image files to a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2o.configs.schema import Named
from l2o.envs.networks.base import PretrainedNetwork
from l2o.envs.objectives import Objective
from l2o.envs.tasks.base import Loading, Task
from l2o.envs.tasks.images.masked_images import MaskListing
from l2o.envs.tasks.images.options import ImageOptions
from l2o.envs.tasks.images.shelf import Shelf
from l2o.envs.tasks.images.splits import Part

_SCORING_BATCH = 64
_LABELLED = ("source_validation", "target_validation", "target_test")


def image_task(
    *,
    name: str,
    seed: int,
    options: ImageOptions,
    network: PretrainedNetwork,
    splits: Mapping[str, Part],
    classes: tuple[str, ...],
    objective: str | Named | Objective,
    sources: Mapping[str, int] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Task:
    """Return the task of fine-tuning a pretrained network on images.

    Source images are augmented to train on; others are resized and cut, or, with masks, whole.
    `proxy_test` has no labels: what counts is whether the network answers as it did before.

    Args:
        name: the family's.
        seed: that the splits were drawn with.
        options: what the user chose.
        network: with a head for `classes`.
        splits: by the names of `l2o.envs.tasks.base.SPLITS`.
        classes: names, in the order of labels.
        objective: of the new head.
        sources: name of each source that the source listing is made of -> its images.
        facts: more for the description.
    """
    data = _taken(Shelf(options, network), splits)
    return Task(
        name=name,
        seed=seed,
        build_model=network.build,
        proxy_head=network.proxy_head,
        **data,
        sources=tuple(sources or ()),
        source_of=_source_of(splits["source_train"], sources or {}),
        num_classes=len(classes),
        objective=objective,
        proxy_objective="classification",
        batch_size=options.batch_size,
        steps=options.count_steps(len(splits["source_train"])),
        base_lr=options.base_lr,
        loading=_loading(options, splits["source_train"]),
        batch_norm=options.batch_norm,
        mode=options.mode,
        flip_average=options.flip_average,
        classes=classes,
        unlabelled=frozenset(each for each in _LABELLED if not splits[each].whole.labelled),
        proxy_answers=True,
        network=network,
        description={
            "family": name,
            "seed": seed,
            **_describe(network, splits, classes),
            "options": options.told(),
            **(facts or {}),
        },
    )


def _taken(shelf: Shelf, splits: Mapping[str, Part]) -> dict[str, Any]:
    """Return the data sets of a task by the names of its fields."""
    return {
        split: shelf.take_unlabelled(part) if split == "target_train" else shelf.take(split, part)
        for split, part in splits.items()
    }


def _source_of(part: Part, sources: Mapping[str, int]) -> Tensor | None:
    """Return the number of the source of each training image `[N]`; None: there is one source."""
    if not sources:
        return None
    ends = np.cumsum(list(sources.values()))
    return torch.from_numpy(np.searchsorted(ends, part.numbers, side="right").astype(np.int64))


def _loading(options: ImageOptions, train: Part) -> Loading:
    """Return how data sets are read; images with masks are scored whole, so one by one."""
    masks = isinstance(train.whole, MaskListing)
    batch = options.scoring_batch or (1 if masks else _SCORING_BATCH)
    return Loading(workers=options.count_workers(), scoring_batch=batch)


def _describe(
    network: PretrainedNetwork, splits: Mapping[str, Part], classes: tuple[str, ...]
) -> dict[str, Any]:
    """Return the network, the classes, the images of each split, each folder's SHA-256."""
    wholes = {id(part.whole): part.whole for part in splits.values()}
    images = [w.images if isinstance(w, MaskListing) else w for w in wholes.values()]
    return {
        "network": {"name": network.name, **network.description},
        "classes": list(classes),
        "images": {split: len(part) for split, part in splits.items()},
        "content": {listing.root: listing.content_hash for listing in images},
    }

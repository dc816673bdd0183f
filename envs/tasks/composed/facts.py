"""The axes of a task as plain data, so that tables can be made by axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from l2o.envs.tasks.base import Task
from l2o.envs.tasks.composed.recipe import Recipe
from l2o.envs.tasks.composed.setting import Setting
from l2o.envs.tasks.composed.world import World
from l2o.envs.tasks.proxy import NETWORKS

AXES = (
    "split",
    "kind",
    "pretraining",
    "architecture",
    "width",
    "depth",
    "layer_groups",
    "batch_norm",
    "classes",
    "proxy_classes",
    "source_images",
    "label_noise",
    "imbalance",
    "source_gap",
    "target_gap",
    "steps",
    "batch_size",
)
"""What `facts` tells of a task."""


def describe(
    network: Mapping[str, Any], recipe: Recipe, source: World, setting: Setting
) -> dict[str, Any]:
    """Return a task's description.

    Args:
        network: of its network, what it begins with.
        recipe: of its network.
        source: where the synthetic images are from.
        setting: of the fine-tune.
    """
    return {
        **network,
        "version": recipe.version,
        "kind": recipe.target.kind,
        "pretraining": recipe.pretraining,
        "pretrained_on": recipe.origin.kind,
        "pretrain_steps": recipe.steps,
        "layer_groups": NETWORKS[recipe.architecture].count_layers(recipe.depth),
        "batch_norm": recipe.batch_norm,
        "classes": len(recipe.target.classes),
        "class_numbers": list(recipe.target.classes),
        "proxy_classes": recipe.num_classes,
        **asdict(setting),
        "source_gaps": [list(gap) for gap in source.gaps],
        "target_gaps": [list(gap) for gap in recipe.target.gaps],
        "source_gap": sum(strength for _, strength in source.gaps),
        "target_gap": sum(strength for _, strength in recipe.target.gaps),
    }


def facts(task: Task) -> dict[str, Any]:
    """Return a task's value on each of `AXES`.

    Raises:
        KeyError: the task is of another family.

    Example:
        >>> facts(ComposedFamily().sample(0))["kind"]  # doctest: +SKIP
        'glyphs'
    """
    return {axis: task.description[axis] for axis in AXES}

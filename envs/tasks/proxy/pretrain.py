"""Pretraining of a proxy network, cached on disk: its weights, and what was important in it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from l2o.envs.runtime.threads import one_thread
from l2o.envs.tasks.proxy.cache import cache_path, load_or_make
from l2o.envs.tasks.proxy.networks import SmallNetwork
from l2o.envs.tasks.proxy.recipe import ProxyRecipe
from l2o.guidance import ImportanceTracker, backbone_parameters


def load_pretrained(recipe: ProxyRecipe, progress: bool = False) -> dict[str, Tensor]:
    """Return the pretrained weights: from the cache, or by pretraining (and then cached)."""
    path = cache_path(recipe.kind, recipe.key())
    shapes = {k: tuple(v.shape) for k, v in recipe.build().state_dict().items()}
    return load_or_make(path, lambda: pretrain(recipe, progress), shapes)


def load_importance(recipe: ProxyRecipe, progress: bool = False) -> dict[str, Tensor]:
    """Return the importance of the backbone's parameters in pretraining, from the cache or anew.

    It is gathered in the pretraining itself, which is done once more for it if it is not cached.
    """
    path = cache_path(f"{recipe.kind}-importance", recipe.key())
    model = recipe.build()
    backbone = backbone_parameters(model, model.get_classifier())
    shapes = {name: tuple(parameter.shape) for name, parameter in backbone.items()}
    return load_or_make(path, lambda: gather_importance(recipe, progress), shapes)


def gather_importance(recipe: ProxyRecipe, progress: bool = False) -> dict[str, Tensor]:
    """Pretrain and return the importance of the backbone's parameters, by name."""
    trackers: list[ImportanceTracker] = []

    def watch(model: SmallNetwork, optimizer: torch.optim.Optimizer) -> None:
        tracker = ImportanceTracker(backbone_parameters(model, model.get_classifier()))
        tracker.attach(optimizer)
        trackers.append(tracker)

    pretrain(recipe, progress, watch)
    return trackers[0].importance()


def pretrain(
    recipe: ProxyRecipe,
    progress: bool = False,
    watch: Callable[[SmallNetwork, torch.optim.Optimizer], None] | None = None,
) -> dict[str, Tensor]:
    """Train from scratch with AdamW and a one-cycle schedule; return the weights.

    Args:
        recipe: what to train and how.
        progress: show a progress bar, when stderr is a terminal.
        watch: called before the first step, for instance to attach an `ImportanceTracker`.
    """
    with one_thread():
        model = recipe.build()
        optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=0.01)
        if watch is not None:
            watch(model, optimizer)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=recipe.steps
        )
        bar = tqdm(
            recipe.batches(),
            total=recipe.steps,
            desc=f"pretraining {recipe.split} network {recipe.network}",
            disable=not (progress and sys.stderr.isatty()),
            leave=False,
        )
        for batch in bar:
            functional.cross_entropy(model(batch.images), batch.labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

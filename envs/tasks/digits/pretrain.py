"""Pretraining of the proxy: real digits of some writers on patches of one photograph."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.digits.cache import cache_path, load_or_make
from l2o.envs.tasks.digits.networks import NETWORKS, DigitsNetwork, Shape
from l2o.envs.tasks.digits.real import draw_real
from l2o.envs.tasks.digits.recipe import ProxyRecipe
from l2o.envs.tasks.digits.writers import images_of
from l2o.envs.workers import one_thread
from l2o.guidance import ImportanceTracker, backbone_parameters

RECIPE_VERSION = 4
"""Raised by any change that changes the weights a recipe gives; old cache files then lie unused."""

TEST_SHARE = 0.2
"""Share of the proxy writers' images that is kept out of pretraining, to score the proxy on."""

_CHUNK = 50
"""Steps whose images are composed at once: composing costs next to nothing then."""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a pretrained network of this family.

    Attributes:
        split: whose half of the photograph is used.
        network: the network's number within its split; seeds weights and data.
        width: channels of the first convolution.
        depth: number of convolutions or blocks.
        writers: blocks of digits to train on.
        photograph: the background's name.
        steps: optimizer steps.
        batch_size: images per step.
        learning_rate: peak of the one-cycle schedule.
        architecture: of `NETWORKS`.
    """

    split: str
    network: int
    width: int
    depth: int
    writers: tuple[int, ...]
    photograph: str
    steps: int
    batch_size: int = 64
    learning_rate: float = 3e-3
    architecture: str = "conv"

    kind: ClassVar[str] = "digits"

    def key(self) -> dict[str, Any]:
        """Return what the weights depend on, as plain data."""
        return {"version": RECIPE_VERSION, **asdict(self)}

    def build(self) -> DigitsNetwork:
        """Return the network with the weights that pretraining starts from."""
        return build_network(self)

    def batches(self) -> Iterator[Examples]:
        """Yield the batch of each step."""
        return _batches(self)

    @property
    def train_images(self) -> np.ndarray:
        """Indices of the digits trained on."""
        return np.setdiff1d(images_of(self.writers), self.test_images)

    @property
    def test_images(self) -> np.ndarray:
        """Indices of the digits of the same writers that are kept out."""
        images = images_of(self.writers)
        # At random: digits were written in order, so every fifth is nearly always a 0 or a 5.
        generator = np.random.default_rng([*_entropy(self), 2])
        return np.sort(generator.choice(images, int(TEST_SHARE * len(images)), replace=False))


def build_network(recipe: Recipe) -> DigitsNetwork:
    """Build the recipe's network with the weights pretraining starts from."""
    seed = int(np.random.SeedSequence(_entropy(recipe)).generate_state(1)[0])
    generator = torch.Generator().manual_seed(seed)
    return NETWORKS[recipe.architecture](Shape(recipe.width, recipe.depth), 10, generator)


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

    def watch(model: DigitsNetwork, optimizer: torch.optim.Optimizer) -> None:
        tracker = ImportanceTracker(backbone_parameters(model, model.get_classifier()))
        tracker.attach(optimizer)
        trackers.append(tracker)

    pretrain(recipe, progress, watch)
    return trackers[0].importance()


def pretrain(
    recipe: ProxyRecipe,
    progress: bool = False,
    watch: Callable[[DigitsNetwork, torch.optim.Optimizer], None] | None = None,
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


def _entropy(recipe: Recipe) -> list[int]:
    rest = [list(NETWORKS).index(recipe.architecture)] if recipe.architecture != "conv" else []
    return [ord(recipe.split[0]), recipe.network, recipe.width, recipe.depth, *rest]


def _batches(recipe: Recipe) -> Iterator[Examples]:
    generator = np.random.default_rng([*_entropy(recipe), 1])
    for start in range(0, recipe.steps, _CHUNK):
        steps = min(_CHUNK, recipe.steps - start)
        indices = generator.choice(recipe.train_images, steps * recipe.batch_size)
        drawn = draw_real(indices, recipe.photograph, recipe.split, generator, vary=True)
        for images, labels in zip(
            drawn.images.split(recipe.batch_size), drawn.labels.split(recipe.batch_size)
        ):
            yield Examples(images, labels)

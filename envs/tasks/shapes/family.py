"""The shapes family: segment circles, squares and triangles in scenes whose like was never seen."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from l2o.configs.schema import Named
from l2o.envs.objectives import Objective
from l2o.envs.tasks.axes import check_number, check_whole
from l2o.envs.tasks.base import Task, TaskFamily
from l2o.envs.tasks.proxy.family import SPLITS
from l2o.envs.tasks.shapes.drawing import CLASSES, HUES, Scenery, draw_scenes
from l2o.envs.tasks.shapes.network import LAYERS, ShapesNetwork
from l2o.envs.tasks.shapes.pretrain import load_pretrained
from l2o.registry import unknown_name

_STREAM = 11
"""Begins the entropy of a task's random streams, apart from other families'."""

FLAT = Scenery(texture=0.0, angle=0.0, shade=0.0, noise=0.02)
"""The source: as a simple program draws."""

TEXTURED = {
    "train": Scenery(texture=0.15, angle=0.0, shade=0.5, noise=0.05),
    "heldout": Scenery(texture=0.15, angle=np.pi / 2, shade=0.5, noise=0.05),
}
"""The proxy's scenes and the target's; stripes of the two splits run across each other."""


class ShapesFamily(TaskFamily):
    """Small segmentation tasks that are made in seconds and need no files.

    The proxy tells the hue of shapes on textured ground. A task's network is to tell their kind:
    it is fine-tuned on flat drawings, and scored on textured scenes.

    Args:
        split: "train" or "heldout".
        networks: pretrained networks that tasks draw from.
        pretrain_steps: optimizer steps of their pretraining.
        source_images: number of flat drawings to train on.
        source_validation_images: number of held-out drawings.
        target_validation_images: textured scenes that rewards may look at.
        target_test_images: textured scenes that only score.
        proxy_test_images: scenes that score what is kept of the proxy.
        steps: length of the fine-tune.
        batch_size: drawings per optimizer step.
        base_lr: default base learning rate.

    Raises:
        ValueError: an argument is impossible; the message says what it may be.

    Example:
        >>> task = ShapesFamily(networks=1).sample(seed=0)  # doctest: +SKIP
        >>> task.source_train.labels.shape  # doctest: +SKIP
        torch.Size([256, 16, 16])
    """

    name: ClassVar[str] = "shapes"
    objective: str | Named | Objective = "segmentation"

    def __init__(
        self,
        split: str = "train",
        *,
        networks: int = 2,
        pretrain_steps: int = 300,
        source_images: int = 256,
        source_validation_images: int = 64,
        target_validation_images: int = 64,
        target_test_images: int = 128,
        proxy_test_images: int = 64,
        steps: int = 100,
        batch_size: int = 16,
        base_lr: float = 0.05,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(unknown_name("split", split, list(SPLITS)))
        self.split = split
        self.networks = check_whole("networks", networks, 1, 1000)
        self.pretrain_steps = check_whole("pretrain_steps", pretrain_steps, 2, 1_000_000)
        self.batch_size = check_whole("batch_size", batch_size, 1, 100_000)
        self.sizes = {
            "source_train": source_images,
            "source_validation": source_validation_images,
            "target_validation": target_validation_images,
            "target_test": target_test_images,
            "proxy_test": proxy_test_images,
        }
        for role, size in self.sizes.items():
            check_whole(f"{role.removesuffix('_train')}_images", size, 1, 100_000)
        self.steps = check_whole("steps", steps, 1, 10_000_000)
        self.base_lr = check_number("base_lr", base_lr, 1e-9, 1e3)
        self._weights: dict[int, dict[str, Tensor]] = {}

    @property
    def max_layers(self) -> int:
        """Convolutions and head."""
        return LAYERS

    def prepare(self, progress: bool = True) -> None:
        """Pretrain (or load from the cache) every network of the pool."""
        del progress  # seconds
        for network in range(self.networks):
            self._pretrained(network)

    def sample(self, seed: int) -> Task:
        """Return the task of this seed; pretrains its network first if that is not cached."""
        check_whole("seed", seed, 0, 2**63)
        network = int(self._generator(seed, 0).integers(self.networks))
        weights = self._pretrained(network)
        source, real = self._generator(seed, 1), self._generator(seed, 2)
        scenes = TEXTURED[self.split]
        train = draw_scenes(self.sizes["source_train"], FLAT, source)
        proxy = proxy_model(weights)
        with torch.no_grad():
            logits = proxy(train.images)
        return Task(
            name=self.name,
            seed=seed,
            build_model=partial(build_model, weights, seed),
            proxy_head=proxy.get_classifier().requires_grad_(False),
            source_train=train,
            source_validation=draw_scenes(self.sizes["source_validation"], FLAT, source),
            target_validation=draw_scenes(self.sizes["target_validation"], scenes, real),
            target_test=draw_scenes(self.sizes["target_test"], scenes, real),
            proxy_test=draw_scenes(self.sizes["proxy_test"], scenes, real, by_hue=True),
            teacher_logits=logits,
            num_classes=len(CLASSES),
            objective=self.objective,
            batch_size=self.batch_size,
            steps=self.steps,
            base_lr=self.base_lr,
            description=self._describe(seed, network),
        )

    def _pretrained(self, network: int) -> dict[str, Tensor]:
        if network not in self._weights:
            found = load_pretrained(
                TEXTURED[self.split], [_STREAM, SPLITS[self.split], network], self.pretrain_steps
            )
            self._weights[network] = found
        return self._weights[network]

    def _generator(self, seed: int, purpose: int) -> np.random.Generator:
        """Return a generator of its own per purpose, so that one's draws never shift another's."""
        return np.random.default_rng([_STREAM, SPLITS[self.split], 1, seed, purpose])

    def _describe(self, seed: int, network: int) -> dict[str, Any]:
        return {
            "family": self.name,
            "split": self.split,
            "seed": seed,
            "network": network,
            "classes": list(CLASSES),
            "proxy_classes": list(HUES),
            "pretrain_steps": self.pretrain_steps,
        }


def proxy_model(weights: Mapping[str, Tensor]) -> ShapesNetwork:
    """Return a pretrained network with its own head."""
    model = ShapesNetwork(len(HUES), torch.Generator())
    model.load_state_dict(dict(weights))
    return model


def build_model(weights: Mapping[str, Tensor], head_seed: int) -> ShapesNetwork:
    """Return a pretrained network with a new head."""
    model = proxy_model(weights)
    model.reset_classifier(len(CLASSES), torch.Generator().manual_seed(head_seed))
    return model

"""The `textures` family: from random-phase noise to patches of photographs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from l2o.envs.tasks.axes import (
    Axis,
    check_range,
    check_whole,
    check_whole_range,
    draw_choice,
    draw_uniform,
    draw_whole,
)
from l2o.envs.tasks.base import Examples, Task
from l2o.envs.tasks.proxy import PretrainedBuilder, ProxyFamily
from l2o.envs.tasks.proxy.pretrain import load_importance
from l2o.envs.tasks.textures.light import Light
from l2o.envs.tasks.textures.photographs import (
    FIELDS,
    NUM_CLASSES,
    PHOTOGRAPHS,
    class_names,
    photograph_path,
)
from l2o.envs.tasks.textures.real import PROXY, ROLES, TARGET, Condition, draw_real
from l2o.envs.tasks.textures.recipe import Recipe
from l2o.envs.tasks.textures.synthetic import Synthesis, draw_exemplars, draw_synthetic


class TexturesFamily(ProxyFamily):
    """Real: 16 x 16 patches of photographs. Synthetic: noise with their spectra and colours.

    Which of eight photographs is a patch from? A proxy network is pretrained on half of their
    tiles. A task fine-tunes it, with a new head, on random-phase noise made from a few of the
    patches that the proxy saw; it is scored on patches of the other tiles, in duller light. Nothing
    is downloaded: the photographs come inside scikit-image (extra `textures`).

    As on `digits`, one rate for all layers forgets the real world where it is large (from 3 x the
    default base LR on), and a backbone at 0.1 x forgets less. Unlike there, source validation
    tells such rates apart, and proxy KL of weight 0.3 changes little. Difficulty and base LR were
    chosen on the split "train" alone.

    Made to try on what was learned on `digits`: no shipped policy is trained on it. The splits
    "train" and "heldout" (the default) share no photograph and no pretrained network. Proxy,
    target validation and target test share no tile of a photograph.

    Args:
        split: "train" or "heldout".
        networks: number of pretrained networks that tasks draw from. Each is pretrained once
            (seconds) and cached on disk under `$L2O_CACHE` or `~/.cache/l2o`.
        first_network: number of the pool's first network.
        architecture: of the networks, a name of `NETWORKS` (conv, residual, mlp, vit, mixer);
            several alternate among the networks, and so do several of `width` and `depth`.
        width: channels of the first convolution, or what stands for them.
        depth: number of convolutions or blocks; None is 4 for conv and 2 for all others.
        pretrain_steps: optimizer steps of the pretraining; several alternate among the networks.
            After few of them there is little to keep, and the backbone has to move.
        exemplars: number of patches of each class that noise is made from.
        source_images: number of synthetic training images.
        contrast: synthetic contrast varies up to this factor, up and down.
        brightness: largest shift of a synthetic image's channels, all alike.
        tint: largest shift of a synthetic image's channels, each for itself.
        source_validation_images: size of the synthetic validation set.
        target_validation_images: size of the real set that rewards may look at.
        target_test_images: size of the real set that only scores.
        proxy_test_images: size of the set that scores what is kept of the proxy.
        steps: length of the fine-tune; a task draws one of several.
        batch_size: synthetic images per optimizer step; a task draws one of several.
        base_lr: default base learning rate.

    `exemplars`, `source_images`, `contrast`, `brightness` and `tint` take a number, or a pair
    (low, high) from which each task draws.

    Raises:
        ValueError: an argument is impossible; the message says what it may be.
        MissingExtraError: scikit-image is not installed.

    Example:
        >>> task = TexturesFamily(networks=2).sample(seed=0)  # doctest: +SKIP
    """

    name: ClassVar[str] = "textures"
    stream: ClassVar[tuple[int, ...]] = (7,)

    def __init__(
        self,
        split: str = "heldout",
        *,
        networks: int = 4,
        first_network: int = 0,
        architecture: str | Sequence[str] = ("conv",),
        width: int | Sequence[int] = (8,),
        depth: int | Sequence[int] | None = None,
        pretrain_steps: int | Sequence[int] = 1200,
        exemplars: Axis = (2, 4),
        source_images: Axis = (512, 1024),
        contrast: Axis = (1.1, 1.3),
        brightness: Axis = (0.05, 0.1),
        tint: Axis = (0.02, 0.05),
        source_validation_images: int = 256,
        target_validation_images: int = 256,
        target_test_images: int = 512,
        proxy_test_images: int = 256,
        steps: int | Sequence[int] = 300,
        batch_size: int | Sequence[int] = 32,
        base_lr: float = 0.01,
    ) -> None:
        super().__init__(
            split,
            networks=networks,
            first_network=first_network,
            architecture=architecture,
            width=width,
            depth=depth,
            pretrain_steps=pretrain_steps,
            source_images=source_images,
            source_validation_images=source_validation_images,
            target_validation_images=target_validation_images,
            target_test_images=target_test_images,
            proxy_test_images=proxy_test_images,
            steps=steps,
            batch_size=batch_size,
            base_lr=base_lr,
        )
        photograph_path(PHOTOGRAPHS[split][0])  # that there are none is said at once
        self.exemplars = check_whole_range("exemplars", exemplars, 1, 10_000)
        self.contrast = check_range("contrast", contrast, 1, 10)
        self.brightness = check_range("brightness", brightness, 0, 1)
        self.tint = check_range("tint", tint, 0, 1)

    def recipe(self, network: int) -> Recipe:
        """Return how network number `network` of this split's pool is pretrained."""
        (architecture, width, depth), half = self._turn(network)
        return Recipe(
            split=self.split,
            network=network,
            architecture=architecture,
            width=width,
            depth=depth,
            field=FIELDS[half],
            steps=self._pretraining(network),
        )

    def sample(self, seed: int) -> Task:
        """Return the task of this seed; pretrains its network first if that is not cached."""
        check_whole("seed", seed, 0, 2**63)
        axes = self._generator(seed, 0)
        recipe = self.recipe(draw_whole(self._pool, axes))
        source_images = draw_whole(self.source_images, axes)
        synthesis = self._draw_synthesis(recipe, axes)
        source = self._generator(seed, 1)
        source_train = draw_synthetic(source_images, synthesis, source)
        source_validation = draw_synthetic(self.sizes["source_validation"], synthesis, source)
        build = PretrainedBuilder(recipe, self._pretrained(recipe.network), seed, NUM_CLASSES)
        other, real = target_field(recipe), self._generator(seed, 2)
        return Task(
            name=self.name,
            seed=seed,
            build_model=build,
            proxy_head=build.proxy_head(),
            source_train=source_train,
            source_validation=source_validation,
            target_validation=self._draw_role("target_validation", other, TARGET, real),
            target_test=self._draw_role("target_test", other, TARGET, real),
            proxy_test=self._draw_role("proxy_test", recipe.field, PROXY, real),
            teacher_logits=build.proxy_logits(source_train.images),
            num_classes=NUM_CLASSES,
            batch_size=draw_choice(self.batch_size, axes),
            steps=draw_choice(self.steps, axes),
            base_lr=self.base_lr,
            description=self._describe(seed, recipe, synthesis, source_images),
            importance=partial(load_importance, recipe),
        )

    def _draw_synthesis(self, recipe: Recipe, generator: np.random.Generator) -> Synthesis:
        count = draw_whole(self.exemplars, generator)
        contrast = draw_uniform(self.contrast, generator)
        light = Light(
            contrast=(1.0 / contrast, contrast),
            brightness=draw_uniform(self.brightness, generator),
            tint=draw_uniform(self.tint, generator),
        )
        return Synthesis(draw_exemplars(count, self.split, recipe.field, generator), light)

    def _draw_role(
        self, role: str, field: str, condition: Condition, generator: np.random.Generator
    ) -> Examples:
        return draw_real(self.sizes[role], self.split, field, ROLES[role], condition, generator)

    def _describe(
        self, seed: int, recipe: Recipe, synthesis: Synthesis, source_images: int
    ) -> dict[str, Any]:
        return {
            **self._describe_network(seed, recipe),
            "classes": list(class_names(self.split)),
            "proxy_field": recipe.field,
            "target_field": target_field(recipe),
            "pretrain_steps": recipe.steps,
            "source_images": source_images,
            "exemplars": synthesis.exemplars.shape[1],
            "contrast": synthesis.light.contrast[1],
            "brightness": synthesis.light.brightness,
            "tint": synthesis.light.tint,
        }


def target_field(recipe: Recipe) -> str:
    """Return the tiles that the proxy has not seen."""
    return FIELDS[1 - FIELDS.index(recipe.field)]

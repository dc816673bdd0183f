"""The `textures` family: from random-phase noise to patches of photographs."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np

from l2o.envs.tasks.axes import (
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
from l2o.envs.tasks.textures.options import TexturesOptions
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
        options: what may be chosen, see `TexturesOptions`; None takes its defaults.
        **fields: fields of `TexturesOptions`, in place of `options`.

    Raises:
        ValueError: an argument is impossible; the message says what it may be.
        MissingExtraError: scikit-image is not installed.

    Example:
        >>> task = TexturesFamily(TexturesOptions(networks=2)).sample(seed=0)  # doctest: +SKIP
    """

    name: ClassVar[str] = "textures"
    stream: ClassVar[tuple[int, ...]] = (7,)
    Options = TexturesOptions

    def __init__(self, options: TexturesOptions | None = None, **fields: Any) -> None:
        options = self.chosen(options, fields)
        super().__init__(options)
        photograph_path(PHOTOGRAPHS[self.split][0])  # that there are none is said at once
        self.exemplars = check_whole_range("exemplars", options.exemplars, 1, 10_000)
        self.contrast = check_range("contrast", options.contrast, 1, 10)
        self.brightness = check_range("brightness", options.brightness, 0, 1)
        self.tint = check_range("tint", options.tint, 0, 1)

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

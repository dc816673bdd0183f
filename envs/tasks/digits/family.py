"""The `digits` family: from printed digits in flat colours to handwriting on photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import torch

from l2o.envs.simulators import SIMULATORS, Distribution, Point, Simulator
from l2o.envs.simulators.distributions.written import given_distribution
from l2o.envs.tasks.axes import (
    check_names,
    check_range,
    check_whole,
    check_whole_range,
    draw_choice,
    draw_uniform,
    draw_whole,
)
from l2o.envs.tasks.base import Examples, TargetImages, Task
from l2o.envs.tasks.digits.fonts import fonts_of
from l2o.envs.tasks.digits.options import DigitsOptions
from l2o.envs.tasks.digits.photographs import PHOTOGRAPHS
from l2o.envs.tasks.digits.real import draw_real, repeat_to
from l2o.envs.tasks.digits.recipe import Recipe
from l2o.envs.tasks.digits.setting import Setting, mislabel, only, relabel
from l2o.envs.tasks.digits.synthetic import Rendering, draw_colours, draw_synthetic
from l2o.envs.tasks.digits.writers import SIZE, WRITERS, images_of
from l2o.envs.tasks.proxy import PretrainedBuilder, ProxyFamily
from l2o.envs.tasks.proxy.family import SPLITS
from l2o.envs.tasks.proxy.images import centre
from l2o.envs.tasks.proxy.pretrain import load_importance

_PROXY_WRITERS = 4


class DigitsFamily(ProxyFamily):
    """Real: UCI handwriting blended onto photographs. Synthetic: fonts in flat colours.

    A proxy network is pretrained on four writers' digits on one photograph. A task fine-tunes it,
    with a new head, on printed digits; it is scored on other writers' digits on the other
    photograph. Nothing is downloaded: digits and photographs come with scikit-learn, the fonts
    with matplotlib.

    At the default base LR a fine-tune that trains everything forgets the real world; a backbone at
    0.1 x forgets less; proxy KL of weight 0.3, the recommended one, helps both, a lot the first
    and a little the second; a frozen backbone is below the second.

    The splits "train" (meta-training) and "heldout" share no writer, no half of a photograph, no
    font and no pretrained network. Within a task the proxy's writers are not the target's.

    Args:
        options: what may be chosen, see `DigitsOptions`; None takes its defaults.
        **fields: fields of `DigitsOptions`, in place of `options`.

    Raises:
        ValueError: an argument is impossible; the message says what it may be.

    Example:
        >>> task = DigitsFamily(DigitsOptions(networks=2)).sample(seed=0)  # doctest: +SKIP
    """

    name: ClassVar[str] = "digits"
    Options = DigitsOptions

    def __init__(self, options: DigitsOptions | None = None, **fields: Any) -> None:
        options = self.chosen(options, fields)
        super().__init__(options)
        (self.photograph,) = check_names("photograph", options.photograph, [*PHOTOGRAPHS, "either"])
        fonts = len(fonts_of(self.split))
        self.fonts_per_task = check_whole_range("fonts_per_task", options.fonts_per_task, 1, fonts)
        self.rotation = check_range("rotation", options.rotation, 0, 45)
        self.shear = check_range("shear", options.shear, 0, 1)
        self.colours = check_whole_range("colours", options.colours, 1, 100_000)
        self.contrast = check_range("contrast", options.contrast, 0, 0.5)
        self.classes = check_whole_range("classes", options.classes, 2, 10)
        self.label_noise = check_range("label_noise", options.label_noise, 0, 1)
        self.sizes["proxy_train"] = check_whole(
            "proxy_train_images", options.proxy_train_images, 0, 100_000
        )
        self._psi = self._check_psi(options.psi)
        self._sources = self._check_sources(options.sources)
        self.sizes["target_train"] = check_whole(
            "target_train_images", options.target_train_images, 0, 100_000
        )

    def recipe(self, network: int) -> Recipe:
        """Return how network number `network` of this split's pool is pretrained."""
        (architecture, width, depth), half = self._turn(network)
        generator = np.random.default_rng([SPLITS[self.split], network])
        writers = generator.choice(WRITERS[self.split], _PROXY_WRITERS, replace=False)
        alternating = PHOTOGRAPHS[half]
        return Recipe(
            split=self.split,
            network=network,
            width=width,
            depth=depth,
            architecture=architecture,
            writers=tuple(sorted(int(writer) for writer in writers)),
            photograph=alternating if self.photograph == "either" else self.photograph,
            steps=self._pretraining(network),
        )

    def sample(self, seed: int) -> Task:
        """Return the task of this seed; pretrains its network first if that is not cached."""
        check_whole("seed", seed, 0, 2**63)
        axes = self._generator(seed, 0)
        recipe = self.recipe(draw_whole(self._pool, axes))
        rendering, source_images = self._draw_rendering(axes)
        source = self._generator(seed, 1)
        drawn = self._draw_setting(self._generator(seed, 4))
        counts = (source_images, self.sizes["source_validation"])
        source_of = None
        if self._sources:
            (source_train, source_of), (source_validation, _) = (
                self._draw_sources(count, source) for count in counts
            )
        elif self._psi is None:
            source_train, source_validation = (
                draw_synthetic(count, rendering, source, drawn.digits) for count in counts
            )
        else:
            source_train, source_validation = (
                self.simulated(self._psi, count, int(source.integers(2**63))) for count in counts
            )
        source_train = mislabel(source_train, drawn, self._generator(seed, 5))
        build = PretrainedBuilder(
            recipe,
            self._pretrained(recipe.network),
            head_seed=seed,
            num_classes=len(drawn.digits),
        )
        target = self._draw_target(recipe, drawn.digits, self._generator(seed, 2))
        unlabelled = self._draw_unlabelled(recipe, drawn.digits, seed)
        return Task(
            name=self.name,
            seed=seed,
            build_model=build,
            proxy_head=build.proxy_head(),
            source_train=source_train,
            source_validation=source_validation,
            target_validation=unlabelled.get("target_validation", target["target_validation"]),
            target_test=target["target_test"],
            target_train=_as_unlabelled(unlabelled.get("target_train")),
            proxy_test=self._draw_proxy_test(recipe, self._generator(seed, 3)),
            proxy_train=self._draw_proxy_train(recipe, seed),
            sources=tuple(self._sources),
            source_of=source_of,
            teacher_logits=build.proxy_logits(source_train.images),
            num_classes=len(drawn.digits),
            batch_size=drawn.batch_size,
            steps=drawn.steps,
            base_lr=self.base_lr,
            description=self._describe(seed, recipe, rendering, source_images, drawn),
            importance=partial(load_importance, recipe),
        )

    @cached_property
    def simulator(self) -> Simulator:
        """What draws the source's images where the option `psi` says from what."""
        return SIMULATORS["digits"](SIZE)

    def simulated(self, psi: Point | Distribution, count: int, seed: int) -> Examples:
        """Draw source images by the simulator, all ten digits, as its tasks take them.

        Args:
            psi: one point, or a distribution from which each image draws its own.
            count: number of images.
            seed: that they are drawn from.

        Raises:
            ValueError: a point that is not in the space, or nothing of a class was drawn.
        """
        drawn = self.simulator.render(psi, count, seed)
        pixels = torch.from_numpy(drawn.images).permute(0, 3, 1, 2).float() / 255.0
        return Examples(centre(pixels), torch.from_numpy(drawn.labels))

    def _check_psi(self, psi: Mapping[str, Any] | str | None) -> Distribution | None:
        if psi is None:
            return None
        if self.classes != (10, 10):
            raise ValueError(
                f"classes={self.classes} and psi: the simulator draws all ten digits; "
                "leave classes at 10"
            )
        return given_distribution(self.simulator, psi)

    def _check_sources(
        self, sources: Mapping[str, Mapping[str, Any] | str]
    ) -> dict[str, Distribution]:
        found = {name: self._check_psi(psi) for name, psi in sources.items()}
        if self._psi is not None and found:
            raise ValueError(
                f"psi and sources={[*found]} are both given; give each source its psi, and leave "
                "psi out"
            )
        return {name: psi for name, psi in found.items() if psi is not None}

    def _draw_sources(
        self, count: int, generator: np.random.Generator
    ) -> tuple[Examples, torch.Tensor]:
        """Draw images of all sources, as many of each, and the number of each one's source."""
        parts = np.array_split(np.arange(count), len(self._sources))
        drawn = [
            self.simulated(psi, len(part), int(generator.integers(2**63)))
            for psi, part in zip(self._sources.values(), parts, strict=True)
        ]
        of = [torch.full((len(part),), number) for number, part in enumerate(parts)]
        images, labels = (torch.cat([getattr(d, n) for d in drawn]) for n in ("images", "labels"))
        return Examples(images, labels), torch.cat(of)

    def _draw_rendering(self, generator: np.random.Generator) -> tuple[Rendering, int]:
        count = draw_whole(self.fonts_per_task, generator)
        fonts = generator.choice(fonts_of(self.split), count, replace=False)
        source_images = draw_whole(self.source_images, generator)
        colours = draw_whole(self.colours, generator)
        rendering = Rendering(
            fonts=tuple(sorted(str(font) for font in fonts)),
            rotation=draw_uniform(self.rotation, generator),
            shear=draw_uniform(self.shear, generator),
            colours=draw_colours(colours, draw_uniform(self.contrast, generator), generator),
        )
        return rendering, source_images

    def _draw_setting(self, generator: np.random.Generator) -> Setting:
        count = draw_whole(self.classes, generator)
        digits = np.sort(generator.choice(10, count, replace=False))
        return Setting(
            digits=tuple(int(digit) for digit in digits),
            label_noise=draw_uniform(self.label_noise, generator),
            steps=draw_choice(self.steps, generator),
            batch_size=draw_choice(self.batch_size, generator),
        )

    def _draw_target(
        self, recipe: Recipe, digits: Sequence[int], generator: np.random.Generator
    ) -> dict[str, Examples]:
        """Draw validation and test sets from disjoint halves of the other writers' digits."""
        images = only(generator.permutation(images_of(target_writers(recipe))), digits)
        halves = {"target_validation": images[::2], "target_test": images[1::2]}
        return self._draw_roles(halves, recipe, digits, generator)

    def _draw_unlabelled(
        self, recipe: Recipe, digits: Sequence[int], seed: int
    ) -> dict[str, Examples]:
        """Draw images to adapt to, if any are wanted, of two thirds of the validation's digits.

        The rest is then the validation set; what scores stays as it is.
        """
        if not self.sizes["target_train"]:
            return {}
        images = self._generator(seed, 2).permutation(images_of(target_writers(recipe)))
        half = only(images, digits)[::2]
        parts = {
            "target_train": half[np.arange(len(half)) % 3 > 0],
            "target_validation": half[::3],
        }
        return self._draw_roles(parts, recipe, digits, self._generator(seed, 6))

    def _draw_roles(
        self,
        images: Mapping[str, np.ndarray],
        recipe: Recipe,
        digits: Sequence[int],
        generator: np.random.Generator,
    ) -> dict[str, Examples]:
        """Draw sets of real images, by role, each from digits of its own."""
        photograph = target_photograph(recipe)
        return {
            role: relabel(
                draw_real(
                    repeat_to(own, self.sizes[role], generator),
                    photograph,
                    recipe.split,
                    generator,
                ),
                digits,
            )
            for role, own in images.items()
        }

    def _draw_proxy_test(self, recipe: Recipe, generator: np.random.Generator) -> Examples:
        indices = repeat_to(recipe.test_images, self.sizes["proxy_test"], generator)
        return draw_real(indices, recipe.photograph, recipe.split, generator)

    def _draw_proxy_train(self, recipe: Recipe, seed: int) -> Examples | None:
        """Draw images to rehearse of those that the proxy was pretrained on, if any are wanted."""
        count = self.sizes["proxy_train"]
        return recipe.draw(count, self._generator(seed, 7)) if count else None

    def _describe(
        self,
        seed: int,
        recipe: Recipe,
        rendering: Rendering,
        source_images: int,
        setting: Setting,
    ) -> dict[str, Any]:
        return {
            **self._describe_network(seed, recipe),
            "proxy_writers": list(recipe.writers),
            "target_writers": list(target_writers(recipe)),
            "proxy_photograph": recipe.photograph,
            "target_photograph": target_photograph(recipe),
            "pretrain_steps": recipe.steps,
            "source_images": source_images,
            "digits": list(setting.digits),
            "label_noise": setting.label_noise,
            "fonts": list(rendering.fonts),
            "rotation": rendering.rotation,
            "shear": rendering.shear,
            "colours": [list(pair) for pair in rendering.colours],
        }


def _as_unlabelled(drawn: Examples | None) -> TargetImages | None:
    return None if drawn is None else TargetImages(drawn, drawn, labelled=True)


def target_writers(recipe: Recipe) -> tuple[int, ...]:
    """Return the writers of a split that its proxy has not seen."""
    return tuple(writer for writer in WRITERS[recipe.split] if writer not in recipe.writers)


def target_photograph(recipe: Recipe) -> str:
    """Return the photograph that is not the proxy's."""
    return PHOTOGRAPHS[1 - PHOTOGRAPHS.index(recipe.photograph)]

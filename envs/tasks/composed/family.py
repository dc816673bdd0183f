"""The `composed` family: kinds of data x gaps x pretrainings x networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from l2o.envs.tasks.axes import (
    check_choices,
    check_names,
    check_range,
    check_whole,
    draw_choice,
    draw_uniform,
    draw_whole,
)
from l2o.envs.tasks.base import Task
from l2o.envs.tasks.composed.facts import describe
from l2o.envs.tasks.composed.kinds import KINDS
from l2o.envs.tasks.composed.options import ComposedOptions
from l2o.envs.tasks.composed.pretraining import PRETRAINING
from l2o.envs.tasks.composed.recipe import STREAM, Recipe
from l2o.envs.tasks.composed.setting import Setting, draw_labels, mislabel
from l2o.envs.tasks.composed.splits import MEMBERS, SPLITS
from l2o.envs.tasks.composed.world import World, draw_gaps, make_kind
from l2o.envs.tasks.proxy import NETWORKS, PretrainedBuilder, ProxyFamily
from l2o.envs.tasks.proxy.pretrain import load_importance

_TARGET_GAPS = (0.5, 0.35, 0.15)
_SOURCE_GAPS = (0.4, 0.4, 0.2)
"""Probability of none, one, two, ... made gaps on a side."""

_SLOWER = {"layernorm": 2.0, "vit": 2.0}
"""Architectures that need so many times the steps of pretraining to learn what the others do."""

_RATES = {"conv": 4e-3, "flat": 4e-3, "mlp": 4e-3}
"""Peak of the learning rate of pretraining, 1e-2 where it is not told: without normalisation, units
die at that."""

_NORMALISED = ("batchnorm", "depthwise")


class ComposedFamily(ProxyFamily):
    """Tasks by composition, on which no single rule of learning rates is right.

    A network of the pool is pretrained towards a target: images of some classes of a kind of data,
    in a look of their own, perhaps blurred, noisy or turned. What it has seen of it differs: the
    same classes, well or hardly or by heart, other classes, another kind of data, a pretext, or
    nothing. A task fine-tunes it on source images of the same classes, in the kind's cheap form
    and with gaps of their own, and is scored on the target. Where the pretraining has told the
    network what it needs, a still backbone is best; where it has not, the backbone has to move.

    The split "heldout" shares no kind of data, pretraining, architecture, real image, font or
    network with the others; "validation" is made of the members of "train", with other networks,
    looks and tasks. Of "heldout" other members may be named, so that one axis is new at a time.

    Args:
        options: what may be chosen, see `ComposedOptions`; None takes its defaults.
        **fields: fields of `ComposedOptions`, in place of `options`.

    Raises:
        ValueError: an argument is impossible; the message says what it may be.
        MissingExtraError: scikit-image is not installed, where a kind needs its photographs.

    Example:
        >>> task = ComposedFamily(networks=2).sample(seed=0)  # doctest: +SKIP
        >>> task.description["pretraining"]  # doctest: +SKIP
        'related'
    """

    name: ClassVar[str] = "composed"
    splits = SPLITS
    stream: ClassVar[tuple[int, ...]] = (STREAM,)
    Options = ComposedOptions

    def __init__(self, options: ComposedOptions | None = None, **fields: Any) -> None:
        options = self.chosen(options, fields)
        members = MEMBERS.get(options.split, MEMBERS["train"])
        architecture = options.architecture or members.architectures
        super().__init__(replace(options, architecture=architecture))
        self.options = options
        self.kinds = self._members("kind", options.kind, members.kinds, list(KINDS))
        shares = members.pretraining
        self.pretraining = self._members(
            "pretraining", options.pretraining, tuple(shares), list(PRETRAINING)
        )
        self._members("architecture", architecture, members.architectures, list(NETWORKS))
        named = options.pretraining is not None
        self._shares = np.array([1.0 if named else shares[name] for name in self.pretraining])
        self.classes = check_choices("classes", options.classes, range(2, 41))
        self.label_noise = check_range("label_noise", options.label_noise, 0, 1)
        self.imbalance = check_range("imbalance", options.imbalance, 1, 1000)

    def _members(
        self,
        axis: str,
        chosen: str | Sequence[str] | None,
        own: tuple[str, ...],
        known: Sequence[str],
    ) -> tuple[str, ...]:
        """Return an axis's members, or raise ValueError for what the split must not have."""
        if chosen is None:
            return own
        names = check_names(axis, chosen, known)
        wrong = [name for name in names if name not in own]
        if wrong and self.split != "heldout":
            raise ValueError(
                f"{axis}={wrong[0]!r} is held out from the split {self.split!r}, which has "
                f"{', '.join(own)}; name one of those, or take split='heldout'"
            )
        return names

    def recipe(self, network: int) -> Recipe:
        """Return how network number `network` of this split's pool is pretrained, and for what."""
        (architecture, width, depth), _ = self._turn(network)
        generator = np.random.default_rng([STREAM, SPLITS[self.split], network])
        kind = self.kinds[int(generator.integers(len(self.kinds)))]
        shares = self._shares / self._shares.sum()
        name = self.pretraining[int(generator.choice(len(shares), p=shares))]
        pretraining = PRETRAINING[name]
        target = self._draw_target(kind, pretraining.other_classes, generator)
        trained = architecture in _NORMALISED and bool(generator.random() < 0.5)
        length = pretraining.length * _SLOWER.get(architecture, 1.0)
        steps = round(length * self._pretraining(network))
        return Recipe(
            split=self.split,
            network=network,
            architecture=architecture,
            width=width,
            depth=depth,
            steps=max(2, steps),
            learning_rate=pretraining.rate * _RATES.get(architecture, 1e-2),
            target=target,
            origin=pretraining.origin(target, self.kinds, generator),
            pretraining=name,
            batch_norm="trained" if trained else "frozen",
        )

    def _draw_target(self, kind: str, twice: bool, generator: np.random.Generator) -> World:
        """Draw classes, look and gaps of a target."""
        data = MEMBERS[self.split].data
        every = make_kind(kind, data).num_classes
        room = every // 2 if twice else every
        counts = [count for count in self.classes if count <= room] or [room]
        count = counts[int(generator.integers(len(counts)))]
        classes = np.sort(generator.choice(every, count, replace=False))
        seed = int(generator.integers(2**31))
        gaps = draw_gaps(_TARGET_GAPS, generator)
        return World(kind, data, "target", tuple(int(c) for c in classes), seed, gaps)

    def sample(self, seed: int) -> Task:
        """Return the task of this seed; pretrains its network first if that is not cached."""
        check_whole("seed", seed, 0, 2**63)
        axes = self._generator(seed, 0)
        recipe = self.recipe(draw_whole(self._pool, axes))
        target = recipe.target
        source = replace(
            target,
            side="source",
            seed=int(axes.integers(2**31)),
            gaps=draw_gaps(_SOURCE_GAPS, axes),
        )
        setting = self._draw_setting(axes)
        count, drawn = len(target.classes), self._generator(seed, 1)
        labels = draw_labels(setting.source_images, count, setting.imbalance, drawn)
        source_train = source.draw(labels, "source", drawn)
        source_train = mislabel(source_train, count, setting.label_noise, self._generator(seed, 2))
        real = self._generator(seed, 3)
        build = PretrainedBuilder(recipe, self._pretrained(recipe.network), seed, count)
        sizes = self.sizes
        return Task(
            name=self.name,
            seed=seed,
            build_model=build,
            proxy_head=build.proxy_head(),
            source_train=source_train,
            source_validation=source.draw_balanced(sizes["source_validation"], "source", drawn),
            target_validation=target.draw_balanced(sizes["target_validation"], "validation", real),
            target_test=target.draw_balanced(sizes["target_test"], "test", real),
            proxy_test=recipe.draw_test(sizes["proxy_test"], real),
            teacher_logits=build.proxy_logits(source_train.images),
            num_classes=count,
            batch_size=setting.batch_size,
            steps=setting.steps,
            base_lr=self.base_lr,
            batch_norm=recipe.batch_norm,
            description=describe(self._describe_network(seed, recipe), recipe, source, setting),
            importance=partial(load_importance, recipe),
        )

    def _draw_setting(self, generator: np.random.Generator) -> Setting:
        low, high = self.source_images
        images = float(np.exp(generator.uniform(np.log(low), np.log(high))))
        noisy, uneven = generator.random(2) < 0.5
        noise = draw_uniform(self.label_noise, generator)
        imbalance = draw_uniform(self.imbalance, generator)
        return Setting(
            source_images=round(images),
            label_noise=noise if noisy else 0.0,
            imbalance=imbalance if uneven else 1.0,
            steps=draw_choice(self.steps, generator),
            batch_size=draw_choice(self.batch_size, generator),
        )

"""The contract of families whose tasks fine-tune one of a pool of small pretrained networks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from torch import Tensor

from l2o.envs.tasks.axes import (
    check_choices,
    check_names,
    check_number,
    check_whole,
    check_whole_range,
)
from l2o.envs.tasks.base import TaskFamily
from l2o.envs.tasks.proxy.cache import cache_path
from l2o.envs.tasks.proxy.networks import NETWORKS
from l2o.envs.tasks.proxy.options import ProxyOptions
from l2o.envs.tasks.proxy.pretrain import load_pretrained
from l2o.envs.tasks.proxy.recipe import ProxyRecipe
from l2o.envs.tasks.proxy.shapes import list_shapes
from l2o.registry import unknown_name

Chosen = TypeVar("Chosen", bound=ProxyOptions)
SPLITS = {"train": 0, "heldout": 1}


class ProxyFamily(TaskFamily):
    """Checks what such families have in common, and holds their pool of pretrained networks.

    The networks of a pool alternate among architectures, and those of an architecture among its
    shapes. Subclasses say how a network is pretrained (`recipe`), what a task is (`sample`) and
    which options it has more (`Options`).

    Args:
        options: what may be chosen.

    Attributes:
        Options: the class of its options; their fields are what a config may give.
        splits: its splits, and what each seeds random streams with.
        stream: begins the entropy of a task's random streams, apart from other families'.
        shapes: of each architecture, what its networks alternate among.
        sizes: number of images by role, but for `source_train`.

    Raises:
        ValueError: an argument is impossible; the message says what it may be.
    """

    splits: ClassVar[Mapping[str, int]] = SPLITS
    stream: ClassVar[tuple[int, ...]] = ()
    Options: ClassVar[type[Any]] = ProxyOptions

    def __init__(self, options: ProxyOptions) -> None:
        self.options = options
        if options.split not in self.splits:
            raise ValueError(unknown_name("split", options.split, list(self.splits)))
        self.split = options.split
        self.networks = check_whole("networks", options.networks, 1, 1000)
        self.first_network = check_whole("first_network", options.first_network, 0, 1_000_000)
        self.width = check_choices("width", options.width, range(1, 65))
        self.architecture = check_names("architecture", options.architecture, list(NETWORKS))
        self.shapes = [list_shapes(name, self.width, options.depth) for name in self.architecture]
        self.pretrain_steps = check_choices(
            "pretrain_steps", options.pretrain_steps, range(2, 1_000_001)
        )
        self.batch_size = check_choices("batch_size", options.batch_size, range(1, 100_001))
        self.source_images = check_whole_range(
            "source_images", options.source_images, max(self.batch_size), 100_000
        )
        self.sizes = {
            role: check_whole(f"{role}_images", getattr(options, f"{role}_images"), 1, 100_000)
            for role in ("source_validation", "target_validation", "target_test", "proxy_test")
        }
        self.steps = check_choices("steps", options.steps, range(1, 10_000_001))
        self.base_lr = check_number("base_lr", options.base_lr, 1e-9, 1e3)
        self._weights: dict[int, dict[str, Tensor]] = {}

    @classmethod
    def chosen(cls, options: Chosen | None, fields: Mapping[str, Any]) -> Chosen:
        """Return the options given, or those that have these fields.

        Raises:
            TypeError: options of another family, both at once, or an unknown field.
        """
        if options is None:
            made: Chosen = cls.Options(**fields)
            return made
        if fields or not isinstance(options, cls.Options):
            raise TypeError(
                f"{cls.__name__} takes {cls.Options.__name__}(...), or its fields as keywords, got "
                f"{options!r:.100}" + (f" and {', '.join(fields)}" if fields else "")
            )
        return options

    @abstractmethod
    def recipe(self, network: int) -> ProxyRecipe:
        """Return how network number `network` of this split's pool is pretrained."""

    @property
    def max_layers(self) -> int:
        """Layer groups of the deepest network."""
        every = [shape for shapes in self.shapes for shape in shapes]
        return max(NETWORKS[name].count_layers(depth) for name, _, depth in every)

    @property
    def _pool(self) -> tuple[int, int]:
        """Numbers of the pool's first and last network."""
        return self.first_network, self.first_network + self.networks - 1

    def prepare(self, progress: bool = True) -> None:
        """Pretrain (or load from the cache) every network of this split's pool."""
        first, last = self._pool
        for network in range(first, last + 1):
            self._pretrained(network, progress)

    def cached_files(self) -> list[Path]:
        """Return the files of this pool's weights."""
        first, last = self._pool
        recipes = [self.recipe(network) for network in range(first, last + 1)]
        return [cache_path(recipe.kind, recipe.key()) for recipe in recipes]

    def _pretrained(self, network: int, progress: bool = False) -> dict[str, Tensor]:
        """Return a network's pretrained weights; they are not to be changed."""
        if network not in self._weights:
            self._weights[network] = load_pretrained(self.recipe(network), progress)
        return self._weights[network]

    def _turn(self, network: int) -> tuple[tuple[str, int, int], int]:
        """Return a network's architecture, width and depth, and which of two halves it has.

        Raises:
            ValueError: the pool has no such network.
        """
        check_whole("network", network, *self._pool)
        turn, place = divmod(network, len(self.shapes))
        shapes = self.shapes[place]
        # The shift keeps half and shape from running in step when both alternate by two.
        half = (turn + turn // len(shapes) * (len(shapes) % 2 == 0)) % 2
        return shapes[turn % len(shapes)], half

    def _pretraining(self, network: int) -> int:
        """Return the steps of a network's pretraining: every shape comes with each in turn."""
        turn, place = divmod(network, len(self.shapes))
        lap, shape = divmod(turn, len(self.shapes[place]))
        # Architectures begin at different ones; the last shift is the one against the halves.
        lengths = self.pretrain_steps
        return lengths[(place + shape + lap + lap // len(lengths)) % len(lengths)]

    def _generator(self, seed: int, purpose: int) -> np.random.Generator:
        """Return a generator of its own per purpose, so that one's draws never shift another's."""
        return np.random.default_rng([*self.stream, self.splits[self.split], seed, purpose])

    def _describe_network(self, seed: int, recipe: ProxyRecipe) -> dict[str, Any]:
        """Return what a task's description begins with."""
        return {
            "family": self.name,
            "split": self.split,
            "seed": seed,
            "network": recipe.network,
            "architecture": recipe.architecture,
            "width": recipe.width,
            "depth": recipe.depth,
        }

"""The `garments` family: from drawn garments to photographs, with a network of ImageNet."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from l2o.configs.schema import Named
from l2o.envs.networks.base import PretrainedNetwork
from l2o.envs.networks.load import load_network
from l2o.envs.objectives import Objective
from l2o.envs.simulators import SIMULATORS, Distribution, Point, Simulator
from l2o.envs.simulators.distributions import Fixed
from l2o.envs.simulators.distributions.written import given_distribution
from l2o.envs.tasks.axes import check_whole
from l2o.envs.tasks.base import TargetImages, Task, TaskFamily
from l2o.envs.tasks.garments.data import ByteImages
from l2o.envs.tasks.garments.drawn import draw_garments
from l2o.envs.tasks.garments.natural import draw_crops
from l2o.envs.tasks.garments.options import SPLIT, GarmentsOptions
from l2o.envs.tasks.garments.photographs import SIDE, load_part

_STREAM = 13
"""Begins the entropy of a task's random streams, apart from other families'."""
_ROLES = ("source_train", "source_validation", "target_validation", "target_test", "proxy_test")


class GarmentsFamily(TaskFamily):
    """Ten garments: drawn by a program to train on, photographs of Fashion-MNIST to score on.

    The network is an EfficientNet-Lite0 that knows ImageNet, or another one. The drawing was tuned
    by eye and by numbers on Fashion-MNIST's 60,000 training photographs alone; `target_test` is
    drawn from its 10,000 test photographs alone, and nothing else here reads them.

    What is kept of the pretraining is how often the fine-tuned network, under its old classifier,
    still answers as the frozen one does, on natural photographs and on garments
    (`Task.proxy_answers`).

    No policy is trained or selected on this family: it has no split "train".

    Args:
        options: what may be chosen, see `GarmentsOptions`; None takes its defaults.
        **fields: fields of `GarmentsOptions`, in place of `options`.

    Raises:
        ValueError: an option is impossible; the message says what it may be.
        FileNotFoundError: on `sample`, the photographs are not there.
        MissingExtraError: on `sample`, timm or scikit-image is not installed.

    Example:
        >>> task = GarmentsFamily(size=32).sample(seed=0)  # doctest: +SKIP
        >>> task.classes[:3]  # doctest: +SKIP
        ('t-shirt', 'trouser', 'pullover')
    """

    name: ClassVar[str] = "garments"
    held_out_because: ClassVar[str] = (
        "garments are a benchmark that nothing is trained on; train on digits"
    )
    Options: ClassVar[type[GarmentsOptions]] = GarmentsOptions
    in_memory: bool = False
    split: str = SPLIT

    def __init__(self, options: GarmentsOptions | None = None, **fields: Any) -> None:
        if options is not None and fields:
            raise TypeError(
                f"give GarmentsOptions or its fields, not both; got {', '.join(fields)}"
            )
        self.options = GarmentsOptions(**fields) if options is None else options
        self.objective: str | Named | Objective = (
            "segmentation" if self.options.segmentation else "classification"
        )
        self._psi = given_distribution(self.simulator, self.options.psi)

    @cached_property
    def simulator(self) -> Simulator:
        """What draws, at the size of the photographs."""
        return SIMULATORS["garments"](SIDE)

    @cached_property
    def network(self) -> PretrainedNetwork:
        """The pretrained network, loaded when it is first needed."""
        return load_network(
            self.options.network,
            classes=len(self.classes),
            pretrained=self.options.pretrained,
            weights=self.options.find_weights(),
            head=self.options.head(),
            inputs={"size": (self.options.size, self.options.size)},
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels."""
        if self.options.segmentation:
            return self.simulator.mask_classes
        return self.simulator.classes

    @property
    def max_layers(self) -> int:
        """Layer groups of the network."""
        return self.network.layers

    def sample(self, seed: int) -> Task:
        """Return the task of this seed: its drawings, and its part of the photographs."""
        check_whole("seed", seed, 0, 2**63)
        options, network = self.options, self.network
        return Task(
            name=self.name,
            seed=seed,
            build_model=network.build,
            proxy_head=network.proxy_head,
            source_train=self._drawn("source_train", options.source_images, seed),
            source_validation=self._drawn(
                "source_validation", options.source_validation_images, seed
            ),
            target_validation=self._photographs("target_validation", seed),
            target_test=self._photographs("target_test", seed),
            target_train=self._unlabelled(seed),
            proxy_test=self._proxy_test(seed),
            num_classes=len(self.classes),
            objective=self.objective,
            proxy_objective="classification",
            batch_size=options.batch_size,
            steps=options.steps,
            base_lr=options.base_lr,
            classes=self.classes,
            proxy_answers=True,
            network=network,
            description=self._describe(seed),
        )

    def _drawn(self, role: str, count: int, seed: int) -> ByteImages:
        entropy = np.random.SeedSequence([_STREAM, seed, _ROLES.index(role)])
        number = int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1))
        return self._data(*draw_garments(self.simulator, self._psi, count, number))

    def simulated(self, psi: Point | Distribution, count: int, seed: int) -> ByteImages:
        """Draw source images, as the family's tasks take them.

        Args:
            psi: one point, or a distribution from which each image draws its own.
            count: number of images.
            seed: that they are drawn from.

        Raises:
            ValueError: a point that is not in the space, or nothing of a class was drawn.
        """
        return self._data(*draw_garments(self.simulator, psi, count, seed, keep=False))

    def _photographs(self, role: str, seed: int) -> ByteImages:
        """Return this task's part of the photographs of a role."""
        found, count = load_part(role, self.options.root), getattr(self.options, f"{role}_images")
        chosen = self._generator(role, seed).permutation(len(found.labels))[:count]
        labels = torch.from_numpy(found.labels[chosen].astype(np.int64))
        return self._data(torch.from_numpy(found.images[chosen]), labels)

    def _unlabelled(self, seed: int) -> TargetImages | None:
        """Return photographs to adapt to: the last of the order whose first are for rewards."""
        count = self.options.target_train_images
        if not count:
            return None
        found = load_part("target_validation", self.options.root)
        order = self._generator("target_validation", seed).permutation(len(found.labels))
        chosen = order[len(order) - count :]
        labels = torch.from_numpy(found.labels[chosen].astype(np.int64))
        data = self._data(torch.from_numpy(found.images[chosen]), labels)
        return TargetImages(data, data, labelled=True)

    def _proxy_test(self, seed: int) -> ByteImages:
        """Return natural photographs and such of garments; their labels do not count."""
        size, count = self.options.size, self.options.proxy_test_images
        generator = self._generator("proxy_test", seed)
        natural = draw_crops(-(-count // 2), size, generator)
        pool = load_part("proxy_test", self.options.root).images
        chosen = torch.from_numpy(pool[generator.permutation(len(pool))[: count // 2]])
        scaled = functional.interpolate(chosen[:, None].float(), (size, size), mode="bilinear")
        garments = scaled.round().to(torch.uint8).expand(-1, 3, -1, -1)
        images = torch.cat([natural, garments])
        return ByteImages(images, torch.zeros(len(images)).long(), size, self.network.inputs)

    def _data(self, images: Tensor, labels: Tensor) -> ByteImages:
        told = None if self.options.segmentation else labels
        return ByteImages(images, told, self.options.size, self.network.inputs)

    def _generator(self, role: str, seed: int) -> np.random.Generator:
        """Return a generator of its own per role, so that one's draws never shift another's."""
        return np.random.default_rng([_STREAM, seed, _ROLES.index(role)])

    def _describe(self, seed: int) -> dict[str, Any]:
        return {
            "family": self.name,
            "split": self.split,
            "seed": seed,
            "classes": list(self.classes),
            "size": self.options.size,
            "source_images": self.options.source_images,
            "psi": self._psi.psi if isinstance(self._psi, Fixed) else self._psi.to_plain(),
            "network": dict(self.network.description),
        }

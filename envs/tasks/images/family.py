"""The contract of families over image files: folders are listed once, splits drawn by the seed."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from l2o.envs.networks.base import Inputs, PretrainedNetwork
from l2o.envs.tasks.axes import check_whole
from l2o.envs.tasks.base import Task, TaskFamily
from l2o.envs.tasks.images.augment import training_transform
from l2o.envs.tasks.images.listing import list_images
from l2o.envs.tasks.images.options import ImageOptions
from l2o.envs.tasks.images.splits import Domains, draw_splits
from l2o.envs.tasks.images.task import image_task

Chosen = TypeVar("Chosen", bound=ImageOptions)


class ImageFamily(TaskFamily, Generic[Chosen]):
    """Tasks on image files. Seeds differ in what is held out, and in the new head.

    Subclasses say what lies where (`find`), and which options they have more (`Options`).

    Args:
        options: what may be chosen; or its fields as keywords.

    Attributes:
        Options: the class of its options; their fields are what a config may give.
        masks: whether labels are masks.

    Raises:
        TypeError: options of another family, both at once, or an unknown field.
        ValueError: a value is impossible.
    """

    Options: ClassVar[type[Any]] = ImageOptions
    masks: ClassVar[bool] = False
    in_memory = False

    def __init__(self, options: Chosen | None = None, **fields: Any) -> None:
        if options is None:
            options = self.Options(**fields)
        elif fields or not isinstance(options, self.Options):
            raise TypeError(
                f"{type(self).__name__} takes {self.Options.__name__}(...), or its fields as "
                f"keywords, got {options!r:.100}" + (f" and {', '.join(fields)}" if fields else "")
            )
        self.options: Chosen = options
        self.split = "train"
        # Unknown names are told before any folder is looked into.
        training_transform(options.augmentations(), Inputs(), self.masks)

    @abstractmethod
    def find(self) -> Domains:
        """List the folders.

        Raises:
            ValueError: something is missing; the message says what, and where it is to be had.
        """

    @cached_property
    def domains(self) -> Domains:
        """What was found in the folders."""
        found = self.find()
        if len(found.classes) < 2:
            raise ValueError(
                f"the source has the classes {', '.join(found.classes) or 'none'}; there must be "
                "two at least, each in a folder of its own"
            )
        return found

    @cached_property
    def network(self) -> PretrainedNetwork:
        """The pretrained network, with a head for the classes."""
        from l2o.envs.networks.load import load_network

        found: PretrainedNetwork = load_network(
            self.options.network,
            classes=len(self.domains.classes),
            pretrained=self.options.pretrained,
            weights=self.options.weights,
            head=self.options.head,
            inputs=self.options.network_inputs(),
        )
        return found

    @property
    def max_layers(self) -> int:
        """Layer groups of the network."""
        return self.network.layers

    def prepare(self, progress: bool = True) -> None:
        """List the folders and load the network."""
        del progress
        _ = self.domains, self.network

    def sample(self, seed: int) -> Task:
        """Return the task of this seed: what is held out is drawn by it."""
        check_whole("seed", seed, 0, 2**63)
        domains = self.domains
        return image_task(
            name=self.name,
            seed=seed,
            options=self.options,
            network=self.network,
            splits=draw_splits(domains, self.options, seed),
            classes=domains.classes,
            objective=self.objective,
            sources=domains.sources,
            facts=domains.facts,
        )

    def retention(self) -> Any:
        """Return the listing of the photographs that retention is measured on, if there are any."""
        folder = self.options.retention
        return None if folder is None else list_images(folder)

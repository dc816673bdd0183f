"""What families over image files have in common to choose."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from l2o.configs.schema import Named
from l2o.envs.tasks.axes import check_number, check_whole
from l2o.envs.tasks.base import check_mode
from l2o.envs.tasks.images.pixels import OnCorrupt

_MOST_WORKERS = 4


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """How a network is fine-tuned on images; all families over image files take these.

    Raises:
        ValueError: a value is impossible; the message says what it may be.
    """

    network: str = "timm:resnet50"
    """The pretrained network, `library:architecture`, or `package.module:Name` of your own."""
    pretrained: bool = True
    """Whether it has its pretrained weights; without them there is nothing to keep."""
    weights: str | None = None
    """A file of weights, or a library's name of some; None: the library's own."""
    head: str | Named | Mapping[str, Any] = "linear"
    """The new head, by name, with options or not: `mlp`, `{name: mlp, hidden: 512}`."""
    size: int | None = None
    """Height and width that the network is given; None: what it was pretrained with."""
    inputs: Mapping[str, Any] | None = None
    """What else its images are to be like: any of mean, std, interpolation, crop_share."""
    resize: int | None = None
    """What the shorter side is shrunk to, first; None: what scoring needs; masks: nothing."""
    augment: tuple[str | Named, ...] | str | Named = ("flip_crop",)
    """Augmentations of training, one after the other, by name, with options or not."""
    steps: int | None = None
    """Optimizer steps; None: by `epochs`."""
    epochs: float | None = None
    """Passes through the source images; None: 10, unless `steps` says how long."""
    batch_size: int = 32
    """Images per optimizer step."""
    base_lr: float = 0.01
    """The base learning rate."""
    batch_norm: Literal["frozen", "trained"] = "frozen"
    """Whether statistics of batch norm stay those of the pretraining, or follow the source."""
    mode: Literal["train", "eval"] = "train"
    """The network's mode in training; "eval": that of scoring, so without dropout, too."""
    flip_average: bool = False
    """Whether images are scored together with their mirror images: the mean of both sigmoids."""
    workers: int | None = None
    """Processes that read ahead; None: one less than there are cores, 4 at most; 0: none."""
    cache: bool = True
    """Whether decoded and shrunk images are kept on disk for later epochs and runs."""
    cache_gb: float = 8.0
    """What all caches of images may take, in GB."""
    on_corrupt: OnCorrupt = "error"
    """What happens where an image cannot be read: "error", or "skip": the next takes its place."""
    validation: float | str = 0.1
    """Share of the source that is held out to choose by, or a folder of images of its own."""
    target_validation: float = 0.2
    """Share of the target that rewards may look at; what is left only scores."""
    unlabelled: float | str | None = None
    """Real images without labels that methods adapt to: a share of those that would score, drawn
    without a look at labels, which then score no more; or a folder of others. None: none."""
    retention: str | None = None
    """A folder of photographs that tell what is kept of the pretraining; None: the target's."""
    scoring_batch: int | None = None
    """Images per forward pass when scoring; None: 64, or 1 where images differ in size."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(value))
        if not isinstance(self.augment, tuple):
            object.__setattr__(self, "augment", (self.augment,))
        if self.steps is not None and self.epochs is not None:
            raise ValueError(
                f"steps={self.steps} and epochs={self.epochs} both say how long; give one of them"
            )
        for name in ("size", "resize", "steps", "scoring_batch", "batch_size"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1, 10_000_000)
        if self.workers is not None:
            check_whole("workers", self.workers, 0, 1000)
        if self.epochs is not None:
            check_number("epochs", self.epochs, 1e-6, 1e6)
        check_number("base_lr", self.base_lr, 1e-12, 1e3)
        check_number("cache_gb", self.cache_gb, 0.0, 1e6)
        _check_share("target_validation", self.target_validation)
        if not isinstance(self.validation, str):
            _check_share("validation", self.validation)
        if self.unlabelled is not None and not isinstance(self.unlabelled, str):
            check_number("unlabelled", self.unlabelled, 1e-6, 1.0)
        self.network_inputs()
        _check_word("batch_norm", self.batch_norm, ("frozen", "trained"))
        check_mode(self.mode, self.batch_norm)
        _check_word("on_corrupt", self.on_corrupt, ("error", "skip"))

    def augmentations(self) -> tuple[str | Named, ...]:
        """Return the augmentations; what a config has as plain data is made of it."""
        given: Any = self.augment  # a tuple by now
        return tuple(Named(**each) if isinstance(each, Mapping) else each for each in given)

    def network_inputs(self) -> dict[str, Any] | None:
        """Return what the network's images are to be like, as far as it is not the network's own.

        Raises:
            ValueError: `inputs` has a size, and `size` is another.
        """
        found = dict(self.inputs or {})
        if self.size is not None:
            if "size" in found:
                raise ValueError(f"size={self.size} and inputs={found} both have a size; give one")
            found["size"] = (self.size, self.size)
        return found or None

    def count_steps(self, images: int) -> int:
        """Return the length of a fine-tune on so many images, in optimizer steps."""
        if self.steps is not None:
            return self.steps
        epochs = 10.0 if self.epochs is None else self.epochs
        return max(1, round(epochs * (images // min(self.batch_size, images))))

    def count_workers(self) -> int:
        """Return the number of processes that read ahead."""
        if self.workers is not None:
            return self.workers
        return max(0, min(_MOST_WORKERS, (os.cpu_count() or 1) - 1))

    def told(self) -> dict[str, Any]:
        """Return the options as plain data, for cards and reports."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _plain(value) for name, value in found.items()}


def _check_share(name: str, value: float) -> None:
    """Raise ValueError unless a share lies between 0 and 1, neither included."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < 1.0:
        raise ValueError(
            f"{name}={value!r} must be a share between 0 and 1, neither of them included"
        )


def _check_word(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ValueError unless a word is one of some."""
    if value not in known:
        raise ValueError(f"{name}={value!r} is none of {', '.join(known)}")


def _plain(value: Any) -> Any:
    if isinstance(value, Named):
        return value.model_dump()
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)

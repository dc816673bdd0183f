"""Augmentations by name, and the transforms that they make: random ones of training, and scoring's.

A transform takes uint8 `[3, H, W]` and gives uint8 of the network's size; with a mask beside, both
move alike. All that is random is drawn from torch's global generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from l2o.configs.schema import Named
from l2o.envs.build import build
from l2o.envs.networks.base import Inputs
from l2o.envs.tasks.images.scale_crop_mirror import ScaleCropMirror
from l2o.extras import needed_by

Transform = Callable[..., Any]
"""Image, or image and mask -> the same, changed."""


@dataclass(frozen=True)
class Augmentation:
    """A member of `AUGMENTATIONS`.

    Attributes:
        transform: what it does; None: nothing.
        sized: whether what it gives has the size that the network takes.
        masks: whether masks move along.
    """

    transform: Transform | None
    sized: bool = False
    masks: bool = True


def none(inputs: Inputs) -> Augmentation:
    """Return what changes nothing: images are trained on as they are scored."""
    del inputs
    return Augmentation(None)


def centre(inputs: Inputs, resize: int | None = None) -> Augmentation:
    """Return the shorter side resized (None: as for scoring), then the centre cut out, no more."""
    if resize is not None and resize < max(inputs.size):
        raise ValueError(
            f"centre: resize={resize} is less than the {max(inputs.size)} that are cut out of it"
        )
    return Augmentation(scoring_transform(inputs, resize), sized=True)


def flip(inputs: Inputs, p: float = 0.5) -> Augmentation:
    """Return mirroring, left to right, with probability `p`."""
    del inputs
    return Augmentation(_v2().RandomHorizontalFlip(_share("flip: p", p)))


def crop(
    inputs: Inputs,
    scale: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
) -> Augmentation:
    """Return cutting out a random part, of these shares of the area and these aspect ratios."""
    low, high = _range("crop: scale", scale, 1.0)
    made = _v2().RandomResizedCrop(
        inputs.size,
        (low, high),
        _range("crop: ratio", ratio, 100.0),
        interpolation=interpolation_of(inputs),
        antialias=True,
    )
    return Augmentation(made, sized=True)


def flip_crop(inputs: Inputs, scale: Sequence[float] = (0.08, 1.0), p: float = 0.5) -> Augmentation:
    """Return `crop`, then `flip`: how ImageNet is trained on."""
    parts = [crop(inputs, scale).transform, flip(inputs, p).transform]
    return Augmentation(_v2().Compose(parts), sized=True)


def randaugment(inputs: Inputs, operations: int = 1, magnitude: int = 6) -> Augmentation:
    """Return RandAugment(operations, magnitude), by default as CSG has it.

    Source: Cubuk et al., RandAugment (2020); Chen et al., Contrastive Syn-to-Real Generalization.
    """
    if not 0 <= magnitude <= 30 or operations < 1:
        raise ValueError(
            f"randaugment: operations={operations}, magnitude={magnitude}; there must be an "
            "operation at least, and the magnitude is 0 to 30"
        )
    # Corners that a rotation leaves have the colour of a mean image: the network's zero.
    fill = [round(255 * mean) for mean in inputs.mean]
    return Augmentation(_v2().RandAugment(operations, magnitude, fill=fill), masks=False)


def colour_jitter(
    inputs: Inputs, strength: float = 0.4, hue: float = 0.1, p: float = 0.8
) -> Augmentation:
    """Return changes of brightness, contrast and saturation by up to `strength`, and of hue."""
    del inputs
    _share("colour_jitter: strength", strength)
    if not 0.0 <= hue <= 0.5:
        raise ValueError(f"colour_jitter: hue={hue!r} must be in [0, 0.5]")
    jitter = _v2().ColorJitter(strength, strength, strength, hue)
    return Augmentation(_v2().RandomApply([jitter], _share("colour_jitter: p", p)))


def scale_crop_mirror(
    inputs: Inputs,
    scales: Sequence[float] = (0.75, 1.0, 1.25),
    crop: int | Sequence[int] | None = None,
    p: float = 0.5,
) -> Augmentation:
    """Return one of the scales, a random crop of a size (None: the network's), and mirroring.

    What segmentation trains on; padding counts nowhere. Source: Chen et al., Automated
    Synthetic-to-Real Generalization.
    """
    made = ScaleCropMirror(inputs, scales, crop, _share("scale_crop_mirror: p", p))
    return Augmentation(made, sized=True)


AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "none": none,
    "centre": centre,
    "flip": flip,
    "crop": crop,
    "flip_crop": flip_crop,
    "randaugment": randaugment,
    "colour_jitter": colour_jitter,
    "scale_crop_mirror": scale_crop_mirror,
}
"""Augmentations by name: the network's inputs and options -> `Augmentation`."""

STILL = frozenset({"none", "centre"})
"""Those that draw nothing: an image is the same each time, and so are a network's answers to it."""


def training_transform(
    named: Sequence[str | Named], inputs: Inputs, masks: bool = False
) -> Transform:
    """Return augmentations one after the other, with what brings images to the network's size.

    Unless one of them does so itself, images are resized and cut as for scoring, first.

    Args:
        named: names of `AUGMENTATIONS`, or dotted paths, with options or not.
        inputs: of the network.
        masks: whether masks are to move along.

    Raises:
        ValueError: an unknown name or option, a value that it refuses, or masks that stay behind.

    Example:
        >>> transform = training_transform(["flip_crop"], Inputs(size=(8, 8)))
        >>> transform(torch.zeros(3, 20, 30, dtype=torch.uint8)).shape
        torch.Size([3, 8, 8])
    """
    members = [build("augmentation", AUGMENTATIONS, each, inputs=inputs) for each in named]
    for name, member in zip(named, members, strict=True):
        if masks and not member.masks:
            raise ValueError(
                f"augmentation {name if isinstance(name, str) else name.name!r} moves no masks, so "
                "it is none for segmentation; scale_crop_mirror, flip, crop and colour_jitter are"
            )
    parts = [member.transform for member in members if member.transform is not None]
    if not any(member.sized for member in members):
        parts.insert(0, scoring_transform(inputs))
    return chain(*parts)


def chain(*parts: Transform) -> Transform:
    """Return transforms one after the other."""
    return parts[0] if len(parts) == 1 else _v2().Compose(list(parts))


def scoring_transform(inputs: Inputs, resize: int | None = None) -> Transform:
    """Return how images are scored: the shorter side resized, then the centre cut out.

    Args:
        inputs: of the network.
        resize: what the shorter side is resized to; None: what the network's share says.
    """
    v2 = _v2()
    side = short_side(inputs) if resize is None else resize
    return v2.Compose(
        [
            v2.Resize(side, interpolation_of(inputs), antialias=True),
            v2.CenterCrop(inputs.size),
        ]
    )


def short_side(inputs: Inputs) -> int:
    """Return what the shorter side is resized to before the centre is cut out.

    Example:
        >>> short_side(Inputs(size=(224, 224), crop_share=0.875))
        256
    """
    return max(int(max(inputs.size) / inputs.crop_share), *inputs.size)


def interpolation_of(inputs: Inputs) -> Any:
    """Return torchvision's word for how images are scaled.

    Raises:
        ValueError: it has none.
    """
    mode = _v2().InterpolationMode
    try:
        return mode(inputs.interpolation)
    except ValueError:
        known = ", ".join(each.value for each in mode)
        raise ValueError(f"interpolation {inputs.interpolation!r} is none of {known}") from None


class Normalise:
    """From uint8 `[3, H, W]` to what the network takes: (x / 255 - mean) / std.

    Args:
        inputs: have the mean and the standard deviation of each channel.
    """

    def __init__(self, inputs: Inputs) -> None:
        # Said in full: a user's default device and type are not those of images.
        plain: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
        self.mean = torch.tensor(inputs.mean, **plain).view(3, 1, 1) * 255
        self.scale = 1 / (torch.tensor(inputs.std, **plain).view(3, 1, 1) * 255)

    def __call__(self, image: Tensor) -> Tensor:
        """Return an image as the network takes it, its rows one after the other."""
        plain = image.as_subclass(Tensor).contiguous()
        return plain.float().sub_(self.mean).mul_(self.scale)


def _v2() -> Any:
    with needed_by("a data set of images"):
        from torchvision.transforms import v2
    return v2


def _share(what: str, value: float) -> float:
    """Return a number in [0, 1].

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{what}={value!r} must be in [0, 1]")
    return float(value)


def _range(what: str, value: Sequence[float], most: float) -> tuple[float, float]:
    """Return two numbers, the smaller one first.

    Raises:
        ValueError: they are none, or not in (0, most].
    """
    if len(value) != 2 or not 0.0 < value[0] <= value[1] <= most:
        raise ValueError(
            f"{what}={value!r} must be two numbers in (0, {most:g}], the smaller first"
        )
    return float(value[0]), float(value[1])

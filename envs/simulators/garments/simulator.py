"""The simulator of garments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageFilter

from l2o.envs.simulators.base import Pixels, Simulator
from l2o.envs.simulators.dimensions import Value
from l2o.envs.simulators.garments import cloth
from l2o.envs.simulators.garments.bags import draw_bag
from l2o.envs.simulators.garments.canvas import DETAIL, Field, Painting, Pose, paint
from l2o.envs.simulators.garments.outline import Cutter, Garment
from l2o.envs.simulators.garments.parameters import PARAMETERS, TEXTURES
from l2o.envs.simulators.garments.shoes import draw_boot, draw_sandal, draw_sneaker
from l2o.envs.simulators.garments.tops import (
    draw_coat,
    draw_dress,
    draw_pullover,
    draw_shirt,
    draw_tshirt,
)
from l2o.envs.simulators.garments.trousers import draw_trousers
from l2o.envs.simulators.space import Space

CLASSES: dict[str, Callable[[Cutter, float], Garment]] = {
    "t-shirt": draw_tshirt,
    "trouser": draw_trousers,
    "pullover": draw_pullover,
    "dress": draw_dress,
    "coat": draw_coat,
    "sandal": draw_sandal,
    "shirt": draw_shirt,
    "sneaker": draw_sneaker,
    "bag": draw_bag,
    "ankle boot": draw_boot,
}
"""In the order of Fashion-MNIST's labels."""

BASE = 28
"""Height and width that blur and lines are meant for."""

SMOOTH = {"sandal": 0.4, "sneaker": 0.4, "bag": 0.4, "ankle boot": 0.4}
"""Classes of leather rather than cloth, and how often they have a texture, relative to others."""


class GarmentsSimulator(Simulator):
    """Draws garments as a catalogue's photographs show them: grey, on black, filling the image.

    Each class has an outline of polygons and curves with measures of its own (neckline, sleeves,
    waist, hem; sole, heel, straps; handles), seams and details; then come cloth, light, pose, and
    what a camera does. A pixel is of the garment exactly where it is not black.

    Args:
        size: height and width of images, in pixels.

    Raises:
        ValueError: an impossible size.

    Example:
        >>> images, labels, masks = GarmentsSimulator(28).render({"tilt": 0.0}, 20, seed=0)
        >>> images.shape, sorted(set(labels.tolist())) == list(range(10))
        ((20, 28, 28, 3), True)
        >>> bool(((images[..., 0] > 0) == (masks > 0)).all())
        True
    """

    name: ClassVar[str] = "garments"
    parameters: Space = PARAMETERS
    classes: tuple[str, ...] = tuple(CLASSES)
    mask_classes: tuple[str, ...] = ("ground", "garment")

    def __init__(self, size: int = BASE) -> None:
        super().__init__(size)

    def draw(
        self, point: Mapping[str, Value], label: int, generator: np.random.Generator
    ) -> tuple[Pixels, Pixels]:
        """Draw one garment `[H, W, 3]` and where it is `[H, W]`."""
        psi: Any = point
        cutter = Cutter(generator, psi["cut"], psi["details"], psi["buttons"])
        seam = 1.0 + psi["seams"] * generator.uniform(-1.0, 0.6)
        name = self.classes[label]
        garment = CLASSES[name](cutter, seam)
        painting = paint(garment, draw_pose(psi, generator), self.size * DETAIL)
        light = self._light(painting, psi, SMOOTH.get(name, 1.0), generator)
        grey = self._photograph(light, painting, psi, generator)
        return np.repeat(grey[..., None], 3, axis=2), (grey > 0).astype(np.uint8)

    def _light(
        self, painting: Painting, psi: Any, share: float, generator: np.random.Generator
    ) -> Field:
        """Return the brightness of a painting in cloth and light, 0 on the ground."""
        side = len(painting.tone)
        tone = np.clip(psi["tone"] + psi["tone_spread"] * generator.uniform(-1, 1), 0.08, 0.97)
        texture = cloth.DRAWN[draw_texture(psi, share, generator)](side, generator)
        contrast = psi["texture_contrast"] * generator.uniform(0.1, 1.0)
        coloured = tone * (1 + contrast * texture)
        brightness = painting.tone * np.where(painting.cloth, coloured, 1.0)
        light = psi["light_strength"] * generator.uniform(0.0, 1.0)
        factor = 1 + light * cloth.fall_off(side, psi["light"], generator)
        factor -= psi["rounding"] * generator.uniform(0, 1) * cloth.roundness(painting.covered)
        factor += psi["folds"] * generator.uniform(0, 1) * cloth.fold(side, generator)
        return np.where(painting.covered, np.clip(brightness * factor, 0.03, 1.0), 0.0)

    def _photograph(
        self, light: Field, painting: Painting, psi: Any, generator: np.random.Generator
    ) -> Pixels:
        """Reduce a painting to an image; the ground stays black, and nothing else is."""
        reduced, covered = (self._reduce(field) for field in (light, painting.covered))
        blur = psi["blur"] * generator.uniform(0, 1) * self.size / BASE
        sharpening = psi["sharpening"] * generator.uniform(0, 1)
        soft = _blurred(reduced, blur)
        sharp = soft + sharpening * (soft - _blurred(soft, self.size / BASE))
        noise = psi["noise"] * generator.uniform(0, 1)
        grey = 255 * (sharp + noise * generator.standard_normal(sharp.shape))
        return np.where(covered > 0, np.clip(np.rint(grey), 1, 255), 0).astype(np.uint8)

    def _reduce(self, field: np.ndarray) -> Field:
        blocks = field.reshape(self.size, DETAIL, self.size, DETAIL)
        return blocks.mean(axis=(1, 3), dtype=np.float32)


def draw_texture(psi: Any, share: float, generator: np.random.Generator) -> str:
    """Draw a texture by the weights of psi; plain where all are 0.

    Args:
        psi: with a weight for each texture.
        share: factor on how often it is kept if it is not plain.
        generator: what it is drawn from.
    """
    bounds = np.cumsum([psi[name] for name in TEXTURES])
    place, kept = generator.random() * bounds[-1], generator.random() < share
    drawn = int(np.searchsorted(bounds, place, side="right"))
    return TEXTURES[drawn] if kept and drawn < len(TEXTURES) else TEXTURES[0]


def draw_pose(psi: Any, generator: np.random.Generator) -> Pose:
    """Draw how a garment lies: turned, sheared, stretched, mirrored, smaller, moved."""
    angle, shear, stretch, x, y = generator.uniform(-1, 1, 5)
    angle = np.deg2rad(psi["tilt"]) * angle
    mirror = -1.0 if generator.random() < psi["facing"] else 1.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = np.array([[mirror * (1 + psi["stretch"] * stretch), psi["shear"] * shear], [0.0, 1.0]])
    size = generator.uniform(psi["smallest"], 1.0)
    return Pose(rotation @ shape, size, psi["shift"] * x, psi["shift"] * y)


def _blurred(image: Field, radius: float) -> Field:
    """Return an image blurred by a Gaussian, about as wide as the radius."""
    if radius < 0.05:
        return image
    page = Image.fromarray((255 * image).astype(np.uint8))
    return np.asarray(page.filter(ImageFilter.GaussianBlur(radius)), np.float32) / np.float32(255)

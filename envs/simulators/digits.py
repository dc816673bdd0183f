"""The simulator of digits: fonts, pose, colours, and what a camera does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageFilter

from l2o.envs.simulators.base import Pixels, Simulator
from l2o.envs.simulators.dimensions import Categorical, Continuous, Integer, Value
from l2o.envs.simulators.ink import draw_digit
from l2o.envs.simulators.space import Space
from l2o.envs.tasks.digits.fonts import fonts_of
from l2o.envs.tasks.digits.synthetic import draw_colours

FONTS = fonts_of("train")
"""In the order in which `fonts` takes them."""

PARAMETERS = Space(
    {
        "fonts": Integer(1, len(FONTS), 4, "fonts that a set is drawn from, the first ones"),
        "rotation": Continuous(0.0, 60.0, 12.0, "largest rotation, in degrees"),
        "shear": Continuous(0.0, 0.8, 0.15, "largest shear, as a share of the height"),
        "smallest": Continuous(0.3, 1.0, 1.0, "smallest size, 1 filling the image"),
        "shift": Continuous(0.0, 0.3, 0.0, "largest shift, as a share of the width"),
        "contrast": Continuous(0.0, 0.5, 0.25, "smallest mean distance of digit and ground"),
        "colour": Continuous(0.0, 1.0, 1.0, "0 for greys, 1 for any colour"),
        "ground": Categorical(("flat", "gradient", "stripes"), "flat", "what is behind the digit"),
        "ground_contrast": Continuous(0.0, 0.5, 0.25, "how much a ground that is not flat varies"),
        "blur": Continuous(0.0, 2.0, 0.0, "largest blur, in pixels of a 16-pixel image"),
        "noise": Continuous(0.0, 0.3, 0.0, "largest standard deviation of noise, of 1"),
    }
)
"""What `digits` may vary; the defaults are about what the task family of that name draws."""

BASE = 16
"""Height and width that blur is meant for."""


class DigitsSimulator(Simulator):
    """Draws digits from fonts, prepared like UCI's scans, in colours on a ground.

    Args:
        size: height and width of images, in pixels.

    Raises:
        ValueError: an impossible size.

    Example:
        >>> images, labels, masks = DigitsSimulator().render({"rotation": 0.0}, 20, seed=0)
        >>> images.shape, sorted(set(labels.tolist())) == list(range(10))
        ((20, 16, 16, 3), True)
    """

    name: ClassVar[str] = "digits"
    version: ClassVar[int] = 2
    parameters: Space = PARAMETERS
    classes: tuple[str, ...] = tuple(str(digit) for digit in range(10))
    mask_classes: tuple[str, ...] = ("ground", "digit")

    def __init__(self, size: int = BASE) -> None:
        super().__init__(size)

    def draw(
        self, point: Mapping[str, Value], label: int, generator: np.random.Generator
    ) -> tuple[Pixels, Pixels]:
        """Draw one digit `[H, W, 3]` and where it is `[H, W]`."""
        psi: Any = point
        ink = self._ink(psi, label, generator)
        pair = draw_colours(1, psi["contrast"], generator)[0]
        ground, digit = (
            self._tinted(pair[part], psi["colour"]) for part in (slice(3), slice(3, 6))
        )
        behind = ground + self._ground(psi, generator)[..., None]
        pixels = behind + (digit - behind) * ink[..., None]
        return self._photograph(pixels, psi, generator), (ink > 0.5).astype(np.uint8)

    def _ink(self, psi: Any, label: int, generator: np.random.Generator) -> Any:
        """Return where the digit is, `[H, W]` in [0, 1]."""
        font = FONTS[int(generator.integers(psi["fonts"]))]
        turned, sheared = generator.uniform(-1.0, 1.0, 2)
        angle = np.deg2rad(psi["rotation"]) * turned
        drawn = draw_digit(font, label, angle, psi["shear"] * sheared)
        size = generator.uniform(psi["smallest"], 1.0)
        side = max(1, round(self.size * size))
        small = Image.fromarray(np.uint8(255 * drawn)).resize(
            (side, side), Image.Resampling.BILINEAR
        )
        room = (self.size - side) / 2
        x, y = room + psi["shift"] * self.size * generator.uniform(-1.0, 1.0, 2)
        canvas = Image.new("L", (self.size, self.size))
        canvas.paste(small, (round(x), round(y)))
        return np.asarray(canvas, dtype=np.float64) / 255.0

    @staticmethod
    def _tinted(colour: Any, share: float) -> Any:
        """Return a colour between its grey and itself."""
        grey = np.mean(colour)
        return grey + share * (np.asarray(colour) - grey)

    def _ground(self, psi: Any, generator: np.random.Generator) -> Any:
        """Return how much brighter the ground is, `[H, W]`."""
        angle, phase = generator.uniform(0.0, 2.0 * np.pi, 2)
        waves = generator.uniform(1.0, 4.0)
        if psi["ground"] == "flat":
            return np.zeros((self.size, self.size))
        places = np.linspace(-0.5, 0.5, self.size)
        along = places[None, :] * np.cos(angle) + places[:, None] * np.sin(angle)
        if psi["ground"] == "stripes":
            along = 0.5 * np.sign(np.sin(2.0 * np.pi * waves * along + phase))
        return 2.0 * psi["ground_contrast"] * along

    def _photograph(self, pixels: Any, psi: Any, generator: np.random.Generator) -> Pixels:
        """Return pixels in [0, 1] as an image, blurred and with noise."""
        blur = psi["blur"] * generator.uniform(0.0, 1.0) * self.size / BASE
        noise = psi["noise"] * generator.uniform(0.0, 1.0)
        image = Image.fromarray(np.uint8(255 * pixels.clip(0.0, 1.0)))
        soft = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)), dtype=np.float64)
        noisy = soft + 255.0 * noise * generator.standard_normal(soft.shape)
        return np.rint(noisy).clip(0, 255).astype(np.uint8)

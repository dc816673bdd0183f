"""The parameters of drawn garments."""

from __future__ import annotations

from l2o.envs.simulators.dimensions import Categorical, Continuous, Integer
from l2o.envs.simulators.space import Space

TEXTURES = ("plain", "striped", "checked", "camouflage", "knit")
"""What cloth may look like; the first is none."""

LIGHTS = ("any", "flat", "above", "left", "right")
"""Where light may come from."""

PARAMETERS = Space(
    {
        "cut": Continuous(0.0, 1.0, 1.0, "how far cuts of a class differ; 0: not at all"),
        "tone": Continuous(0.1, 0.9, 0.65, "brightness of cloth, in the middle of all garments"),
        "tone_spread": Continuous(0.0, 0.5, 0.4, "largest deviation from that brightness"),
        "plain": Continuous(0.0, 1.0, 1.0, "how often cloth is plain, relative to the others"),
        "striped": Continuous(0.0, 1.0, 0.15, "how often cloth is striped"),
        "checked": Continuous(0.0, 1.0, 0.08, "how often cloth is checked"),
        "camouflage": Continuous(0.0, 1.0, 0.2, "how often cloth is in patches or prints"),
        "knit": Continuous(0.0, 1.0, 0.2, "how often cloth is knitted"),
        "texture_contrast": Continuous(0.0, 1.0, 0.5, "largest contrast of textures"),
        "details": Continuous(0.0, 1.0, 0.7, "share of the details that a garment may have"),
        "buttons": Integer(0, 10, 6, "most buttons in a row"),
        "seams": Continuous(0.0, 1.0, 0.5, "contrast of seams, collars and openings"),
        "light": Categorical(LIGHTS, "any", "where light comes from; any: each its own side"),
        "light_strength": Continuous(0.0, 0.8, 0.3, "how much light falls off over a garment"),
        "rounding": Continuous(0.0, 1.0, 0.45, "how much darker cloth is towards its edges"),
        "folds": Continuous(0.0, 1.0, 0.15, "contrast of creases"),
        "tilt": Continuous(0.0, 45.0, 3.0, "largest rotation either way, in degrees"),
        "shear": Continuous(0.0, 0.5, 0.05, "largest shear either way"),
        "stretch": Continuous(0.0, 0.5, 0.1, "largest change of width, as a share of it"),
        "smallest": Continuous(0.4, 1.0, 0.97, "smallest size, as a share of the image"),
        "shift": Continuous(0.0, 0.3, 0.0, "largest move either way, as a share of the image"),
        "facing": Continuous(0.0, 1.0, 0.0, "share of garments that are mirrored"),
        "blur": Continuous(0.0, 2.0, 0.4, "largest blur, in pixels of an image of 28 x 28"),
        "sharpening": Continuous(0.0, 2.0, 1.0, "largest sharpening"),
        "noise": Continuous(0.0, 0.3, 0.05, "largest standard deviation of pixels' noise"),
    }
)
"""What varies, and how far."""

"""Gaps between the sides of a task, by name."""

from l2o.envs.tasks.composed.gaps.background import Background
from l2o.envs.tasks.composed.gaps.base import Gap
from l2o.envs.tasks.composed.gaps.blur import Blur
from l2o.envs.tasks.composed.gaps.colour import Colour
from l2o.envs.tasks.composed.gaps.noise import Noise
from l2o.envs.tasks.composed.gaps.pose import Pose
from l2o.envs.tasks.composed.gaps.texture import Texture

GAPS: dict[str, type[Gap]] = {
    "colour": Colour,
    "texture": Texture,
    "blur": Blur,
    "noise": Noise,
    "pose": Pose,
    "background": Background,
}

__all__ = ["GAPS", "Gap"]

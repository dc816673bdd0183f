"""Layer profiles: how the learning rate is shared out over the layers."""

from l2o.profiles.base import Profile
from l2o.profiles.flat import Flat
from l2o.profiles.frozen_backbone import FrozenBackbone
from l2o.profiles.gradual_unfreezing import GradualUnfreezing
from l2o.profiles.layerwise_decay import LayerwiseDecay
from l2o.profiles.lp_ft import LPFT
from l2o.profiles.small_backbone import SmallBackbone

PROFILES: dict[str, type[Profile]] = {
    "flat": Flat,
    "small_backbone": SmallBackbone,
    "frozen_backbone": FrozenBackbone,
    "layerwise_decay": LayerwiseDecay,
    "gradual_unfreezing": GradualUnfreezing,
    "lp_ft": LPFT,
}

__all__ = [
    "PROFILES",
    "Profile",
    "Flat",
    "FrozenBackbone",
    "GradualUnfreezing",
    "LPFT",
    "LayerwiseDecay",
    "SmallBackbone",
]

"""Kinds of data, by name."""

from l2o.envs.tasks.composed.kinds.alphabets import Alphabets
from l2o.envs.tasks.composed.kinds.base import ROLES, SIDES, DataKind
from l2o.envs.tasks.composed.kinds.digits import Digits
from l2o.envs.tasks.composed.kinds.glyphs import Glyphs
from l2o.envs.tasks.composed.kinds.icons import Icons
from l2o.envs.tasks.composed.kinds.patterns import Patterns
from l2o.envs.tasks.composed.kinds.photographs import Photographs
from l2o.envs.tasks.composed.kinds.textures import Textures

KINDS: dict[str, type[DataKind]] = {
    "digits": Digits,
    "textures": Textures,
    "glyphs": Glyphs,
    "alphabets": Alphabets,
    "patterns": Patterns,
    "icons": Icons,
    "photographs": Photographs,
}

__all__ = ["KINDS", "ROLES", "SIDES", "DataKind"]

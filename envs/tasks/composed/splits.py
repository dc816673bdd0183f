"""What each split is composed of: its kinds of data, pretrainings and architectures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SPLITS = {"train": 0, "heldout": 1, "validation": 2}
"""Splits, and what each seeds random streams with."""


@dataclass(frozen=True)
class Members:
    """What a split's tasks are composed of.

    Attributes:
        data: which half of real images, photographs and fonts.
        kinds: kinds of data.
        pretraining: each with its share of the networks.
        architectures: of the networks.
    """

    data: str
    kinds: tuple[str, ...]
    pretraining: Mapping[str, float]
    architectures: tuple[str, ...]


_TRAIN = Members(
    data="train",
    kinds=("digits", "textures", "glyphs", "alphabets", "patterns"),
    pretraining={
        "same": 0.35,
        "weak": 0.15,
        "related": 0.15,
        "unrelated": 0.12,
        "rotation": 0.11,
        "none": 0.12,
    },
    architectures=("conv", "residual", "mlp", "batchnorm", "layernorm", "flat", "deep"),
)

MEMBERS = {
    "train": _TRAIN,
    # Other networks, looks and tasks of the same members: to select by while learning.
    "validation": _TRAIN,
    "heldout": Members(
        data="heldout",
        kinds=("icons", "photographs"),
        pretraining={"overtrained": 0.5, "colours": 0.5},
        architectures=("depthwise", "vit"),
    ),
}
"""Of "heldout" nothing is in the other two, on any of the axes."""

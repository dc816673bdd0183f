"""Pyramid consistency: features of one image in two styles, alike at several scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from l2o.guidance.base import Guidance
from l2o.guidance.compare import check_pair
from l2o.guidance.contrastive import as_augmentation
from l2o.guidance.weight import Weight


def pyramid_distance(one: Tensor, other: Tensor, levels: Sequence[int] = (1, 2, 4)) -> Tensor:
    """Return how far maps are from each other, pooled at several scales, a scalar.

        mean over levels s of  mean |P_s(one) − P_s(other)|,   P_s: averages over s × s parts

    Source: Yue et al., Domain Randomization and Pyramid Consistency: Simulation-to-Real
    Generalization without Accessing Target Domain Data, ICCV 2019 (spatial pyramid pooling, L1).

    Args:
        one: maps `[N, C, H, W]`, or features `[N, C]`.
        other: of the same shape.
        levels: parts per side, at each scale.

    Raises:
        ValueError: shapes differ, or are empty.

    Example:
        >>> pyramid_distance(torch.ones(1, 2, 4, 4), torch.zeros(1, 2, 4, 4))
        tensor(1.)
    """
    check_pair("maps", one, other)
    if one.dim() == 2:
        one, other = one[..., None, None], other[..., None, None]
        levels = (1,)
    found = [
        (functional.adaptive_avg_pool2d(one, s) - functional.adaptive_avg_pool2d(other, s))
        .abs()
        .mean()
        for s in levels
    ]
    return torch.stack(found).mean()


class PyramidConsistency(Guidance[Mapping[str, Tensor]]):
    """λ · Σ over layers of the pyramid distance between one style's maps and another's.

    The trained network sees an image in one style; its maps are held, at several scales, near those
    that the frozen network has of the same image in another style. In Yue et al. (ICCV 2019) both
    are the trained network's, and are held near their mean over all styles
    (`pyramid_distance` in a loop of your own does that); here the frozen network is the anchor, as
    in the other terms of guidance, so that the network cannot agree with itself by forgetting.

    Args:
        layers: names of the layers.
        weight: λ, not negative; or a schedule of it.
        cap: upper bound of the weighted term, not negative; None is no bound.
        levels: parts per side, at each scale.
        augment: makes the trained network's view; options of `Stylise` or another member of
            `AUGMENTATIONS`, a dotted path, or None for the images themselves.
        key_augment: likewise of the frozen network's view; None: as `augment`.

    Raises:
        ValueError: no layers, or levels that are no whole numbers from 1.

    Example:
        >>> term = PyramidConsistency(["layer3"], weight=1.0, augment=None)
        >>> maps = {"layer3": torch.ones(2, 4, 4, 4)}
        >>> float(term(maps, {"layer3": torch.zeros(2, 4, 4, 4)}))
        1.0
    """

    compares: ClassVar[str] = "maps"
    views: ClassVar[int] = 0
    """Views are made anew in each step."""

    def __init__(
        self,
        layers: Sequence[str] = ("layer3", "layer4"),
        weight: Weight = 0.1,
        cap: float | None = None,
        levels: Sequence[int] = (1, 2, 4),
        augment: Any = "stylise",
        key_augment: Any = None,
    ) -> None:
        super().__init__(weight, cap)
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)
        if not self.layers:
            raise ValueError("pyramid consistency has no layers; name one or more")
        wrong = [s for s in levels if isinstance(s, bool) or not isinstance(s, int) or s < 1]
        if wrong or not levels:
            raise ValueError(
                f"levels={tuple(levels)} must be whole numbers from 1, such as 1, 2, 4"
            )
        self.levels = tuple(levels)
        self.augment = as_augmentation(augment)
        self.key_augment = self.augment if key_augment is None else as_augmentation(key_augment)

    def prepare(self, maps: Mapping[str, Tensor]) -> None:
        """Check that every layer has maps; nothing is to be made."""
        for name in self.layers:
            if name not in maps:
                raise ValueError(f"there is no map of layer {name!r}, only of {', '.join(maps)}")

    def divergence(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        """Return the sum over layers of the pyramid distance.

        Args:
            student: the trained network's maps of one view, by name.
            teacher: the frozen network's, of another view of the same images.

        Raises:
            ValueError: a layer is missing, or shapes differ.
        """
        for maps in (student, teacher):
            self.prepare(maps)
        return torch.stack(
            [
                pyramid_distance(student[name], teacher[name].detach(), self.levels)
                for name in self.layers
            ]
        ).sum()

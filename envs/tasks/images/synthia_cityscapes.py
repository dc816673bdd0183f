"""The family `synthia_cityscapes`: a virtual city to streets of German cities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from l2o.configs.schema import Named
from l2o.envs.objectives import Metric, Objective, Segmentation
from l2o.envs.objectives.base import ratio
from l2o.envs.tasks.images.cityscapes import CLASSES, CityscapesFamily, CityscapesOptions
from l2o.envs.tasks.images.decoding import decode_first_channel
from l2o.envs.tasks.images.masked_images import MaskListing
from l2o.envs.tasks.images.masks import MaskCoding
from l2o.envs.tasks.images.pairs import check_sizes, pair_by_stem
from l2o.envs.tasks.images.scale_crop_mirror import IGNORED

LAYOUT = (
    "expected are SYNTHIA/RGB/0000000.png and SYNTHIA/GT/LABELS/0000000.png, to 0009399, of the "
    "package SYNTHIA-RAND-CITYSCAPES (synthia-dataset.net)"
)

_VALUES = {
    3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9, 1: 10, 10: 11, 17: 12, 8: 13,
    18: 14, 19: 15, 20: 16, 12: 17, 11: 18,
}  # fmt: skip

CODING = MaskCoding(_VALUES, others=IGNORED, decode=decode_first_channel)
"""Masks of 16 bits in colour: the class is the first channel, red, which OpenCV has as the last."""

NEVER = (9, 14, 16)
"""Train ids that SYNTHIA does not have: terrain, truck, train."""
IN_16 = tuple(number for number in range(len(CLASSES)) if number not in NEVER)
"""The classes that both data sets have."""
IN_13 = tuple(number for number in IN_16 if number not in (3, 4, 5))
"""Those without wall, fence and pole, which some papers leave out."""


@dataclass(frozen=True)
class SharedSegmentation(Segmentation):
    """Segmentation that is ranked by the mean IoU of 16 of 19 classes, with that of 13 beside.

        miou_16 = mean of IoU_k over k in IN_16,   miou_13 = mean of IoU_k over k in IN_13

    One confusion matrix over all 19 classes is behind both, so pixels that are taken for one of
    the three others are wrong, and pixels of these count where they are taken for one of the 16.

    Args:
        outputs: 19.
        ignore_index: label of pixels that do not count.

    Example:
        >>> SharedSegmentation(outputs=19).metric().name
        'miou_16'
    """

    main: ClassVar[str] = "miou_16"

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Those of segmentation, and the two means."""
        common = super().metrics
        chance = common["miou"].chance
        return {
            **common,
            "miou_16": Metric("miou_16", "max", "%", chance),
            "miou_13": Metric("miou_13", "max", "%", chance),
        }

    def read(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return all means and pixel accuracy."""
        hits = sums["hits"]
        each = ratio(hits, sums["of_class"] + sums["taken_for"] - hits)
        return {
            **super().read(sums),
            "miou_16": each[..., list(IN_16)].nanmean(dim=-1),
            "miou_13": each[..., list(IN_13)].nanmean(dim=-1),
        }


class SynthiaCityscapesFamily(CityscapesFamily[CityscapesOptions]):
    """SYNTHIA-RAND-CITYSCAPES to Cityscapes: 9,400 scenes; 16 of the 19 classes are in both.

    Args:
        options: what may be chosen, `CityscapesOptions`; or its fields as keywords.

    Raises:
        TypeError: options of another family, both at once, or an unknown field.
        ValueError: a value is impossible.

    Example:
        >>> SynthiaCityscapesFamily(root="SYNTHIA", cityscapes="Cityscapes").objective.main
        'miou_16'
    """

    name: ClassVar[str] = "synthia_cityscapes"
    objective: str | Named | Objective = SharedSegmentation(outputs=len(CLASSES))

    def find_source(self) -> tuple[MaskListing, dict[str, Any]]:
        """List the scenes.

        Raises:
            ValueError: a folder, an image or a mask is missing.
        """
        root = self.source_root("RGB", "GT/LABELS", layout=LAYOUT)
        pairs = pair_by_stem(root, "RGB", "GT/LABELS", CODING, self.options.listed())
        return check_sizes(pairs), {}

"""The family `gta5_cityscapes`: scenes of a game to streets of German cities."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

from l2o.envs.tasks.images.cityscapes import CODING, CityscapesFamily, CityscapesOptions
from l2o.envs.tasks.images.listing import few
from l2o.envs.tasks.images.masked_images import MaskListing
from l2o.envs.tasks.images.pairs import drop_odd_sizes, pair_by_stem

LAYOUT = (
    "expected are GTA5/images/00001.png and GTA5/labels/00001.png, to 24966, from the ten packages "
    "of images and of labels of Playing for Data (TU Darmstadt, download.visinf.tu-darmstadt.de)"
)


class GTA5CityscapesFamily(CityscapesFamily[CityscapesOptions]):
    """GTA5 to Cityscapes, 19 classes: 24,966 scenes, less those whose mask is of another size.

    Masks are palette images of Cityscapes ids. ASG trains on a list of 12,403 of the scenes:
    `source_list` takes one.

    Args:
        options: what may be chosen, `CityscapesOptions`; or its fields as keywords.

    Raises:
        TypeError: options of another family, both at once, or an unknown field.
        ValueError: a value is impossible.

    Example:
        >>> GTA5CityscapesFamily(root="GTA5", cityscapes="Cityscapes").options.batch_size
        6
    """

    name: ClassVar[str] = "gta5_cityscapes"

    def find_source(self) -> tuple[MaskListing, dict[str, Any]]:
        """List the scenes; those whose mask is of another size are left out, and counted.

        Raises:
            ValueError: a folder, an image or a mask is missing.
        """
        root = self.source_root("images", "labels", layout=LAYOUT)
        pairs, odd = drop_odd_sizes(
            pair_by_stem(root, "images", "labels", CODING, self.options.listed())
        )
        if odd:
            warnings.warn(
                f"{len(odd)} scenes of GTA5 are left out, since image and mask differ in size: "
                f"{few(odd)}",
                stacklevel=2,
            )
        return pairs, {"left_out_for_size": len(odd)}

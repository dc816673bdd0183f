"""The family `visda17`: VisDA-2017 classification, renders of objects to crops of COCO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from l2o.configs.schema import Named
from l2o.envs.objectives import Classification, Metric, Objective
from l2o.envs.tasks.images.family import ImageFamily
from l2o.envs.tasks.images.list_files import list_from_file
from l2o.envs.tasks.images.listing import Listing
from l2o.envs.tasks.images.options import ImageOptions
from l2o.envs.tasks.images.splits import Domains
from l2o.registry import unknown_name

CLASSES = (
    "aeroplane",
    "bicycle",
    "bus",
    "car",
    "horse",
    "knife",
    "motorcycle",
    "person",
    "plant",
    "skateboard",
    "train",
    "truck",
)
"""In the order of the lists' numbers."""

LAYOUT = (
    "expected are ROOT/train/image_list.txt, ROOT/validation/image_list.txt and "
    "ROOT/test/image_list.txt, whose lines `path label` name images beside them, or "
    "ROOT/image_list/train.txt, validation.txt and test.txt; the data set is that of the "
    "VisDA-2017 challenge, classification track (ai.bu.edu/visda-2017)"
)


@dataclass(frozen=True)
class MeanOfClasses(Classification):
    """Classification that is ranked by the mean of the accuracies of the classes.

    Args:
        outputs: number of classes.

    Example:
        >>> MeanOfClasses(outputs=12).metric().name
        'mean_class_accuracy'
    """

    main: ClassVar[str] = "mean_class_accuracy"

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Those of classification."""
        return super().metrics


@dataclass(frozen=True, kw_only=True)
class VisDA17Options(ImageOptions):
    """Where VisDA-2017 lies."""

    root: str = ""
    """The folder that holds `train`, `validation` and `test`."""
    target: str = "validation"
    """What is scored: "validation", a share of which rewards may look at, or "test"."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.root:
            raise ValueError(f"root is not given; {LAYOUT}")
        if self.target not in ("validation", "test"):
            raise ValueError(unknown_name("target", self.target, ["validation", "test"]))


class VisDA17Family(ImageFamily[VisDA17Options]):
    """VisDA-2017: 152,397 renders to 55,388 photographs (validation) or 72,372 (test), 12 classes.

    It is ranked by the mean of the class accuracies, as published. With `target=test`, validation
    is what rewards may look at, and all of test scores.

    Args:
        options: what may be chosen, `VisDA17Options`; or its fields as keywords.

    Raises:
        TypeError: options of another family, both at once, or an unknown field.
        ValueError: a value is impossible.

    Example:
        >>> VisDA17Family(root="visda").objective.main
        'mean_class_accuracy'
    """

    name: ClassVar[str] = "visda17"
    Options: ClassVar[type[VisDA17Options]] = VisDA17Options
    objective: str | Named | Objective = MeanOfClasses(outputs=len(CLASSES))

    def find(self) -> Domains:
        """List the splits that are needed."""
        root = Path(self.options.root).expanduser()
        source = list_split(root, "train")
        validation = list_split(root, "validation")
        held = self.options.validation
        to_test = self.options.target == "test"
        return Domains(
            source=source,
            target=list_split(root, "test") if to_test else validation,
            classes=CLASSES,
            source_validation=(
                list_from_file(held, classes=CLASSES) if isinstance(held, str) else None
            ),
            target_validation=validation if to_test else None,
            retention=self.retention(),
        )


def list_split(root: Path, split: str) -> Listing:
    """Return the listing of train, validation or test, of either layout.

    Raises:
        ValueError: its list is missing, or does not fit the images.
    """
    own, common = root / split / "image_list.txt", root / "image_list" / f"{split}.txt"
    if own.is_file():
        return list_from_file(own, classes=CLASSES)
    if not common.is_file():
        raise ValueError(f"{own} is missing, and so is {common}; {LAYOUT}")
    with common.open(encoding="utf-8-sig") as file:
        first = next((line for line in file if line.strip()), "").rsplit(maxsplit=1)
    # Some copies name paths within ROOT, others within ROOT/train.
    within = root / split
    inner = bool(first) and (within / first[0]).is_file()
    return list_from_file(common, root=within if inner else root, classes=CLASSES)

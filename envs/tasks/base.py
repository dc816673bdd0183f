"""The contract of tasks: one synthetic-to-real fine-tuning problem, and seeded families of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor, nn

from l2o.configs.schema import Named
from l2o.envs.networks.base import PretrainedNetwork
from l2o.envs.objectives import Objective
from l2o.envs.objectives.build import build_objective

SPLITS = ("source_train", "source_validation", "target_validation", "target_test", "proxy_test")
"""The data sets of a task."""


class LabelledData(Protocol):
    """What every split of a task is: torch's map-style data set of inputs and labels.

    An input is a float tensor as the network takes it, so transforms are the data set's own; a
    label is a number, or a tensor as the objective takes it. What a data set draws from torch's
    global generator is drawn anew, and reproducibly, for every example of a training batch.
    """

    def __len__(self) -> int:
        """Return the number of examples."""

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return an example: input and label."""


@dataclass(frozen=True)
class Examples:
    """Labelled images held as tensors: the data set that stacks of fine-tunes use.

    Attributes:
        images: float32 `[N, C, H, W]` (or whatever the task's model takes).
        labels: `[N, ...]` as the objective takes them: of classes int64 `[N]`, in
            `range(num_classes)` of the label space they belong to.

    Raises:
        ValueError: not as many labels as images.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise ValueError(
                f"{len(self.images)} images but {len(self.labels)} labels; they must be paired"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no example {index} of {len(self)}")
        return self.images[index], self.labels[index]

    def to(self, device: Any) -> Examples:
        """Return the same examples on a device."""
        return Examples(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class TargetImages:
    """Real images to adapt to, whose labels, whatever they are, are never looked at.

    They are none of those that score, nor of those that rewards look at.

    Attributes:
        train: as they are trained on: with the source's transforms. A data set whose labels move
            along with its images, as masks do, has `relabelled(labels) -> data set`.
        still: the same images, in the same order, as they are scored: to predict.
        labelled: whether there are labels, which are ignored.
    """

    train: LabelledData
    still: LabelledData
    labelled: bool = False

    def __len__(self) -> int:
        return len(self.still)


def examples_of(split: LabelledData) -> Examples:
    """Return a split that is in memory, for code that takes tensors.

    Raises:
        TypeError: it is another kind of data set.
    """
    if not isinstance(split, Examples):
        raise TypeError(f"{type(split).__name__} is not in memory; this needs tensors: Examples")
    return split


@dataclass(frozen=True)
class Loading:
    """How data sets that are not in memory are read; nothing of it changes what is read.

    Attributes:
        workers: processes that read ahead; 0 reads in the process that trains.
        scoring_batch: examples per forward pass when scoring.

    Raises:
        ValueError: fewer than no workers, or empty batches.
    """

    workers: int = 0
    scoring_batch: int = 256

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"workers={self.workers} must not be negative; 0 reads in place")
        if self.scoring_batch < 1:
            raise ValueError(f"scoring_batch={self.scoring_batch} must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One synthetic-to-real fine-tuning problem; everything in it derives from one seed.

    Its splits are map-style data sets. `Examples`, tensors in memory, are the special case that
    stacks use; any other data set is read by a loader, and its task is fine-tuned on its own.

    Attributes:
        name: the family's name.
        seed: what it was sampled from.
        build_model: makes the pretrained network with its *new* head on CPU, the same weights
            every time. It follows timm's convention: `forward_features(x)`,
            `forward_head(features)`, `get_classifier()`.
        proxy_head: the frozen head of the pretrained network: features -> proxy logits.
        source_train: labelled synthetic images to fine-tune on.
        source_validation: held-out synthetic images; what a user may select by.
        target_validation: real images for rewards while meta-training; never for selection.
        target_test: real images that are only ever used to score.
        proxy_test: held-out images of the proxy's own domain, to score what is kept of it.
        target_train: real images to adapt to, without labels; None: the task has none.
        proxy_train: labelled images of the proxy's own domain, to rehearse; None: there are none.
        sources: names of the sources that `source_train` is made of; (): it is one.
        source_of: of each of its examples the number of its source `[N]`; None: it is one.
        teacher_logits: `[len(source_train), proxy classes, ...]`, the proxy model's cached
            predictions on the training images; None: made where they are needed.
        num_classes: size of the new head.
        objective: what outputs and labels mean: a name of `OBJECTIVES` (or a dotted path), with
            options or not, or the objective; `build_objective` makes it.
        proxy_objective: likewise of the proxy head and `proxy_test`; None is `objective`'s.
        batch_size: examples per optimizer step.
        steps: length of the fine-tune, in optimizer steps.
        base_lr: the default base learning rate.
        loading: how data sets that are not in memory are read.
        batch_norm: "frozen" (its statistics are those of the pretraining, as ASG has it) or
            "trained".
        mode: "train", or "eval": the whole network is trained in the mode that it is scored in, so
            nothing is dropped out, either.
        flip_average: whether the new head's outputs are averaged over an image and its mirror image
            where they are scored (`envs/fine_tuning/flip_average.py`).
        classes: names of the new head's classes, in the order of labels; () where they have none.
        unlabelled: names of the splits whose labels are not known; they have no scores.
        proxy_answers: the labels of `proxy_test` do not count, the frozen network's own answers do:
            what is scored is how far the fine-tuned network still agrees with it.
        network: the pretrained network that `build_model` builds, where it has a name.
        description: JSON-able facts for cards and reports (network, fonts, writers, ...).
        importance: gives the importance of the backbone's parameters in the proxy's pretraining, by
            name, on CPU; None where it is not known. Called only where guidance needs it.

    Raises:
        ValueError: an unknown objective, or one that refuses its options; or batch norm is to be
            trained in evaluation mode.
    """

    name: str
    seed: int
    build_model: Callable[[], nn.Module]
    proxy_head: nn.Module
    source_train: LabelledData
    source_validation: LabelledData
    target_validation: LabelledData
    target_test: LabelledData
    proxy_test: LabelledData
    target_train: TargetImages | None = None
    proxy_train: LabelledData | None = None
    sources: tuple[str, ...] = ()
    source_of: Tensor | None = None
    teacher_logits: Tensor | None = None
    num_classes: int
    objective: str | Named | Objective = "classification"
    proxy_objective: str | Named | Objective | None = None
    batch_size: int = 32
    steps: int = 300
    base_lr: float = 0.01
    loading: Loading = Loading()
    batch_norm: Literal["frozen", "trained"] = "frozen"
    mode: Literal["train", "eval"] = "train"
    flip_average: bool = False
    classes: tuple[str, ...] = ()
    unlabelled: frozenset[str] = frozenset()
    proxy_answers: bool = False
    network: PretrainedNetwork | None = None
    description: Mapping[str, Any] = field(default_factory=dict)
    importance: Callable[[], Mapping[str, Tensor]] | None = None

    def __post_init__(self) -> None:
        check_mode(self.mode, self.batch_norm)
        self.build_objectives()
        told = 0 if self.source_of is None else len(self.source_of)
        if self.sources and told != len(self.source_train):
            raise ValueError(
                f"sources={self.sources} need source_of, a number for each of the "
                f"{len(self.source_train)} training images"
            )

    def build_objectives(self) -> tuple[Objective, Objective]:
        """Make the objectives of the task and of its proxy."""
        logits = self.teacher_logits
        classes = None if logits is None or logits.dim() < 2 else logits.shape[1]
        proxy = self.objective if self.proxy_objective is None else self.proxy_objective
        return build_objective(self.objective, self.num_classes), build_objective(proxy, classes)

    @property
    def in_memory(self) -> bool:
        """Whether all splits are tensors in memory, as stacks need them."""
        return all(isinstance(getattr(self, split), Examples) for split in SPLITS)


def check_mode(mode: str, batch_norm: str) -> None:
    """Raise ValueError unless a network can be trained in a mode with such a batch norm."""
    if mode not in ("train", "eval"):
        raise ValueError(f"mode={mode!r} is none of train, eval")
    if mode == "eval" and batch_norm == "trained":
        raise ValueError(
            "mode=eval freezes batch norm, and batch_norm=trained does not; leave one of them out"
        )


class TaskFamily(ABC):
    """A seeded distribution of tasks with a meta-training and a held-out part.

    `sample(seed)` is a pure function of the family's arguments and the seed. The two splits share
    no real image, no source of synthetic images and no pretrained network.

    Attributes:
        objective: that of its tasks, so that what names a metric is checked before any work.
        in_memory: whether its tasks' splits are tensors in memory; if not, fine-tunes of them are
            not stacked.
        held_out_because: why no policy may be trained on it, with the remedy; "" where one may.
    """

    name: ClassVar[str]
    held_out_because: ClassVar[str] = ""
    objective: str | Named | Objective = "classification"
    in_memory: bool = True
    split: str

    @property
    @abstractmethod
    def max_layers(self) -> int:
        """Largest number of layer groups a task of this family has."""

    @abstractmethod
    def sample(self, seed: int) -> Task:
        """Return the task of this seed."""

    def prepare(self, progress: bool = True) -> None:
        """Do the slow work that tasks share (pretraining); cached, so calling it again is cheap."""
        del progress

    def cached_files(self) -> list[Path]:
        """Return the files that `prepare` leaves in the cache folder, for workers elsewhere."""
        return []

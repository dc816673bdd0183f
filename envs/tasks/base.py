"""The contract of tasks: one synthetic-to-real fine-tuning problem, and seeded families of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn


@dataclass(frozen=True)
class Examples:
    """Labelled images held as tensors.

    Attributes:
        images: float32 `[N, C, H, W]` (or whatever the task's model takes).
        labels: int64 `[N]`, in `range(num_classes)` of the label space they belong to.
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

    def to(self, device: Any) -> Examples:
        """Return the same examples on a device."""
        return Examples(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Task:
    """One synthetic-to-real fine-tuning problem; everything in it derives from one seed.

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
        teacher_logits: `[len(source_train), proxy classes]`, the proxy model's cached predictions
            on the training images.
        num_classes: size of the new head.
        batch_size: examples per optimizer step.
        steps: length of the fine-tune, in optimizer steps.
        base_lr: the default base learning rate.
        description: JSON-able facts for cards and reports (network, fonts, writers, ...).
        importance: gives the importance of the backbone's parameters in the proxy's pretraining, by
            name, on CPU; None where it is not known. Called only where guidance needs it.
    """

    name: str
    seed: int
    build_model: Callable[[], nn.Module]
    proxy_head: nn.Module
    source_train: Examples
    source_validation: Examples
    target_validation: Examples
    target_test: Examples
    proxy_test: Examples
    teacher_logits: Tensor
    num_classes: int
    batch_size: int = 32
    steps: int = 300
    base_lr: float = 0.01
    description: Mapping[str, Any] = field(default_factory=dict)
    importance: Callable[[], Mapping[str, Tensor]] | None = None


class TaskFamily(ABC):
    """A seeded distribution of tasks with a meta-training and a held-out part.

    `sample(seed)` is a pure function of the family's arguments and the seed. The two splits share
    no real image, no source of synthetic images and no pretrained network.
    """

    name: ClassVar[str]
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

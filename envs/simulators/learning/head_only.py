"""Trials that train the new head alone, on what the frozen network makes of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from l2o.envs.fine_tuning.fresh import fresh_model
from l2o.envs.tasks.base import Examples, LabelledData, Task
from l2o.envs.tasks.loading import load_batches

_CPU = torch.device("cpu")
_AT_ONCE = 64
"""Images that the network sees together."""
_kept: WeakKeyDictionary[nn.Module, Frozen] = WeakKeyDictionary()
"""The frozen network by a task's proxy head, which all trials of a search share."""


class HeadOnly(nn.Module):
    """A network whose features are computed already: its new head is all that is trained.

    It follows timm's convention, and what it takes as images are features.

    Args:
        network: whose head it has; the rest is shared, and does nothing here.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.head: nn.Module = network.get_classifier()
        self.__dict__["_network"] = network  # no part of it: neither trained nor saved

    def forward_features(self, x: Tensor) -> Tensor:
        """Return features as they come."""
        return x

    def forward_head(self, features: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.__dict__["_network"].forward_head(features)
        return logits

    def get_classifier(self) -> nn.Module:
        """Return the head."""
        return self.head


@dataclass(frozen=True)
class Frozen:
    """A task's network as it was pretrained, and what it makes of data that trials share.

    Attributes:
        network: in evaluation mode, with any head.
        shared: a split -> the data that it was when it was last asked for, and its features.
    """

    network: Any
    shared: dict[str, tuple[LabelledData, Examples]] = field(default_factory=dict)

    def split(self, name: str, task: Task) -> Examples:
        """Return features of a split, computed anew where its data are others."""
        data: LabelledData = getattr(task, name)
        if name not in self.shared or self.shared[name][0] is not data:
            self.shared[name] = data, self.features(data, task)
        return self.shared[name][1]

    def features(self, data: LabelledData, task: Task) -> Examples:
        """Return features and labels of a data set."""
        orders = torch.arange(len(data)).split(_AT_ONCE)
        with torch.inference_mode():
            read = [
                (self.network.forward_features(images), labels)
                for images, labels in load_batches(data, orders, task.loading, _CPU, seed=0)
            ]
        found, labels = (torch.cat([*each]) for each in zip(*read, strict=True))
        return Examples(found.clone(), labels.clone())


def on_features(task: Task) -> Task:
    """Return a task whose images are features, and whose network is the new head alone.

    Images that trials share pass through the frozen network once in a process, drawn ones once in a
    trial. Source: Kumar et al., Fine-Tuning can Distort Pretrained Features, ICLR 2022 (linear
    probing).

    Args:
        task: with source images that were drawn for it.
    """
    frozen = _frozen(task)
    return replace(
        task,
        build_model=_builder(task.build_model),
        source_train=frozen.features(task.source_train, task),
        source_validation=frozen.split("source_validation", task),
        target_validation=frozen.split("target_validation", task),
        target_test=frozen.split("target_test", task),
        teacher_logits=None,
        batch_norm="frozen",
    )


def _frozen(task: Task) -> Frozen:
    if task.proxy_head not in _kept:
        _kept[task.proxy_head] = Frozen(fresh_model(task, seed=0).eval().requires_grad_(False))
    return _kept[task.proxy_head]


def _builder(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def build_head() -> nn.Module:
        return HeadOnly(build().eval())

    return build_head

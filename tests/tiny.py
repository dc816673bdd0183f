"""A task family small enough for tests: an MLP on blobs, two labels spaces, no files."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from l2o.envs.tasks import Examples, Task, TaskFamily
from l2o.guidance import backbone_parameters, estimate_importance


class TinyNetwork(nn.Module):
    """Two hidden layers and a head, after timm's convention."""

    def __init__(self, features: int = 6, classes: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(features, 8)
        self.second = nn.Linear(8, 8)
        self.head = nn.Linear(8, classes)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).tanh()).tanh()

    def forward_head(self, x: Tensor) -> Tensor:
        return self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        return self.head


def build(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyNetwork()


def blobs(count: int, seed: int, shift: float) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=generator)
    centres = torch.eye(3, 6) * 2 + shift
    return Examples(centres[labels] + torch.randn(count, 6, generator=generator), labels)


def importance(seed: int) -> dict[str, Tensor]:
    model = build(seed)
    images = blobs(10, seed + 6, 0.0).images
    return estimate_importance(model, images, backbone_parameters(model, model.get_classifier()))


class TinyFamily(TaskFamily):
    """Tasks of one shape; padded to four layers so that padding is tested too."""

    name: ClassVar[str] = "tiny"

    def __init__(self, split: str = "train", steps: int = 20, examples: int = 40) -> None:
        self.split = split
        self.steps = steps
        self.examples = examples

    @property
    def max_layers(self) -> int:
        return 4

    def sample(self, seed: int) -> Task:
        model = build(seed)
        source = blobs(self.examples, seed + 1, 0.0)
        with torch.no_grad():
            teacher = model(source.images)
        return Task(
            name=self.name,
            seed=seed,
            build_model=partial(build, seed),
            proxy_head=model.head,
            source_train=source,
            source_validation=blobs(30, seed + 2, 0.0),
            target_validation=blobs(30, seed + 3, 0.5),
            target_test=blobs(30, seed + 4, 0.5),
            proxy_test=blobs(30, seed + 5, 0.2),
            teacher_logits=teacher,
            num_classes=3,
            batch_size=8,
            steps=self.steps,
            base_lr=0.05,
            importance=partial(importance, seed),
        )


class Many(TinyFamily):
    """Half a million source examples, made with no more memory than they take."""

    def sample(self, seed: int) -> Task:
        count, task = 500_000, super().sample(seed)
        source = Examples(torch.rand(count, 6), torch.randint(0, 3, (count,)))
        return replace(task, source_train=source, teacher_logits=torch.rand(count, 3))

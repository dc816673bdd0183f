"""Tasks of images for a small convolutional network, for tests that look at feature maps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from tiny import TinyFamily
from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.tasks import Examples, Task


class ConvNetwork(nn.Module):
    """Two convolutions, a hidden layer and a head, after timm's convention; float64."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, channels, 3, padding=1)
        self.fc = nn.Linear(channels * 4 * 4, 8)
        self.head = nn.Linear(8, 3)

    def forward_features(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        return functional.relu(self.fc(x.flatten(1)))

    def forward_head(self, x: Tensor) -> Tensor:
        return self.head(x)

    def get_classifier(self) -> nn.Module:
        return self.head


def shake(images: Tensor) -> Tensor:
    """Augment any input: noise from torch's global random numbers."""
    return images + 0.3 * torch.randn(images.shape).to(images)


def build(seed: int, channels: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConvNetwork(channels).double()


def as_images(examples: Examples) -> Examples:
    """Spread six numbers over three channels of 4 x 4 pixels."""
    spread = torch.randn(6, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images = (examples.images.double() @ spread / 3).unflatten(1, (3, 4, 4))
    return Examples(images, examples.labels)


def image_task(seed: int, channels: int = 5, **options: Any) -> Task:
    """Return a task of images in float64."""
    task = TinyFamily(**options).sample(seed)
    names = ("source_train", "source_validation", "target_validation", "target_test", "proxy_test")
    changed: dict[str, Any] = {name: as_images(getattr(task, name)) for name in names}
    model: Any = build(seed, channels)
    with torch.no_grad():
        logits = model.forward_head(model.forward_features(changed["source_train"].images))
    return replace(
        task,
        **changed,
        build_model=partial(build, seed, channels),
        proxy_head=model.head,
        teacher_logits=logits,
        importance=None,
    )

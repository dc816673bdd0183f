"""Garments without files and libraries: a small network, and photographs made of numbers."""

from __future__ import annotations

import gzip

import numpy as np
import torch
from torch import Tensor, nn

from l2o.envs.networks.base import Inputs, PretrainedNetwork
from l2o.envs.tasks.garments import GarmentsFamily, photographs

SMALL = {
    "size": 28,
    "source_images": 40,
    "source_validation_images": 20,
    "target_validation_images": 30,
    "target_test_images": 25,
    "proxy_test_images": 14,
    "steps": 4,
    "batch_size": 8,
}
SIZES = {"train": 90, "t10k": 60}
PARTS = {
    "target_validation": ("train", slice(0, 50)),
    "proxy_test": ("train", slice(50, 90)),
    "target_test": ("t10k", slice(0, 60)),
}


class SmallNetwork(nn.Module):
    """A convolution and a head, by timm's convention; the head is of pixels or of images."""

    def __init__(self, classes: int, dense: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 5, stride=4)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Conv2d(6, classes, 1) if dense else nn.Linear(6, classes)

    def forward_features(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))

    def forward_head(self, x: Tensor) -> Tensor:
        return self.head(x if isinstance(self.head, nn.Conv2d) else x.mean(dim=(2, 3)))

    def get_classifier(self) -> nn.Module:
        return self.head


class Pooled(nn.Module):
    """The classifier of a pretraining that never was."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.mean(dim=(2, 3)))


class SmallGarments(GarmentsFamily):
    """The family with a small network in the place of a real one."""

    @property
    def network(self) -> PretrainedNetwork:
        def build() -> nn.Module:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(0)
                return SmallNetwork(len(self.classes), self.options.segmentation)

        size = (self.options.size, self.options.size)
        return PretrainedNetwork(
            name="tests:small",
            build=build,
            proxy_head=Pooled().requires_grad_(False),
            inputs=Inputs(size=size, mean=(0.5, 0.4, 0.3), std=(0.5, 0.5, 0.25)),
            classes=len(self.classes),
            proxy_classes=5,
            layers=3,
        )


def write_photographs(folder, compressed=True, sizes=SIZES):
    """Write files like Fashion-MNIST's; pixels tell file and number of each photograph."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, count in sizes.items():
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 0, 0] = 1 + (file == "t10k")
        images[:, 0, 1] = np.arange(count)
        images[:, 10:20, 10:20] = 200
        labels = (np.arange(count) % 10).astype(np.uint8)
        contents = {
            f"{file}-images-idx3-ubyte": head(2051, count, 28, 28) + images.tobytes(),
            f"{file}-labels-idx1-ubyte": head(2049, count) + labels.tobytes(),
        }
        for name, content in contents.items():
            if compressed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
            else:
                (folder / name).write_bytes(content)


def head(*numbers: int) -> bytes:
    return np.array(numbers, dtype=">i4").tobytes()


def few_photographs(patch, folder):
    """Let the family find files of a few photographs in a folder, and nowhere else."""
    patch.setattr(photographs, "DEBIAN", folder)
    patch.setenv("L2O_CACHE", str(folder / "cache"))
    for table, few in ((photographs.SIZES, SIZES), (photographs.PARTS, PARTS)):
        for name, value in few.items():
            patch.setitem(table, name, value)
    photographs.load_photographs.cache_clear()

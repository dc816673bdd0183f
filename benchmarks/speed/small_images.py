"""How much faster a step on small images is with kernels that are cropped to their maps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from l2o.benchmarks.speed.base import Measured, Measurement, Numbers, numbers_of
from l2o.benchmarks.speed.timing import ratio, time_alternately
from l2o.benchmarks.studies.options import count
from l2o.envs.networks.load import load_network
from l2o.envs.networks.small_maps import CroppedConv2d

_BATCH = 32


@dataclass(frozen=True)
class Cropped:
    """Milliseconds of a step forward and backward on images of a size; `ratio` is of pairs."""

    size: int
    whole_ms: float
    cropped_ms: float
    ratio: float


@dataclass(frozen=True, kw_only=True)
class SmallImages(Measurement[Cropped]):
    """Measure steps of a network as it is loaded, against torch's own convolutions.

    Forward and backward of 32 images, `channels_last`, on a CPU; both take turns.
    """

    examples = ("l2o speed small-images --sizes 32,64 --rounds 9",)
    title = "Steps on small images"
    columns = {
        "pixels": lambda row: str(row.size),
        "torch's convolutions, ms": lambda row: f"{row.whole_ms:.0f}",
        "cropped kernels, ms": lambda row: f"{row.cropped_ms:.0f}",
        "ratio": lambda row: f"{row.ratio:.2f}",
    }
    measured = Measured[Cropped]
    network: Annotated[str, typer.Option(help="As of `l2o finetune`.")] = (
        "timm:tf_efficientnet_lite0"
    )
    sizes: Numbers = "32,64,96,224"
    rounds: Annotated[int, count("Pairs of steps timed.")] = 9

    def rows(self) -> Iterator[Cropped]:
        """Time the steps."""
        network = load_network(self.network, classes=10, pretrained=False).build()
        cropped = network.to(memory_format=torch.channels_last)
        whole = copy.deepcopy(cropped)
        for each in whole.modules():
            if isinstance(each, CroppedConv2d):
                each.__class__ = nn.Conv2d  # type: ignore[assignment]
        for size in numbers_of(self.sizes):
            images = torch.randn(_BATCH, 3, size, size)
            images = images.contiguous(memory_format=torch.channels_last)
            contenders = {"whole": _step(whole, images), "cropped": _step(cropped, images)}
            times = time_alternately(contenders, self.rounds, self.where)
            slow, fast = times["whole"], times["cropped"]
            yield Cropped(size, 1e3 * slow.median, 1e3 * fast.median, ratio(slow, fast))


def _step(network: Any, images: Tensor) -> Callable[[], None]:
    def step() -> None:
        network.zero_grad(set_to_none=True)
        network(images).square().mean().backward()

    return step

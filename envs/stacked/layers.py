"""Layers of N networks side by side; activations carry the networks in their channels.

The first network's channels (or features) come first, then the second's, and so on: elementwise
functions, pooling and `flatten(1)` then work on N networks as they do on one.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

ELEMENTWISE = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.GELU,
    nn.SiLU,
    nn.ELU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardswish,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
)
"""Modules without parameters that treat every channel alone."""


class StackedConv2d(nn.Module):
    """N convolutions as one grouped convolution: `[B, N·C, H, W]` -> `[B, N·O, H', W']`.

    The weight is `[N, O, C/groups, h, w]`, the bias `[N, O]`.
    """

    def __init__(self, one: nn.Conv2d, count: int) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation = one.stride, one.padding, one.dilation
        self.groups = one.groups * count
        self.weight: Tensor | None = None
        self.bias: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        assert self.weight is not None
        bias = None if self.bias is None else self.bias.flatten()
        weight = self.weight.flatten(0, 1)
        return functional.conv2d(
            x, weight, bias, self.stride, self.padding, self.dilation, self.groups
        )


class StackedLinear(nn.Module):
    """N linear maps as one batched product: `[..., N·F]` -> `[..., N·O]`.

    The weight is `[N, O, F]`, the bias `[N, O]`.
    """

    def __init__(self, one: nn.Linear, count: int) -> None:
        super().__init__()
        self.count = count
        self.weight: Tensor | None = None
        self.bias: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        assert self.weight is not None
        # Columns, not rows: so the gradient of the weight comes out as it is stored.
        columns = x.reshape(-1, self.count, self.weight.shape[2]).permute(1, 2, 0)
        if self.bias is None:
            out = self.weight.bmm(columns)
        else:
            out = self.bias.unsqueeze(2).baddbmm(self.weight, columns)
        return out.permute(2, 0, 1).reshape(*x.shape[:-1], -1)


class StackedBatchNorm(nn.Module):
    """N batch normalisations; statistics, weight and bias are `[N, C]`.

    Frozen or not, and training or scored: as the one layer is that they are made from.
    """

    def __init__(self, one: nn.BatchNorm1d | nn.BatchNorm2d, count: int) -> None:
        super().__init__()
        self.eps, self.momentum = one.eps, one.momentum
        self._one = [one]  # in a list, so that it is no part of this module
        self.weight: Tensor | None = None
        self.bias: Tensor | None = None
        self.running_mean: Tensor | None = None
        self.running_var: Tensor | None = None
        self.num_batches_tracked: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise with the running statistics, or with the batch's, which move those."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        training = self._one[0].training
        if training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        # Views: what they are moved by reaches the statistics of all networks.
        mean, variance = self.running_mean.view(-1), self.running_var.view(-1)
        weight, bias = _flat(self.weight), _flat(self.bias)
        return functional.batch_norm(
            x, mean, variance, weight, bias, training, self.momentum, self.eps
        )


class StackedGroupNorm(nn.Module):
    """N group normalisations; weight and bias are `[N, C]`."""

    def __init__(self, one: nn.GroupNorm, count: int) -> None:
        super().__init__()
        self.groups, self.eps = one.num_groups * count, one.eps
        self.weight: Tensor | None = None
        self.bias: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        weight, bias = _flat(self.weight), _flat(self.bias)
        return functional.group_norm(x, self.groups, weight, bias, self.eps)


class StackedLayerNorm(nn.Module):
    """N layer normalisations over the last dimension `[..., N·F]`; weight and bias are `[N, F]`."""

    def __init__(self, one: nn.LayerNorm, count: int) -> None:
        super().__init__()
        self.count, self.eps = count, one.eps
        self.weight: Tensor | None = None
        self.bias: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        each = x.unflatten(-1, (self.count, -1))
        out = functional.layer_norm(each, each.shape[-1:], eps=self.eps)
        if self.weight is not None:
            out = out * self.weight
        if self.bias is not None:
            out = out + self.bias
        return out.flatten(-2)


STACKED: dict[type[nn.Module], Callable[..., nn.Module]] = {
    nn.Conv2d: StackedConv2d,
    nn.Linear: StackedLinear,
    nn.BatchNorm1d: StackedBatchNorm,
    nn.BatchNorm2d: StackedBatchNorm,
    nn.GroupNorm: StackedGroupNorm,
    nn.LayerNorm: StackedLayerNorm,
}


def unstackable(module: nn.Module) -> str | None:
    """Return why a layer has no stacked form, None where it has one."""
    kind = type(module)
    name = kind.__name__
    if isinstance(module, nn.Dropout) and (module.p == 0.0 or not module.training):
        return None
    if kind in ELEMENTWISE:
        flattens_batch = isinstance(module, nn.Flatten) and module.start_dim != 1
        return "Flatten does not begin at dimension 1" if flattens_batch else None
    if kind not in STACKED:
        return f"{name} has no stacked form"
    if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
        return f"Conv2d pads with {module.padding_mode!r}"
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and (
        module.running_mean is None or module.momentum is None
    ):
        return f"{name} has no running statistics that a momentum moves"
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) != 1:
        return "LayerNorm spans several dimensions"
    return None


def _flat(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.flatten()

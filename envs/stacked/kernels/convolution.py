"""Chains of convolutions of N networks on CPU, with the images of a batch innermost in memory."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from l2o.envs.stacked.kernels.library import DTYPES, kernel
from l2o.envs.stacked.kernels.threads import share

_MOST_TAPS = 256
Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """What a convolution is but for its weights.

    Attributes:
        stride: rows, columns.
        padding: rows, columns, of zeros.
        dilation: rows, columns.
        rectify: whether a rectifier follows.
    """

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    rectify: bool = False


def supports(layer: nn.Conv2d) -> bool:
    """Return whether there is a kernel for this convolution."""
    rows, columns = layer.kernel_size
    return (
        layer.groups == 1
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and rows * columns <= _MOST_TAPS
        and layer.weight.dtype in DTYPES
    )


def convolve(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None],
    chain: Sequence[Geometry],
) -> Tensor:
    """Convolve N batches with N kernels, again and again: y_n = x_n * w_n + b_n, rectified.

    Args:
        x: `[B, N·C, H, W]`; copied unless images are innermost, `x.permute(1, 2, 3, 0)`
            contiguous.
        weights: of each convolution of the chain, `[N, O, C, h, w]`.
        biases: `[N, O]` or None.
        chain: each convolution's geometry.

    Returns:
        `[B, N·O, H', W']` of the last one, images innermost in memory.

    Raises:
        RuntimeError: the kernels cannot be had (`why_no_kernels`), or shapes do not fit.
    """
    out: Tensor = _Convolve.apply(x, tuple(chain), *weights, *biases)
    return out


class _Shape(ctypes.Structure):
    """As `struct Shape` in convolution.cpp."""

    _fields_ = [
        (name, ctypes.c_long)
        for name in (
            *("networks", "batch", "inputs", "height", "width", "outputs", "rows", "columns"),
            *("kernel_rows", "kernel_columns", "stride_rows", "stride_columns"),
            *("pad_rows", "pad_columns", "dilation_rows", "dilation_columns"),
            *("weight_output", "weight_input", "weight_row", "weight_column"),
        )
    ]


class _Layer(ctypes.Structure):
    """As `struct Layer` in convolution.cpp."""

    _fields_ = [
        ("shape", _Shape),
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "out")),
        *((name, ctypes.c_void_p) for name in ("weight_gradient", "bias_gradient")),
        ("rectify", ctypes.c_long),
    ]


@functools.lru_cache(maxsize=1024)
def _shape(x: tuple[int, ...], weight: torch.Size, strides: tuple[int, ...], g: Geometry) -> _Shape:
    networks, outputs, inputs, *kernel = weight
    sides = zip(x[2:], kernel, g.stride, g.padding, g.dilation, strict=True)
    out = [(size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in sides]
    if x[1] != networks * inputs or min(out) < 1:
        raise RuntimeError(f"cannot convolve input {x} with weight {tuple(weight)}, {g}")
    return _Shape(
        *(networks, x[0], inputs, *x[2:], outputs, *out),
        *(*kernel, *g.stride, *g.padding, *g.dilation, *strides[1:]),
    )


def _shapes(x: Tensor, weights: Sequence[Tensor], chain: Sequence[Geometry]) -> list[_Shape]:
    size: tuple[int, ...] = tuple(x.shape)
    shapes = []
    for weight, geometry in zip(weights, chain, strict=True):
        shape = _shape(size, weight.shape, weight.stride(), geometry)
        shapes.append(shape)
        size = (shape.batch, shape.networks * shape.outputs, shape.rows, shape.columns)
    return shapes


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, chain: tuple[Geometry, ...], *tensors: Tensor | None
    ) -> Tensor:
        count = len(chain)
        x = images_innermost(x)
        weights = [_dense(weight) for weight in tensors[:count] if weight is not None]
        biases = [None if bias is None else bias.contiguous() for bias in tensors[count:]]
        shapes = _shapes(x, weights, chain)
        training = any(ctx.needs_input_grad)
        # Results between are kept for the backward pass only.
        outs = [_out(x, shape) if training else None for shape in shapes[:-1]]
        outs.append(last := _out(x, shapes[-1]))
        layers = _layers(shapes, chain, (weights, biases, outs))
        run = kernel("forward", x.dtype)

        def compute(first: int, past: int) -> None:
            scratch = _scratch(layers, x)
            run(x.data_ptr(), layers, count, scratch.data_ptr(), first, past)

        share(shapes[0].networks, compute)
        if training:
            ctx.save_for_backward(x, *weights, *outs)
            ctx.chain, ctx.biased = chain, [bias is not None for bias in biases]
        return last.permute(3, 0, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.chain)
        x, *rest = ctx.saved_tensors
        weights, outs = rest[:count], rest[count:]
        gradient = images_innermost(gradient)
        to_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        to_weights = [torch.empty_like(weight) for weight in weights]
        to_biases = [
            weight.new_empty(weight.shape[:2]) if biased else None
            for weight, biased in zip(weights, ctx.biased, strict=True)
        ]
        shapes = _shapes(x, weights, ctx.chain)
        nothing = [None] * count
        layers = _layers(shapes, ctx.chain, (weights, nothing, outs, to_weights, to_biases))
        run = kernel("backward", x.dtype)
        ends = gradient.data_ptr(), None if to_x is None else to_x.data_ptr()

        def compute(first: int, past: int) -> None:
            scratch = _scratch(layers, x)
            run(x.data_ptr(), layers, count, *ends, scratch.data_ptr(), first, past)

        share(shapes[0].networks, compute)
        return to_x, None, *to_weights, *to_biases


def _out(x: Tensor, shape: _Shape) -> Tensor:
    return x.new_empty(shape.networks * shape.outputs, shape.rows, shape.columns, shape.batch)


def _layers(
    shapes: Sequence[_Shape],
    chain: Sequence[Geometry],
    columns: Sequence[Sequence[Tensor | None]],
) -> Any:
    """Return the array of layers; columns are weight, bias, out and the gradients, in order."""
    rows = zip(*columns, strict=True)
    layers = (_Layer * len(chain))()
    for layer, shape, geometry, tensors in zip(layers, shapes, chain, rows, strict=True):
        pointers = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
        padded = pointers + [None] * (5 - len(pointers))
        layer.shape, layer.rectify = shape, int(geometry.rectify)
        layer.weight, layer.bias, layer.out, layer.weight_gradient, layer.bias_gradient = padded
    return layers


def _scratch(layers: Any, like: Tensor) -> Tensor:
    return like.new_empty(kernel("scratch")(layers, len(layers)))


def images_innermost(x: Tensor) -> Tensor:
    """Return `[B, C, H, W]` with B innermost in memory, a copy only where it is not."""
    return x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)


def _dense(weight: Tensor) -> Tensor:
    """Return the weight with its networks one after the other, the order within as it is."""
    each = weight[0].numel()
    within = sum((n - 1) * s for n, s in zip(weight.shape[1:], weight.stride()[1:], strict=True))
    if weight.stride(0) == each and within == each - 1:
        return weight
    return weight.contiguous()

"""How a fine-tune is computed: number format, memory layout, parts of batches, compilation."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["float32", "bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""What autocast computes in."""


@dataclass(frozen=True)
class Compute:
    """Options that change speed and memory of a fine-tune, and its numbers by rounding only.

    Attributes:
        precision: float32, or the type that autocast computes in; weights stay float32. With fp16
            the loss is scaled by a `GradScaler`, and a step whose gradients overflow is left out.
        channels_last: whether images and weights lie with their channels last, which convolutions
            are faster with: some 2.5 times for depthwise ones on a CPU.
        accumulate: parts that each batch is cut into; their gradients are added up to the batch's,
            so memory for activations falls and nothing else changes. Batch norm that is trained
            sees the parts.
        compile: whether the network is compiled by `torch.compile`.

    Raises:
        ValueError: an impossible value.
    """

    precision: Precision = "float32"
    channels_last: bool = False
    accumulate: int = 1
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("float32", *DTYPES):
            raise ValueError(f"precision={self.precision!r} must be float32, bf16 or fp16")
        if self.accumulate < 1:
            raise ValueError(f"accumulate={self.accumulate} must be at least 1: parts of a batch")

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked for, as stacks of fine-tunes need it."""
        return self == Compute()

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return the context that forward passes run in."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(device.type, dtype=DTYPES[self.precision])

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Return what scales the loss, which does nothing but with fp16."""
        return torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")

    def lay_out(self, model: Any, device: torch.device) -> Any:
        """Bring a network to a device and lay its weights out, in place; return it."""
        model.to(device)
        return model.to(memory_format=torch.channels_last) if self.channels_last else model

    def images(self, images: Tensor) -> Tensor:
        """Lay a batch of images out; others stay as they are."""
        if self.channels_last and images.dim() == 4:
            return images.contiguous(memory_format=torch.channels_last)
        return images

    def compiled(self, forward: nn.Module) -> Any:
        """Return a module that is compiled, if it is to be."""
        return torch.compile(forward) if self.compile else forward


def part_of(batch: Any, part: slice) -> Any:
    """Return a part of tensors in nested mappings, by their first dimension.

    Example:
        >>> part_of({"logits": torch.arange(6)}, slice(0, 2))
        {'logits': tensor([0, 1])}
    """
    if isinstance(batch, dict):
        return {name: part_of(value, part) for name, value in batch.items()}
    return batch[part]


def parts(examples: int, count: int) -> list[slice]:
    """Return the slices that cut so many examples into at most `count` parts, as even as can be.

    Example:
        >>> parts(5, 2)
        [slice(0, 3, None), slice(3, 5, None)]
    """
    count = min(count, examples)
    ends = [(examples * (i + 1) + count - 1) // count for i in range(count)]
    return [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]

"""Tensors as they come in training runs: sharded over ranks, sparse, of any dtype and device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_NARROW = (torch.float16, torch.bfloat16)


def is_sharded(tensor: Tensor) -> bool:
    """Return whether a tensor is a `DTensor`, without importing `torch.distributed`."""
    return hasattr(tensor, "device_mesh") and hasattr(tensor, "to_local")


def shard(tensor: Tensor) -> Tensor:
    """Return the part of a `DTensor` that lies in this process, sharing its memory."""
    if is_sharded(tensor):
        local: Tensor = tensor.to_local()  # type: ignore[attr-defined]
        return local
    return tensor


def real_and_dense(tensor: Tensor) -> Tensor:
    """Return a sparse tensor as a dense one, and a complex one as pairs of reals."""
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def norms(tensors: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return the Euclidean norms `[len(tensors)]` as float32 on one device.

    Half precision is summed in float32: its squares overflow.
    """
    plain = [real_and_dense(tensor.detach()) for tensor in tensors]
    found: list[Any] = [None] * len(plain)
    for narrow in (False, True):
        index = [i for i, tensor in enumerate(plain) if (tensor.dtype in _NARROW) == narrow]
        if not index:
            continue
        dtype = torch.float32 if narrow else None
        for i, norm in zip(
            index, torch._foreach_norm([plain[i] for i in index], 2, dtype), strict=True
        ):
            found[i] = norm.to(device, torch.float32)
    return torch.stack(found)


def dot(a: Tensor, b: Tensor, device: torch.device) -> Tensor:
    """Return the inner product of two tensors of one shape, as a float32 scalar on a device."""
    left, right = real_and_dense(a.detach()), real_and_dense(b.detach())
    wide = torch.float32 if left.dtype in _NARROW else left.dtype
    return torch.dot(left.flatten().to(wide), right.flatten().to(wide)).to(device, torch.float32)

"""Tensors as they come in training runs: sharded over ranks, sparse, of any dtype and device."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_NARROW = (torch.float16, torch.bfloat16)


def is_sharded(tensor: Tensor) -> bool:
    """Return whether a tensor is a `DTensor`, without importing `torch.distributed`."""
    return hasattr(tensor, "device_mesh") and hasattr(tensor, "to_local")


def on_host(values: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return numbers as a tensor on the CPU, whatever torch's default device and dtype are.

    Example:
        >>> on_host([1, 2])
        tensor([1., 2.])
    """
    return torch.as_tensor(values, dtype=dtype, device="cpu")


def to_host(state: Any) -> Any:
    """Return state with its tensors on the CPU, wherever a loader has put them."""
    if isinstance(state, torch.Tensor):
        return state.cpu()
    if isinstance(state, dict):
        return {key: to_host(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map(to_host, state))
    return state


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


def norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the Euclidean norm of each tensor, a scalar where the tensor is.

    Half precision is summed in float32: its squares overflow.
    """
    found: list[Any] = [None] * len(tensors)
    for narrow in (False, True):
        index = [i for i, tensor in enumerate(tensors) if (tensor.dtype in _NARROW) == narrow]
        if index:
            dtype = torch.float32 if narrow else None
            made = torch._foreach_norm([tensors[i] for i in index], 2, dtype)
            for i, norm in zip(index, made, strict=True):
                found[i] = norm
    return found


def dots(left: Sequence[Tensor], right: Sequence[Tensor]) -> list[Tensor]:
    """Return the inner products of tensors of equal shapes, likewise; any memory layout will do."""
    pairs = [
        (a.float(), b.float()) if a.dtype in _NARROW else (a, b)
        for a, b in zip(left, right, strict=True)
    ]
    products = torch._foreach_mul([a for a, _ in pairs], [b for _, b in pairs])
    return [product.sum() for product in products]


def scalars_to_host(scalars: Sequence[Tensor]) -> NDArray[np.float64]:
    """Return scalars as an array, by one copy."""
    device = scalars[0].device
    if any(scalar.device != device for scalar in scalars):
        scalars = [scalar.to(device) for scalar in scalars]
    # Scalars of a user may be of shape [1].
    scalars = [s if s.dim() == 0 else s.reshape(()) for s in scalars]
    return torch.stack(list(scalars)).cpu().double().numpy()


def same_members(before: Sequence[Any], now: Sequence[Any]) -> bool:
    """Return whether both hold the very same objects in the same order.

    Example:
        >>> weight = torch.ones(2)
        >>> same_members((weight,), [weight]), same_members((weight,), [torch.ones(2)])
        (True, False)
    """
    return len(before) == len(now) and all(map(operator.is_, before, now))

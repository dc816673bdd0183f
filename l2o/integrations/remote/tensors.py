"""Tensors in requests: float32 numbers, little-endian, as base64."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def pack(tensor: Tensor) -> dict[str, Any]:
    """Return a tensor as JSON can hold it, bit for bit.

    Example:
        >>> unpack(pack(torch.tensor([[0.1, 2.0]])))
        tensor([[0.1000, 2.0000]])
    """
    array = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
    raw = array.astype("<f4", copy=False).tobytes()
    return {"shape": list(tensor.shape), "float32": base64.b64encode(raw).decode()}


def unpack(packed: Mapping[str, Any]) -> Tensor:
    """Return the tensor.

    Raises:
        ValueError: what is none.
    """
    try:
        raw = base64.b64decode(packed["float32"], validate=True)
        shape = [int(size) for size in packed["shape"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this is no tensor: {packed!r:.100}") from error
    if min(shape, default=0) < 0 or len(raw) != 4 * math.prod(shape):
        raise ValueError(f"{len(raw)} bytes are no float32 tensor of shape {shape}")
    array = np.frombuffer(raw, dtype="<f4").astype(np.float32)
    return torch.from_numpy(array).reshape(shape)

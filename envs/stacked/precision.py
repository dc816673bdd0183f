"""The number format that stacked networks are computed in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PRECISIONS = ("float32", "tf32", "bf16")


@contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """Compute in a format: tf32 rounds products on CUDA only, bf16 is autocast.

    float32 and tf32 put the process's own settings back afterwards.
    """
    if precision == "bf16":
        # Autocast would cast each weight once and keep that over all steps taken in here.
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            yield
        return
    if device.type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before

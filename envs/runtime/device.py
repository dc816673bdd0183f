"""Which device the inner network is trained on."""

from __future__ import annotations

import torch


def resolve_device(name: str) -> torch.device:
    """Return the device of a config's name; "auto" is CUDA where there is one, else CPU.

    Raises:
        ValueError: no such device, or it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; use cpu, cuda, cuda:0, ... or auto") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r}: torch sees no CUDA here; use cpu or auto")
    return device

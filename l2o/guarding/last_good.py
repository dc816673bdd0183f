"""The last good weights of a run, to go back to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from l2o.tensors import shard

_WIDE = (torch.float32, torch.float64)


class LastGood:
    """Keeps one copy of tensors (weights, running statistics) and puts it back.

    Args:
        light: keep it on the host, in two bytes a number: t ≈ s · half(t / s), with s the largest
            value of a tensor. What comes back differs by less than 0.05 % of each number, or by
            10⁻⁷ of the largest. Vectors, and tensors of two bytes or of whole numbers, stay exact.

    Example:
        >>> weights, good = [torch.ones(2, 2)], LastGood(light=True)
        >>> good.keep(weights)
        True
        >>> _ = weights[0].mul_(float("nan"))
        >>> good.restore(weights, torch.optim.SGD(weights)), weights[0].sum().item()
        (True, 4.0)
    """

    def __init__(self, light: bool = False) -> None:
        self.light = light
        self._copy: list[Tensor] = []
        self._scales: list[Tensor | None] = []
        self._shapes: list[torch.Size] = []

    @torch.no_grad()
    def keep(self, tensors: Sequence[Tensor]) -> bool:
        """Copy them aside, in place of the copy before; not if a value is not finite.

        Returns:
            Whether they were.
        """
        tensors = [shard(t.detach()) for t in tensors]
        finite = [torch.isfinite(t).all() for t in tensors if t.is_floating_point()]
        if not finite or not all(bool(one) for one in finite):
            return False
        self._shapes = [t.shape for t in tensors]
        if self.light:
            made = [_lighten(t) for t in tensors]
            self._copy = [copy for copy, _ in made]
            self._scales = [scale for _, scale in made]
        elif [t.shape for t in self._copy] == self._shapes:
            for mine, tensor in zip(self._copy, tensors, strict=True):
                mine.copy_(tensor)
        else:
            self._take([t.clone() for t in tensors])
        return True

    @torch.no_grad()
    def restore(self, tensors: Sequence[Tensor], optimizer: Optimizer) -> bool:
        """Put the copy back and forget the optimizer's state of them; False if there is none."""
        parts = [shard(t.detach()) for t in tensors]
        if not self._copy or self._shapes != [t.shape for t in parts]:
            return False
        for tensor, part, good, scale in zip(tensors, parts, self._copy, self._scales, strict=True):
            if scale is None:
                part.copy_(good)
            else:
                part.copy_(good.to(scale.dtype).mul_(scale))
            # Momentum gathered on the way out would lead straight back there.
            optimizer.state.pop(tensor, None)
        return True

    def forget(self) -> None:
        """Have no copy any more."""
        self._copy, self._scales, self._shapes = [], [], []

    @property
    def nbytes(self) -> int:
        """Memory that the copy takes."""
        return sum(t.numel() * t.element_size() for t in self._copy)

    def state_dict(self) -> list[Tensor]:
        """Return the copy; a light one is not worth a checkpoint that holds the weights anyway."""
        return [] if self.light else [tensor.clone() for tensor in self._copy]

    def load_state_dict(self, state: Sequence[Tensor]) -> None:
        """Take over a copy."""
        self._take([] if self.light else [tensor.clone() for tensor in state])

    def _take(self, copy: list[Any]) -> None:
        self._copy = copy
        self._scales = [None] * len(copy)
        self._shapes = [t.shape for t in copy]


def _lighten(tensor: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return a tensor in half the bytes on the host, and what to multiply it by."""
    if tensor.dtype not in _WIDE or tensor.dim() < 2 or not tensor.numel():
        return tensor.to("cpu", copy=True), None
    # abs().max() would take a copy of the tensor; its ends are the same.
    low, high = torch.aminmax(tensor)
    scale = torch.maximum(-low, high).clamp_min(torch.finfo(tensor.dtype).tiny)
    return (tensor / scale).to("cpu", torch.float16), scale.cpu()

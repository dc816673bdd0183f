"""The last good weights of a run, to go back to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer


class LastGood:
    """Keeps one copy of tensors (weights, running statistics) and puts it back."""

    def __init__(self) -> None:
        self._copy: list[Tensor] = []

    @torch.no_grad()
    def keep(self, tensors: Sequence[Tensor]) -> None:
        """Copy them aside, in place of the copy before; not if a value is not finite."""
        finite = [torch.isfinite(t).all() for t in tensors if t.is_floating_point()]
        if not finite or not torch.stack(finite).all():
            return
        if [t.shape for t in self._copy] == [t.shape for t in tensors]:
            for mine, tensor in zip(self._copy, tensors, strict=True):
                mine.copy_(tensor)
        else:
            self._copy = [t.detach().clone() for t in tensors]

    @torch.no_grad()
    def restore(self, tensors: Sequence[Tensor], optimizer: Optimizer) -> bool:
        """Put the copy back and forget the optimizer's state of them; False if there is none."""
        if [t.shape for t in self._copy] != [t.shape for t in tensors]:
            return False
        for tensor, good in zip(tensors, self._copy, strict=True):
            tensor.copy_(good)
            # Momentum gathered on the way out would lead straight back there.
            optimizer.state.pop(tensor, None)
        return True

    def state_dict(self) -> list[Tensor]:
        """Return the copy."""
        return [tensor.clone() for tensor in self._copy]

    def load_state_dict(self, state: Sequence[Tensor]) -> None:
        """Take over a copy."""
        self._copy = [tensor.clone() for tensor in state]

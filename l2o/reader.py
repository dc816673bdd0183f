"""Reads parameters and gradients for a decision: sums of squares per tensor, on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.block_sums import BlockSums, Copies
from l2o.signals import Quantity
from l2o.tensors import dots, norms, real_and_dense, scalars_to_host

Sums = NDArray[np.float64]
WEIGHT, GRADIENT, UPDATE, DOT, DRIFT = range(5)
"""Rows of what is read of each tensor: ‖θ‖², ‖g‖², ‖Δθ‖², ⟨g, −Δθ⟩ and ‖θ − θ₀‖²."""
_PLAIN = (torch.Tensor, torch.nn.Parameter)


class Reader:
    """Watches tensors; what is summed on their device crosses to the host as one small tensor.

    Weights at the start are kept only when the drift is needed, those before a step only for steps
    that are read and only when the update is needed. Plain tensors of one type on a CPU are read in
    blocks, into memory that is kept: there, fresh memory costs more than the arithmetic. Others
    are read by a few operations on all of them, into memory that is given back.

    Args:
        parameters: what is watched.
        needs: the costly quantities to read.
        piece: what this process reads of a tensor that is spread over several; None: all of it.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        needs: frozenset[Quantity],
        piece: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.parameters = list(parameters)
        self.needs = needs
        self._piece = piece
        self._blocks = BlockSums(self.parameters) if self._plain([]) else None
        self._start: Copies | None = None
        self._before: Copies | None = None
        self._taken: list[Tensor] = []
        self.start: list[Tensor] = []
        if "drift" in needs:
            if self._blocks is None:
                self.start = [p.detach().clone() for p in self.parameters]
            else:
                self._start = self._blocks.allocate(self.parameters)
                self.start = self._start.tensors
                with torch.no_grad():
                    self._start.take(self.parameters)

    @torch.no_grad()
    def before_step(self) -> None:
        """Remember the weights, so that `read` can tell this step's update."""
        if "update" not in self.needs:
            return
        if self._blocks is None or not self._plain([]):
            self._taken = [piece.clone() for piece in self._pieces(self.parameters)]
            return
        if self._before is None:
            self._before = self._blocks.allocate(self.parameters)
        self._before.take(self.parameters)
        self._taken = self._before.tensors

    @torch.no_grad()
    def read(self, gradients: bool, more: Sequence[Tensor] = ()) -> tuple[Sums, list[float]]:
        """Read now.

        Args:
            gradients: whether gradients count.
            more: scalars that are to come to the host along with the sums.

        Returns:
            `[5, T]`: NaN for what was not read, inf for what was read as NaN (⟨g, −Δθ⟩ excepted);
            and the scalars.
        """
        counts = gradients and "gradient" in self.needs
        grads = [p.grad for p in self.parameters] if counts else []
        taken, self._taken = self._taken, []
        copies = self._before if taken and self._before and taken is self._before.tensors else None
        if self._blocks is not None and bool(copies) == bool(taken) and self._plain(grads):
            found = self._blocks.read(self.parameters, grads, copies, self._start)
            scalars = [float(scalar) for scalar in more]
        else:
            found, scalars = self._read_whole(grads, taken, more)
        return self._mark(found, grads, bool(taken)), scalars

    def _mark(self, sums: Sums, gradients: Sequence[Tensor | None], remembers: bool) -> Sums:
        """Tell what is missing from what is not finite."""
        broken = np.isnan(sums)
        broken[DOT] = False
        sums[broken] = np.inf
        missing = [i for i, gradient in enumerate(gradients) if gradient is None]
        sums[GRADIENT, missing if gradients else slice(None)] = np.nan
        if not remembers:
            sums[UPDATE] = np.nan
        if not (remembers and gradients):
            sums[DOT] = np.nan
        if not self.start:
            sums[DRIFT] = np.nan
        return sums

    def _plain(self, gradients: Sequence[Tensor | None]) -> bool:
        """Return whether everything is plain, contiguous and of one type, on the CPU."""
        dtype = self.parameters[0].dtype
        if self._piece is not None or dtype not in (torch.float32, torch.float64):
            return False
        for tensors in (self.parameters, gradients):
            for t in tensors:
                if t is not None and not (
                    type(t) in _PLAIN
                    and t.is_cpu
                    and t.dtype == dtype
                    and t.layout == torch.strided
                    and t.is_contiguous()
                ):
                    return False
        return True

    def _read_whole(
        self, gradients: Sequence[Tensor | None], before: list[Tensor], more: Sequence[Tensor]
    ) -> tuple[Sums, list[float]]:
        """Read with operations on whole tensors, of any kind, on any device."""
        weights = self._pieces(self.parameters)
        held = [i for i, gradient in enumerate(gradients) if gradient is not None]
        grads = self._pieces([g for g in gradients if g is not None])
        every = list(range(len(weights)))
        parts = [(WEIGHT, every, norms(weights))]
        if grads:
            parts.append((GRADIENT, held, norms(grads)))
        if before:
            moved = torch._foreach_sub(before, weights)
            parts.append((UPDATE, every, norms(moved)))
            if grads:
                parts.append((DOT, held, dots([moved[i] for i in held], grads)))
        if self.start:
            away = torch._foreach_sub(weights, self._pieces(self.start))
            parts.append((DRIFT, every, norms(away)))
        values = scalars_to_host([value for _, _, part in parts for value in part] + list(more))
        found, offset = np.zeros((5, len(weights))), 0
        with np.errstate(over="ignore"):
            for row, where, part in parts:
                read = values[offset : offset + len(part)]
                found[row, where] = read if row == DOT else read * read
                offset += len(part)
        return found, [float(value) for value in values[offset:]]

    def _pieces(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        found = [tensor.detach() for tensor in tensors]
        return [real_and_dense(self._piece(t) if self._piece else t) for t in found]

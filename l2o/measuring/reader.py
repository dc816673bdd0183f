"""Reads parameters and gradients for a decision: sums of squares per tensor, on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.measuring.block_sums import BlockSums, Copies
from l2o.measuring.sampling import Budget
from l2o.measuring.start import Start
from l2o.measuring.views import Piece, Views
from l2o.signals import Quantity
from l2o.tensors import dots, norms, scalars_to_host

Sums = NDArray[np.float64]
WEIGHT, GRADIENT, UPDATE, DOT, DRIFT = range(5)
"""Rows of what is read of each tensor: ‖θ‖², ‖g‖², ‖Δθ‖², ⟨g, −Δθ⟩ and ‖θ − θ₀‖²."""
_SQUARES = (WEIGHT, GRADIENT, UPDATE, DRIFT)


class Reader:
    """Watches tensors; what is summed on their device crosses to the host as one small tensor.

    Small models are read whole, of a large one's tensors a sample each (`l2o.measuring.sampling`),
    whose sums are scaled up. So are the copies that are kept: of the weights at the start, only
    when the drift is needed, and of those before a step that is read, only when the update is
    needed. The weights' own sum is what it was at the start, exactly, and what the sample says has
    been added since.

    Plain tensors of one type on a CPU are read in blocks, into memory that is kept: there, fresh
    memory costs more than the arithmetic. Others are read by a few operations on all of them, into
    memory that is given back.

    Args:
        parameters: what is watched.
        needs: the costly quantities to read.
        piece: what this process reads of a tensor that is spread over several; None: all of it.
        budget: how much of a large model is read; None: `l2o.measuring.sampling.BUDGET`.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        needs: frozenset[Quantity],
        piece: Piece | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.parameters = list(parameters)
        self.needs = needs
        self._views = Views(self.parameters, piece, budget)
        self._start: Start | None = None
        if "drift" in needs:
            self._start = Start(self.parameters, self._views)
        self._prepare()

    @torch.no_grad()
    def _prepare(self) -> None:
        """Lay the work out by what is read of each tensor."""
        weights, plain = self._views.of(self.parameters)
        self._blocks = BlockSums(weights) if plain else None
        self._before: Copies | None = None
        self._taken: list[Tensor] = []
        self._began: Copies | None = None
        if self._start is not None and self._blocks is not None:
            self._began = self._blocks.adopt(self._start.samples)
            self._start.samples = self._began.tensors

    @property
    def start(self) -> list[Tensor]:
        """What is kept of the weights at the start, one tensor for each; empty: nothing."""
        return [] if self._start is None else self._start.samples

    @torch.no_grad()
    def before_step(self) -> bool:
        """Remember the weights, so that `read` can tell this step's update.

        Returns:
            False if they have other shapes than the work is laid out by; nothing was done then.
        """
        if not self.fits():
            return False
        if "update" not in self.needs:
            return True
        weights, plain = self._views.of(self.parameters)
        if self._blocks is None or not plain:
            self._taken = self._views.own(weights)
            return True
        if self._before is None:
            self._before = self._blocks.allocate(weights)
        self._before.take(weights)
        self._taken = self._before.tensors
        return True

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
        weights, plain = self._views.of(self.parameters)
        grads, alike = self._views.of([p.grad for p in self.parameters]) if counts else ([], True)
        taken, self._taken = self._taken, []
        copies = self._before if taken and self._before and taken is self._before.tensors else None
        if self._blocks is not None and bool(copies) == bool(taken) and plain and alike:
            found = self._blocks.read(weights, grads, copies, self._began)
            scalars = [float(scalar) for scalar in more]
        else:
            found, scalars = self._read_whole(weights, grads, taken, more)
        self._scale_up(found)
        return self._mark(found, grads, bool(taken)), scalars

    def _scale_up(self, sums: Sums) -> None:
        """Make sums over samples estimates of sums over tensors."""
        if not self._views.sampled:
            return
        sums *= self._views.scales
        if self._start is not None:
            self._start.correct(sums[WEIGHT])

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
        if self._start is None:
            sums[DRIFT] = np.nan
        return sums

    def _read_whole(
        self,
        weights: list[Tensor],
        gradients: Sequence[Tensor | None],
        before: list[Tensor],
        more: Sequence[Tensor],
    ) -> tuple[Sums, list[float]]:
        """Read with operations on whole tensors, of any kind, on any device."""
        held = [i for i, gradient in enumerate(gradients) if gradient is not None]
        grads = [g for g in gradients if g is not None]
        every = list(range(len(weights)))
        parts = [(WEIGHT, every, norms(weights))]
        if grads:
            parts.append((GRADIENT, held, norms(grads)))
        if before:
            moved = torch._foreach_sub(before, weights)
            parts.append((UPDATE, every, norms(moved)))
            if grads:
                parts.append((DOT, held, dots([moved[i] for i in held], grads)))
        if self._start is not None:
            away = torch._foreach_sub(weights, self._start.views())
            parts.append((DRIFT, every, norms(away)))
        values = scalars_to_host([value for _, _, part in parts for value in part] + list(more))
        found, offset = np.zeros((5, len(weights))), 0
        with np.errstate(over="ignore"):
            for row, where, part in parts:
                read = values[offset : offset + len(part)]
                found[row, where] = read if row == DOT else read * read
                offset += len(part)
        return found, [float(value) for value in values[offset:]]

    def fits(self) -> bool:
        """Return whether the parameters still have the shapes that the work is laid out by."""
        return self._views.fit(self.parameters)

    def start_state(self) -> list[Any]:
        """Return what is kept of the start, for a checkpoint: an entry for each parameter."""
        return [] if self._start is None else self._start.state()

    def fits_start(self, saved: Sequence[Any]) -> list[bool]:
        """Return of each parameter whether its entry is of a tensor of its shape."""
        if self._start is None:
            return [True] * len(self.parameters)
        return self._start.fits(saved)

    def load_start(self, saved: Sequence[Any]) -> None:
        """Take over entries of `start_state()`, or whole tensors, as older releases kept them.

        Of a parameter whose entry does not fit, what was kept stays.
        """
        if self._start is not None:
            self._start.load(saved)
            self._prepare()

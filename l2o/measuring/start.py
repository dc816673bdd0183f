"""What is kept of the weights at the start of a run: small ones whole, of large ones a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.measuring.block_sums import BLOCK
from l2o.measuring.sampling import RUN, Sample
from l2o.measuring.views import Views
from l2o.tensors import norms, scalars_to_host


class Start:
    """Keeps the start of parameters, and of sampled ones the sum of squares over the whole tensor.

    That sum, read once, makes later ones exact but for what has changed since:
    Σθ² ≈ Σθ₀² + scale · (Σ over the sample of θ² − θ₀²).

    Args:
        parameters: what is watched.
        views: what is read of them; its samples follow those of a loaded checkpoint.
    """

    @torch.no_grad()
    def __init__(self, parameters: Sequence[Tensor], views: Views) -> None:
        self._views = views
        self._parameters = parameters
        self._whole = dict.fromkeys(views.sampled, 0.0)
        self.samples: list[Tensor] = []
        for index, (parameter, sample) in enumerate(zip(parameters, views.samples, strict=True)):
            if sample is None:
                self.samples.append(parameter.detach().clone())
            else:
                self._keep(index, sample, parameter)
        self._note_squares()

    def _keep(self, index: int, sample: Sample, tensor: Tensor) -> None:
        """Keep the sample of a tensor, and the squares of all of it."""
        whole = self._views.whole(tensor).detach()
        self.samples[index : index + 1] = [sample.take(whole)]
        self._whole[index] = _squares(whole)

    def _note_squares(self) -> None:
        at = self._views.sampled
        sums = [_squares(self.samples[i]) for i in at]
        scaled = np.array(sums, dtype=np.float64) * self._views.scales[at]
        self._correction = np.array([self._whole[i] for i in at], dtype=np.float64) - scaled

    def views(self) -> list[Tensor]:
        """Return what is read of the start."""
        return [
            self._views.whole(kept) if sample is None else kept
            for kept, sample in zip(self.samples, self._views.samples, strict=True)
        ]

    def correct(self, squares: NDArray[np.float64]) -> None:
        """Correct estimates of Σθ² `[T]`, in place; one that would not be positive stays."""
        at = self._views.sampled
        with np.errstate(invalid="ignore"):
            better = squares[at] + self._correction
        usable = np.isfinite(better) & (better > 0.0)
        squares[at] = np.where(usable, better, squares[at])

    # Checkpoints --------------------------------------------------------------------------------

    def state(self) -> list[Any]:
        """Return an entry for each parameter: a whole tensor, or what is known of a sampled one."""
        return [
            kept.clone()
            if sample is None
            else {"sample": kept.clone(), "shape": list(shape), "squares": self._whole[index]}
            for index, (kept, sample, shape) in enumerate(
                zip(self.samples, self._views.samples, self._views.shapes, strict=True)
            )
        ]

    def fits(self, saved: Sequence[Any]) -> list[bool]:
        """Return of each parameter whether its entry is of a tensor of its shape."""
        if len(saved) != len(self.samples):
            return [False] * len(self.samples)
        return [self._fits(index, entry) for index, entry in enumerate(saved)]

    @torch.no_grad()
    def load(self, saved: Sequence[Any]) -> None:
        """Take over the entries that fit."""
        fits = self.fits(saved)
        adopted: dict[int, Sample] = {}
        for index, (fit, parameter) in enumerate(zip(fits, self._parameters, strict=True)):
            entry = saved[index] if fit else None
            if isinstance(entry, dict):
                kept = entry["sample"]
                adopted[index] = Sample(self._views.whole(parameter), len(kept))
                like = self.samples[index]
                self.samples[index] = kept.to(like.device, like.dtype, copy=True)
                self._whole[index] = float(entry["squares"])
        self._views.replace(adopted)
        for index, (fit, sample) in enumerate(zip(fits, self._views.samples, strict=True)):
            if fit and not isinstance(saved[index], dict):
                if sample is None:
                    self.samples[index].copy_(saved[index])
                else:
                    like = self.samples[index]
                    self._keep(index, sample, saved[index].to(like.device, like.dtype))
        self._note_squares()

    def _fits(self, index: int, entry: Any) -> bool:
        """Return whether an entry is of a tensor of the parameter's shape."""
        if isinstance(entry, Tensor):
            return bool(entry.shape == self._parameters[index].shape)
        shape, kept = self._views.shapes[index], entry["sample"]
        divides = len(kept) > 0 and len(kept) % RUN == 0 and len(kept) <= math.prod(shape)
        return divides and tuple(entry["shape"]) == shape


def _squares(tensor: Tensor) -> float:
    """Return the sum of squares, in blocks: over millions of terms float32 loses digits."""
    if tensor.is_contiguous():
        tensor = tensor.view(-1)
    found = scalars_to_host(norms(tensor.split(BLOCK)))
    return float((found * found).sum())

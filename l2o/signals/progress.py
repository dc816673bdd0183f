"""How much of the training is done, where its length is known."""

from __future__ import annotations

from torch import Tensor

from l2o.signals.base import Measurement, Signal, known, log_ratio


class Progress(Signal):
    """Share of the training done, in [0, 1]."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the share."""
        return measured.progress


class StepsLeft(Signal):
    """log₁₀(1 + optimizer steps left) / 6."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log."""
        return log_ratio(measured.steps_left + 1.0, 1.0, 6.0)


class HasProgress(Signal):
    """1 if the length of the training is known."""

    def compute(self, measured: Measurement) -> Tensor:
        """Return the flag."""
        return known(measured.progress)

"""The contract of signals: what is measured, and how one measurement becomes one feature."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

MISSING = float("nan")
"""A quantity that was not measured is NaN, one that blew up is inf; signals make both a zero."""

FLOOR = 1e-12
"""What a ratio's parts are at least: zero is a fact, and its logarithm must be a number."""

Quantity = Literal["gradient", "update", "drift", "head", "largest"]
"""What costs memory or time to measure; the meter does so only when a signal asks for it."""


@dataclass
class Measurement:
    """What was measured at one decision, raw. NaN means missing.

    Fields of layers have shape `[..., L]`, global ones `[...]`; leading dimensions are many runs
    at once. All are float tensors on one device. Norms are Euclidean, over a whole layer group.

    Attributes:
        present: 1 for a real layer, 0 for padding.
        is_head: 1 for the new head.
        is_guidance: 1 for the row of a guidance term (`l2o.guidance.rows`), 0 for a layer.
        depth: 0 at the input, 1 at the head.
        numel: number of parameters.
        root_numel: its square root.
        fan_in: inputs of a unit, in the mean over the units of all matrices.
        vector_share: share of the parameter tensors that are vectors.
        multiplier: the multiplier the last window was trained with.
        base_lr: the user's learning rate, before the multiplier.
        weight_norm: ‖θ‖.
        gradient_norm: ‖g‖ of the last step.
        update_norm: ‖Δθ‖ of the last step.
        gradient_dot_update: ⟨g, −Δθ⟩ of the last step.
        largest_update: the largest of rms(Δθ_t) / max(rms(θ_t), rms(θ)) over the group's tensors t.
        start_norm: ‖θ₀‖, θ₀ the weights when the controller was attached.
        drift_norm: ‖θ − θ₀‖.
        loss: mean training loss over the last window.
        previous_loss: the same, one window earlier.
        proxy_kl: mean proxy KL over the last window.
        previous_proxy_kl: the same, one window earlier.
        validation_loss: the latest validation loss.
        previous_validation_loss: the one before it.
        progress: share of the training done, in [0, 1].
        steps_left: optimizer steps until the end.
        window_progress: mean share of the training done over the last window.
        head_mean: mean of the head's weights, mean over the last window.
        head_std: their standard deviation, likewise.
    """

    present: Tensor
    is_head: Tensor
    is_guidance: Tensor
    depth: Tensor
    numel: Tensor
    root_numel: Tensor
    fan_in: Tensor
    vector_share: Tensor
    multiplier: Tensor
    base_lr: Tensor
    weight_norm: Tensor
    gradient_norm: Tensor
    update_norm: Tensor
    gradient_dot_update: Tensor
    largest_update: Tensor
    start_norm: Tensor
    drift_norm: Tensor
    loss: Tensor
    previous_loss: Tensor
    proxy_kl: Tensor
    previous_proxy_kl: Tensor
    validation_loss: Tensor
    previous_validation_loss: Tensor
    progress: Tensor
    steps_left: Tensor
    window_progress: Tensor
    head_mean: Tensor
    head_std: Tensor


class Signal(ABC):
    """One feature of the observation: a scale-free, clipped, finite function of a measurement.

    `needs` names the costly quantities it reads. `compute` may return NaN or inf where an input is
    missing; calling the signal turns those into zeros and clips the rest to `[-limit, limit]`.
    """

    needs: ClassVar[frozenset[Quantity]] = frozenset()
    limit: ClassVar[float] = 1.0

    @abstractmethod
    def compute(self, measured: Measurement) -> Tensor:
        """Return the raw feature: `[..., L]` for a layer's signal, `[...]` for a global one."""

    def __call__(self, measured: Measurement) -> Tensor:
        """Return the feature as `[..., L]`, finite and within the limit, zero where missing."""
        value = self.compute(measured)
        if value.dim() < measured.present.dim():
            value = value.unsqueeze(-1).expand_as(measured.present)
        value = torch.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0)
        return value.clamp(-self.limit, self.limit) * measured.present


class LogRatio(Signal):
    """log₁₀(numerator / denominator) / scale of two fields of a measurement.

    What is declared, not computed, is encoded for all signals at once (`l2o.signals.encoding`); a
    subclass that overrides `compute` is not.
    """

    numerator: ClassVar[str]
    denominator: ClassVar[str | None] = None
    offset: ClassVar[float] = 0.0
    scale: ClassVar[float]

    def compute(self, measured: Measurement) -> Tensor:
        """Return the log ratio of the fields; no denominator is 1, an offset is added on top."""
        bottom = 1.0 if self.denominator is None else getattr(measured, self.denominator)
        return log_ratio(getattr(measured, self.numerator) + self.offset, bottom, self.scale)


class Cosine(Signal):
    """product / (first · second) of three fields of a measurement: a dot product and two norms."""

    product: ClassVar[str]
    first: ClassVar[str]
    second: ClassVar[str]

    def compute(self, measured: Measurement) -> Tensor:
        """Return the cosine, NaN where a norm is zero."""
        product, first, second = (
            getattr(measured, name) for name in (self.product, self.first, self.second)
        )
        cosine: Tensor = product / (first * second)
        return cosine


class Known(Signal):
    """1 where a field of a measurement is finite, 0 where it is missing."""

    field: ClassVar[str]

    def compute(self, measured: Measurement) -> Tensor:
        """Return the flag."""
        value: Tensor = getattr(measured, self.field)
        return torch.isfinite(value).to(value.dtype)


class Field(Signal):
    """A field of a measurement as it is."""

    field: ClassVar[str]

    def compute(self, measured: Measurement) -> Tensor:
        """Return the field."""
        value: Tensor = getattr(measured, self.field)
        return value


def log_ratio(numerator: Tensor, denominator: Tensor | float, scale: float) -> Tensor:
    """Return `log10(numerator / denominator) / scale`, NaN where an input is missing.

    A zero numerator gives the most negative value that float32 can tell (not −inf), since zero is
    a fact, not a gap.
    """
    top = torch.as_tensor(numerator).abs().clamp_min(FLOOR)
    if isinstance(denominator, Tensor):
        return torch.log10(top / denominator.to(top).abs().clamp_min(FLOOR)) / scale
    # A number stays one: as a tensor it would be copied to the device, which then is waited for.
    return torch.log10(top / max(abs(denominator), FLOOR)) / scale

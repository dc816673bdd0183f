"""The contract of stacked guidance: one term of N fine-tunes, each with its own weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from l2o.envs.stacked.layout import Layout
from l2o.envs.stacked.start import Prepared


@dataclass(frozen=True)
class Room:
    """Where a term's tensors live.

    Attributes:
        layout: of the flat buffers.
        count: N.
        dtype: of the parameters.
        device: of everything.
        like: one of the fine-tunes, for its architecture and its optimizer.
    """

    layout: Layout
    count: int
    dtype: torch.dtype
    device: torch.device
    like: Prepared


@dataclass(frozen=True)
class Batch:
    """What a step has computed when guidance looks at it.

    Attributes:
        proxy_kl: the divergence that is measured anyway, `[N]`.
        features: `[B, N, ...]`.
        teacher_features: the frozen networks', None where no term needs them.
        maps: outputs `[B, N, ...]` of layers, by name, where a term looks at some.
        key_maps: the frozen networks', of other views of the same images.
    """

    proxy_kl: Tensor
    features: Tensor
    teacher_features: Tensor | None
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    key_maps: Mapping[str, Tensor] = field(default_factory=dict)


class StackedTerm:
    """A guidance term of N fine-tunes: a loss, or a pull that is added to the gradients.

    Args:
        term: the single fine-tune's; its weight is not looked at.
        room: where tensors live.

    Attributes:
        needs_features: whether the frozen networks' features are compared.
        needs_start: whether the parameters of the start are.
        needs_kl: whether the proxy KL is part of the loss, and needs a gradient.
        leaves: tensors of its own `[N, ...]` that are trained along with the networks.
    """

    needs_features: ClassVar[bool] = False
    needs_start: ClassVar[bool] = False
    needs_kl: ClassVar[bool] = False

    def __init__(self, term: Any, room: Room) -> None:
        self.cap: float | None = term.cap
        self.room = room
        self.leaves: list[Tensor] = []

    @classmethod
    def lacks(cls, term: Any) -> str | None:
        """Return what keeps this very term from being stacked; None if nothing does."""
        del term
        return None

    def load(self, starts: Mapping[int, Prepared]) -> None:
        """Prepare for fine-tunes that begin, by position."""

    def state(self) -> list[Tensor]:
        """Return the tensors `[N, ...]` of its own that training changes."""
        return []

    def set_rates(self, rates: Tensor) -> None:
        """Note the learning rates `[N, L]` of the next steps, for what is trained along."""

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Take an optimizer step with `leaves`, and whatever else ends a step."""

    def divergence(self, batch: Batch) -> Tensor | None:
        """Return the unweighted loss of each network `[N]`; None if this term is a pull."""
        del batch
        return None

    def pull(self, gradients: Tensor, moved: Tensor, weights: Tensor) -> None:
        """Add this term's gradient to a flat buffer.

        Args:
            gradients: flat; changed in place.
            moved: flat, parameters minus those of the start; scratch after the call.
            weights: `[N]`.
        """

    def weigh(self, divergence: Tensor, weights: Tensor) -> Tensor:
        """Return the loss term of each network `[N]`."""
        term = weights * divergence
        return term if self.cap is None else term.clamp_max(self.cap)

"""All guidance terms of N fine-tunes, each term and each fine-tune with its own weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from l2o.envs.stacked.guidance.base import Batch, Room, StackedTerm
from l2o.envs.stacked.guidance.contrastive import StackedContrastive
from l2o.envs.stacked.guidance.distance import StackedL2SP, StackedSynapticIntelligence
from l2o.envs.stacked.guidance.feature_l2 import StackedFeatureL2
from l2o.envs.stacked.guidance.proxy_kl import StackedProxyKL
from l2o.envs.stacked.start import Prepared
from l2o.guidance import (
    L2SP,
    Contrastive,
    FeatureL2,
    Guidance,
    ProxyKL,
    ScheduledWeight,
    SynapticIntelligence,
)
from l2o.guidance.weight import Weight, as_weight

STACKED_GUIDANCE: dict[type[Guidance[Any]], type[StackedTerm]] = {
    ProxyKL: StackedProxyKL,
    L2SP: StackedL2SP,
    SynapticIntelligence: StackedSynapticIntelligence,
    FeatureL2: StackedFeatureL2,
    Contrastive: StackedContrastive,
}
"""Guidance -> its stacked form."""


class StackedGuidance:
    """Guidance terms of N fine-tunes of one architecture.

    Args:
        terms: by name, of a single fine-tune.
        room: where tensors live.
        steps: of the longest fine-tune.
        actions: names of the terms whose weights are scaled.

    Attributes:
        weights: `[terms, N, steps]`, of each step; a schedule is evaluated once.
        scales: `[terms, N]`, factors on them.

    Raises:
        ValueError: a term has no stacked form.
    """

    def __init__(
        self,
        terms: Mapping[str, Guidance[Any]],
        room: Room,
        steps: int,
        actions: Sequence[str] = (),
    ) -> None:
        check_stackable(terms)
        self.defaults = {name: term.weight for name, term in terms.items()}
        self.terms = [STACKED_GUIDANCE[type(term)](term, room) for term in terms.values()]
        self.needs_features = any(term.needs_features for term in self.terms)
        self.needs_start = any(term.needs_start for term in self.terms)
        self.needs_kl = any(term.needs_kl for term in self.terms)
        shape = (len(self.terms), room.count, steps)
        self.weights = torch.zeros(shape, dtype=room.dtype, device=room.device)
        self.scales = torch.ones(shape[:2], dtype=room.dtype, device=room.device)
        self._scaled = [list(terms).index(name) for name in actions]

    def load(self, starts: Mapping[int, Prepared]) -> None:
        """Prepare for fine-tunes that begin, by position."""
        for position, start in starts.items():
            given = start.guidance_weights
            for row, (name, default) in enumerate(self.defaults.items()):
                weight = default if given is None else as_weight(given.get(name, default))
                now = self.weights[row, position]
                now[: start.steps] = weights_over(weight, start.steps).to(now)
        for term in self.terms:
            term.load(starts)

    @property
    def leaves(self) -> list[Tensor]:
        """Tensors of the terms' own that are trained along with the networks."""
        return [leaf for term in self.terms for leaf in term.leaves]

    def state(self) -> list[Tensor]:
        """Return the tensors `[N, ...]` of the terms' own that training changes."""
        return [tensor for term in self.terms for tensor in term.state()]

    def set_rates(self, rates: Tensor) -> None:
        """Note the learning rates `[N, L]` of the next steps."""
        for term in self.terms:
            term.set_rates(rates)

    def step(self, gradients: Sequence[Tensor]) -> None:
        """End a step, given the gradients of `leaves`."""
        rest = iter(gradients)
        for term in self.terms:
            term.step([next(rest) for _ in term.leaves])

    def rescale(self, scales: Tensor) -> None:
        """Set the factors `[N, actions]` on the weights of the next steps."""
        for column, row in enumerate(self._scaled):
            self.scales[row].copy_(scales[:, column])

    def window(self, steps: Tensor, length: int) -> Tensor:
        """Return the weights `[length, terms, N]` of the next steps.

        Args:
            steps: `[N]` on the device, steps done; past the end the last weight comes again.
            length: steps of the window.
        """
        last = self.weights.shape[2] - 1
        wanted = (steps[:, None] + torch.arange(length, device=steps.device)).clamp_max(last)
        each = wanted.expand(len(self.terms), -1, -1)
        weights = self.weights.gather(2, each).permute(2, 0, 1)
        return weights * self.scales if self._scaled else weights.contiguous()

    def loss(self, batch: Batch, weights: Tensor) -> Tensor | None:
        """Return the sum of the terms that are losses, `[N]`; None if there are none.

        Args:
            batch: of this step.
            weights: `[terms, N]`.
        """
        total: Tensor | None = None
        for term, weight in zip(self.terms, weights, strict=True):
            divergence = term.divergence(batch)
            if divergence is not None:
                value = term.weigh(divergence, weight)
                total = value if total is None else total + value
        return total

    def pull(self, gradients: Tensor, parameters: Tensor, start: Tensor, weights: Tensor) -> None:
        """Add the gradients of the terms that are pulls."""
        moved = parameters - start
        for term, weight in zip(self.terms, weights, strict=True):
            term.pull(gradients, moved, weight)


def weights_over(weight: Weight, steps: int) -> Tensor:
    """Return a weight at each step of a fine-tune `[steps]`, float64.

    Example:
        >>> weights_over(0.5, 3).tolist()
        [0.5, 0.5, 0.5]
    """
    if isinstance(weight, ScheduledWeight):
        return weight.at(torch.arange(steps, dtype=torch.float64) / steps)
    return torch.full((steps,), weight, dtype=torch.float64)


def check_stackable(terms: Mapping[str, Guidance[Any]]) -> None:
    """Raise unless every term has a stacked form.

    Raises:
        ValueError: naming the ones that have none.
    """
    if missing := unstackable(terms):
        raise ValueError(
            f"guidance {', '.join(missing)} has no stacked form; use FineTuneEnv, which has it "
            "(in a config of l2o train: stacked: false)"
        )


def unstackable(terms: Mapping[str, Guidance[Any]]) -> list[str]:
    """Return the names of terms without a stacked form."""
    missing = []
    for name, term in terms.items():
        stacked = STACKED_GUIDANCE.get(type(term))
        if stacked is None:
            missing.append(name)
        elif lack := stacked.lacks(term):
            missing.append(f"{name} with {lack},")
    return missing

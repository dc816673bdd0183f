"""What a policy network's outputs are offsets to: a linear function of a layer's signals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from l2o.networks.base import Device
from l2o.networks.multipliers import LogRange
from l2o.signals import SIGNALS
from l2o.signals.base import LogRatio

SEEN = "has_gradient"
"""The signal that tells which of the two functions holds."""

START = 1e-4
"""Learning rate that an untrained anchor aims at before anything is known of the optimizer."""

RATIO = 1e-3
"""Update per step, relative to the weights, that an untrained anchor aims at."""

_SEEN_BY = {"base_lr": (), "update": ("multiplier", "update_norm"), "multiplier": ("multiplier",)}
"""What an untrained anchor looks at of layers that have been seen, besides the base LR."""


class Anchor(nn.Module):
    """seen · (A o + a) + (1 − seen) · (B o + b) for signals o of a layer.

    A layer is seen once it has had a gradient. The signals are logarithms, and so are the outputs
    of a log range: a linear function can ask for a learning rate whatever the base LR is, or for
    an update of a given size relative to the weights whatever the optimizer is. As LARS and LAMB
    do (You et al., Large Batch Training of Convolutional Networks), with factors that are learned.

    Args:
        features: F.
        outputs: numbers per layer.
        device: where its parameters lie.

    Example:
        >>> Anchor(features=5, outputs=1)(torch.ones(3, 5)).shape
        torch.Size([3, 1])
    """

    def __init__(self, features: int, outputs: int, device: Device = "cpu") -> None:
        super().__init__()
        self.seen = nn.Linear(features, outputs, device=device, dtype=torch.float32)
        self.blind = nn.Linear(features, outputs, device=device, dtype=torch.float32)
        self.register_buffer("column", torch.zeros((), dtype=torch.int64, device=device))
        self.column: Tensor
        for linear in (self.seen, self.blind):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, observation: Tensor) -> Tensor:
        """Return `[..., L, outputs]` of `[..., L, F]`."""
        seen = observation.index_select(-1, self.column.view(1))
        blind: Tensor = self.blind(observation)
        return blind + seen * (self.seen(observation) - blind)

    @torch.no_grad()
    def aim(self, signals: Sequence[str], multipliers: LogRange, at: str) -> None:
        """Set the functions to what an untrained policy begins with.

        Args:
            signals: names of the columns.
            multipliers: the range whose actions the outputs are.
            at: "base_lr": the learning rate `START`, always; "update": updates of size `RATIO`,
                once there has been one; "multiplier": once seen, the multiplier in force, so that
                what the network adds is a factor on it. It is as the signal has it, within four
                decades of 1. Guidance terms are never seen: what scales them stays absolute.

        Raises:
            ValueError: a signal that is needed is not among them.
        """
        low, high = math.log10(multipliers.low), math.log10(multipliers.high)
        half, middle = (high - low) / 2, (high + low) / 2
        place = {name: index for index, name in enumerate(signals)}
        missing = {SEEN, "base_lr", *_SEEN_BY[at]} - set(place)
        if missing:
            raise ValueError(
                f"an anchored network needs the signals {', '.join(sorted(missing))}; add them to "
                "environment.signals, or set network.anchor=none"
            )
        self.column.fill_(place[SEEN])
        for linear in (self.blind, self.seen):
            linear.weight[:, place["base_lr"]] = -_scale("base_lr") / half
            linear.bias.fill_((math.log10(START) - middle) / half)
        if "is_guidance" in place:
            # Never seen, and without a base LR: begins with the weight that the term has.
            self.blind.weight[:, place["is_guidance"]] = -math.log10(START) / half
        if at == "base_lr":
            return
        self.seen.weight[:, place["base_lr"]] = 0.0
        self.seen.weight[:, place["multiplier"]] = _scale("multiplier") / half
        self.seen.bias.fill_(-middle / half)
        if at == "update":
            self.seen.weight[:, place["update_norm"]] = -_scale("update_norm") / half
            self.seen.bias.fill_((math.log10(RATIO) - middle) / half)


def _scale(signal: str) -> float:
    """Return the decades that a signal of 1 stands for."""
    kind = SIGNALS[signal]
    assert issubclass(kind, LogRatio)
    return kind.scale

"""A run in a few numbers: what its layers and its losses are like, however deep the network is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from l2o.signals.learning_rate import BaseLR, Multiplier

LAYERED = (
    *("gradient_norm", "gradient_alignment", "drift", "weight_rms", "size", "fan_in"),
    "vector_share",
)
"""Signals of layers that are summed up where they are there, besides the learning rate."""
GLOBAL = (
    *("loss", "loss_trend", "has_loss", "proxy_kl", "proxy_kl_trend", "has_proxy_kl"),
    *("validation_loss", "validation_loss_trend", "has_validation_loss", "steps_left"),
)
"""Signals of the run that are taken over where they are there."""
_MADE = ("learning_rate", "layers")
"""What a summary makes itself."""
NEEDED = ("present", "is_head", "depth", "multiplier", "base_lr")
"""Signals that any summary is made of."""
STATISTICS = ("mean", "first", "last", "most", "least", "head")
"""Of a signal of layers: its mean over the backbone, at the backbone's first and last layer, the
largest and the smallest there, and at the head."""


class RunSummary:
    """Sums up observations: of each signal of layers some numbers, and the signals of the run.

    Args:
        signals: names of an observation's features.
        about: those that are summed up, of `LAYERED`, `GLOBAL`, "learning_rate" and "layers" (how
            many there are); None: all of these that are there.
        statistics: which of `STATISTICS` are told of signals of layers.

    Attributes:
        names: what each number is.
        about: as given.
        statistics: of signals of layers, in the order of `STATISTICS`.

    Raises:
        ValueError: a signal that cannot be summed up or is not there, or no such statistic.

    Example:
        >>> summary = RunSummary([*NEEDED, "loss"])
        >>> summary.names[:2], len(summary.names)
        (('learning_rate mean', 'learning_rate first'), 8)
    """

    def __init__(
        self,
        signals: Sequence[str],
        about: Sequence[str] | None = None,
        statistics: Sequence[str] = STATISTICS,
    ) -> None:
        there = (*(name for name in (*LAYERED, *GLOBAL) if name in signals), *_MADE)
        for wanted, known, what in (
            (about or (), there, "about"),
            (statistics, STATISTICS, "statistics"),
        ):
            if unknown := [name for name in wanted if name not in known]:
                raise ValueError(
                    f"{what} has {', '.join(unknown)}; a summary of these signals can tell "
                    f"{', '.join(known)}"
                )
        told = there if about is None else tuple(about)
        self._layered = tuple(name for name in (*LAYERED, "learning_rate") if name in told)
        self._global = tuple(name for name in GLOBAL if name in told)
        self._counted = "layers" in told
        self._kinds = tuple(kind for kind in STATISTICS if kind in statistics)
        self.about, self.statistics = about, self._kinds
        self.names = (
            *(f"{name} {kind}" for name in self._layered for kind in self._kinds),
            *self._global,
            *(("layers",) if self._counted else ()),
        )

    def __call__(self, seen: Mapping[str, Tensor]) -> Tensor:
        """Return the numbers `[..., len(names)]` of features by name, `[..., L]` each."""
        head, backbone = _parts(seen)
        learning_rate = seen["base_lr"] * BaseLR.scale + seen["multiplier"] * Multiplier.scale
        columns = []
        for name in self._layered:
            values = learning_rate if name == "learning_rate" else seen[name]
            told = _statistics(values, backbone, head, seen["depth"])
            columns += [told[kind] for kind in self._kinds]
        # What is of the run stands in every row that is present; the first one always is.
        columns += [seen[name][..., 0] for name in self._global]
        # The logarithm of a whole number would be of torch's default type, whatever that is.
        if self._counted:
            columns.append(backbone.sum(dim=-1).clamp(min=1).float().log10())
        return torch.stack([column.float() for column in columns], dim=-1)


def _parts(seen: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return where there is a head, and where a layer of the backbone."""
    present, is_head = seen["present"] > 0, seen["is_head"] > 0
    return present & is_head, present & ~is_head


def _statistics(values: Tensor, backbone: Tensor, head: Tensor, depth: Tensor) -> dict[str, Tensor]:
    inf, zero = torch.full_like(values, torch.inf), torch.zeros_like(values)
    first = torch.where(backbone, depth, inf).argmin(dim=-1, keepdim=True)
    last = torch.where(backbone, depth, -inf).argmax(dim=-1, keepdim=True)
    found = [
        torch.where(backbone, values, zero).sum(dim=-1) / backbone.sum(dim=-1).clamp(min=1),
        values.gather(-1, first).squeeze(-1),
        values.gather(-1, last).squeeze(-1),
        torch.where(backbone, values, -inf).amax(dim=-1),
        torch.where(backbone, values, inf).amin(dim=-1),
        torch.where(head, values, zero).sum(dim=-1) / head.sum(dim=-1).clamp(min=1),
    ]
    # A network of nothing but a head has no backbone to be the largest of.
    filled = [torch.nan_to_num(each, nan=0.0, posinf=0.0, neginf=0.0) for each in found]
    return dict(zip(STATISTICS, filled, strict=True))

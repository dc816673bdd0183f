"""Which columns of an observation are permuted, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.signals import KIND_SIGNALS
from l2o.signals.spec import SignalSpec

Numbers = NDArray[np.int64]

LAYER = ("is_head", "depth", "size", *KIND_SIGNALS)
"""Signals that tell a network's layers apart: permuted among the layers of each fine-tune."""
GROUPS: dict[str, tuple[str, ...]] = {
    "layer (all)": LAYER,
    "learning rate (all)": ("multiplier", "base_lr", "current_factor"),
    "gradient (all)": ("gradient_norm", "gradient_alignment", "has_gradient"),
    "update and drift": ("update_norm", "drift"),
    "loss (all)": ("loss", "loss_trend", "has_loss", "window_loss"),
    "proxy KL (all)": ("proxy_kl", "proxy_kl_trend", "has_proxy_kl", "window_proxy_kl"),
    "validation loss (all)": ("validation_loss", "validation_loss_trend", "has_validation_loss"),
    "progress (all)": ("progress", "steps_left", "has_progress", "window_progress"),
    "head weights (all)": ("head_mean", "head_std"),
}
"""Signals that say one thing, or the same thing in several ways."""
_STRUCTURE = ("present", "is_guidance")
EVERYTHING = "all but layer signals"


@dataclass(frozen=True)
class Variant:
    """One way of permuting.

    Attributes:
        name: what it is called.
        signals: whose columns are permuted, together.
        among_layers: among the layers of a fine-tune, instead of among fine-tunes.
    """

    name: str
    signals: tuple[str, ...]
    among_layers: bool = False

    @property
    def is_group(self) -> bool:
        """Whether several signals are permuted."""
        return len(self.signals) > 1


def list_variants(spec: SignalSpec, singles: bool = True) -> list[Variant]:
    """Return a variant for each group and signal that a policy has.

    Args:
        spec: the policy's signals.
        singles: whether to permute signals one by one, too.

    Example:
        >>> spec = SignalSpec(("present", "loss", "has_loss"))
        >>> [variant.name for variant in list_variants(spec)]
        ['loss (all)', 'all but layer signals', 'loss', 'has_loss']
    """
    kept = {g: tuple(s for s in names if s in spec.names) for g, names in GROUPS.items()}
    variants = [Variant(g, s, s[0] in LAYER) for g, s in kept.items() if len(s) > 1]
    measured = [s for s in spec.names if s not in (*_STRUCTURE, *LAYER)]
    if len(measured) > 1:
        variants.append(Variant(EVERYTHING, tuple(measured)))
    if singles:
        alone = [s for s in spec.names if s not in _STRUCTURE]
        variants += [Variant(s, (s,), s in LAYER) for s in alone]
    return variants


def permute(
    observations: Tensor,
    variant: Variant,
    spec: SignalSpec,
    layers: Sequence[int],
    running: Numbers,
    generator: np.random.Generator,
    guidance: int = 0,
) -> Tensor:
    """Return observations in which a variant's columns are permuted.

    Among fine-tunes, all rows of one come from one other, the same for every column. Where networks
    differ in depth, layer l of L takes from layer round(l (K - 1) / (L - 1)) of the other's K: the
    head from the head.

    Args:
        observations: `[N, rows, F]`.
        variant: which columns.
        spec: names of the columns.
        layers: layer groups of each fine-tune's network `[N]`.
        running: numbers of the fine-tunes that have not ended; the others neither give nor take.
        generator: of the permutations.
        guidance: rows of guidance terms, after those of the layers.
    """
    columns = [spec.index(name) for name in variant.signals]
    rows = np.tile(np.arange(observations.shape[1]), (len(observations), 1))
    donors = np.arange(len(observations))
    if variant.among_layers:
        for run in running:
            rows[run, : layers[run]] = generator.permutation(layers[run])
    else:
        donors[running] = generator.permutation(running)
        for run in running:
            rows[run] = _rows_of(layers[run], layers[donors[run]], guidance, rows[run])
    changed = observations.clone()
    taken = observations[torch.from_numpy(donors)[:, None], torch.from_numpy(rows)]
    changed[..., columns] = taken[..., columns]
    return changed


def _rows_of(own: int, other: int, guidance: int, rows: Numbers) -> Numbers:
    """Return which row of another fine-tune each row takes from; padding takes what it likes."""
    found = rows.copy()
    found[:own] = np.rint(np.arange(own) * (other - 1) / max(1, own - 1)).astype(np.int64)
    found[own : own + guidance] = other + np.arange(guidance)
    return found

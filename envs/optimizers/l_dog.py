"""L-DoG: distance over gradients, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from l2o.envs.optimizers.dog import DoG


@dataclass(frozen=True)
class LDoG(DoG):
    """DoG with distances and gradients of each parameter tensor on its own: `dog.LDoG`.

        θ_j ← θ_j − lr · (max ‖θ_j,ᵢ − θ_j,₀‖ / √Σ‖g_j,ᵢ‖²) · g_j    for each tensor j

    Judged at a mean of all θ, as `DoG`. Meant at a base LR of 1. Source: Ivgi, Hinder and Carmon,
    DoG is SGD's Best Friend, ICML 2023, section 5.

    Args:
        weight_decay: λ, added to the gradient as λθ, not negative.
        reps_rel: first distance, relative to 1 + ‖θ₀‖, above 0.
        gamma: γ, how fast the mean forgets, not negative; None judges θ itself.

    Raises:
        ValueError: an argument out of range; in `build`, param groups differ in their learning
            rate.
        MissingExtraError: dog-optimizer is not installed.

    Example:
        >>> LDoG(gamma=None)
        LDoG(weight_decay=0.0, reps_rel=1e-06, gamma=None)
    """

    kind: ClassVar[str] = "LDoG"

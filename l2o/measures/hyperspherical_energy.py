"""Hyperspherical energy: how crowded features lie on the sphere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from l2o.checks import check_number
from l2o.measures.base import Measure, Outputs, check_features


@dataclass(frozen=True)
class HypersphericalEnergy(Measure):
    """`hyperspherical_energy` of the features, for some s: `energy_0`, `energy_1`, ...

    Args:
        powers: values of s, not negative.

    Raises:
        ValueError: a negative or non-finite s.

    Example:
        >>> energies = HypersphericalEnergy()(Outputs(features=torch.eye(2)))
        >>> {name: round(energy, 4) for name, energy in energies.items()}
        {'energy_0': -0.3466, 'energy_1': 0.7071, 'energy_2': 0.5}
    """

    needs: ClassVar[tuple[str, ...]] = ("features",)

    powers: tuple[float, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        for power in self.powers:
            check_number("a power", power)

    def compute(self, outputs: Outputs) -> dict[str, float]:
        """Return the energies."""
        assert outputs.features is not None
        features = outputs.features
        return {f"energy_{s:g}": hyperspherical_energy(features, s) for s in self.powers}


def hyperspherical_energy(features: Tensor, s: float = 0) -> float:
    """Return E_s of features, the mean over pairs; lower is more diverse.

    ‖v_i − v_j‖^(−s) for s > 0, log ‖v_i − v_j‖^(−1) for s = 0, with v the features scaled to length
    1. Source: Liu et al., Learning towards Minimum Hyperspherical Energy, NeurIPS 2018. It is
    infinite where two features have one direction, and NaN where features are not finite.

    Args:
        features: `[N, D]`, N of at least 2.
        s: not negative.

    Raises:
        ValueError: fewer than two features, or a negative s.

    Example:
        >>> round(hyperspherical_energy(torch.eye(3), s=2), 4)
        0.5
    """
    check_features("features", features, least=2)
    check_number("s", s)
    distances = torch.pdist(functional.normalize(features.detach().double().flatten(1), dim=1))
    return float((-distances.log() if s == 0 else distances.pow(-s)).mean())

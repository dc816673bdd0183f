"""The gradient estimate of evolution strategies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def antithetic_noise(rows: int, size: int, generator: np.random.Generator) -> Array:
    """Return Gaussian noise `[rows, size]` of which every second row is minus the one before.

    Example:
        >>> noise = antithetic_noise(4, 2, np.random.default_rng(0))
        >>> bool((noise[1] == -noise[0]).all() and (noise[3] == -noise[2]).all())
        True
    """
    half = generator.normal(size=(rows // 2, size))
    return np.stack([half, -half], axis=1).reshape(rows, size)


def estimate_gradient(noise: Array, returns: Array, sigma: float) -> Array:
    """Return the estimated gradient of the mean return `[P]`.

        g = 1 / (G n σ s) Σ_g Σ_i (R_gi − R̄_g) ε_gi

    R̄_g is the mean over those who played the same episode, s the root mean square of what is
    left: the step's size does not depend on the scale of returns (Salimans et al., Evolution
    Strategies as a Scalable Alternative to Reinforcement Learning, use ranks to that end).

    Args:
        noise: ε `[G, n, P]`, of n perturbed policies on each of G episodes.
        returns: R `[G, n]`.
        sigma: scale σ of the noise in parameters.

    Example:
        >>> noise = np.array([[[1.0, 0.0], [-1.0, 0.0]]])
        >>> estimate_gradient(noise, np.array([[3.0, 1.0]]), sigma=0.5).tolist()
        [2.0, 0.0]
    """
    left = returns - returns.mean(axis=1, keepdims=True)
    scale = float(np.sqrt((left**2).mean())) or 1.0
    gradient: Array = np.einsum("gn,gnp->p", left / scale, noise) / (left.size * sigma)
    return gradient

"""Scores of a network on images without labels, by which one of several is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from l2o.adaptation.output_terms import InformationMaximisation, entropies

_CHUNK = 512
"""Rows of similarities that are held at once."""


@dataclass(frozen=True)
class Predictions:
    """What a network gives, and what is known of the source.

    Attributes:
        outputs: logits on unlabelled target images `[N, K]` (pixels as rows).
        features: of these images `[N, D]`.
        source_features: of held-out source images `[M, D]`; None: not given.
        source_losses: `[M]`, the loss of each of them.
        train_features: of source images that were trained on `[L, D]`.
    """

    outputs: Tensor
    features: Tensor
    source_features: Tensor | None = None
    source_losses: Tensor | None = None
    train_features: Tensor | None = None


def entropy_score(found: Predictions) -> float:
    """Return −mean H(p): the surer, the better.

    Source: Morerio et al., Minimal-Entropy Correlation Alignment, ICLR 2018.

    Example:
        >>> round(entropy_score(Predictions(torch.zeros(5, 4), torch.zeros(5, 2))), 4)  # -log 4
        -1.3863
    """
    return -float(entropies(found.outputs.double()).mean())


def information_score(found: Predictions) -> float:
    """Return H(mean of p) − mean H(p): sure predictions, of all classes.

    Source: Krause, Perona and Gomes, NeurIPS 2010; as a criterion of choice, Shi and Sha, 2012.

    Example:
        >>> round(information_score(Predictions(100 * torch.eye(4), torch.zeros(4, 2))), 4)
        1.3863
    """
    return -float(InformationMaximisation()(found.outputs.double()))


def neighbourhood_score(found: Predictions, temperature: float = 0.05) -> float:
    """Return the soft neighbourhood density (SND): the more, the better.

        mean_i H(P_i),   P_ij = softmax_{j ≠ i}(p_i · p_j / (‖p_i‖ ‖p_j‖ · temperature))

    Source: Saito et al., Tune it the Right Way: Unsupervised Validation of Domain Adaptation via
    Soft Neighborhood Density, ICCV 2021 (temperature 0.05).

    Example:
        >>> even = Predictions(torch.zeros(5, 4), torch.zeros(5, 2))
        >>> round(neighbourhood_score(even), 4)  # four neighbours, all as near: log 4
        1.3863
    """
    units = functional.normalize(torch.softmax(found.outputs.double(), dim=1), dim=1)
    if len(units) < 2:
        return float("nan")
    total = 0.0
    for start in range(0, len(units), _CHUNK):
        part = units[start : start + _CHUNK] @ units.T / temperature
        rows = torch.arange(len(part))
        part[rows, rows + start] = -torch.inf
        log_p = functional.log_softmax(part, dim=1)
        total -= float(torch.xlogy(log_p.exp(), log_p.exp()).sum())
    return total / len(units)


def deep_embedded_score(found: Predictions) -> float:
    """Return −(mean of w·ℓ + η · mean of w − η), η = −Cov(w·ℓ, w) / Var(w) (DEV).

    ℓ is the loss of held-out source images and w their density ratio, P(target | x) / P(source | x)
    times n_source / n_target, by a logistic regression on features. Source: You et al., Towards
    Accurate Model Selection in Deep Unsupervised Domain Adaptation, ICML 2019.

    Raises:
        ValueError: what it needs of the source is not given.
    """
    held, losses = found.source_features, found.source_losses
    if held is None or losses is None:
        raise ValueError("DEV needs source_features and source_losses of held-out source images")
    trained = held if found.train_features is None else found.train_features
    weights = density_weights(trained, found.features, held)
    weighted = weights * losses.double().cpu().numpy()
    spread = float(np.var(weights, ddof=1)) if len(weights) > 1 else 0.0
    eta = -float(np.cov(weighted, weights)[0, 1]) / spread if spread > 0 else 0.0
    return -float(weighted.mean() + eta * weights.mean() - eta)


def density_weights(source: Tensor, target: Tensor, at: Tensor) -> np.ndarray:
    """Return P(target | x) / P(source | x) · n_source / n_target of features `at`, `[M]`.

    By a logistic regression on standardised features, with a small ridge, solved by Newton's
    method: no random number, the same every time.
    """
    both = torch.cat([source, target]).double().cpu()
    mean, std = both.mean(dim=0), both.std(dim=0).clamp_min(1e-6)

    def rows(features: Tensor) -> Tensor:
        scaled = (features.double().cpu() - mean) / std
        return torch.cat([scaled, torch.ones(len(scaled), 1, dtype=torch.float64)], dim=1)

    x = rows(torch.cat([source, target]))
    y = torch.cat([torch.zeros(len(source)), torch.ones(len(target))]).double()
    w = torch.zeros(x.shape[1], dtype=torch.float64)
    ridge = torch.eye(x.shape[1], dtype=torch.float64)
    for _ in range(20):
        p = torch.sigmoid(x @ w)
        gradient = x.T @ (p - y) + w
        hessian = (x * (p * (1 - p))[:, None]).T @ x + ridge
        step = torch.linalg.solve(hessian, gradient)
        w = w - step
        if float(step.abs().max()) < 1e-8:
            break
    odds = torch.exp((rows(at) @ w).clamp(-30.0, 30.0))
    return (odds * len(source) / max(1, len(target))).numpy()


LABEL_FREE: Mapping[str, Callable[[Predictions], float]] = {
    "entropy": entropy_score,
    "information": information_score,
    "snd": neighbourhood_score,
    "dev": deep_embedded_score,
}
"""Rule of choice -> score of a network on unlabelled images: the larger, the better."""

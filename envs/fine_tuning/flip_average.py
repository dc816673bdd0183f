"""Scoring an image together with its mirror image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def flip_averaged(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a network whose outputs are averaged over an image and its mirror image, as sigmoids.

        logit( (sigmoid f(x) + sigmoid f(mirrored x)) / 2 )

    So the likeliest class is that of the mean of the sigmoids, and where both agree the logits are
    the network's own. Maps of classes are mirrored back first. Source: the release of Chen et al.,
    Automated Synthetic-to-Real Generalization, ICML 2020.

    Args:
        network: images `[N, C, H, W]` -> logits `[N, K]` or `[N, K, h, w]`.

    Example:
        >>> network = flip_averaged(lambda images: images[:, 0, 0, :2])
        >>> network(torch.tensor([[[[2.0, 0.0, 2.0]]]])), network(torch.tensor([[[[1.0, 3.0]]]]))
        (tensor([[2., 0.]]), tensor([[1.6718, 1.6718]]))
    """

    def answer(images: Tensor) -> Tensor:
        one, other = network(images), network(images.flip(-1))
        return mean_of_sigmoids(one, other.flip(-1) if other.dim() == 4 else other)

    return answer


def mean_of_sigmoids(one: Tensor, other: Tensor) -> Tensor:
    """Return the logits of the mean of two sigmoids; exact where sigmoids would round to 0 or 1."""
    log = functional.logsigmoid
    # log p - log(1 - p), each of them a mean of two.
    return torch.logaddexp(log(one), log(other)) - torch.logaddexp(log(-one), log(-other))

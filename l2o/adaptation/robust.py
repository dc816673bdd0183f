"""Distributionally robust predictions: a softmax tempered by the ratio of two densities."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from l2o.adaptation.base import IGNORED


def robust_logits(scores: Tensor, bias: Tensor, ratio: Tensor, known: Tensor, rho: float) -> Tensor:
    """Return (r · s_k + ρ Y_k) / (ρ Y_k + 1) + b_k, of the shape of the scores.

    Where the ratio r = P(source | x) / P(target | x) is small, an image is far from the source, and
    its prediction is close to even. Source: Wang et al., Distributionally Robust Learning for
    Unsupervised Domain Adaptation, 2020 (arXiv 2010.05784).

    Args:
        scores: s_k = w_kᵀ h, `[N, K]` or `[N, K, H, W]`.
        bias: b, `[K]`.
        ratio: r of each image, `[N]`.
        known: Y, `[N, K]` or `[N, K, H, W]`: one-hot where the class is known, else ones.
        rho: ρ, not negative.

    Example:
        >>> scores, even = torch.tensor([[2.0, 0.0]]), torch.zeros(2)
        >>> robust_logits(scores, even, torch.tensor([0.5]), torch.ones(1, 2), rho=0.0)
        tensor([[1., 0.]])
    """
    shape = (-1, *(1,) * (scores.dim() - 1))
    weighted = known * rho
    per_class = bias.view(1, -1, *(1,) * (scores.dim() - 2))
    return (ratio.view(shape) * scores + weighted) / (weighted + 1.0) + per_class


class RobustCrossEntropy(torch.autograd.Function):
    """Mean of −log softmax(robust_logits)_y over the labelled; its gradient is the paper's.

    The predictor is the saddle point of a game whose dual has the constraint that the moments of
    the predictions on the *source* are those of the labels. So what flows into scores and bias is
    the violation of the constraint, without the ratio that autograd would multiply it by: the loss
    is one on the target, whose source examples have the weight 1 / r.

        ∂/∂s_k = (f_k − Y_k) / n,   ∂/∂b_k = Σ (f_k − Y_k) / n,
        ∂/∂r = Σ_k (f_k − Y_k) s_k / (ρ Y_k + 1) / n

    The last is the plain derivative of the logarithm, for a ratio that is trained along. Dense
    labels: n counts pixels.
    """

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, bias: Tensor, ratio: Tensor, labels: Tensor, rho: float
    ) -> Tensor:
        """Return the loss, a scalar."""
        kept = labels != IGNORED
        known = one_hot(labels, kept, scores)
        log_f = torch.log_softmax(robust_logits(scores, bias, ratio, known, rho), dim=1)
        count = kept.sum().clamp_min(1)
        ctx.save_for_backward(scores, log_f, known, kept, count)
        ctx.rho = rho
        return -(log_f * known).sum() / count

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Return the gradients above."""
        scores, log_f, known, kept, count = ctx.saved_tensors
        violation = (log_f.exp() - known) * kept.unsqueeze(1) * (gradients[0] / count)
        others = [d for d in range(scores.dim()) if d != 1]
        of_ratio = violation * scores / (ctx.rho * known + 1.0)
        return violation, violation.sum(dim=others), of_ratio.flatten(1).sum(dim=1), None, None


def robust_cross_entropy(
    scores: Tensor, bias: Tensor, ratio: Tensor, labels: Tensor, rho: float
) -> Tensor:
    """Return `RobustCrossEntropy` of scores `[N, K, ...]`, ratios `[N]` and labels `[N, ...]`.

    Example:
        >>> scores = torch.tensor([[2.0, 0.0]], requires_grad=True)
        >>> bias, ratio = torch.zeros(2), torch.tensor([0.5])
        >>> robust_cross_entropy(scores, bias, ratio, torch.tensor([0]), rho=0.0).backward()
        >>> scores.grad  # softmax([1, 0]) - [1, 0], and not half of it
        tensor([[-0.2689,  0.2689]])
    """
    loss: Tensor = RobustCrossEntropy.apply(scores, bias, ratio, labels, rho)
    return loss


def one_hot(labels: Tensor, kept: Tensor, like: Tensor) -> Tensor:
    """Return labels `[N, ...]` as `[N, K, ...]` of zeros and ones; zeros where none is kept."""
    places = torch.where(kept, labels, 0).unsqueeze(1)
    return torch.zeros_like(like).scatter_(1, places, kept.unsqueeze(1).to(like))

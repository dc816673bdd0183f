"""Proxy guidance by the Kullback-Leibler divergence of predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from l2o.guidance.base import Guidance


@dataclass(frozen=True)
class ProxyKL(Guidance[Tensor]):
    """min(λ · KL(softmax(teacher) ‖ softmax(student)), cap), the mean over the batch (and pixels).

    With backbone f, frozen copy f₀ and frozen proxy head h₀, on source images x: the teacher's
    logits are h₀(f₀(x)), the student's h₀(f(x)). Source: Chen et al., Automated Synthetic-to-Real
    Generalization, ICML 2020 (λ = 0.1 for classification; λ = 75 with cap 9 for segmentation).
    Once capped, the term is constant and gives no gradient.

    Args:
        weight: λ, not negative; or a schedule of it.
        cap: upper bound of the weighted term, not negative; None is no bound.

    Raises:
        ValueError: a negative or non-finite weight or cap.

    Example:
        In a training loop; `proxy` is the frozen copy, its head the proxy head:

        >>> import copy
        >>> backbone, proxy_head = nn.Linear(4, 8), nn.Linear(8, 5)
        >>> proxy = copy.deepcopy(backbone)
        >>> _ = proxy.requires_grad_(False).eval(), proxy_head.requires_grad_(False).eval()
        >>> head, guidance = nn.Linear(8, 3), ProxyKL(weight=0.1)
        >>> x, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
        >>> features = backbone(x)
        >>> with torch.no_grad():  # or computed once for the whole data set
        ...     teacher = proxy_head(proxy(x))
        >>> term = guidance(proxy_head(features), teacher)
        >>> loss = nn.functional.cross_entropy(head(features), y) + term
        >>> loss.backward()
        >>> abs(term.item()) < 1e-6  # nothing forgotten yet
        True
    """

    compares: ClassVar[str] = "logits"
    measured_as: ClassVar[str | None] = "proxy_kl"

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the unweighted mean KL, a scalar in nats.

        Args:
            student: logits `[N, C]`, or `[N, C, ...]` for dense prediction; classes in dim 1.
            teacher: logits of the same shape; taken as constants.

        Raises:
            ValueError: shapes differ, lack a batch or class dimension, or are empty; or the
                logits are integers.
        """
        _check_logits(student, teacher)
        # Half precision has too few digits for a difference of logarithms.
        precision = torch.promote_types(student.dtype, torch.float32)
        log_p = torch.log_softmax(teacher.detach().to(precision), dim=1)
        log_q = torch.log_softmax(student.to(precision), dim=1)
        p = log_p.exp()
        # A class that the teacher rules out (-inf) counts zero: 0 · log 0 = 0.
        terms = torch.where(p > 0, p * (log_p - log_q), torch.zeros_like(p))
        return terms.sum(dim=1).mean()


def _check_logits(student: Tensor, teacher: Tensor) -> None:
    if student.shape != teacher.shape:
        raise ValueError(
            f"student logits {tuple(student.shape)} and teacher logits {tuple(teacher.shape)} "
            "must have one shape; both come from the proxy head, on the same images"
        )
    if student.dim() < 2 or student.numel() == 0:
        raise ValueError(
            f"logits must be [N, C] or [N, C, H, W] and not empty, got {tuple(student.shape)}"
        )
    if not (student.is_floating_point() and teacher.is_floating_point()):
        raise ValueError(
            f"logits must be floating-point, got {student.dtype} and {teacher.dtype}; "
            "give the scores before softmax, not labels"
        )

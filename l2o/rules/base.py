"""The contract of rules: policies written down, not learned, that look at signals or draw."""

from __future__ import annotations

from torch import Tensor

from l2o.deciding.policy import Policy
from l2o.networks.relative_update import cosine


class Rule(Policy):
    """A policy made of a formula. Members are dataclasses, checked when made.

    Example:
        >>> from l2o.rules import ConstantLayers
        >>> rule = ConstantLayers((0.1, 1.0))
        >>> rule(torch.ones(2, 1), rule.initial_state(2))[0]
        tensor([0.1000, 1.0000])
    """


def head_and_cosine(is_head: Tensor, progress: Tensor, head: float, anneal: bool) -> Tensor:
    """Return (head where it is the head, else 1) · ½ (1 + cos πt) `[L]`, the latter if asked for.

    Args:
        is_head: 1 for the head, 0 for the other layers, `[L]`.
        progress: t, the share of the training that is done `[L]`; 0 where its length is not known.
        head: factor of the head.
        anneal: whether it falls along the cosine.

    Example:
        >>> is_head, progress = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.5])
        >>> head_and_cosine(is_head, progress, 50.0, True)
        tensor([ 0.5000, 25.0000])
    """
    factor = 1.0 + (head - 1.0) * is_head
    return factor * cosine(progress) if anneal else factor

"""The contract of rules: policies written down, not learned, that look at signals or draw."""

from __future__ import annotations

from l2o.deciding.policy import Policy


class Rule(Policy):
    """A policy made of a formula. Members are dataclasses, checked when made.

    Example:
        >>> from l2o.rules import ConstantLayers
        >>> rule = ConstantLayers((0.1, 1.0))
        >>> rule(torch.ones(2, 1), rule.initial_state(2))[0]
        tensor([0.1000, 1.0000])
    """

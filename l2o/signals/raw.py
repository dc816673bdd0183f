"""ASG's observation, as published: plain means over the last window, on no common scale.

Not among the default signals. Source: Chen et al., Automated Synthetic-to-Real Generalization, ICML
2020. The means are over the weights that the window's losses were computed with.
"""

from __future__ import annotations

from typing import ClassVar

from l2o.signals.base import Field, Quantity


class CurrentFactor(Field):
    """The multiplier of the last window as it is."""

    limit: ClassVar[float] = 100.0
    field = "multiplier"


class WindowLoss(Field):
    """Mean training loss of the last window, in nats."""

    limit: ClassVar[float] = 100.0
    field = "loss"


class WindowProxyKL(Field):
    """Mean proxy KL of the last window, in nats."""

    limit: ClassVar[float] = 100.0
    field = "proxy_kl"


class WindowProgress(Field):
    """Mean share of the training done over the last window."""

    field = "window_progress"


class HeadMean(Field):
    """Mean of the new head's weights (not its biases), mean over the last window."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"head"})
    limit: ClassVar[float] = 10.0
    field = "head_mean"


class HeadStd(Field):
    """Standard deviation of the new head's weights, mean over the last window."""

    needs: ClassVar[frozenset[Quantity]] = frozenset({"head"})
    limit: ClassVar[float] = 10.0
    field = "head_std"

"""Means over a window of the mean and the standard deviation of the new head's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from l2o.layers.groups import LayerGroup
from l2o.measuring.window import WindowMean
from l2o.tensors import is_sharded, real_and_dense


class HeadWindow:
    """Watches the weight matrices (biases excepted) of the head, all taken as one vector.

    Nothing is copied to the host but when a window closes. A model without a head has no values.

    Args:
        groups: layer groups; those that are the head are watched.
    """

    def __init__(self, groups: Sequence[LayerGroup]) -> None:
        self._weights = [p for g in groups if g.is_head for p in g.parameters if p.dim() > 1]
        self.windows = {"head_mean": WindowMean(), "head_std": WindowMean()}

    @torch.no_grad()
    def add(self) -> None:
        """Take in the weights as they are; called before each step."""
        if self._weights:
            mean, std = mean_and_std(torch.cat([_whole(p).flatten() for p in self._weights]))
            self.windows["head_mean"].add(mean)
            self.windows["head_std"].add(std)

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {name: window.state_dict() for name, window in self.windows.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        for name, window in self.windows.items():
            window.load_state_dict(state[name])


def _whole(parameter: Tensor) -> Tensor:
    """Return a parameter's values; of one that is spread over processes, gathered from all."""
    values = parameter.detach()
    if is_sharded(values):
        values = values.full_tensor()  # type: ignore[attr-defined]  # a DTensor's
    return real_and_dense(values)


def mean_and_std(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the population standard deviation over the last dimension."""
    variance, mean = torch.var_mean(weights.float(), dim=-1, correction=0)
    return mean, variance.sqrt()

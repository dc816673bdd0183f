"""The mean and the standard deviation of each network's head, added up over a window."""

from __future__ import annotations

import torch
from torch import Tensor

from l2o.envs.stacked.layout import Layout
from l2o.measuring.head_window import mean_and_std


class HeadSums:
    """Sums, for N networks, of what `l2o.measuring.head_window.HeadWindow` watches.

    Args:
        layout: of the networks; one without a head has no values.
        parameters: their flat buffer.
        count: N.
    """

    def __init__(self, layout: Layout, parameters: Tensor, count: int) -> None:
        rows = zip(layout.layers, layout.shapes, layout.rows(parameters, count), strict=True)
        self._rows = [row for at, shape, row in rows if layout.is_head[at] and len(shape) > 1]
        self.sums = [torch.zeros(count, device=parameters.device) for _ in range(2)]

    @torch.no_grad()
    def add(self) -> None:
        """Take in the weights as they are; called before each step."""
        if self._rows:
            for total, value in zip(self.sums, mean_and_std(torch.cat(self._rows, dim=1))):
                total += value

    def means(self, count: Tensor) -> dict[str, Tensor]:
        """Return the means `[N]` over so many steps, inf for NaN; nothing without a head."""
        if not self._rows:
            return {}
        means = torch.nan_to_num(torch.stack(self.sums) / count, nan=torch.inf, posinf=torch.inf)
        return dict(zip(("head_mean", "head_std"), means.unbind(), strict=True))

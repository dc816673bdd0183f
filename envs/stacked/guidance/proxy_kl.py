"""Proxy KL of N fine-tunes."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from l2o.envs.stacked.guidance.base import Batch, StackedTerm


class StackedProxyKL(StackedTerm):
    """`l2o.guidance.ProxyKL`: the divergence that every policy may see, as a loss."""

    needs_kl: ClassVar[bool] = True

    def divergence(self, batch: Batch) -> Tensor:
        """Return the KL of each network."""
        return batch.proxy_kl

"""Batch norm whose statistics are each source's own."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class SourceNorm(nn.Module):
    """Batch norm with statistics for each source, and affine parameters that they share.

    Rows of a batch are normalised with their source's statistics (`source_rows` says whose they
    are), so that the statistics of one do not blur another's. Rows of nobody, such as real images
    that are scored, take the mean of all sources' statistics:

        μ = mean_i μ_i,   σ² = mean_i (σ_i² + μ_i²) − μ²

    Source: Chang et al., Domain-Specific Batch Normalization for Unsupervised Domain Adaptation,
    CVPR 2019; affine parameters are shared here, as the layers around them are.

    Args:
        norm: the batch norm that it takes the place of; every source begins with its statistics.
        sources: how many.
    """

    def __init__(self, norm: Any, sources: int) -> None:
        super().__init__()
        self.affine = copy.deepcopy(norm)
        self.norms = nn.ModuleList(copy.deepcopy(norm) for _ in range(sources))
        norms: Any = self.norms
        for each in norms:
            # One set of parameters, in `affine`.
            each.weight = each.bias = None
        self.rows: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised features `[N, C, ...]`.

        Raises:
            ValueError: not as many rows were told as there are.
        """
        plain = self._pooled(x) if self.rows is None else self._by_source(x, self.rows)
        weight, bias = self.affine.weight, self.affine.bias
        if weight is None:
            return plain
        shape = (1, -1, *[1] * (x.dim() - 2))
        return plain * weight.view(shape) + bias.view(shape)

    def _by_source(self, x: Tensor, rows: Tensor) -> Tensor:
        if len(rows) != len(x):
            raise ValueError(f"{len(x)} rows, but the sources of {len(rows)} are told; tell all")
        found = torch.empty_like(x)
        for number, norm in enumerate(self.norms):
            mine = rows == number
            if mine.any():
                found[mine] = norm(x[mine])
        return found

    def _pooled(self, x: Tensor) -> Tensor:
        norms: list[Any] = list(self.norms)
        mean = torch.stack([norm.running_mean for norm in norms]).mean(dim=0)
        square = torch.stack([norm.running_var + norm.running_mean**2 for norm in norms])
        variance = square.mean(dim=0) - mean**2
        return nn.functional.batch_norm(x, mean, variance, eps=self.affine.eps)


def to_source_norm(network: nn.Module, sources: int) -> nn.Module:
    """Give every batch norm of a network statistics for each source, in place, and return it.

    Raises:
        ValueError: fewer than one source, or a network without batch norm.

    Example:
        >>> network = to_source_norm(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), 2)
        >>> with source_rows(network, torch.tensor([0, 1])):
        ...     network(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 4, 6, 6])
    """
    if sources < 1:
        raise ValueError(f"sources={sources} must be 1 or more")
    kind = nn.modules.batchnorm._BatchNorm
    found = [name for name, module in network.named_modules() if isinstance(module, kind)]
    if not found:
        raise ValueError(f"{type(network).__name__} has no batch norm; statistics have no place")
    for name in found:
        norm: Any = network.get_submodule(name)
        if not norm.track_running_stats:
            raise ValueError(f"{name} keeps no running statistics, which sources would have")
        network.set_submodule(name, SourceNorm(norm, sources).train(norm.training))
    return network


@contextmanager
def source_rows(network: nn.Module, rows: Tensor) -> Iterator[None]:
    """Tell a network whose each row of its batches is `[N]`, within."""
    norms = [module for module in network.modules() if isinstance(module, SourceNorm)]
    for norm in norms:
        norm.rows = rows
    try:
        yield
    finally:
        for norm in norms:
            norm.rows = None

"""Batch norm whose statistics are each source's own, beside a network that stays its library's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class SourceNorm:
    """Gives each source statistics of its own in every batch norm of a network.

    Within `of(rows)` each row of a batch is normalised with its source's statistics, so that those
    of one do not blur another's. The network's own statistics are the pool of all sources', by
    which real images are scored:

        μ = mean_i μ_i,   σ² = mean_i (σ_i² + μ_i²) − μ²

    Affine parameters are shared, as the layers around them are. The network keeps its modules,
    names and tensors: it is saved and loaded as any other. Source: Chang et al., Domain-Specific
    Batch Normalization for Unsupervised Domain Adaptation, CVPR 2019 (there with affine parameters
    for each).

    Args:
        network: every source begins with its statistics.
        sources: how many.

    Raises:
        ValueError: fewer than one source, or batch norms that keep no running averages.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        >>> norm = SourceNorm(network, sources=2)
        >>> with norm.of(torch.tensor([0, 1])):
        ...     network(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 4, 6, 6])
    """

    def __init__(self, network: nn.Module, sources: int) -> None:
        if sources < 1:
            raise ValueError(f"sources={sources} must be 1 or more")
        self._norms = _norms_of(network)
        self._means: dict[str, Tensor] = {}
        self._variances: dict[str, Tensor] = {}
        for name, norm in self._norms.items():
            self._means[name] = norm.running_mean.repeat(sources, 1)
            self._variances[name] = norm.running_var.repeat(sources, 1)
        self._rows: Tensor | None = None
        self._trained: dict[str, bool] = {}
        self._handles = [
            norm.register_forward_hook(partial(self._by_source, name))
            for name, norm in self._norms.items()
        ]

    @contextmanager
    def of(self, rows: Tensor) -> Iterator[None]:
        """Tell whose each row `[N]` of the network's batches is, within.

        Raises:
            ValueError: while it runs, a batch of another size.
        """
        self._trained = {name: norm.training for name, norm in self._norms.items()}
        for norm in self._norms.values():
            norm.eval()  # what it does by itself counts for nothing
        self._rows = rows
        try:
            yield
        finally:
            self._rows = None
            for name, norm in self._norms.items():
                norm.train(self._trained[name])
                if self._trained[name]:
                    self._pool(name, norm)

    def remove(self) -> None:
        """Leave the network as it is: pooled, without hooks."""
        for handle in self._handles:
            handle.remove()

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics of all sources."""
        return {"means": dict(self._means), "variances": dict(self._variances)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        for own, given in ((self._means, "means"), (self._variances, "variances")):
            for name, values in own.items():
                values.copy_(state[given][name])

    def _by_source(self, name: str, norm: Any, inputs: tuple[Tensor], output: Tensor) -> Any:
        rows = self._rows
        if rows is None:
            return None
        (x,) = inputs
        if len(rows) != len(x):
            raise ValueError(f"{len(x)} rows, but the sources of {len(rows)} are told; tell all")
        found = torch.empty_like(output)
        for number in range(len(self._means[name])):
            mine = rows == number
            part = x[mine]
            # One value of a channel has no variance: it is read by what is known so far.
            trains = self._trained[name] and part.numel() > x.shape[1]
            if len(part):
                found[mine] = functional.batch_norm(
                    part,
                    self._means[name][number],
                    self._variances[name][number],
                    norm.weight,
                    norm.bias,
                    trains,
                    norm.momentum,
                    norm.eps,
                )
        return found

    def _pool(self, name: str, norm: Any) -> None:
        means = self._means[name]
        norm.running_mean.copy_(means.mean(dim=0))
        square = (self._variances[name] + means**2).mean(dim=0)
        norm.running_var.copy_(square - norm.running_mean**2)
        norm.num_batches_tracked += 1


class SourcedForward:
    """A forward pass that knows whose the images of each batch are.

    Args:
        forward: of images.
        norm: of the network.
        source_of: of each training example the number of its source `[N]`.
    """

    def __init__(self, forward: Callable[[Tensor], Any], norm: SourceNorm, source_of: Tensor):
        self.forward, self.norm = forward, norm
        self._source_of = source_of.cpu()
        self._ahead: deque[Tensor] = deque()
        self._left = self._source_of[:0]

    def noting(self, orders: Iterator[Tensor]) -> Iterator[Tensor]:
        """Pass on the examples of batches to come, and note whose they are."""
        self._ahead.clear()
        self._left = self._source_of[:0]
        for order in orders:
            self._ahead.append(self._source_of[order.cpu()])
            yield order

    def __call__(self, images: Tensor) -> Any:
        """Return what the network says of a batch, or of the next part of one."""
        if not len(self._left):
            self._left = self._ahead.popleft()
        rows, self._left = self._left[: len(images)], self._left[len(images) :]
        with self.norm.of(rows.to(images.device)):
            return self.forward(images)


def _norms_of(network: nn.Module) -> dict[str, Any]:
    kind = nn.modules.batchnorm._BatchNorm
    found = {name: each for name, each in network.named_modules() if isinstance(each, kind)}
    if not found:
        raise ValueError(f"{type(network).__name__} has no batch norm; statistics have no place")
    for name, norm in found.items():
        if not norm.track_running_stats:
            raise ValueError(f"{name} keeps no running statistics, which sources would have")
        if norm.momentum is None:
            raise ValueError(f"{name} has momentum=None, a plain average; give it a momentum")
    return found

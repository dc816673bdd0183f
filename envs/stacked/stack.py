"""The contract of stacked networks: N models of one architecture, computed together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from l2o.envs.stacked.maps import WantedMaps
from l2o.envs.stacked.rows import take_rows

TENSORS = Mapping[str, Tensor]
"""Dotted name -> stacked tensor `[N, *shape]`."""


class Stack(ABC):
    """Runs N networks on N batches. Tensors are bound once and then changed in place.

    Args:
        model: one network, after timm's convention; what its forward code does, all N do.
        proxy_head: one frozen proxy head.
        tensors: parameters and buffers of the N networks.
        proxy_tensors: those of the N proxy heads.
        count: N.
    """

    name: ClassVar[str]

    def __init__(
        self,
        model: Any,
        proxy_head: nn.Module,
        tensors: TENSORS,
        proxy_tensors: TENSORS,
        count: int,
    ) -> None:
        self.model = model
        self.proxy_head = proxy_head
        self.tensors = tensors
        self.proxy_tensors = proxy_tensors
        self.count = count

    @abstractmethod
    def arrange(self, examples: Tensor) -> Tensor:
        """Return a batch `[B, N, *shape]`, B examples of each network, as this stack takes it."""

    def gather(self, pool: Tensor, rows: Tensor) -> Tensor:
        """Return rows `[B, N]` of a pool of examples, arranged."""
        return self.arrange(take_rows(pool, rows))

    @abstractmethod
    def features(self, inputs: Tensor) -> Tensor:
        """Return the features of arranged inputs, in this stack's own layout."""

    @abstractmethod
    def features_and_maps(
        self, inputs: Tensor, wanted: WantedMaps
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the features and, by name, the outputs of layers as `[B, N, ...]`."""

    @abstractmethod
    def by_network(self, features: Tensor) -> Tensor:
        """Return features as `[B, N, ...]`."""

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """Return the classifiers' outputs `[B, N, K, ...]`."""

    @abstractmethod
    def proxy_logits(self, features: Tensor) -> Tensor:
        """Return the proxy heads' logits `[B, N, K', ...]`."""

"""What pretraining, caching and building a proxy network need to know of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.digits.networks import DigitsNetwork


class ProxyRecipe(Protocol):
    """Everything that determines a pretrained network; every family has its own."""

    @property
    def kind(self) -> str:
        """Folder of the cache that its weights lie in."""

    @property
    def split(self) -> str:
        """The family's split."""

    @property
    def network(self) -> int:
        """The network's number within its split."""

    @property
    def steps(self) -> int:
        """Optimizer steps."""

    @property
    def learning_rate(self) -> float:
        """Peak of the one-cycle schedule."""

    def key(self) -> dict[str, Any]:
        """Return what the weights depend on, as plain data."""

    def build(self) -> DigitsNetwork:
        """Return the network with the weights that pretraining starts from."""

    def batches(self) -> Iterator[Examples]:
        """Yield the batch of each step."""

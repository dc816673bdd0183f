"""Rehearsal: labelled images of the proxy, trained on along with the source's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from l2o.checks import check_number
from l2o.envs.fine_tuning.orders import batches
from l2o.envs.objectives import Objective
from l2o.envs.tasks.base import LabelledData, Loading
from l2o.envs.tasks.loading import load_batches


class Rehearsal:
    """Adds w · L(h₀(f(x_p)), y_p) over a batch of the proxy's own labelled images to each step.

    The proxy head h₀ stays frozen, and the backbone f goes on with what it was pretrained for while
    it is fine-tuned, which is joint training on both. Source: Ratcliff, Connectionist Models of
    Recognition Memory, Psychological Review, 1990 (rehearsal).

    Args:
        data: labelled images of the proxy, as the network takes them.
        weight: w, not negative.
        proxy_head: frozen.
        objective: of the proxy.
        batch_size: examples of a step.
        seed: of their order.
        device: of the network.
        loading: how they are read.

    Raises:
        ValueError: a weight that is negative or not finite.
    """

    def __init__(
        self,
        data: LabelledData,
        weight: float,
        proxy_head: nn.Module,
        objective: Objective,
        batch_size: int,
        seed: int,
        device: torch.device,
        loading: Loading | None = None,
    ) -> None:
        check_number("rehearsal", weight)
        self.weight, self._head, self._objective = weight, proxy_head, objective
        self._data, self._size, self._seed = data, batch_size, seed + 1
        self._device, self._loading = device, loading or Loading()
        self.begin(0)

    def begin(self, step: int) -> None:
        """Read on after so many steps."""
        orders = islice(batches(len(self._data), self._size, self._seed), step, None)
        size = min(self._size, len(self._data))
        self._batches: Iterator[Any] = load_batches(
            self._data, orders, self._loading, self._device, self._seed, step * size
        )

    def term(self, features: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the weighted loss of the next batch, a scalar.

        Args:
            features: the network's `forward_features`.
        """
        images, labels = next(self._batches)
        return self.weight * self._objective.loss(self._head(features(images)), labels)

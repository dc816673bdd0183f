"""Examples of N tasks as augmented views, each fine-tune its own, for contrastive guidance."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from l2o.envs.stacked.data import TrainingData
from l2o.envs.stacked.maps import WantedMaps
from l2o.envs.stacked.start import Prepared
from l2o.envs.teacher import Teacher, ViewPairs, the_contrastive
from l2o.guidance import Guidance


class ViewData(TrainingData):
    """Views of source images, and the frozen network's outputs on each: what `Teacher` caches.

    Rows of the pool come in pairs: that of the view that is trained on, and that of the view whose
    maps make the keys. Fine-tunes of one task and seed have the same views, and share them.

    Args:
        like: a start, for shapes.
        count: N.
        capacity: examples of the largest task.
        steps: batches of the longest fine-tune.
        device: of everything.
        features: whether the frozen networks' features are kept, too.
        terms: guidance, one of them contrastive.
        maps: the layers that it looks at.
    """

    def __init__(
        self,
        like: Prepared,
        count: int,
        capacity: int,
        steps: int,
        device: torch.device,
        features: bool,
        terms: Sequence[Guidance[Any]],
        maps: WantedMaps,
    ) -> None:
        contrastive = the_contrastive(terms)
        assert contrastive is not None
        self.views = contrastive.views
        super().__init__(like, count, capacity * self.views, steps, device, features)
        # Copies: a teacher makes MLPs of the widths of its network.
        self._terms = [copy.copy(term) for term in terms]
        self._rectified = maps.rectified
        rows, dtype = len(self.images), self.teacher.dtype
        self.maps = {
            name: torch.zeros(rows, *shape, dtype=dtype, device=device)
            for name, shape in maps.shapes.items()
        }
        self.order = self.order.new_zeros(count, steps, 2, like.batch_size)

    def fits(self, start: Prepared) -> bool:
        """Return whether there is room for a start's views."""
        room = len(start.task.source_train) * self.views <= self.capacity
        return room and start.steps <= self.steps

    def variant(self, start: Prepared) -> Hashable:
        """Return the seed that views are drawn from."""
        return start.seed

    def fill(self, begin: int, start: Prepared) -> None:
        """Draw a start's views, and run its frozen network over them."""
        teacher = Teacher(start.task, start.model, self._terms, self.images.device, start.seed)
        images, outputs = teacher.views()
        here = slice(begin, begin + len(images))
        labels = start.task.source_train.labels.repeat(self.views)
        self.put(here, images, labels, outputs["logits"])
        if self.features is not None:
            self.features[here] = outputs["features"]
        for name, kept in self.maps.items():
            found = outputs["maps"][name]
            kept[here] = found.relu() if self._rectified else found

    def table(self, start: Prepared) -> Tensor:
        """Return pairs of rows of a block `[steps, 2, B]`."""
        index = super().table(start)
        pairs = ViewPairs(self.views, start.seed)
        views = torch.stack([torch.stack(pairs.draw(batch)) for batch in index])
        return index[:, None] + len(start.task.source_train) * views

    def key_maps(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the frozen networks' maps `[B, N, ...]` of rows."""
        flat = rows.flatten()
        return {
            name: kept.index_select(0, flat).unflatten(0, rows.shape)
            for name, kept in self.maps.items()
        }

"""Examples of N tasks as augmented views, each fine-tune its own, for contrastive guidance."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from l2o.envs.fine_tuning.teacher import Teacher, ViewPairs, the_contrastive
from l2o.envs.stacked.data import TrainingData
from l2o.envs.stacked.maps import WantedMaps
from l2o.envs.stacked.rows import take_rows
from l2o.envs.stacked.start import Prepared
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
        super().__init__(like, count, capacity, steps, device, features)
        # Copies: a teacher makes MLPs of the widths of its network.
        self._terms = [copy.copy(term) for term in terms]
        self._wanted = maps
        rows, dtype = len(self.images), self.teacher.dtype
        self.maps = {
            name: torch.zeros(rows, *shape, dtype=dtype, device=device)
            for name, shape in maps.shapes.items()
        }
        self.order = self.order.new_zeros(count, steps, 2, like.batch_size)

    def variant(self, start: Prepared) -> Hashable:
        """Return the seed that views are drawn from."""
        return start.seed

    def teach(self, start: Prepared) -> tuple[Tensor, dict[str, Any]]:
        """Draw a start's views, and run its frozen network over them."""
        teacher = Teacher(start.task, start.model, self._terms, self.images.device, start.seed)
        return teacher.views()

    def keep(self, here: slice, outputs: Mapping[str, Any]) -> None:
        """Write a frozen network's outputs, and its maps."""
        super().keep(here, outputs)
        for name, kept in self.maps.items():
            kept[here] = self._wanted.finish(outputs["maps"][name])

    def table(self, start: Prepared) -> Tensor:
        """Return pairs of rows of a block `[steps, 2, B]`."""
        index = super().table(start)
        pairs = ViewPairs(self.views, start.seed)
        views = torch.stack([torch.stack(pairs.draw(batch)) for batch in index])
        return index[:, None] + len(start.source) * views

    def keyed(self, rows: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the first of pairs of rows `[2, B, N]`, and maps `[B, N, ...]` of the second."""
        rows, others = rows.unbind()
        return rows, {name: take_rows(kept, others) for name, kept in self.maps.items()}

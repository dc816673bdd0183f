"""Examples of N tasks on one device, read by one gather per step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from torch import Tensor

from l2o.envs.stacked.blocks import Blocks
from l2o.envs.stacked.rows import take_rows
from l2o.envs.stacked.start import Prepared, batch_table
from l2o.envs.tasks.base import Examples

_BATCH = 256


class TrainingData:
    """Source images, labels and the teacher's predictions of N tasks, with their batch order.

    All tasks' examples lie in one pool of N blocks of `capacity` examples each. Those of one task
    are there once, and stay for the next fine-tune of the task while there is room.

    Args:
        like: a start, for shapes.
        count: N.
        capacity: examples of the largest task.
        steps: batches of the longest fine-tune.
        device: of everything.
        features: whether the frozen networks' features are kept, too.

    Attributes:
        views: rows of the pool that an example takes.
    """

    views: int = 1

    def __init__(
        self,
        like: Prepared,
        count: int,
        capacity: int,
        steps: int,
        device: torch.device,
        features: bool = False,
    ) -> None:
        source, teacher = like.source, like.teacher_logits
        self.count, self.capacity, self.steps = count, capacity * self.views, steps
        rows = count * self.capacity
        self.images = source.images.new_zeros(rows, *source.images.shape[1:], device=device)
        self.labels = source.labels.new_zeros(rows, *source.labels.shape[1:], device=device)
        self.teacher = teacher.new_zeros(rows, 2, *teacher.shape[1:], device=device)
        self.features: Tensor | None = None
        if features:
            shape = frozen_features(like.model, source.images[:1]).shape[1:]
            self.features = teacher.new_zeros(rows, *shape, device=device)
        self._blocks = Blocks(count)
        self.order = torch.zeros(count, steps, like.batch_size, dtype=torch.int64, device=device)

    def fits(self, start: Prepared) -> bool:
        """Return whether there is room for a start."""
        room = len(start.source) * self.views <= self.capacity
        return room and start.steps <= self.steps

    def load(self, position: int, start: Prepared) -> None:
        """Bring a start's examples, unless they are there, and its batch order."""
        block, new = self._blocks.place(position, start.task, self.variant(start))
        begin = block * self.capacity
        if new:
            self.fill(begin, start)
        self.order[position, : start.steps] = (self.table(start) + begin).to(self.order.device)

    def variant(self, start: Prepared) -> Hashable:
        """Return what tells examples of one task from others of it; here there are no others."""
        del start
        return 0

    def fill(self, begin: int, start: Prepared) -> None:
        """Bring a start's examples to a block that begins at this row."""
        images, outputs = self.teach(start)
        here = slice(begin, begin + len(images))
        self.images[here] = images.to(self.images)
        self.labels[here] = torch.cat([start.source.labels] * self.views).to(self.labels)
        self.keep(here, outputs)

    def teach(self, start: Prepared) -> tuple[Tensor, dict[str, Any]]:
        """Return a start's images, and its frozen network's outputs on them, by name."""
        images = start.source.images
        outputs = {"logits": start.teacher_logits}
        if self.features is not None:
            outputs["features"] = frozen_features(start.model, images)
        return images, outputs

    def keep(self, here: slice, outputs: Mapping[str, Any]) -> None:
        """Write a frozen network's outputs, its predictions as p and log p."""
        logits = outputs["logits"].to(self.teacher.device)
        log_p = torch.log_softmax(logits.to(_at_least_single(logits)), dim=1)
        self.teacher[here, 0], self.teacher[here, 1] = log_p.exp(), log_p
        if self.features is not None:
            self.features[here] = outputs["features"].to(self.features)

    def table(self, start: Prepared) -> Tensor:
        """Return the batch order `[steps, B]`, in rows of a block."""
        examples = len(start.source)
        return batch_table(examples, start.batch_size, start.seed, start.steps)

    def window(self, steps: Tensor, length: int) -> Tensor:
        """Return rows of the pool `[length, B, N]` for the next steps of each task.

        Args:
            steps: `[N]` on the device, steps done; past a task's end its last batch comes again.
            length: steps of the window.
        """
        wanted = steps[:, None] + torch.arange(length, device=steps.device)
        wanted = wanted.clamp_max(self.steps - 1)
        each = torch.arange(self.count, device=steps.device)[:, None]
        return self.order[each, wanted].movedim(0, -1).contiguous()

    def keyed(self, rows: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return rows `[B, N]` to train on of a step's, and maps for keys; here there are none."""
        return rows, {}

    def targets(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels `[B, N, ...]` and the teacher `[B, N, 2, K, ...]` of rows."""
        return take_rows(self.labels, rows), take_rows(self.teacher, rows)

    def teacher_features(self, rows: Tensor) -> Tensor | None:
        """Return the frozen networks' features `[B, N, ...]` of rows, if they are kept."""
        return None if self.features is None else take_rows(self.features, rows)


class EvaluationData:
    """One split of N tasks, as their stack takes it; shorter ones are padded.

    Args:
        like: examples, for shapes.
        count: N.
        capacity: examples of the largest task.
        batch: examples of each task per forward pass.
        arrange: how the stack wants a batch `[B, N, ...]`.
        device: of everything.

    Attributes:
        inputs: arranged batches, each with up to `batch` examples of each task.
        labels: `[M, N, ...]`.
        held: `[M, N]`, true where there is an example, false where there is padding.
    """

    def __init__(
        self,
        like: Examples,
        count: int,
        capacity: int,
        batch: int,
        arrange: Callable[[Tensor], Tensor],
        device: torch.device,
    ) -> None:
        shape = (capacity, count, *like.images.shape[1:])
        self._parts = like.images.new_zeros(shape, device=device).split(batch)
        self._arrange = arrange
        self._stale = False
        self.capacity = capacity
        self.inputs = [arrange(part) for part in self._parts]
        rows = (capacity, count, *like.labels.shape[1:])
        self.labels = like.labels.new_zeros(rows, device=device)
        self.held = torch.zeros(capacity, count, dtype=torch.bool, device=device)

    def fits(self, examples: Examples) -> bool:
        """Return whether there is room for a task's examples."""
        return len(examples) <= self.capacity

    def load(self, position: int, examples: Examples) -> None:
        """Put a task's examples in their place."""
        device = self.labels.device
        batch = len(self._parts[0])
        for part, images in zip(self._parts, examples.images.split(batch), strict=False):
            part[: len(images), position] = images.to(device)
        self.labels[: len(examples), position] = examples.labels.to(device)
        self.held[: len(examples), position] = True
        self.held[len(examples) :, position] = False
        self._stale = True

    def settle(self) -> None:
        """Arrange what was loaded, in place: captured evaluations read it there."""
        if self._stale:
            for kept, part in zip(self.inputs, self._parts, strict=True):
                arranged = self._arrange(part)
                if arranged.data_ptr() != kept.data_ptr():
                    kept.copy_(arranged)
        self._stale = False


@torch.no_grad()
def frozen_features(model: Any, images: Tensor) -> Tensor:
    """Return a pretrained network's features of images, as it gives them in evaluation."""
    frozen = copy.deepcopy(model).eval()
    return torch.cat([frozen.forward_features(part) for part in images.split(_BATCH)])


def room_for(examples: int) -> int:
    """Return a capacity with up to a third to spare, so that most other tasks fit, too.

    Example:
        >>> room_for(600), room_for(768), room_for(40)
        (768, 768, 40)
    """
    quarter = max(1, 1 << max(0, (examples - 1).bit_length() - 2))
    return -(-examples // quarter) * quarter


def _at_least_single(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)

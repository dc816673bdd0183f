"""Examples of N tasks on one device, read by one gather per step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.envs.stacked.start import Prepared, batch_table
from l2o.envs.tasks.base import Examples


class TrainingData:
    """Source images, labels and the teacher's predictions of N tasks, with their batch order.

    All tasks' examples lie in one pool with room for `capacity` examples and `steps` batches each.

    Args:
        like: a start, for shapes.
        count: N.
        capacity: examples of the largest task.
        steps: batches of the longest fine-tune.
        device: of everything.
    """

    def __init__(
        self, like: Prepared, count: int, capacity: int, steps: int, device: torch.device
    ) -> None:
        source, teacher = like.task.source_train, like.task.teacher_logits
        rows = count * capacity
        self.count, self.capacity, self.steps = count, capacity, steps
        self.images = source.images.new_zeros(rows, *source.images.shape[1:], device=device)
        self.labels = torch.zeros(rows, dtype=torch.int64, device=device)
        self.teacher = teacher.new_zeros(rows, 2, *teacher.shape[1:], device=device)
        self.order = torch.zeros(count, steps, like.batch_size, dtype=torch.int64, device=device)

    def fits(self, start: Prepared) -> bool:
        """Return whether there is room for a start."""
        return len(start.task.source_train) <= self.capacity and start.steps <= self.steps

    def load(self, position: int, start: Prepared) -> None:
        """Put a start's examples and batch order in their place."""
        source = start.task.source_train
        begin = position * self.capacity
        here = slice(begin, begin + len(source))
        self.images[here] = source.images.to(self.images.device)
        self.labels[here] = source.labels.to(self.labels.device)
        teacher = start.task.teacher_logits.to(self.teacher.device)
        log_p = torch.log_softmax(teacher.to(_at_least_single(teacher)), dim=1)
        self.teacher[here, 0], self.teacher[here, 1] = log_p.exp(), log_p
        table = batch_table(len(source), start.batch_size, start.seed, start.steps)
        self.order[position, : start.steps] = (table + begin).to(self.order.device)

    def window(self, steps: Tensor, length: int) -> Tensor:
        """Return rows of the pool `[length, B, N]` for the next steps of each task.

        Args:
            steps: `[N]` on the device, steps done; past a task's end its last batch comes again.
            length: steps of the window.
        """
        wanted = steps[:, None] + torch.arange(length, device=steps.device)
        wanted = wanted.clamp_max(self.steps - 1)
        each = torch.arange(self.count, device=steps.device)[:, None]
        return self.order[each, wanted].permute(1, 2, 0).contiguous()

    def targets(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels `[B, N]` and the teacher `[B, N, 2, K]` of rows."""
        flat = rows.flatten()
        labels = self.labels.index_select(0, flat).view(rows.shape)
        return labels, self.teacher.index_select(0, flat).unflatten(0, rows.shape)


@dataclass(frozen=True)
class EvaluationData:
    """One split of N tasks; shorter ones are padded.

    Attributes:
        images: `[M, N, ...]`.
        labels: `[M, N]`.
        held: `[M, N]`, 1 where there is an example, 0 where there is padding.
    """

    images: Tensor
    labels: Tensor
    held: Tensor

    @classmethod
    def of(cls, examples: Sequence[Examples], device: torch.device) -> EvaluationData:
        """Gather a split of N tasks."""
        images = torch.nn.utils.rnn.pad_sequence([e.images for e in examples])
        labels = torch.nn.utils.rnn.pad_sequence([e.labels for e in examples])
        sizes = torch.tensor([len(e) for e in examples])
        held = torch.arange(len(images))[:, None] < sizes
        return cls(images.to(device), labels.to(device), held.to(device, images.dtype))


def _at_least_single(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)

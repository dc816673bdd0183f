"""What one fine-tune of many begins with."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from l2o.envs.fine_tuning.fresh import draw_head, fresh_model
from l2o.envs.fine_tuning.inner_loop import importance_of
from l2o.envs.optimizers import InnerOptimizer
from l2o.envs.stacked.layout import Layout
from l2o.envs.tasks.base import Task, examples_of
from l2o.layers.groups import group_layers


@dataclass(frozen=True)
class Start:
    """One fine-tune: everything that may differ among those that run together.

    Attributes:
        task: what to fine-tune.
        seed: of the new head and the batches.
        base_lr: base learning rate; None takes the task's.
        optimizer: the inner optimizer; None takes the config's.
        guidance_weights: weights of guidance terms, by name; the config's where there is none.
    """

    task: Task
    seed: int = 0
    base_lr: float | None = None
    optimizer: InnerOptimizer | None = None
    guidance_weights: Mapping[str, Any] | None = None


class Prototype:
    """What all fine-tunes of one task have in common: the network but for its head, and its layout.

    Attributes:
        model: a network of the task; its head is drawn anew again and again.
        layout: of its trainable parameters.
        architecture: tasks of equal ones can be stacked, batch shape and optimizer permitting.
        objective: what the outputs mean.
        proxy_objective: what those of the proxy head mean.

    Raises:
        ValueError: the task's data sets are not in memory.
    """

    def __init__(self, task: Task) -> None:
        if not task.in_memory:
            raise ValueError(not_in_memory(f"task {task.name!r}"))
        self.objective, self.proxy_objective = task.build_objectives()
        self.model: Any = fresh_model(task, 0)
        self.layout = Layout.of(group_layers(self.model, head=self.model.get_classifier()))
        source = examples_of(task.source_train)
        images, labels = source.images, source.labels
        self.architecture = (
            type(self.model),
            repr(self.model),
            tuple(module.training for module in self.model.modules()),
            repr(task.proxy_head),
            self.layout,
            _frozen_shapes(self.model, self.layout),
            (*images.shape[1:], images.dtype),
            (*labels.shape[1:], labels.dtype),
            (self.objective, self.proxy_objective),
        )
        self._tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        head = {id(t) for t in _tensors_of(self.model.get_classifier())}
        self._head = [name for name, tensor in self._tensors.items() if id(tensor) in head]
        self.backbone = [name for name in self.layout.names if name not in self._head]
        self._importance = task.importance
        self._told, self._images, self._proxy_head = task.teacher_logits, images, task.proxy_head
        self._task_name = task.name

    @cached_property
    def importance(self) -> Mapping[str, Tensor]:
        """The importance of the backbone's parameters.

        Raises:
            ValueError: the task does not know it.
        """
        return importance_of(self._task_name, self._importance)

    @cached_property
    def teacher_logits(self) -> Tensor:
        """The proxy model's predictions on the source images."""
        return self._told if self._told is not None else self._predict()

    @torch.no_grad()
    def _predict(self) -> Tensor:
        frozen = copy.deepcopy(self.model).eval()
        parts = self._images.split(_BATCH)
        return torch.cat([self._proxy_head(frozen.forward_features(part)) for part in parts])

    @torch.no_grad()
    def tensors(self, seed: int) -> dict[str, Tensor]:
        """Return parameters and buffers by name, the head's drawn from a seed."""
        draw_head(self.model, seed)
        return self._tensors | {name: self._tensors[name].clone() for name in self._head}

    @classmethod
    def of(cls, task: Task) -> Prototype:
        """Return the prototype of a task, made once for as long as the task lives."""
        found = _PROTOTYPES.get(id(task))
        if found is None:
            found = _PROTOTYPES[id(task)] = cls(task)
            weakref.finalize(task, _PROTOTYPES.pop, id(task), None)
        return found


_PROTOTYPES: dict[int, Prototype] = {}
_BATCH = 256


class Prepared:
    """A start with its fresh network, and what tells which others it can be stacked with."""

    def __init__(self, start: Start, steps: int | None, optimizer: InnerOptimizer) -> None:
        prototype = Prototype.of(start.task)
        self.task = start.task
        self.objective, self.proxy_objective = prototype.objective, prototype.proxy_objective
        self.seed = start.seed
        self.steps = steps or start.task.steps
        self.base_lr = start.task.base_lr if start.base_lr is None else start.base_lr
        self.guidance_weights = start.guidance_weights
        self.optimizer = start.optimizer or optimizer
        self.model: Any = prototype.model
        self.tensors = prototype.tensors(start.seed)
        self.proxy_head: nn.Module = start.task.proxy_head
        self.layout = prototype.layout
        self.backbone = prototype.backbone
        self._prototype = prototype
        self.source = examples_of(start.task.source_train)
        self.batch_size = min(start.task.batch_size, len(self.source))
        self.key = (prototype.architecture, self.batch_size, self.optimizer)
        """Starts of equal keys can be stacked: one architecture, batch shape and optimizer."""

    @property
    def teacher_logits(self) -> Tensor:
        """The proxy model's predictions on the source images."""
        return self._prototype.teacher_logits

    @property
    def importance(self) -> Mapping[str, Tensor]:
        """The importance of the backbone's parameters in the proxy's pretraining."""
        return self._prototype.importance


def not_in_memory(what: str) -> str:
    """Word the error for what has no stacked form because its data sets are read by a loader."""
    return (
        f"{what} has data sets that are not tensors in memory, so its fine-tunes cannot be "
        "stacked; run them one by one (FineTuneEnv; stacked: false), or hold them as Examples"
    )


def _tensors_of(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _frozen_shapes(model: nn.Module, layout: Layout) -> tuple[Any, ...]:
    named = [*model.named_parameters(), *model.named_buffers()]
    return tuple((name, t.shape, t.dtype) for name, t in named if name not in set(layout.names))


def batch_table(examples: int, batch_size: int, seed: int, steps: int) -> Tensor:
    """Return the indices of all batches `[steps, batch_size]`: `batches` of a fine-tune, at once.

    Example:
        >>> batch_table(4, 2, seed=0, steps=3).shape
        torch.Size([3, 2])
    """
    generator = torch.Generator().manual_seed(seed)
    size = min(batch_size, examples)
    per_epoch = examples // size
    epochs = -(-steps // per_epoch)
    used = per_epoch * size
    orders = [torch.randperm(examples, generator=generator)[:used] for _ in range(epochs)]
    return torch.cat(orders).view(-1, size)[:steps]

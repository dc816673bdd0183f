"""The reference: fine-tuning as a good engineer writes it, with nothing of this package in it."""

from __future__ import annotations

import copy

import torch
from torch.nn import functional

from l2o.envs.fine_tuning.fresh import fresh_model
from l2o.envs.fine_tuning.orders import batches
from l2o.envs.tasks.base import Task, examples_of
from l2o.layers.groups import group_layers, param_groups

BASE_LR, KL_WEIGHT, INTERVAL = 0.01, 0.3, 10
"""Of all layers; of the proxy KL; steps between evaluations on the target validation set."""


class BareLoop:
    """A plain PyTorch loop: `torch.optim.SGD`, cached teacher, proxy KL, periodic evaluation.

    One param group per layer, as layer-wise learning rates need. The teacher's log-probabilities
    are computed once; nothing is copied to the host but the accuracy.

    Args:
        task: what to fine-tune.
        device: of everything.
    """

    def __init__(self, task: Task, device: torch.device) -> None:
        self.model = fresh_model(task, seed=0).to(device)
        self.proxy_head = copy.deepcopy(task.proxy_head).to(device).requires_grad_(False)
        groups = group_layers(self.model, head=self.model.get_classifier())
        self.optimizer = torch.optim.SGD(
            param_groups(groups, BASE_LR), momentum=0.9, weight_decay=5e-4
        )
        self.source = examples_of(task.source_train).to(device)
        self.target = examples_of(task.target_validation).to(device)
        assert task.teacher_logits is not None
        self.teacher = task.teacher_logits.to(device).log_softmax(dim=1)
        self.order = batches(len(task.source_train), task.batch_size, 0)
        self.device = device

    def run(self) -> None:
        """Take the steps between two evaluations, and evaluate."""
        for _ in range(INTERVAL):
            self._step()
        self.accuracy()

    def _step(self) -> None:
        index = next(self.order).to(self.device)
        features = self.model.forward_features(self.source.images[index])
        loss = functional.cross_entropy(
            self.model.forward_head(features), self.source.labels[index]
        )
        student = self.proxy_head(features).log_softmax(dim=1)
        teacher = self.teacher[index]
        kl = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
        (loss + KL_WEIGHT * kl).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def accuracy(self) -> float:
        """Return the accuracy on the target validation set."""
        right = self.model(self.target.images).argmax(dim=1) == self.target.labels
        return float(right.float().mean())

"""How a fine-tuned network is scored on the splits of its task."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from l2o.envs.fine_tuning.compute import Compute
from l2o.envs.fine_tuning.flip_average import flip_averaged
from l2o.envs.objectives import Objective
from l2o.envs.optimizers.base import judged
from l2o.envs.tasks.base import Examples, Task
from l2o.envs.tasks.loading import Batch, scoring_batches
from l2o.measures import Outputs

Network = Callable[[Tensor], Tensor]


class Scoring:
    """Scores a network that is being trained; afterwards it trains on as if nothing had been.

    Args:
        task: whose splits are scored on.
        model: by timm's convention.
        proxy_head: the frozen head of the proxy.
        optimizer: whose averaged weights are scored, if it has any.
        compute: number format and memory layout.
        device: of the model.
        pretrained: the network before any training; None: the model as it is now.
    """

    def __init__(
        self,
        task: Task,
        model: Any,
        proxy_head: nn.Module,
        optimizer: Optimizer,
        compute: Compute,
        device: torch.device,
        pretrained: Any = None,
    ) -> None:
        self._task, self._model, self._proxy_head = task, model, proxy_head
        self._optimizer, self._compute, self._device = optimizer, compute, device
        self._examples: dict[str, Examples] = {}
        # Before the first step it is the pretrained network.
        first = model if pretrained is None else pretrained
        self._frozen = (
            copy.deepcopy(first).requires_grad_(False).eval() if task.proxy_answers else None
        )

    def scores(self, objective: Objective, split: str) -> dict[str, float]:
        """Return an objective's metrics on a split; NaN where its labels are not known."""
        if split in self._task.unlabelled:
            return dict.fromkeys(objective.metrics, float("nan"))
        with self.scored():
            return objective.score(self._answer_whole, self.batches(split))

    def proxy_scores(self, objective: Objective) -> dict[str, float]:
        """Return the metrics of the proxy head on the fine-tuned backbone."""
        batches: Iterable[Batch] = self.batches("proxy_test")
        with self.scored():
            if self._frozen is not None:
                batches = self._answered(batches)
            return objective.score(self._network(self._proxy_head), batches)

    def outputs(self, split: str) -> Iterator[Outputs]:
        """Yield outputs, labels and features of the batches of a split, in order."""
        for images, labels in self.batches(split):
            with self.scored():
                features = self._model.forward_features(self._compute.images(images))
                if self._task.flip_average:
                    outputs = self._answer_whole(images)
                else:
                    outputs = self._model.forward_head(features)
            yield Outputs(logits=outputs, labels=labels, features=features)

    def batches(self, split: str) -> Iterable[Batch]:
        """Return the batches of a split; what is in memory stays on the device."""
        data = getattr(self._task, split)
        if not isinstance(data, Examples):
            return scoring_batches(data, self._task.loading, self._device)
        if split not in self._examples:
            self._examples[split] = data.to(self._device)
        held = self._examples[split]
        return [(held.images, held.labels)]

    @contextmanager
    def scored(self) -> Iterator[None]:
        """Hold network and optimizer as they are scored, without gradients, within."""
        with (
            torch.no_grad(),
            judged(self._optimizer),
            evaluating(self._model),
            self._compute.autocast(self._device),
        ):
            yield

    def images(self, images: Tensor) -> Tensor:
        """Return a batch of images as the network is given them."""
        return self._compute.images(images)

    def _network(self, head: Callable[[Any], Tensor], model: Any = None) -> Network:
        model = self._model if model is None else model

        def answer(images: Tensor) -> Tensor:
            outputs = head(model.forward_features(self._compute.images(images)))
            # Half precision is for computing: metrics are read from what it came to.
            return outputs if self._compute.precision == "float32" else outputs.float()

        return answer

    def _answer_whole(self, images: Tensor) -> Tensor:
        """Return the outputs of the new head, as the task has images scored."""
        network = self._network(self._model.forward_head)
        return (flip_averaged(network) if self._task.flip_average else network)(images)

    def _answered(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield images with the classes that the frozen network takes them for."""
        answer = self._network(self._proxy_head, self._frozen)
        for images, _ in batches:
            yield images, answer(images).argmax(dim=1)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Hold a network in evaluation mode: dropout must not blur its scores.

    Afterwards every module is in the mode that it was in; batch norm stays frozen.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

"""Candidates tried on the user's own training, each from the same beginning."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from l2o.control.controller import LRController
from l2o.control.suggesting.answers import Answers, Labels, class_numbers, hits
from l2o.control.suggesting.candidates import Candidate
from l2o.control.suggesting.choosing import Scores, Tried
from l2o.control.suggesting.pretraining import PretrainingCheck, Seen, check_pretraining
from l2o.control.suggesting.snapshot import Snapshot, seed_all
from l2o.layers.groups import LayerGroup

Loss = Callable[[nn.Module, Any], Tensor]
Metric = Callable[[nn.Module, Any], Any]


class Trials(ABC):
    """Where candidates are tried.

    Attributes:
        steps: of each run.
        scored_by: what the scores are, for tables.
        percent: whether they are shares, to be shown in percent.
    """

    steps: int
    scored_by: str
    percent: bool

    @abstractmethod
    def start(self) -> Scores:
        """Return the scores before any training, one for each part of the validation data."""

    @abstractmethod
    def run(self, candidate: Candidate) -> Tried:
        """Try a candidate."""

    @abstractmethod
    def pretraining(self) -> PretrainingCheck | None:
        """Return what pretraining has to give; None where it cannot be told."""


class LoopTrials(Trials):
    """Tries candidates on a model and its optimizer themselves, put back before each run.

    Args:
        model: the network.
        optimizer: the torch optimizer that steps.
        batches: can be gone through again and again.
        validation: likewise.
        loss: of a batch.
        metric: of a batch, larger is better; None: accuracy, or else the loss.
        labels: of a batch.
        groups: layer groups.
        steps: of each run.
        seed: of the order of the batches and whatever else is drawn.
        before: what is put back.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        batches: Iterable[Any],
        validation: Iterable[Any],
        loss: Loss,
        metric: Metric | None,
        labels: Labels,
        groups: tuple[LayerGroup, ...],
        steps: int,
        seed: int,
        before: Snapshot,
    ) -> None:
        self._model, self._optimizer = model, optimizer
        self._batches, self._validation = batches, validation
        self._loss, self._metric, self._labels = loss, metric, labels
        self._groups, self.steps, self._seed, self._before = groups, steps, seed, before
        self._answers = Answers(model, groups)
        self._generators = generators_of(batches, validation)
        self.scored_by, self.percent = ("metric", False) if metric else ("loss", False)

    def start(self) -> Scores:
        """Return the scores of the network as it is; what they are of is known from then on."""
        self._before.put_back()
        if self._metric is None and self._are_classes():
            self.scored_by, self.percent = "accuracy", True
        return self._scores()

    def run(self, candidate: Candidate) -> Tried:
        """Train for a moment under a candidate, as the whole of a training, and score it."""
        self._before.put_back()
        seed_all(self._seed, *self._generators)
        began = time.perf_counter()
        controller = LRController(
            candidate.policy(),
            self._optimizer,
            groups=self._groups,
            total_steps=self.steps,
            interval=short_interval(self.steps) if "rule" in candidate.choice else None,
        )
        try:
            loss = self._train(controller)
        finally:
            controller.detach()
        moved = distance(self._groups, self._before.weights)
        diverged = not (math.isfinite(loss) and math.isfinite(moved))
        scores = self._scores()
        return Tried(
            name=candidate.name,
            scores=scores,
            moved=moved,
            loss=loss,
            seconds=time.perf_counter() - began,
            diverged=diverged or not bool(np.isfinite(scores).all()),
        )

    def _train(self, controller: LRController) -> float:
        loss = math.nan
        for batch in self._read_on():
            found = self._loss(self._model, batch)
            controller.observe(loss=found)
            self._optimizer.zero_grad()
            found.backward()
            self._optimizer.step()
            loss = float(found.detach())
            if not math.isfinite(loss):
                break
        self._optimizer.zero_grad()
        return loss

    def _read_on(self) -> Iterator[Any]:
        done = 0
        while done < self.steps:
            before = done
            for batch in self._batches:
                yield batch
                done += 1
                if done == self.steps:
                    return
            if done == before:
                raise ValueError("batches is empty; give at least one batch to train on")

    @torch.no_grad()
    def _scores(self) -> Scores:
        modes = [(module, module.training) for module in self._model.modules()]
        self._model.eval()
        try:
            with self._answers.heard():
                found = [self._score(batch) for batch in self._validation]
        finally:
            for module, training in modes:
                module.training = training
        if not found:
            raise ValueError("validation is empty; give at least one batch that is not trained on")
        return np.concatenate(found)

    def _score(self, batch: Any) -> Scores:
        if self._metric is not None:
            return np.array([float(self._metric(self._model, batch))])
        loss = float(self._loss(self._model, batch))
        if self.scored_by != "accuracy":
            return np.array([-loss])
        right = hits(self._answers.outputs, class_numbers(self._labels(batch)))
        if right is None:
            raise ValueError(
                "some batches of validation have class numbers and others do not; give "
                "metric=..., which scores any batch"
            )
        return right.numpy()

    @torch.no_grad()
    def _are_classes(self) -> bool:
        with self._answers.heard():
            for batch in self._validation:
                self._loss(self._model, batch)
                return hits(self._answers.outputs, class_numbers(self._labels(batch))) is not None
        return False

    def pretraining(self) -> PretrainingCheck | None:
        """Probe the network as it is; None where batches have no class numbers or no head."""
        self._before.put_back()
        seed_all(self._seed, *self._generators)
        head = [p for group in self._groups if group.is_head for p in group.parameters]
        self._model.eval()
        return check_pretraining(
            self._model, lambda: (self._seen(self._batches), self._seen(self._validation)), head
        )

    @torch.no_grad()
    def _seen(self, batches: Iterable[Any]) -> Iterator[Seen]:
        with self._answers.heard():
            for batch in batches:
                labels = class_numbers(self._labels(batch))
                self._loss(self._model, batch)
                features = self._answers.features
                if labels is None or features is None or len(features) != len(labels):
                    return
                yield features, labels


def short_interval(steps: int) -> int:
    """Return how many steps lie between decisions of a rule: a short run has room for few.

    Example:
        >>> short_interval(100), short_interval(1000)
        (5, 10)
    """
    return max(1, min(10, steps // 20))


def distance(groups: Iterable[LayerGroup], first: Mapping[int, Tensor]) -> float:
    """Return ‖θ − θ₀‖ / ‖θ₀‖ of the backbone; 0 where there is none.

    Args:
        groups: layer groups; the head's is left out.
        first: weights at the beginning, by the `id` of their parameter.
    """
    parameters = [p for group in groups if not group.is_head for p in group.parameters]
    away = sum(float((p.detach() - first[id(p)]).double().square().sum()) for p in parameters)
    whole = sum(float(first[id(p)].double().square().sum()) for p in parameters)
    return math.sqrt(away / whole) if whole else 0.0


def generators_of(*loaders: Any) -> list[torch.Generator]:
    """Return the random generators that loaders draw their order from, each once."""
    found: dict[int, torch.Generator] = {}
    for loader in loaders:
        for holder in (loader, getattr(loader, "sampler", None)):
            generator = getattr(holder, "generator", None)
            if isinstance(generator, torch.Generator):
                found[id(generator)] = generator
    return list(found.values())

"""The contract of objectives: a loss, named metrics, and how a split is scored by them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from l2o.registry import unknown_name

LOSS = "loss"
"""The metric that every objective has: the mean of what is minimised."""


@dataclass(frozen=True)
class Metric:
    """A number that tells how well a network does.

    Attributes:
        name: what configs, records and tables call it.
        direction: "max" where more is better, "min" where less is.
        unit: of the value: "%" is a share in [0, 1], which tables show in percent.
        chance: what guessing gives; None where that depends on the data.

    Example:
        >>> Metric("rmse", "min", "label units").gain(0.25)
        -0.25
    """

    name: str
    direction: Literal["max", "min"]
    unit: str
    chance: float | None = None

    def gain(self, value: float) -> float:
        """Return a value with the sign that makes the larger one the better one."""
        return value if self.direction == "max" else -value


class Objective(ABC):
    """What the outputs of a task's network mean. Members are frozen dataclasses.

    A subclass says, for each example of a batch, what it loses (`losses`) and what is counted of it
    (`tally`), and how metrics are read from the sums of these (`read`). The rest follows: scores of
    a split are those of all its batches together, however it is cut, and N networks in a stack are
    scored by the same code as one.

    Attributes:
        name: the family's name for it.
        main: the metric that tables rank by and rewards take unless told otherwise.
        outputs: size of the network's new head; None where it is not known beforehand. Only the
            chance level of metrics needs it.

    Example:
        >>> from l2o.envs.objectives import Classification
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
        >>> scores = Classification(outputs=2).score(lambda x: x, [(logits, labels)])
        >>> scores["accuracy"], round(scores["loss"], 3)
        (0.5, 0.72)
    """

    name: ClassVar[str]
    main: ClassVar[str]
    outputs: int | None = None

    @property
    @abstractmethod
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics by name, `loss` among them; in the order that stacked scores have them."""

    @abstractmethod
    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return what each example loses `[B]`, summed over its predictions.

        Args:
            outputs: of the network, `[B, ...]`.
            labels: `[B, ...]`.
        """

    def predictions(self, labels: Tensor) -> Tensor | None:
        """Return how many predictions count in each example `[B]`; None: one in each."""
        del labels
        return None

    @abstractmethod
    def tally(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return what metrics need of each example, by name, `[B, ...]`; sums must suffice."""

    @abstractmethod
    def read(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the metrics but `loss`, by name, from sums over examples.

        Args:
            sums: of `tally` over the examples, and `count`, the number of predictions; with any
                leading dimensions, which the metrics have, too.
        """

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the training loss of a batch: the mean over its predictions, a scalar."""
        return _mean(self.losses(outputs, labels), self.predictions(labels))

    def metric(self, name: str | None = None) -> Metric:
        """Return a metric by name; None is the main one.

        Raises:
            ValueError: there is no such metric; the message has the nearest one.
        """
        if name is None:
            name = self.main
        if name not in self.metrics:
            kind = f"metric of objective {self.name!r}:"
            raise ValueError(unknown_name(kind, name, self.metrics))
        return self.metrics[name]

    @torch.no_grad()
    def score(
        self, model: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]
    ) -> dict[str, float]:
        """Return every metric of a model over all batches together; NaN where there is none.

        Args:
            model: inputs -> outputs.
            batches: inputs and labels, on the model's device.
        """
        total: dict[str, Tensor] = {}
        for inputs, labels in batches:
            outputs = model(inputs)
            for name, value in self._sums(outputs, labels).items():
                total[name] = total[name] + value if name in total else value
        if not total:
            return dict.fromkeys(self.metrics, float("nan"))
        found = {LOSS: total[LOSS] / total["count"], **self.read(total)}
        return {name: float(found[name]) for name in self.metrics}

    def _sums(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the sums over a batch, wide enough to be added up over a split."""
        each = self.predictions(labels)
        count = torch.tensor(len(labels), device=labels.device) if each is None else each.sum()
        sums = {
            name: _wide(value).sum(dim=0) for name, value in self.tally(outputs, labels).items()
        }
        # The loss as it is trained on: of a split that is one batch it is that very number.
        return {LOSS: _wide(self.loss(outputs, labels)) * count, "count": count, **sums}

    # Stacked ------------------------------------------------------------------------------------

    def stacked_loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the training losses of N networks `[N]`: `loss` of each one's batch.

        Args:
            outputs: `[B, N, ...]`.
            labels: `[B, N, ...]`.
        """
        shape = labels.shape[:2]
        flat = labels.flatten(0, 1)
        losses = self.losses(outputs.flatten(0, 1), flat).view(shape)
        each = self.predictions(flat)
        return _mean(losses, None if each is None else each.view(shape))

    @torch.no_grad()
    def stacked_scores(self, outputs: Tensor, labels: Tensor, held: Tensor) -> Tensor:
        """Return the metrics of N networks `[metrics, N]`, in the order of `metrics`.

        Args:
            outputs: `[M, N, ...]`.
            labels: `[M, N, ...]`.
            held: `[M, N]`, false where there is padding instead of an example.
        """
        flat = outputs.flatten(0, 1), labels.flatten(0, 1)
        each = {LOSS: self.losses(*flat), **self.tally(*flat)}
        counts = self.predictions(flat[1])
        if counts is not None:
            each["count"] = counts
        sums = {name: _sum_held(value, held) for name, value in each.items()}
        sums.setdefault("count", held.sum(dim=0))
        found = {LOSS: sums[LOSS] / sums["count"], **self.read(sums)}
        dtype = torch.promote_types(outputs.dtype, torch.float32)
        return torch.stack([found[name].to(dtype) for name in self.metrics])


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Return a share of counts, NaN of none; pixels of a split are more than float32 can count."""
    dtype = torch.float32 if part.device.type == "mps" else torch.float64
    return part.to(dtype) / whole.to(dtype)


def _mean(losses: Tensor, predictions: Tensor | None) -> Tensor:
    """Return the mean over the first dimension, of examples with so many predictions each."""
    if predictions is None:
        return losses.mean(dim=0)
    # A batch in which nothing counts loses nothing: 0 / 0 would end the training.
    return losses.sum(dim=0) / predictions.sum(dim=0).clamp_min(1)


def _sum_held(each: Tensor, held: Tensor) -> Tensor:
    """Sum `[M * N, ...]` over the examples that are held `[M, N]`."""
    by_network = each.unflatten(0, held.shape)
    mask = held.view(*held.shape, *(1,) * (by_network.dim() - 2))
    return torch.where(mask, by_network, torch.zeros_like(by_network)).sum(dim=0)


def _wide(tensor: Tensor) -> Tensor:
    """Return a tensor in the widest floating type of its device, counts as they are."""
    if not tensor.is_floating_point() or tensor.device.type == "mps":
        return tensor
    return tensor.double()

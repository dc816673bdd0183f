"""The contract of adaptation: what a training step does with unlabelled target images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from l2o.adaptation.last_layer import LastLayer

IGNORED = -100
"""The label of an example, or a pixel, that counts nowhere: torch's own default."""

Trains = Literal["all", "head", "backbone"]
"""Which parameters a phase moves."""


@dataclass(frozen=True)
class Phase:
    """One of the optimizer steps that a method takes in turn on each batch.

    Attributes:
        name: for logs.
        trains: all parameters, those of the head (and the method's own), or those of the backbone.
    """

    name: str
    trains: Trains = "all"


ONE_PHASE = (Phase("train"),)


@dataclass(frozen=True)
class Side:
    """What the network gives on the images of one domain.

    Attributes:
        outputs: logits `[N, K]`, or `[N, K, H, W]` for dense prediction.
        features: what the head is given, `[N, D]` or `[N, D, h, w]`.
        labels: int64 `[N]` or `[N, H, W]`, `IGNORED` where none counts; None: unlabelled.
        soft: soft labels, of the shape of `outputs`, where a rule gives them.
        last: the last linear layer of the head, and what it was given; None: not caught.
    """

    outputs: Tensor
    features: Tensor
    labels: Tensor | None = None
    soft: Tensor | None = None
    last: LastLayer | None = None


@dataclass(frozen=True)
class Batch:
    """A training batch of both domains, after its forward pass.

    Attributes:
        source: labelled.
        target: unlabelled, or with pseudo-labels.
        source_loss: mean loss of the source's images, guidance included.
        head: the network's head, features -> logits.
        progress: of the stage, in [0, 1].
    """

    source: Side
    target: Side
    source_loss: Tensor
    head: nn.Module
    progress: float = 0.0


class Adaptation(ABC):
    """What is trained on a batch of source and target images; members are dataclasses.

    Attributes:
        phases: optimizer steps of each batch, taken in turn.
        relabels: whether it works in rounds of pseudo-labels (`SelfTraining`).
        draws: whether its loss draws random numbers.
        seed: of networks of its own.

    Example:
        >>> class Push(Adaptation):
        ...     def loss(self, batch, phase):
        ...         gap = batch.source.features.mean(0) - batch.target.features.mean(0)
        ...         return batch.source_loss + gap.square().sum()
        >>> from l2o.adaptation.base import Batch, Side, ONE_PHASE
        >>> side = lambda value: Side(torch.zeros(2, 3), torch.full((2, 4), value))
        >>> batch = Batch(side(1.0), side(0.0), torch.tensor(0.5), nn.Linear(4, 3))
        >>> Push().loss(batch, ONE_PHASE[0])
        tensor(4.5000)
    """

    phases: ClassVar[tuple[Phase, ...]] = ONE_PHASE
    relabels: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    seed: int = 0

    @abstractmethod
    def loss(self, batch: Batch, phase: Phase) -> Tensor:
        """Return what a phase minimises on a batch, a scalar."""

    def make(self, head: nn.Module, features: Tensor) -> dict[str, nn.Module]:
        """Return the networks that the method trains beside the model, by name; most have none.

        Args:
            head: the network's head.
            features: an example of what it is given.
        """
        del head, features
        return {}

    def prepare(self, head: nn.Module, features: Tensor) -> None:
        """Make networks of its own, drawn from `seed`, where the features are; once per training.

        The global random state stays as it was.
        """
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            made = self.make(head, features)
        networks = {name: network.to(features.device) for name, network in made.items()}
        # No field: it is the state of a training, not what the method is.
        object.__setattr__(self, "_networks", networks)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Networks of its own, by name.

        Raises:
            ValueError: `prepare` was not called.
        """
        if "_networks" not in vars(self):
            raise ValueError(
                f"{type(self).__name__} has not seen the network yet; call "
                "prepare(head, features) before the first step"
            )
        networks: dict[str, nn.Module] = vars(self)["_networks"]
        return networks

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield what the optimizer must train beside the model; most methods have nothing."""
        for network in vars(self).get("_networks", {}).values():
            yield from network.parameters()

    def state_dict(self) -> dict[str, Any]:
        """Return the state, as tensors and plain data; empty for a method without one."""
        networks = vars(self).get("_networks", {})
        return {name: network.state_dict() for name, network in networks.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave.

        Raises:
            ValueError: it is the state of another method.
        """
        networks = vars(self).get("_networks", {})
        if set(state) != set(networks):
            raise ValueError(
                f"the state of {sorted(state)} does not fit {type(self).__name__}, which has "
                f"{sorted(networks)}; load it into the method that it was saved from"
            )
        for name, network in networks.items():
            network.load_state_dict(state[name])

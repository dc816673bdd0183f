"""Maximum classifier discrepancy: two heads that are to agree on the target."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from l2o.adaptation.base import Adaptation, Batch, Phase, Side
from l2o.adaptation.self_training import kept_cross_entropy, wide
from l2o.checks import check_number


@dataclass(eq=False)
class MCD(Adaptation):
    """Two heads F₁, F₂ on one backbone G; the steps of each batch, in turn:

        A:      all     min CE₁ + CE₂ + balance · E
        B:      heads   min CE₁ + CE₂ + balance · E − d
        C, 4 ×: backbone    min d

    d = mean |p₁ − p₂| on the target, E = −Σ_i mean_k log(mean over the batch of p_ik + 1e-6), which
    keeps all classes in use. Source: Saito et al., Maximum Classifier Discrepancy for Unsupervised
    Domain Adaptation, CVPR 2018. F₁ is the model's own head, which is scored and kept; F₂, drawn
    from `seed`, goes after the training.

    Args:
        weight: of d in B and C, not negative.
        balance: weight of E, not negative.
        seed: of F₂.

    Raises:
        ValueError: a negative weight.

    Example:
        >>> backbone, head = nn.Linear(4, 6), nn.Linear(6, 3)
        >>> method = MCD()
        >>> x, y, unlabelled = torch.randn(5, 4), torch.randint(3, (5,)), torch.randn(5, 4)
        >>> method.prepare(head, backbone(x))
        >>> trained = {"all": [*backbone.parameters(), *head.parameters(), *method.parameters()]}
        >>> trained["head"] = [*head.parameters(), *method.parameters()]
        >>> trained["backbone"] = list(backbone.parameters())
        >>> optimizers = {k: torch.optim.SGD(of, lr=0.1) for k, of in trained.items()}
        >>> for phase in method.phases:
        ...     s, t = backbone(x), backbone(unlabelled)
        ...     source, target = Side(head(s), s, y), Side(head(t), t)
        ...     loss = nn.functional.cross_entropy(source.outputs, y)
        ...     for optimizer in optimizers.values():
        ...         optimizer.zero_grad()
        ...     method.loss(Batch(source, target, loss, head), phase).backward()
        ...     optimizers[phase.trains].step()
    """

    phases: ClassVar[tuple[Phase, ...]] = (
        Phase("A"),
        Phase("B", "head"),
        *[Phase("C", "backbone")] * 4,
    )

    weight: float = 1.0
    balance: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("weight", self.weight)
        check_number("balance", self.balance)

    def make(self, head: nn.Module, features: Tensor) -> dict[str, nn.Module]:
        """Return the second head."""
        del features
        second = copy.deepcopy(head)
        for module in second.modules():
            reset: Any = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset()
        return {"second": second}

    def loss(self, batch: Batch, phase: Phase) -> Tensor:
        """Return what the phase minimises."""
        one = batch.target.outputs
        other = self._second(batch.target)
        apart = self.weight * discrepancy(one, other)
        if phase.name == "C":
            return apart
        assert batch.source.labels is not None
        second = kept_cross_entropy(self._second(batch.source), batch.source.labels)
        known = batch.source_loss + second
        if self.balance:
            known = known + self.balance * (disuse(one) + disuse(other))
        return known if phase.name == "A" else known - apart

    def _second(self, side: Side) -> Tensor:
        """Return the second head's logits, at the size of the first one's."""
        outputs: Tensor = self.networks["second"](side.features)
        if outputs.shape[2:] != side.outputs.shape[2:]:
            outputs = functional.interpolate(outputs, side.outputs.shape[2:], mode="bilinear")
        return outputs


def discrepancy(one: Tensor, other: Tensor) -> Tensor:
    """Return mean |p₁ − p₂| of logits `[N, K]` or `[N, K, H, W]`.

    Example:
        >>> discrepancy(torch.tensor([[99.0, 0.0]]), torch.tensor([[0.0, 99.0]]))
        tensor(1.)
    """
    return (torch.softmax(wide(one), dim=1) - torch.softmax(wide(other), dim=1)).abs().mean()


def disuse(outputs: Tensor) -> Tensor:
    """Return −mean_k log(mean of p_k + 1e-6): the larger, the less some classes are used."""
    mean = torch.softmax(wide(outputs), dim=1).movedim(1, -1).flatten(0, -2).mean(dim=0)
    return -(mean + 1e-6).log().mean()

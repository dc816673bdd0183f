"""The contract of guidance: a loss term that compares the trained network with the frozen one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from l2o.checks import check_number

Compared = TypeVar("Compared")
"""What a guidance looks at: logits or features (a tensor), or parameters (name -> tensor)."""


@dataclass(frozen=True)
class Guidance(ABC, Generic[Compared]):
    """A term to add to the training loss: min(weight · divergence(student, teacher), cap).

    The student is what is trained, the teacher the frozen pretrained copy; gradient flows to the
    student alone. Above the cap the term is constant, so its gradient is zero.

    Args:
        weight: λ, not negative.
        cap: upper bound of the weighted term, not negative; None is no bound.

    Raises:
        ValueError: a negative or non-finite weight or cap.

    Example:
        >>> class L2(Guidance[torch.Tensor]):
        ...     def divergence(self, student, teacher):
        ...         return (student - teacher.detach()).square().sum()
        >>> L2(weight=0.5)(torch.ones(2), torch.zeros(2))
        tensor(1.)
    """

    weight: float = 0.1
    cap: float | None = None

    def __post_init__(self) -> None:
        check_number("weight", self.weight)
        if self.cap is not None:
            check_number("cap", self.cap)

    @abstractmethod
    def divergence(self, student: Compared, teacher: Compared) -> Tensor:
        """Return how far the student is from the teacher: a scalar, unweighted and uncapped."""

    def __call__(self, student: Compared, teacher: Compared) -> Tensor:
        """Return the loss term, a scalar."""
        return self.weigh(self.divergence(student, teacher))

    def weigh(self, divergence: Tensor) -> Tensor:
        """Return the loss term of a divergence already at hand (to log the one, add the other)."""
        term = self.weight * divergence
        return term if self.cap is None else term.clamp_max(self.cap)

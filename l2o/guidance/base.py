"""The contract of guidance: a loss term that compares the trained network with the frozen one."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

from torch import Tensor, nn

from l2o.checks import check_number
from l2o.guidance.weight import ScheduledWeight, Weight, as_weight

Compared = TypeVar("Compared")
"""What a guidance looks at: a tensor, or tensors by name."""

COMPARED = ("logits", "features", "parameters", "maps")
"""What student and teacher may be. Logits of the proxy head `[N, C, ...]` and features
`[N, D, ...]` are tensors; backbone parameters (the teacher's: those of the start) and maps (the
outputs of named layers) are tensors by name."""


@dataclass(frozen=True, eq=False)
class Guidance(ABC, Generic[Compared]):
    """A term to add to the training loss: min(weight · scale · divergence(student, teacher), cap).

    The student is what is trained, the teacher the frozen pretrained copy; gradient flows to the
    student alone. Above the cap the term is constant, so its gradient is zero. A term with a state
    (networks or statistics of its own) gives it by `state_dict`, and what is to be trained with
    the student by `parameters`.

    Args:
        weight: λ, not negative; or a schedule of it (see `as_weight`).
        cap: upper bound of the weighted term, not negative; None is no bound.

    Attributes:
        compares: one of `COMPARED`: what student and teacher are.
        measured_as: name of the measurement that its divergence is, where a run takes one anyway
            (`proxy_kl`); the two then share one computation.
        scale: factor on the weight; 1 but where a controller sets it, whose policy has an action
            for this term (`rescale`).

    Raises:
        ValueError: a negative or non-finite weight or cap.

    Example:
        >>> class L1(Guidance[torch.Tensor]):
        ...     compares = "features"
        ...     def divergence(self, student, teacher):
        ...         return (student - teacher.detach()).abs().sum()
        >>> L1(weight=0.5)(torch.ones(2), torch.zeros(2))
        tensor(1.)
        >>> L1(weight={"schedule": "linear"})(torch.ones(2), torch.zeros(2), progress=0.75)
        tensor(0.5000)
    """

    compares: ClassVar[str] = "logits"
    measured_as: ClassVar[str | None] = None

    weight: Weight = 0.1
    cap: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", as_weight(self.weight))
        if self.cap is not None:
            check_number("cap", self.cap)

    @abstractmethod
    def divergence(self, student: Compared, teacher: Compared) -> Tensor:
        """Return how far the student is from the teacher: a scalar, unweighted and uncapped."""

    def __call__(self, student: Compared, teacher: Compared, progress: float = 0.0) -> Tensor:
        """Return the loss term, a scalar; `progress` in [0, 1] matters to a scheduled weight."""
        return self.weigh(self.divergence(student, teacher), progress)

    def weigh(self, divergence: Tensor, progress: float = 0.0) -> Tensor:
        """Return the loss term of a divergence already at hand (to log the one, add the other)."""
        term = self.weight_at(progress) * divergence
        return term if self.cap is None else term.clamp_max(self.cap)

    def weight_at(self, progress: float) -> float:
        """Return the weight in force at a progress in [0, 1]: its scale is part of it."""
        weight = self.weight
        now = weight.at(progress) if isinstance(weight, ScheduledWeight) else weight
        return now * self.scale

    @property
    def scale(self) -> float:
        """Factor on the weight."""
        scale: float = vars(self).get("_scale", 1.0)
        return scale

    def rescale(self, scale: float) -> None:
        """Set the factor on the weight, from the next loss on.

        Raises:
            ValueError: a negative or non-finite one.

        Example:
            >>> from l2o.guidance import FeatureL2
            >>> term = FeatureL2(weight=0.5)
            >>> term.rescale(0.1)
            >>> term(torch.ones(1, 2), torch.zeros(1, 2))
            tensor(0.1000)
        """
        check_number("scale", scale)
        # No field: it is the state of a run, not what the term is.
        object.__setattr__(self, "_scale", float(scale))

    def with_weight(self, weight: Weight) -> Self:
        """Return a copy of this term, state and all, that has another weight.

        Raises:
            ValueError: a negative or non-finite weight.

        Example:
            >>> from l2o.guidance import ProxyKL
            >>> ProxyKL(weight=0.3, cap=9.0).with_weight(0.1)
            ProxyKL(weight=0.1, cap=9.0)
        """
        other = copy.deepcopy(self)
        object.__setattr__(other, "weight", as_weight(weight))
        return other

    def with_pretraining(self, importance: Callable[[], Mapping[str, Tensor]]) -> Self:
        """Return the term with what it has to know of the pretraining; most need nothing.

        Args:
            importance: gives the importance of the backbone's parameters by name, or raises where
                it is not known; called only where it is needed.
        """
        del importance
        return self

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield what the optimizer must train beside the student; most terms have nothing."""
        yield from ()

    def state_dict(self) -> dict[str, Any]:
        """Return the state, as tensors and plain data; empty for a term without one."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave.

        Raises:
            ValueError: a state for a term that has none.
        """
        if state:
            raise ValueError(
                f"{type(self).__name__} has no state, got {sorted(state)}; "
                "load it into the term that it was saved from"
            )

"""Rules that say how far a step may move a layer, relative to the norm of its weights."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from l2o.checks import check_number
from l2o.deciding.policy import State
from l2o.networks.relative_update import relative_multipliers
from l2o.rules.base import Rule, head_and_cosine
from l2o.signals.spec import SignalSpec

SEEN = (
    *("present", "is_head", "depth", "base_lr", "multiplier", "update_norm", "has_gradient"),
    "progress",
)


@dataclass
class RelativeStep(Rule):
    """multiplier[l] ← multiplier[l] · target_l · ‖θ_l‖ / ‖Δθ_l‖, of the last step's update Δθ.

    A member says what `target_l`, the size of a step relative to the weights, is to be. A
    multiplier changes by a factor of `change` at most per decision. A layer of which nothing was
    measured yet has the learning rate `first_lr`, and one that did not move keeps its multiplier.

    Args:
        head: factor on the target of the head, not negative.
        anneal: times ½ (1 + cos πt), t the share of the training that is done, where it is known.
        first_lr: the learning rate before the first measurement, above 0.
        change: largest factor between two decisions, above 1.

    Raises:
        ValueError: an argument out of range.
    """

    head: float = 50.0
    anneal: bool = True
    first_lr: float = 1e-4
    change: float = 10.0
    signals = SignalSpec(SEEN)
    # It may exceed the user's own rates.
    cautious = True
    measure = "update_norm"

    def __post_init__(self) -> None:
        check_number("head", self.head)
        check_number("first_lr", self.first_lr, above=True)
        check_number("change", self.change, 1.0, above=True)

    @abstractmethod
    def target(self, seen: dict[str, Tensor]) -> Tensor:
        """Return the wanted ‖Δθ‖ / ‖θ‖ `[L]`, without the head's factor and the annealing.

        Args:
            seen: the observation's features by name, `[L]` each.
        """

    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the multipliers `[L]`, and the state as it was."""
        seen = dict(zip(self.signals.names, observation.unbind(dim=-1), strict=True))
        wanted = self._wanted(seen)
        chosen = relative_multipliers(seen, wanted, self.first_lr, self.change, self.measure)
        return chosen, state

    def _wanted(self, seen: dict[str, Tensor]) -> Tensor:
        factor = head_and_cosine(seen["is_head"], seen["progress"], self.head, self.anneal)
        return self.target(seen) * factor

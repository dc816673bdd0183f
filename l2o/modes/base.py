"""The contract of modes: how multipliers reach a live optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor
from torch.optim import Optimizer

from l2o.layers.groups import LayerGroup
from l2o.modes.choose import refusal


class Mode(ABC):
    """Applies one multiplier per layer group around an optimizer step.

    Args:
        optimizer: the user's optimizer.
        groups: layer groups, all of whose parameters the optimizer holds.
        always: act even while all multipliers are one: a captured graph must have been recorded
            with what later multipliers act on.

    Raises:
        ValueError: this mode cannot drive the optimizer; the message says which can.
    """

    name: ClassVar[str]

    def __init__(
        self, optimizer: Optimizer, groups: Sequence[LayerGroup], always: bool = False
    ) -> None:
        if reason := refusal(optimizer, self.name):
            raise ValueError(reason)
        self.optimizer = optimizer
        self.always = always
        self.groups: tuple[LayerGroup, ...] = ()
        self.follow(groups)

    def follow(self, groups: Sequence[LayerGroup]) -> None:
        """Apply multipliers to these layer groups from now on; not during a step."""
        self.groups = tuple(groups)

    @abstractmethod
    def before_step(self, multipliers: Tensor) -> None:
        """Make the coming step use the multipliers `[L]` (float, CPU).

        If the last step raised before `after_step`, what it left behind is undone first.
        """

    @abstractmethod
    def after_step(self) -> None:
        """Leave the optimizer as the user and their LR scheduler expect it."""

    @abstractmethod
    def abandon_step(self) -> None:
        """Undo `before_step` for a step that raised, or none; does nothing between steps."""

    def begin_closure(self) -> None:
        """Show the user's closure, called from within the step, the optimizer as they know it."""
        return

    def end_closure(self, multipliers: Tensor) -> None:
        """Undo `begin_closure`, with what the closure may have changed; not if it raised."""
        del multipliers

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as plain data and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        return

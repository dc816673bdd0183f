"""The contract of modes: how multipliers reach a live optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from l2o.groups import LayerGroup
from l2o.modes.choose import refusal

NO_RATE = float("nan")
"""The learning rate of param groups that have none, as with optimizers that choose it alone."""


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
        self._held = _Held([], ())

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

    def end_closure(self) -> None:
        """Undo `begin_closure`; not called if the closure raised."""
        return

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as plain data and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        return

    def base_lrs(self) -> list[float]:
        """Return the user's learning rate of each layer group: the mean over its parameters.

        NaN where the optimizer has none. Not during a step.
        """
        users = self.optimizer.param_groups
        rates = _as_floats([group.get("lr") for group in users])
        held = [group["params"] for group in users]
        if not self._held.same(held):
            self._held = _Held(held, self.groups)
        return [
            rates[at] if isinstance(at, int) else sum(rates[i] for i in at) / len(at)
            for at in self._held.places
        ]


class _Held:
    """Which param groups hold the parameters of each layer group: found once, not each time.

    Args:
        held: the parameters of each param group.
        groups: layer groups.
    """

    def __init__(self, held: Sequence[list[Any]], groups: Sequence[LayerGroup]) -> None:
        self._lists = list(held)
        self._sizes = [len(params) for params in held]
        place = {id(p): index for index, params in enumerate(held) for p in params}
        found = [[place[id(p)] for p in group.parameters] for group in groups]
        self.places = [at[0] if len(set(at)) == 1 else at for at in found]

    def same(self, held: Sequence[list[Any]]) -> bool:
        """Return whether the param groups still hold the same lists of parameters."""
        return len(held) == len(self._lists) and all(
            mine is theirs and size == len(theirs)
            for mine, theirs, size in zip(self._lists, held, self._sizes, strict=True)
        )


def _as_floats(rates: Sequence[Any]) -> list[float]:
    """Return rates as floats; those on a device cross to the host together."""
    tensors = [rate.detach().reshape(()) for rate in rates if isinstance(rate, torch.Tensor)]
    if not tensors:
        return [NO_RATE if rate is None else float(rate) for rate in rates]
    values = iter(torch.stack(tensors).tolist())
    return [
        next(values)
        if isinstance(rate, torch.Tensor)
        else (NO_RATE if rate is None else float(rate))
        for rate in rates
    ]

"""Mode `groups`: each layer group's learning rate is scaled for the length of one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor
from torch.optim import Optimizer

from l2o.layers.groups import LayerGroup
from l2o.modes.base import Mode
from l2o.modes.split import SplitGroup


class GroupRates(Mode):
    """lr ← lr · multiplier before the step, and back after it.

    For the length of a step, parts by layer with scaled rates stand in for the user's param groups.
    Between steps the optimizer is the user's own: LR schedulers, checkpoints and
    `add_param_group` see the param groups that they know, and never a multiplier.
    """

    name: ClassVar[str] = "groups"

    def __init__(
        self, optimizer: Optimizer, groups: Sequence[LayerGroup], always: bool = False
    ) -> None:
        self._splits: list[SplitGroup] = []
        self._split_yet = always
        self._stale = True
        self._users: list[dict[str, Any]] | None = None
        self._parts: list[dict[str, Any]] = []
        self._layer_of: dict[int, int] = {}
        self._own_options: list[list[dict[str, Any]]] = []
        super().__init__(optimizer, groups, always)

    def follow(self, groups: Sequence[LayerGroup]) -> None:
        """Apply multipliers to these layer groups from now on; not during a step."""
        super().follow(groups)
        self._layer_of = {
            id(p): index for index, group in enumerate(groups) for p in group.parameters
        }
        self._stale = True

    def before_step(self, multipliers: Tensor) -> None:
        """Let the parts stand in, at their rates."""
        self.abandon_step()
        factors = multipliers.tolist()
        # With ones only there is nothing to do, and a step like the user's own is bit-equal even
        # where an optimizer couples the parameters of a group.
        if not self._split_yet and all(factor == 1.0 for factor in factors):
            return
        self._split_yet = True
        users = self.optimizer.param_groups
        if self._stale or not self._fit(users):
            self._split(users)
        for split in self._splits:
            split.prepare(factors)
        self._users = users
        self.optimizer.param_groups = self._parts

    def _fit(self, users: list[dict[str, Any]]) -> bool:
        return len(users) == len(self._splits) and all(
            split.fits(group) for split, group in zip(self._splits, users, strict=True)
        )

    def _split(self, users: list[dict[str, Any]]) -> None:
        old = {id(split.group): split for split in self._splits}
        splits = [SplitGroup(group, self._layer_of, self.always) for group in users]
        for split in splits:
            if id(split.group) in old:
                split.inherit(old[id(split.group)])
        for split, options in zip(splits, self._own_options, strict=False):
            split.restore_options(options)
        # Stale until all is in place: an interrupt may come anywhere.
        self._stale = True
        self._parts = [part for split in splits for part in split.parts]
        self._splits, self._own_options = splits, []
        self._stale = False

    def after_step(self) -> None:
        """Put the user's param groups back, with what the optimizer wrote into them."""
        if self._users is not None:
            self.abandon_step()
            for split in self._splits:
                split.take_back()

    def abandon_step(self) -> None:
        """Put the user's param groups back."""
        if self._users is not None:
            self.optimizer.param_groups = self._users
            self._users = None

    def begin_closure(self) -> None:
        """Let the closure see the user's own param groups; `before_step` goes on after it."""
        self.abandon_step()

    def end_closure(self, multipliers: Tensor) -> None:
        """Let the parts stand in again, at the rates that the closure may have set."""
        self.before_step(multipliers)

    def state_dict(self) -> dict[str, Any]:
        """Return the options that parts have of their own, by param group."""
        options = [split.own_options() for split in self._splits]
        return {"split": self._split_yet, "options": options if any(map(any, options)) else []}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; the optimizer has been loaded, too, or will be."""
        self._split_yet = self.always or state.get("split", False)
        self._own_options = list(state.get("options", []))
        self._splits, self._stale = [], True

"""Which of a model's parameters an optimizer trains now, by layer group."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from l2o.layers.groups import LayerGroup, group_layers
from l2o.tensors import same_members

logger = logging.getLogger("l2o")


class Layout:
    """The layer groups of those parameters that are trainable and that the optimizer holds.

    Parameters may come later: by `add_param_group`, or because frozen ones are thawed. They join
    the layer group that the model puts them into, or bring a new one with them. Parameters that
    the model does not know (of a loss, say) are left to the user's learning rate.

    Args:
        optimizer: the user's.
        model: where groups come from, by `group_layers(model, by, head)`.
        groups: all that there may ever be, instead of a model.
        by: see `group_layers`.
        head: see `group_layers`.

    Raises:
        ValueError: both or none of model and groups, or the optimizer holds none of them.
        TypeError: the model is no module.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        model: nn.Module | None,
        groups: Sequence[LayerGroup] | None,
        by: Any = "auto",
        head: nn.Module | str | None = None,
    ) -> None:
        if (model is None) == (groups is None):
            raise ValueError("pass either the model or its layer groups, not both")
        if model is not None and not isinstance(model, nn.Module):
            raise TypeError(
                f"model must be the torch.nn.Module that is trained, got a {type(model).__name__}; "
                "pass the module itself, not its parameters or its state_dict"
            )
        self.optimizer = optimizer
        self._model = model
        self._given = tuple(groups or ())
        self._by, self._head = by, head
        self._once: list[nn.Parameter] = []
        self._seen: list[tuple[list[Tensor], tuple[Tensor, ...]]] = []
        self._told = False
        self._asleep: list[Tensor] = []
        self.groups = self._make()
        if not self.groups:
            raise ValueError(
                "the optimizer holds none of the model's trainable parameters; make it from "
                "model.parameters() of the very model that is passed here"
            )

    def update(self) -> bool:
        """Look for parameters that came; return whether `groups` changed.

        Costs next to nothing where nothing came: it is asked before every step.
        """
        known = self._knows(self.optimizer.param_groups)
        if known and not (self._asleep and any(p.requires_grad for p in self._asleep)):
            return False
        before = self.groups
        try:
            self.groups = self._make() or before
        except Exception as error:  # the groups that there are still do
            logger.warning("l2o: new parameters stay at the user's learning rate: %s", error)
        return not _equal(before, self.groups)

    def _knows(self, groups: Sequence[dict[str, Any]]) -> bool:
        if len(groups) != len(self._seen):
            return False
        for group, (seen, members) in zip(groups, self._seen, strict=True):
            if group["params"] is not seen or not same_members(members, seen):
                return False
        return True

    def _make(self) -> tuple[LayerGroup, ...]:
        params = [group["params"] for group in self.optimizer.param_groups]
        self._seen = [(held, tuple(held)) for held in params]
        self._asleep = [p for p in self._asleep if not p.requires_grad]
        held = {id(p) for many in params for p in many}
        # Whoever was trained once stays: freezing and thawing by turns must not change the groups.
        with awake(self._once):
            made = self._given
            if self._model is not None:
                made = group_layers(self._model, by=self._by, head=self._head)
        kept = [group for group in (_held_part(group, held) for group in made) if group]
        self._once = [p for group in kept for p in group.parameters]
        grouped = {id(p) for p in self._once}
        self._asleep = [p for many in params for p in many if id(p) not in grouped]
        self._tell_of_strangers([p for p in self._asleep if p.requires_grad])
        self._asleep = [p for p in self._asleep if not p.requires_grad]
        return tuple(kept)

    def _tell_of_strangers(self, strangers: Sequence[Tensor]) -> None:
        """Say once that parameters of the optimizer belong to no layer group."""
        if not strangers or self._told:
            return
        self._told = True
        shapes = ", ".join(str(tuple(p.shape)) for p in strangers[:3])
        more = ", ..." if len(strangers) > 3 else ""
        logger.warning(
            "l2o: %d parameters of the optimizer (of shape %s%s) belong to no layer group and stay "
            "at your learning rate; pass the module that holds them as model, or groups=...",
            len(strangers),
            shapes,
            more,
        )

    def expects(self, name: str) -> bool:
        """Return whether the model has such a layer group, of parameters that may yet come."""
        if self._model is None:
            return any(group.name == name for group in self._given)
        sleeping = [p for p in self._model.parameters() if not p.requires_grad]
        with awake([p for p in sleeping if p.is_floating_point() or p.is_complex()]):
            made = group_layers(self._model, by=self._by, head=self._head)
        return any(group.name == name for group in made)


def _held_part(group: LayerGroup, held: set[int]) -> LayerGroup | None:
    """Return the group less the parameters that the optimizer does not hold."""
    pairs = [
        (name, p)
        for name, p in zip(group.parameter_names, group.parameters, strict=True)
        if id(p) in held
    ]
    if not pairs:
        return None
    names, parameters = zip(*pairs, strict=True)
    return LayerGroup(group.name, names, parameters, group.depth, group.is_head)


def _equal(before: Sequence[LayerGroup], now: Sequence[LayerGroup]) -> bool:
    # By identity: tensors compare element by element.
    return [(g.name, *map(id, g.parameters)) for g in before] == [
        (g.name, *map(id, g.parameters)) for g in now
    ]


@contextmanager
def awake(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Let frozen parameters count as trainable for a while."""
    frozen = [p for p in parameters if not p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)

"""Mode `groups`: each layer group's learning rate is scaled for the length of one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from l2o.groups import LayerGroup
from l2o.modes.base import Mode


class GroupRates(Mode):
    """lr ← lr · multiplier before the step, and back after it.

    Since the user's LR stands in the optimizer between steps, any LR scheduler composes. Parameter
    groups that hold several layer groups are split in place; optimizer state is per parameter, so
    nothing of it is lost, but an LR scheduler must be made after the controller.

    Raises:
        ValueError: a split is needed, but an LR scheduler already counts the parameter groups.
    """

    name: ClassVar[str] = "groups"

    def __init__(self, optimizer: Optimizer, groups: Sequence[LayerGroup]) -> None:
        super().__init__(optimizer, groups)
        layer_of = {id(p): index for index, group in enumerate(groups) for p in group.parameters}
        split_param_groups(optimizer, layer_of)
        self._layer = [
            layer_of.get(id(g["params"][0])) if g["params"] else None
            for g in optimizer.param_groups
        ]
        self._saved: list[float | Tensor] = []

    def before_step(self, multipliers: Tensor) -> None:
        """Scale the rates; if the last step raised before it ended, undo that one first."""
        if self._saved:
            self.after_step()
        factors = multipliers.tolist()
        for group, layer in zip(self.optimizer.param_groups, self._layer, strict=False):
            self._saved.append(_copy(group["lr"]))
            if layer is not None and factors[layer] != 1.0:
                _set_rate(group, group["lr"] * factors[layer])

    def after_step(self) -> None:
        """Put the user's rates back."""
        for group, rate in zip(self.optimizer.param_groups, self._saved, strict=False):
            _set_rate(group, rate)
        self._saved = []


def split_param_groups(optimizer: Optimizer, layer_of: dict[int, int]) -> None:
    """Split param groups in place until each lies in one layer group, keeping their options.

    Args:
        optimizer: changed in place.
        layer_of: layer index by `id` of the parameter; parameters not in it stay together.
    """
    parts: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        by_layer: dict[int | None, list[Tensor]] = {}
        for parameter in group["params"]:
            by_layer.setdefault(layer_of.get(id(parameter)), []).append(parameter)
        if len(by_layer) > 1 and "initial_lr" in group:
            raise ValueError(
                "an LR scheduler was made before the controller, and the optimizer's param groups "
                "must be split by layer; make the controller first, pass l2o.param_groups(...) to "
                "the optimizer, or use mode='update_scale'"
            )
        options = {key: value for key, value in group.items() if key != "params"}
        if len(by_layer) <= 1:
            parts.append(group)
        else:
            parts += [
                {"params": held, **options, "lr": _copy(options["lr"])}
                for held in by_layer.values()
            ]
    optimizer.param_groups[:] = parts


def needs_split(optimizer: Optimizer, groups: Sequence[LayerGroup]) -> bool:
    """Return whether some param group holds parameters of several layer groups."""
    layer_of = {id(p): index for index, group in enumerate(groups) for p in group.parameters}
    return any(
        len({layer_of.get(id(p)) for p in group["params"]}) > 1 for group in optimizer.param_groups
    )


def _copy(rate: float | Tensor) -> float | Tensor:
    return rate.clone() if isinstance(rate, torch.Tensor) else rate


def _set_rate(group: dict[str, Any], rate: float | Tensor) -> None:
    # A tensor LR is written in place: compiled and captured steps hold on to that very tensor.
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate

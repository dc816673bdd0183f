"""One of the user's param groups, and the parts that stand in for it during a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from l2o.tensors import same_members

_NOTHING = object()
_OWN = frozenset({"params", "param_names", "lr"})


class SplitGroup:
    """A param group and its parts, one per layer group that it holds parameters of.

    Each part has the group's options and a learning rate of its own. Options that the user or an
    LR scheduler changes reach all parts. Those that the optimizer itself writes (schedule-free
    keeps its counters there) stay each part's own; the group shows the first part's.

    Args:
        group: the user's; its `params` and `lr` are never changed.
        layer_of: layer index by `id` of the parameter; parameters not in it are a part, too.
        keep_writing: write tensor rates at each step, even where nothing seems to have changed.

    Example:
        >>> weights = [torch.ones(2, requires_grad=True) for _ in range(2)]
        >>> group = {"params": weights, "lr": 0.5, "momentum": 0.9}
        >>> split = SplitGroup(group, {id(weights[0]): 0, id(weights[1]): 1})
        >>> split.prepare([0.1, 1.0])
        >>> [(part["lr"], part["momentum"]) for part in split.parts]
        [(0.05, 0.9), (0.5, 0.9)]
    """

    def __init__(
        self, group: dict[str, Any], layer_of: Mapping[int, int], keep_writing: bool = False
    ) -> None:
        self.group = group
        self._params = group["params"]
        self._members = tuple(self._params)
        self._keep_writing = keep_writing
        self.parts: list[dict[str, Any]] = []
        self.layers: list[int | None] = []
        self._seen: dict[str, Any] = {}
        self._written: tuple[Any, ...] = ()
        self._rates: list[Any] = []
        self._made_of: tuple[Any, Sequence[float]] | None = None
        names = _names(group, len(self._members))
        by_layer: dict[int | None, list[tuple[Tensor, Any]]] = {}
        for parameter, name in zip(self._params, names or self._params, strict=True):
            by_layer.setdefault(layer_of.get(id(parameter)), []).append((parameter, name))
        for layer, members in by_layer.items():
            part: dict[str, Any] = {"params": [parameter for parameter, _ in members]}
            if names is not None:
                part["param_names"] = [name for _, name in members]
            self.parts.append(part)
            self.layers.append(layer)

    def fits(self, group: dict[str, Any]) -> bool:
        """Return whether these parts are still those of the group."""
        return (
            group is self.group
            and group["params"] is self._params
            and same_members(self._members, self._params)
        )

    def prepare(self, factors: Sequence[float]) -> None:
        """Bring the parts up to date; part p gets lr · factors[its layer]."""
        self._take_options()
        rate = self.group["lr"]
        if isinstance(rate, torch.Tensor):
            self._set_tensor_rates(rate, self._of_parts(factors))
            return
        if self._made_of != (rate, factors):
            mine = self._of_parts(factors)
            self._rates = [rate if factor == 1.0 else rate * factor for factor in mine]
            self._made_of = (rate, factors)
        # Always: an optimizer may have written into its param groups.
        for part, own in zip(self.parts, self._rates, strict=True):
            part["lr"] = own

    def _of_parts(self, factors: Sequence[float]) -> list[float]:
        return [1.0 if layer is None else factors[layer] for layer in self.layers]

    @torch.no_grad()
    def _set_tensor_rates(self, rate: Tensor, factors: list[float]) -> None:
        if rate.requires_grad:
            with torch.enable_grad():
                for part, factor in zip(self.parts, factors, strict=True):
                    part["lr"] = rate * factor
            return
        written = (rate, rate._version, factors)
        if not self._keep_writing and _same(self._written, written):
            return
        for part, factor in zip(self.parts, factors, strict=True):
            mine = part.get("lr")
            # In place: compiled and captured steps hold on to that very tensor.
            if not isinstance(mine, torch.Tensor) or not _alike(mine, rate):
                part["lr"] = mine = rate.clone()
            torch.mul(rate, factor, out=mine)
        self._written = written

    def take_back(self) -> None:
        """Show in the user's group what the optimizer wrote into the first part's options."""
        for key, value in self.parts[0].items() if self.parts else ():
            if key not in _OWN and value is not self._seen.get(key, _NOTHING):
                self.group[key] = self._seen[key] = value

    def own_options(self) -> list[dict[str, Any]]:
        """Return per part the options that differ from the group's."""
        return [
            {
                key: value
                for key, value in part.items()
                if key not in _OWN and value is not self._seen.get(key, _NOTHING)
            }
            for part in self.parts
        ]

    def restore_options(self, options: Sequence[Mapping[str, Any]]) -> None:
        """Give the parts back the options they had of their own."""
        if len(options) == len(self.parts):
            self._take_options()
            for part, own in zip(self.parts, options, strict=True):
                part.update(own)

    def inherit(self, old: SplitGroup) -> None:
        """Take over what the parts of an older split of the same group had of their own."""
        self._take_options()
        for part in self.parts:
            first = part["params"][0]
            for before, own in zip(old.parts, old.own_options(), strict=True):
                if any(parameter is first for parameter in before["params"]):
                    part.update(own)

    def _take_options(self) -> None:
        for key, value in self.group.items():
            if key not in _OWN and self._seen.get(key, _NOTHING) is not value:
                for part in self.parts:
                    part[key] = value
                self._seen[key] = value  # last: an interrupt may come between


def _names(group: Mapping[str, Any], count: int) -> list[Any] | None:
    """Return the names that torch keeps beside a group's parameters, if there is one for each.

    Whoever appends a parameter to the list, as torch allows, leaves the names one short.
    """
    names = group.get("param_names")
    return list(names) if names and len(names) == count else None


def _same(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    return bool(before) and before[0] is now[0] and before[1:] == now[1:]


def _alike(a: Tensor, b: Tensor) -> bool:
    return (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)

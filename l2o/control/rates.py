"""The user's learning rates: what multipliers refer to, and what a schedule makes of it now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from l2o.layers.groups import LayerGroup

SCHEDULES = ("compose", "override")
"""What a user's LR schedule does to a policy's learning rates: multiply them, or nothing."""

_KEYS = ("lr", "initial_lr", "max_lr")

NO_RATE = float("nan")
"""The learning rate of param groups that have none, as with optimizers that choose it alone."""


class Rates:
    """The reference rate of each param group, and its rate at the newest step.

        reference = max(initial_lr, max_lr, the largest rate so far),   factor = rate / reference

    The reference is the user's own learning rate without the schedule on it: `initial_lr` is what
    torch's schedulers note in a param group, `max_lr` what OneCycleLR notes. A warm-up or a decay
    moves the factor, never the reference. A scheduler that notes another rate begins anew.

    Args:
        optimizer: the user's.
        groups: the layer groups whose rates are asked for.

    Example:
        >>> weight = torch.ones(1, requires_grad=True)
        >>> optimizer = torch.optim.SGD([weight], lr=0.5)
        >>> warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 10)
        >>> rates = Rates(optimizer, [LayerGroup("0", ("0",), (weight,), 0.0, False)])
        >>> rates.read(), rates.references(), rates.factors()
        (False, [0.5], [0.0])
    """

    def __init__(self, optimizer: Optimizer, groups: Sequence[LayerGroup]) -> None:
        self._optimizer = optimizer
        self._current: list[float] = []
        self._largest: list[float] = []
        self._noted: list[tuple[float, float]] = []
        self._references: list[float] = []
        self._seen: list[list[Any]] = []
        self._tensors: list[Tensor] = []
        self._versions: list[int] = []
        self._by_layer: dict[str, list[float]] = {}
        self._users: list[dict[str, Any]] | None = None
        self._lent: list[tuple[dict[str, Any], Any, Tensor | None]] = []
        self.follow(groups)
        self.read()

    def follow(self, groups: Sequence[LayerGroup]) -> None:
        """Tell the rates of these layer groups from now on."""
        self._groups = tuple(groups)
        self._held = _Held((), ())
        self._by_layer = {}

    def read(self) -> bool:
        """Read the rates as they are now; return whether a reference rose.

        Rates on a device cross to the host only where they were written since.
        """
        if self._users is not None:
            return False
        users = self._optimizer.param_groups
        if not self._held.same(users):
            self._held, self._by_layer = _Held(users, self._groups), {}
        if self._as_before(users):
            return False
        self._seen, self._by_layer = [[group.get(key) for key in _KEYS] for group in users], {}
        every = [rate for rates in self._seen for rate in rates]
        self._tensors = [rate for rate in every if isinstance(rate, torch.Tensor)]
        self._versions = [rate._version for rate in self._tensors]
        return self._take(as_floats([rates[0] for rates in self._seen]), users)

    def _as_before(self, users: Sequence[dict[str, Any]]) -> bool:
        """Return whether the rates are those that were read last, unwritten since.

        In plain loops: this is asked twice a step.
        """
        if len(users) != len(self._seen):
            return False
        for group, seen in zip(users, self._seen, strict=True):
            for key, before in zip(_KEYS, seen, strict=True):
                now = group.get(key)
                if now is not before and not (isinstance(now, float) and now == before):
                    return False
        return not self._tensors or self._versions == [rate._version for rate in self._tensors]

    def _take(self, rates: list[float], users: Sequence[dict[str, Any]]) -> bool:
        before, rose = self._references, False
        noted = [(_noted(group, "initial_lr"), _noted(group, "max_lr")) for group in users]
        largest = []
        for index, rate in enumerate(rates):
            known = index < len(self._noted) and self._noted[index] == noted[index]
            largest.append(max(rate, self._largest[index]) if known else rate)
        references = [
            rate if math.isnan(rate) else max(top, *marks)
            for rate, top, marks in zip(rates, largest, noted, strict=True)
        ]
        for index, reference in enumerate(references[: len(before)]):
            rose = rose or reference > before[index]
        self._current, self._largest, self._noted = rates, largest, noted
        self._references = references
        return rose

    @property
    def dormant(self) -> bool:
        """Whether all rates are zero, so that a step trains nothing."""
        return bool(self._current) and not any(self._current)

    def references(self) -> list[float]:
        """Return each layer group's reference rate: the mean over its parameters' groups."""
        self._read_if_stale()
        return self._of_layers("reference", self._references)

    def currents(self) -> list[float]:
        """Return each layer group's rate at the newest step, without multipliers."""
        self._read_if_stale()
        return self._of_layers("current", self._current)

    def factors(self) -> list[float]:
        """Return each layer group's factor of the schedule; 0 where the reference is.

        Of an optimizer without rates it is 1.
        """
        if "factor" not in self._by_layer:
            pairs = zip(self.currents(), self.references(), strict=True)
            self._by_layer["factor"] = [_factor(rate, reference) for rate, reference in pairs]
        return self._by_layer["factor"]

    def hold(self) -> None:
        """Keep to the rates as they were read, until `give_back`.

        Within a step the optimizer's param groups and rates are not the user's.
        """
        self._users = self._optimizer.param_groups

    @torch.no_grad()
    def take_over(self) -> None:
        """Let the references stand in for the user's rates, until `give_back`.

        A rate of exactly 0 stays, since that is how a step is made to train nothing.
        """
        self.hold()
        pairs = zip(self._optimizer.param_groups, self._current, self._references, strict=True)
        for group, rate, reference in pairs:
            if rate == reference or not rate or math.isnan(rate):
                continue
            held = group["lr"]
            if isinstance(held, torch.Tensor):
                # In place: compiled and captured steps hold on to that very tensor.
                self._lent.append((group, held, held.clone()))
                held.fill_(reference)
            else:
                self._lent.append((group, held, None))
                group["lr"] = reference

    def give_back(self) -> None:
        """Put the user's rates back, if any was taken, and read them again from now on."""
        self._users = None
        if self._lent:
            self._put_back()

    @torch.no_grad()
    def _put_back(self) -> None:
        for group, held, value in self._lent:
            if value is None:
                group["lr"] = held
            else:
                held.copy_(value)
        self._lent = []

    def _read_if_stale(self) -> None:
        # After a load only when asked: the optimizer's own rates may be loaded after ours.
        if not self._references or not self._held.places:
            self.read()

    def _of_layers(self, what: str, values: Sequence[float]) -> list[float]:
        if what not in self._by_layer:
            self._by_layer[what] = [
                values[at] if isinstance(at, int) else _mean([values[i] for i in at])
                for at in self._held.places
            ]
        return self._by_layer[what]

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: the largest rates so far, and what was noted then."""
        return {"largest": list(self._largest), "noted": [list(pair) for pair in self._noted]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; an older release's, which has none, begins anew."""
        self._largest = [float(rate) for rate in state.get("largest", [])]
        self._noted = [(float(a), float(b)) for a, b in state.get("noted", [])]
        self._references, self._seen, self._by_layer = [], [], {}


class _Held:
    """Which param groups hold the parameters of each layer group: found once, not each time.

    Args:
        users: the param groups.
        groups: layer groups.
    """

    def __init__(self, users: Sequence[dict[str, Any]], groups: Sequence[LayerGroup]) -> None:
        self._lists = [(group["params"], len(group["params"])) for group in users]
        place = {id(p): at for at, (params, _) in enumerate(self._lists) for p in params}
        # Parameters may have been replaced: until layer groups follow, theirs are left out.
        found = [[place[id(p)] for p in g.parameters if id(p) in place] for g in groups]
        self.places = [at[0] if len(set(at)) == 1 else at for at in found]

    def same(self, users: Sequence[dict[str, Any]]) -> bool:
        """Return whether the param groups still hold the same lists of parameters."""
        if len(users) != len(self._lists):
            return False
        for group, (params, size) in zip(users, self._lists, strict=True):
            if group["params"] is not params or len(params) != size:
                return False
        return True


def _mean(rates: Sequence[float]) -> float:
    return sum(rates) / len(rates) if rates else NO_RATE


def _factor(rate: float, reference: float) -> float:
    if math.isnan(reference):
        return 1.0
    return rate / reference if reference else 0.0


def _noted(group: dict[str, Any], key: str) -> float:
    """Return a rate that a scheduler noted in a param group, 0 if none did."""
    rate = group.get(key)
    if isinstance(rate, torch.Tensor):
        return float(rate)
    return float(rate) if isinstance(rate, int | float) else 0.0


def as_floats(rates: Sequence[Any]) -> list[float]:
    """Return rates as floats, NaN for None; those on a device cross to the host together."""
    tensors = [rate.detach().reshape(()) for rate in rates if isinstance(rate, torch.Tensor)]
    if not tensors:
        return [NO_RATE if rate is None else float(rate) for rate in rates]
    device, dtype = tensors[0].device, tensors[0].dtype
    alike = all(rate.device == device and rate.dtype == dtype for rate in tensors)
    found = torch.stack(tensors).tolist() if alike else [float(rate) for rate in tensors]
    values = iter(found)
    return [
        next(values)
        if isinstance(rate, torch.Tensor)
        else (NO_RATE if rate is None else float(rate))
        for rate in rates
    ]

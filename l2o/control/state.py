"""A controller's state as plain data, and how it goes over to other layer groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from l2o.deciding.policy import State
from l2o.measuring.meter import Meter
from l2o.tensors import on_host, to_host

STATE_KEY = "l2o"
"""Key of the controller's state in the optimizer's state dict."""

VERSION = 1
"""Format of the controller's state; raised when an older release could not read it."""


@dataclass
class Memory:
    """What a controller remembers between steps.

    Attributes:
        names: of the layer groups, and of the rows of guidance terms.
        multipliers: in force, `[L]`.
        policy_state: the policy's own.
        observation: the newest, `[L, F]`; None: not measured yet.
        steps: optimizer steps done.
    """

    names: list[str]
    multipliers: Tensor
    policy_state: State = field(default_factory=dict)
    observation: Tensor | None = None
    steps: int = 0

    @classmethod
    def begin(cls, names: Sequence[str], state: State) -> Memory:
        """Return that of a run before its first step: all multipliers are one."""
        return cls(list(names), on_host([1.0] * len(names)), state)

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data and tensors."""
        return {
            "groups": list(self.names),
            "step": self.steps,
            "multipliers": self.multipliers.clone(),
            "policy_state": {key: value.clone() for key, value in self.policy_state.items()},
            "observation": None if self.observation is None else self.observation.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go over to a state, maybe of other layers: those in both go on, new ones begin."""
        old, fresh = list(state["groups"]), on_host([1.0] * len(self.names))
        self.steps = state["step"]
        self.multipliers = carry_rows(old, self.names, to_host(state["multipliers"]), fresh)
        self.policy_state = carry_policy_state(
            old, self.names, to_host(state["policy_state"]), self.policy_state
        )
        observation = to_host(state["observation"])
        same = observation is not None and old == self.names
        self.observation = observation.clone() if same else None


def check_state(
    state: Mapping[str, Any],
    names: Sequence[str],
    signals: Sequence[str],
    expects: Callable[[str], bool],
) -> None:
    """Refuse the state of another run.

    Args:
        state: a controller's.
        names: of this controller's rows.
        signals: names of this controller's signals.
        expects: whether the model has a layer group of that name, though frozen as yet.

    Raises:
        ValueError: it belongs to other layer groups or signals, or to a newer format.
    """
    if state["version"] > VERSION:
        raise ValueError(
            f"controller state of format {state['version']} needs a newer release of l2o"
        )
    theirs, mine = list(state["groups"]), list(names)
    missing = [name for name in theirs if name not in mine]
    if not set(theirs) & set(mine) or not all(expects(name) for name in missing):
        _refuse("groups", theirs, mine)
    if list(state["signals"]) != list(signals):
        _refuse("signals", list(state["signals"]), list(signals))


def _refuse(what: str, theirs: list[str], mine: list[str]) -> None:
    raise ValueError(
        f"the checkpoint's controller had {what} {theirs}, this one has {mine}; "
        "attach the same policy to the same model"
    )


def carry_rows(old: Sequence[str], new: Sequence[str], rows: Tensor, fresh: Tensor) -> Tensor:
    """Return `fresh` with the rows of the layers that are in both.

    Example:
        >>> carry_rows(["a", "c"], ["a", "b", "c"], torch.tensor([1.0, 3.0]), torch.zeros(3))
        tensor([1., 0., 3.])
    """
    carried = fresh.clone()
    for index, name in enumerate(new):
        if name in old:
            carried[index] = rows[old.index(name)]
    return carried


def carry_policy_state(
    old: Sequence[str], new: Sequence[str], state: Mapping[str, Tensor], fresh: State
) -> State:
    """Return a policy's state for other layers: what is per layer row by row, the rest as it is."""
    carried: State = {}
    for key, value in state.items():
        begun = fresh.get(key)
        per_layer = begun is not None and begun.dim() > 0 and begun.shape[0] == len(new)
        if per_layer and value.dim() > 0 and value.shape[0] == len(old):
            assert begun is not None
            carried[key] = carry_rows(old, new, value, begun)
        else:
            carried[key] = value.clone()
    return carried


def load_meter(
    meter: Meter, state: Mapping[str, Any], parameters: Any, strict: bool = True
) -> None:
    """Load a meter's state, maybe of other layers: parameters in both keep their start.

    Args:
        meter: the one to load into.
        state: what goes over.
        parameters: the parameter names by layer that the state is for; None: the meter's own.
        strict: refuse parameters of another shape; else these begin where they are now.
    """
    mine = [list(group.parameter_names) for group in meter.groups]
    if parameters is None or parameters == mine:
        meter.load_state_dict(dict(state), strict=strict)
        return
    fresh = meter.state_dict()
    flat = [name for names in parameters for name in names]
    begun = dict(zip(flat, state["start"], strict=False))
    start = [
        begun.get(name, value)
        for name, value in zip([n for names in mine for n in names], fresh["start"], strict=False)
    ]
    norms = fresh["start_norm"].clone()
    for layer, names in enumerate(mine):
        if names in parameters:
            norms[layer] = state["start_norm"][parameters.index(names)]
    meter.load_state_dict({**state, "start": start, "start_norm": norms}, strict=strict)

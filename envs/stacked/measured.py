"""What was last measured of N fine-tunes, kept on the device until it is encoded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from l2o.envs.stacked.layout import Layout
from l2o.signals import MISSING, Measurement
from l2o.spec import SignalSpec

_LAYER = (
    "present",
    "is_head",
    "depth",
    "numel",
    "multiplier",
    "base_lr",
    "weight_norm",
    "gradient_norm",
    "update_norm",
    "gradient_dot_update",
    "start_norm",
    "drift_norm",
)
_GLOBAL = (
    "loss",
    "previous_loss",
    "proxy_kl",
    "previous_proxy_kl",
    "validation_loss",
    "previous_validation_loss",
    "progress",
    "steps_left",
    "window_progress",
    "head_mean",
    "head_std",
)


class Measured:
    """The newest measurement of each of N runs: a row is written when its run is measured.

    Args:
        runs: N.
        layers: rows of an observation; shallower networks leave the rest absent.
        device: of the tensors.
    """

    def __init__(self, runs: int, layers: int, device: torch.device) -> None:
        fields = {name: torch.full((runs, layers), MISSING, device=device) for name in _LAYER}
        fields |= {name: torch.full((runs,), MISSING, device=device) for name in _GLOBAL}
        self._fields = fields
        self._fields["present"].zero_()

    def begin(self, runs: Sequence[int], layout: Layout, base_lrs: Tensor) -> None:
        """Forget what was measured of runs that begin anew, and write what never changes."""
        layers = len(layout.groups)
        for name in (*_LAYER, *_GLOBAL):
            self._fields[name][runs] = 0.0 if name == "present" else MISSING
        fixed = {
            "present": torch.ones(layers),
            "is_head": torch.tensor(layout.is_head, dtype=torch.float32),
            "depth": torch.tensor(layout.depth, dtype=torch.float32),
            "numel": torch.tensor(layout.layer_numel, dtype=torch.float32),
        }
        for name, values in fixed.items():
            self.put(name, runs, values.expand(len(runs), -1))
        self.put("base_lr", runs, base_lrs[:, None].expand(-1, layers).float())

    def write(self, runs: Sequence[int], positions: Sequence[int], **rows: Tensor) -> None:
        """Write measured quantities of runs, from positions of what a chunk measured.

        NaN stands for what was not measured, so a measured NaN is written as inf.
        """
        for name, values in rows.items():
            if name != "gradient_dot_update":
                values = torch.nan_to_num(values, nan=float("inf"), posinf=float("inf"))
            self.put(name, runs, values[positions])

    def shift(self, name: str, runs: Sequence[int], values: Tensor) -> None:
        """Write a global quantity of runs, and keep the one before as `previous_...`."""
        self._fields[f"previous_{name}"][runs] = self._fields[name][runs]
        self._fields[name][runs] = values.to(self._fields[name])

    def put(self, name: str, runs: Sequence[int], values: Tensor) -> None:
        """Write a quantity of runs as it is: `[n, layers of the network]`, or `[n]`."""
        field = self._fields[name]
        if field.dim() == 1:
            field[runs] = values.to(field)
            return
        rows = field[runs]
        rows[:, : values.shape[1]] = values.to(field)
        field[runs] = rows

    def observation(self, spec: SignalSpec) -> Tensor:
        """Return the observations `[N, L, F]`, on the device."""
        return spec.encode(Measurement(**self._fields))

"""A measurement whose quantities are the rows of one tensor, so that they are encoded at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.signals.base import Measurement

RUN_FIELDS = (
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
"""Fields of a measurement that are those of a run, not of its layers."""
LAYER_FIELDS = tuple(f.name for f in fields(Measurement) if f.name not in RUN_FIELDS)
ROWS = (*LAYER_FIELDS, *RUN_FIELDS, "one")
"""The rows of a table, by name; `one` is 1 everywhere."""
ROW = {name: index for index, name in enumerate(ROWS)}
RUN_ROWS = slice(len(LAYER_FIELDS), len(LAYER_FIELDS) + len(RUN_FIELDS))
"""Where a table has the fields of a run, in the order of `RUN_FIELDS`."""


class MeasuredTable(Measurement):
    """A measurement as one tensor `[..., Q, L]`, whose fields are views, made when asked for.

    Args:
        rows: quantities in the order of `ROWS`; those of a run stand in every column. An array
            `[Q, L]` stays one until the tensor is asked for: most decisions never do.
    """

    rows: Tensor

    def __init__(self, rows: Tensor | NDArray[np.float32]) -> None:
        # Only one of both is ever held, so that they cannot differ.
        vars(self)["array" if isinstance(rows, np.ndarray) else "rows"] = rows

    def __getattr__(self, name: str) -> Tensor:
        """Return a field: the dataclass's own are never set."""
        if name == "rows" and "array" in vars(self):
            vars(self)["rows"] = torch.from_numpy(vars(self).pop("array"))
            return self.rows
        if name not in ROW:
            raise AttributeError(f"a measurement has no {name!r}")
        row = self.rows.select(-2, ROW[name])
        return row.select(-1, 0) if name in RUN_FIELDS else row

    def __setattr__(self, name: str, value: Tensor) -> None:
        """Write a field into its row."""
        self.rows[..., ROW[name], :] = value.unsqueeze(-1) if name in RUN_FIELDS else value


def rows_of(measured: Measurement) -> Tensor:
    """Return a measurement's table `[..., Q, L]`."""
    if isinstance(measured, MeasuredTable):
        return measured.rows
    layers = torch.stack([getattr(measured, name) for name in LAYER_FIELDS], dim=-2)
    run = torch.stack([getattr(measured, name) for name in RUN_FIELDS], dim=-1)
    run = run.unsqueeze(-1).expand(*run.shape, layers.shape[-1])
    one = torch.ones_like(layers[..., :1, :])
    return torch.cat([layers, run.to(layers.dtype), one], dim=-2)


def rows_on_host(measured: Measurement) -> NDArray[np.float32]:
    """Return a single run's table `[Q, L]` as an array that shares its memory, if it is on the CPU.

    Guards and ceilings ask for a few numbers of a few layers: an array gives them several times as
    fast as tensors do.
    """
    found = array_of(measured)
    return rows_of(measured).detach().cpu().numpy() if found is None else found


def array_of(measured: Measurement) -> NDArray[np.float32] | None:
    """Return a single run's table `[Q, L]` as an array; None if it is not float32 on the CPU."""
    found: NDArray[np.float32] | None = vars(measured).get("array")
    if found is None:
        rows = rows_of(measured)
        if rows.dim() == 2 and rows.dtype == torch.float32 and rows.is_cpu:
            found = rows.detach().numpy()
    return found


def with_fields(measured: Measurement, fields: Mapping[str, Tensor]) -> MeasuredTable:
    """Return a copy of a measurement with other values in some fields."""
    made = MeasuredTable(rows_of(measured).clone())
    for name, value in fields.items():
        setattr(made, name, value)
    return made

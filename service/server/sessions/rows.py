"""From what a client measured to the rows that signals are computed from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from l2o.service.server.errors import Problem
from l2o.service.server.sessions.models import Group, Measured, Opening
from l2o.signals.base import MISSING
from l2o.signals.table import ROW, ROWS, RUN_FIELDS, RUN_ROWS

Array = NDArray[np.float32]
NORMS = ("weight_norm", "gradient_norm", "update_norm", "drift_norm")
"""Quantities of each group that cannot be negative."""
GIVEN = (*NORMS, "gradient_dot_update")
SCALARS = ("loss", "proxy_kl", "validation_loss", "head_mean", "head_std")
_GIVEN_ROWS = [ROW[name] for name in GIVEN]
REMEDY = "send one number for each layer group, null where it was not measured"


def check_groups(opening: Opening) -> None:
    """Refuse groups that are not those of one model."""
    names = [group.name for group in opening.groups]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Problem(422, f"groups: the name {twice!r} stands twice", "give each its own name")
    if any(group.is_head for group in opening.groups[:-1]):
        raise Problem(
            422,
            "groups: only the last one can be the head",
            "send the groups from the input to the head, with is_head on the last at most",
        )
    lists = {"base_lr": opening.base_lr, "weight_norm": opening.weight_norm}
    for name, values in lists.items():
        if isinstance(values, list):
            per_group(name, values, len(names), least=0.0)


def fixed_rows(groups: Sequence[Group]) -> Array:
    """Return a table's rows as far as they never change; the rest is missing."""
    rows = np.full((len(ROWS), len(groups)), MISSING, dtype=np.float32)
    last = len(groups) - 1
    rows[ROW["present"]] = rows[ROW["one"]] = 1.0
    rows[ROW["is_guidance"]] = 0.0
    rows[ROW["is_head"]] = [float(group.is_head) for group in groups]
    ranks = range(len(groups))
    rows[ROW["depth"]] = [r / last if last else float(groups[0].is_head) for r in ranks]
    rows[ROW["numel"]] = [float(group.size) for group in groups]
    rows[ROW["root_numel"]] = [math.sqrt(group.size) for group in groups]
    rows[ROW["fan_in"]] = [_or_missing(group.inputs) for group in groups]
    rows[ROW["vector_share"]] = [_or_missing(group.vectors) for group in groups]
    return rows


def per_group(
    name: str, values: Sequence[float | None], count: int, least: float = -math.inf
) -> list[float]:
    """Return one number per group, NaN for null.

    Raises:
        Problem: not as many as there are groups, a NaN, or one below the least.
    """
    if len(values) != count:
        raise Problem(422, f"{name}: {count} layer groups, got {len(values)} numbers", REMEDY)
    found = [MISSING if value is None else value for value in values]
    for index, value in enumerate(values):
        if value is None:
            continue
        if value != value:
            raise Problem(422, f"{name}[{index}] is NaN", REMEDY)
        if value < least:
            raise Problem(422, f"{name}[{index}] must not be negative, got {value:g}", REMEDY)
    return found


def given_rows(measured: Measured, count: int) -> Array:
    """Return what was measured of each group: `[5, L]` in the order of `GIVEN`.

    Raises:
        Problem: a value that cannot be.
    """
    told = [getattr(measured, name) for name in GIVEN]
    none = [None] * count
    with np.errstate(over="ignore"):  # what float32 cannot hold is inf, and that is meant
        try:
            rows = np.array([none if each is None else each for each in told], dtype=np.float32)
            fine = rows.shape[1] == count and not np.less(rows[: len(NORMS)], 0.0).any()
        except ValueError:  # lists of different lengths
            fine = False
    if not fine or np.isnan(rows).any():
        # What is wrong, if anything is: null became NaN, too.
        for name, values in zip(GIVEN, told, strict=True):
            if values is not None:
                per_group(name, values, count, 0.0 if name in NORMS else -math.inf)
    return rows


def given_scalars(measured: Measured) -> dict[str, float]:
    """Return what was measured of the run; NaN for what was not.

    Raises:
        Problem: a NaN.
    """
    found = {}
    for name in SCALARS:
        value = getattr(measured, name)
        if value is not None and value != value:
            raise Problem(
                422,
                f"{name} is NaN",
                "leave out what was not measured, send Infinity for what overflowed",
            )
        found[name] = _or_missing(value)
    return found


def fill(rows: Array, given: Array, sees_both: bool) -> None:
    """Write what was measured into a table.

    Args:
        rows: of the table `[Q, L]`.
        given: as `given_rows` returns it.
        sees_both: whether the policy looks at gradients and updates: then a layer has both or
            neither, as where policies learn.
    """
    rows[_GIVEN_ROWS] = given
    if sees_both:
        gradients = rows[ROW["gradient_norm"]]
        gradients[np.isnan(rows[ROW["update_norm"]])] = MISSING


def fill_run(rows: Array, run: dict[str, float]) -> None:
    """Write the fields of the run into a table; what is not named is missing."""
    with np.errstate(over="ignore"):
        rows[RUN_ROWS] = np.array([[run.get(name, MISSING)] for name in RUN_FIELDS])


def _or_missing(value: float | None) -> float:
    return MISSING if value is None else value

"""From what a client measured to the rows that signals are computed from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from l2o.service.server.errors import Problem
from l2o.service.server.policies.batches import stacked
from l2o.service.server.sessions.models import Group, Measured, Opening
from l2o.signals.base import MISSING
from l2o.signals.table import ROW, ROWS, RUN_ROWS

Array = NDArray[np.float32]
NORMS = ("weight_norm", "gradient_norm", "update_norm", "drift_norm", "largest_update")
"""Quantities of each group that cannot be negative."""
GIVEN = (*NORMS, "gradient_dot_update")
SCALARS = ("loss", "proxy_kl", "validation_loss", "head_mean", "head_std")
Scalars = tuple[float, ...]
"""Numbers of a run, in the order of `SCALARS`."""
_GIVEN_ROWS = [ROW[name] for name in GIVEN]
_KNOWN_ROWS = [ROW[name] for name in ("multiplier", "start_norm", "base_lr")]
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


def given_together(measured: Sequence[Measured], count: int) -> list[Array | Problem]:
    """Return what was measured of each group, `[6, L]` in the order of `GIVEN`, of several runs.

    Args:
        measured: by clients whose models have as many groups.
        count: of groups.

    Returns:
        For each run its rows, or the problem of a value that cannot be.
    """
    none = [MISSING] * count
    told = [[_or_none(getattr(each, name), none) for name in GIVEN] for each in measured]
    with np.errstate(over="ignore"):  # what float32 cannot hold is inf, and that is meant
        try:
            rows = np.array(told, dtype=np.float32)
        except ValueError:  # lists of different lengths
            rows = np.full(0, MISSING, dtype=np.float32)
    if rows.shape == (len(measured), len(GIVEN), count):
        wrong = np.isnan(rows)
        wrong[:, : len(NORMS)] |= np.less(rows[:, : len(NORMS)], 0.0)
        doubtful = [bool(each.any()) for each in wrong]
    else:
        doubtful = [True] * len(measured)
    return [
        _given_or_problem(each, count) if doubtful[number] else rows[number]
        for number, each in enumerate(measured)
    ]


def _given_or_problem(measured: Measured, count: int) -> Array | Problem:
    try:
        return given_rows(measured, count)
    except Problem as problem:
        return problem


def given_rows(measured: Measured, count: int) -> Array:
    """Return what was measured of each group in one run.

    Raises:
        Problem: a value that cannot be.
    """
    rows = np.full((len(GIVEN), count), MISSING, dtype=np.float32)
    for index, name in enumerate(GIVEN):
        values = getattr(measured, name)
        if values is not None:
            least = 0.0 if name in NORMS else -math.inf
            with np.errstate(over="ignore"):
                rows[index] = per_group(name, values, count, least)
    return rows


def given_scalars(measured: Measured) -> Scalars:
    """Return what was measured of the run, in the order of `SCALARS`; NaN for what was not.

    Raises:
        Problem: a NaN.
    """
    told = (
        measured.loss,
        measured.proxy_kl,
        measured.validation_loss,
        measured.head_mean,
        measured.head_std,
    )
    for name, value in zip(SCALARS, told, strict=True):
        if value is not None and value != value:
            raise Problem(
                422,
                f"{name} is NaN",
                "leave out what was not measured, send Infinity for what overflowed",
            )
    return tuple(MISSING if value is None else value for value in told)


def tables(
    fixed: Sequence[Array],
    given: Sequence[Array],
    known: Sequence[Array],
    runs: Sequence[Sequence[float]],
    sees_both: bool,
) -> Array:
    """Return the tables `[N, Q, L]` of N runs, which signals are encoded from.

    Args:
        fixed: of each run the rows that never change, `[Q, L]`.
        given: what was measured of its groups, `[6, L]`.
        known: multipliers, norms at the start and reference learning rates, `[3, L]`.
        runs: its fields, in the order of `RUN_FIELDS`.
        sees_both: whether the policy looks at gradients and updates: then a layer has both or
            neither, as where policies learn.
    """
    rows = stacked(fixed)
    rows[:, _GIVEN_ROWS] = given
    rows[:, _KNOWN_ROWS] = known
    if sees_both:
        rows[:, ROW["gradient_norm"]][np.isnan(rows[:, ROW["update_norm"]])] = MISSING
    with np.errstate(over="ignore"):
        rows[:, RUN_ROWS] = np.array(runs)[:, :, None]
    return rows


def _or_missing(value: float | None) -> float:
    return MISSING if value is None else value


def _or_none(values: list[float | None] | None, none: list[float]) -> Sequence[float | None]:
    return none if values is None else values

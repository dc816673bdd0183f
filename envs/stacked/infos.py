"""Infos of N environments in the form that Gymnasium's vector environments give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def collect_infos(infos: Mapping[int, Mapping[str, Any]], count: int) -> dict[str, Any]:
    """Return `key -> array [N]` and `_key -> mask [N]` of what some of N environments told.

    Mappings within become dictionaries of the same form; arrays are stacked, `final_obs` is an
    object array.

    Args:
        infos: environment's number -> its info.
        count: N.

    Example:
        >>> collect_infos({1: {"step": 5}}, 2)
        {'step': array([0, 5]), '_step': array([False,  True])}
    """
    columns: dict[str, dict[int, Any]] = {}
    for number, info in infos.items():
        for key, value in info.items():
            columns.setdefault(key, {})[number] = value
    collected: dict[str, Any] = {}
    for key, values in columns.items():
        mask = np.zeros(count, np.bool_)
        mask[list(values)] = True
        collected[key], collected[f"_{key}"] = _column(key, values, count), mask
    return collected


def _column(key: str, values: dict[int, Any], count: int) -> Any:
    first = next(iter(values.values()))
    if isinstance(first, Mapping):
        return collect_infos(values, count)
    if key == "final_obs":
        array = np.full(count, None, object)
    elif isinstance(first, bool | int | float | np.number):
        array = np.zeros(count, type(first))
    elif isinstance(first, np.ndarray):
        array = np.zeros((count, *first.shape), first.dtype)
    else:
        array = np.full(count, None, object)
    for number, value in values.items():
        array[number] = value
    return array

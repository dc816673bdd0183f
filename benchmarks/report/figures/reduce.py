"""Means and quantiles over runs of which some lack values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from l2o.benchmarks.statistics import Array


def mean_over_runs(values: Array) -> Array:
    """Return the mean over the first axis, NaN ignored; NaN where all are NaN."""
    return _where_any(values, lambda some: np.nanmean(some, axis=0))


def quantile_over_runs(values: Array, q: float) -> Array:
    """Return a quantile over the first axis, NaN ignored; NaN where all are NaN."""
    return _where_any(values, lambda some: np.nanquantile(some, q, axis=0))


def _where_any(values: Array, reduce: Callable[[Array], Array]) -> Array:
    """Reduce the columns that hold any number, so that numpy has nothing to warn about."""
    out = np.full(values.shape[1], np.nan)
    some = ~np.isnan(values).all(axis=0)
    if some.any():
        out[some] = reduce(values[:, some])
    return out

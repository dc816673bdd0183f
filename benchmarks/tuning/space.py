"""What is searched: fields of a config, each checked before any trial."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from l2o.configs.load import SCHEMAS, check_config, config_data, load_config
from l2o.configs.overrides import set_fields
from l2o.configs.schema import Strict
from l2o.configs.tune import TuneConfig

Params = Mapping[str, Any]
"""Dotted field -> value, of one trial."""


def base_config(config: TuneConfig) -> Strict:
    """Return the config that all trials begin with.

    Raises:
        ConfigError: it cannot be read, or a field of `changes` is wrong.
    """
    loaded = load_config(config.of, config.config)
    return with_fields(config, loaded, config.changes, "changes")


def with_fields(config: TuneConfig, base: Strict, fields: Params, where: str) -> Any:
    """Return a config with fields changed.

    Raises:
        ConfigError: an unknown field (with the nearest name) or an impossible value.
    """
    if not fields:
        return base
    changed = set_fields(config_data(base), fields)
    return check_config(SCHEMAS[config.of], changed, f"{config.config} with {where}")


def ends_of(domain: Mapping[str, Any]) -> list[Any]:
    """Return the values that stand for a domain when it is checked: all, or both ends."""
    ((kind, values),) = domain.items()
    if kind.endswith("randint"):
        return [int(values[0]), int(values[1]) - 1]
    return list(values) if kind in ("choice", "grid") else [float(each) for each in values]


def check_space(config: TuneConfig) -> Any:
    """Check every field that is searched over; return the config that trials begin with.

    Raises:
        ConfigError: an unknown field, or a value that the config refuses.
    """
    base = base_config(config)
    for field, domain in config.search.items():
        for value in ends_of(domain):
            # Others may go together with it: each with its first.
            others = {name: ends_of(of)[0] for name, of in config.search.items()}
            with_fields(config, base, {**others, field: value}, f"search {field}={value!r}")
    return base


def combinations(config: TuneConfig) -> Iterator[dict[str, Any]]:
    """Yield what a grid is: every combination of the values.

    Example:
        >>> config = TuneConfig(search={"base_lr": {"choice": [0.1, 1.0]}}, searcher="grid")
        >>> list(combinations(config))
        [{'base_lr': 0.1}, {'base_lr': 1.0}]
    """
    names = list(config.search)
    for values in itertools.product(*(ends_of(config.search[name]) for name in names)):
        yield dict(zip(names, values, strict=True))


def to_ray(config: TuneConfig) -> dict[str, Any]:
    """Return the space as Ray Tune takes it."""
    from ray import tune

    grid = config.searcher.name == "grid"
    makers = {
        "choice": tune.grid_search if grid else tune.choice,
        "grid": tune.grid_search,
        "uniform": lambda of: tune.uniform(*of),
        "loguniform": lambda of: tune.loguniform(*of),
        "randint": lambda of: tune.randint(int(of[0]), int(of[1])),
        "lograndint": lambda of: tune.lograndint(int(of[0]), int(of[1])),
    }
    return {
        field: makers[kind](values)
        for field, domain in config.search.items()
        for kind, values in domain.items()
    }


def plain_params(params: Params) -> dict[str, Any]:
    """Return what a trial was given as plain data, numbers of libraries as numbers."""
    told: dict[str, Any] = json.loads(json.dumps(dict(params), default=_plain))
    return told


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)

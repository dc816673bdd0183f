"""Loading and writing configs."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from pydantic import ValidationError

from l2o.configs.ablation import AblationConfig
from l2o.configs.catalog import Kind
from l2o.configs.errors import ConfigError
from l2o.configs.explain import explain, locate
from l2o.configs.finetune import FinetuneConfig
from l2o.configs.inherit import read_config
from l2o.configs.learn_simulator import LearnSimulatorConfig
from l2o.configs.overrides import apply_overrides
from l2o.configs.schema import BenchmarkConfig, Strict, TrainConfig
from l2o.configs.simulate import SimulateConfig
from l2o.configs.tune import TuneConfig
from l2o.configs.yaml_text import format_yaml
from l2o.configs.zero_shot import ZeroShotConfig

SCHEMAS: dict[str, type[Strict]] = {
    "train": TrainConfig,
    "finetune": FinetuneConfig,
    "benchmark": BenchmarkConfig,
    "zero_shot": ZeroShotConfig,
    "ablation": AblationConfig,
    "simulate": SimulateConfig,
    "learn_simulator": LearnSimulatorConfig,
    "tune": TuneConfig,
}
"""Schemas by kind. A benchmark that names `families` or `variants` is of a kind of its own, and so
is a training that names a `search`."""

S = TypeVar("S", bound=Strict)


@overload
def load_config(
    kind: Literal["train"], source: str | Path, overrides: Sequence[str] = ...
) -> TrainConfig | LearnSimulatorConfig: ...
@overload
def load_config(
    kind: Literal["finetune"], source: str | Path, overrides: Sequence[str] = ...
) -> FinetuneConfig: ...
@overload
def load_config(
    kind: Literal["simulate"], source: str | Path, overrides: Sequence[str] = ...
) -> SimulateConfig: ...
@overload
def load_config(
    kind: Literal["benchmark"], source: str | Path, overrides: Sequence[str] = ...
) -> BenchmarkConfig | ZeroShotConfig | AblationConfig: ...
@overload
def load_config(
    kind: Literal["tune"], source: str | Path, overrides: Sequence[str] = ...
) -> TuneConfig: ...
def load_config(kind: Kind, source: str | Path, overrides: Sequence[str] = ()) -> Strict:
    """Return a checked config.

    Args:
        kind: the command it is for.
        source: a preset's name (see `l2o.configs.catalog.list_presets`) or a YAML file's path.
        overrides: `key=value` with a dotted key; each changes just what its key names in the
            config as it stands, defaults included. Values are YAML.

    Raises:
        ConfigError: unreadable source or wrong fields, all of those in one message.

    Example:
        >>> load_config("train", "demo", ["algorithm.options.learning_rate=1e-3", "seed=7"]).seed
        7
    """
    where, data = read_config(kind, source)
    schema = schema_of(kind, data)
    config = check_config(schema, data, where)
    if overrides:
        changed = apply_overrides(config_data(config), overrides)
        config = check_config(schema, changed, f"{where} with {' '.join(overrides)}")
    return config


def load_table(source: str | Path, overrides: Sequence[str] = ()) -> BenchmarkConfig:
    """Return the config of a benchmark of one family: `load_config` for those who take no other.

    Raises:
        ConfigError: wrong fields, a comparison over several families, or an ablation.
    """
    config = load_config("benchmark", source, overrides)
    if isinstance(config, AblationConfig):
        raise ConfigError(
            f"{source} compares policies that it learns first ({', '.join(config.variants)}), and "
            "a benchmark of one family is needed here"
        )
    if isinstance(config, ZeroShotConfig):
        raise ConfigError(
            f"{source} compares over families ({', '.join(config.families)}), and a benchmark of "
            "one is needed here; such a comparison's folder has one config.yaml per family"
        )
    return config


def load_policy_training(source: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return the config of a training that learns a policy: for those who take no other.

    Raises:
        ConfigError: wrong fields, or it learns a simulator.
    """
    config = load_config("train", source, overrides)
    if isinstance(config, LearnSimulatorConfig):
        raise ConfigError(f"{source} learns a simulator, and a training of a policy is needed here")
    return config


def schema_of(kind: Kind, data: dict[str, Any]) -> type[Strict]:
    """Return the schema that plain data are to be held against.

    Example:
        >>> schema_of("benchmark", {"families": {}}).__name__
        'ZeroShotConfig'
    """
    if kind == "train" and "search" in data:
        return LearnSimulatorConfig
    if kind == "benchmark":
        told = {"families": "zero_shot", "variants": "ablation"}
        return SCHEMAS[next((told[field] for field in told if field in data), kind)]
    return SCHEMAS[kind]


def check_config(schema: type[S], data: dict[str, Any], where: str) -> S:
    """Return plain data as a config.

    Types are held strictly (no text for numbers, no booleans for integers), but a whole number
    may be written as one: `episodes: 1e4`.

    Args:
        schema: one of `SCHEMAS`.
        data: plain data, as YAML or JSON has it.
        where: what it is, for errors.

    Raises:
        ConfigError: naming each wrong field with its value, the rule and the nearest field.
    """
    data = copy.deepcopy(data)
    try:
        return _validate(schema, data)
    except ValidationError as error:
        if not _use_whole_numbers(data, error):
            raise _wrong(schema, data, error, where) from error
    try:
        return _validate(schema, data)
    except ValidationError as error:
        raise _wrong(schema, data, error, where) from error


def config_data(config: Strict) -> dict[str, Any]:
    """Return a config as plain data: mappings, lists, text, numbers, booleans, null."""
    data = _plain(config.model_dump())
    assert isinstance(data, dict)
    return data


def dump_config(config: Strict) -> str:
    """Return a config, every field resolved, as YAML that loads back equal.

    Example:
        >>> dump_config(TrainConfig()).splitlines()[0]
        'name: policy'
    """
    return format_yaml(config_data(config))


def _validate(schema: type[S], data: dict[str, Any]) -> S:
    # Strict JSON takes lists for tuples, which strict Python does not.
    return schema.model_validate_json(json.dumps(data), strict=True)


def _wrong(
    schema: type[Strict], data: dict[str, Any], error: ValidationError, where: str
) -> ConfigError:
    lines = explain(schema, data, error)
    count = "1 field is" if len(lines) == 1 else f"{len(lines)} fields are"
    return ConfigError("\n  ".join([f"{where}: {count} wrong:", *lines]))


def _use_whole_numbers(data: Any, error: ValidationError) -> bool:
    """Make integers of whole floats where integers are due; tell whether there were any."""
    found = False
    for item in error.errors(include_url=False):
        keys, value = locate(data, item["loc"], item["type"])
        if item["type"] in ("int_type", "int_from_float") and isinstance(value, float):
            if not value.is_integer():
                continue
            holder = data
            for key in keys[:-1]:
                holder = holder[key]
            holder[keys[-1]] = int(value)
            found = True
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value

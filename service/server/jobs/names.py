"""Names of families in a config, looked up before its job is queued."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from l2o.configs.errors import ConfigError
from l2o.deciding.bundle import list_policies
from l2o.registry import unknown_name

TABLES = {
    "task": "l2o.envs.tasks:TASKS",
    "optimizer": "l2o.envs.optimizers:OPTIMIZERS",
    "optimizers": "l2o.envs.optimizers:OPTIMIZERS",
    "guidance": "l2o.guidance:GUIDANCE",
    "schedule": "l2o.schedules:SCHEDULES",
    "schedules": "l2o.schedules:SCHEDULES",
    "base_lr_schedule": "l2o.schedules:SCHEDULES",
    "profile": "l2o.profiles:PROFILES",
    "profiles": "l2o.profiles:PROFILES",
    "rule": "l2o.rules:RULES",
    "rewards": "l2o.envs.rewards:REWARDS",
    "algorithm": "l2o.policies.algorithms:ALGORITHMS",
    "simulator": "l2o.envs.simulators:SIMULATORS",
    "executor": "l2o.envs.runtime.executor:EXECUTORS",
}
"""The table in which what a field of this name holds is looked up."""
BY_NAME = ("guidance", "rewards")
"""Fields that are a mapping from names to arguments."""
POLICIES = ("policy", "lite")
"""Fields that name a policy."""


def check_names(config: Any, data: Path, where: str = "") -> None:
    """Refuse a config with a name that none of its families knows.

    Options of what is named are for the member to check, when the job starts. Of a dotted path only
    the package is looked for: the server imports nobody's code.

    Args:
        config: with every field, as plain data.
        data: folder that paths in it begin at.
        where: the field that it is, for the error.

    Raises:
        ConfigError: an unknown name; the message has the field, and the nearest name there is.
    """
    if isinstance(config, list):
        for index, each in enumerate(config):
            check_names(each, data, f"{where}[{index}]")
    if not isinstance(config, Mapping):
        return
    for key, value in config.items():
        field = f"{where}.{key}" if where else str(key)
        if key in POLICIES and isinstance(value, str):
            _check_policy(field, value, data)
        elif key in TABLES:
            for each in _named(str(key), value):
                _check_member(field, str(key), each)
        if key != "options":
            check_names(value, data, field)


def _named(key: str, value: Any) -> list[Any]:
    """Return the members that a field names."""
    if key in BY_NAME and isinstance(value, Mapping):
        return list(value)
    return value if isinstance(value, list) else [value]


def _check_member(field: str, key: str, named: Any) -> None:
    name = named.get("name") if isinstance(named, Mapping) else named
    if not isinstance(name, str):
        return
    if ":" in name:
        _check_package(field, name)
    elif name not in (table := _table(key)):
        raise ConfigError(f"{field}: {unknown_name(_kind(key), name, list(table))}")


def _check_policy(field: str, name: str, data: Path) -> None:
    if ":" in name:
        _check_package(field, name)
    # A folder may be there only once the job before has run.
    elif "/" not in name and not (data / name).exists() and name not in (known := list_policies()):
        raise ConfigError(f"{field}: {unknown_name('policy', name, list(known))}")


def _check_package(field: str, path: str) -> None:
    package = path.partition(":")[0].partition(".")[0]
    try:
        found = find_spec(package) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise ConfigError(
            f"{field}: {path!r} names no package that is installed here; install it for the "
            "server's Python, or correct the path"
        )


@cache
def _table(key: str) -> Mapping[str, object]:
    module, _, name = TABLES[key].partition(":")
    found: Mapping[str, object] = getattr(import_module(module), name)
    return found


def _kind(key: str) -> str:
    kind = key.removeprefix("base_lr_")
    return kind if kind in ("guidance", "rewards") else kind.removesuffix("s")

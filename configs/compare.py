"""In which fields two configs differ."""

from __future__ import annotations

from typing import Any

from l2o.configs.load import config_data
from l2o.configs.schema import Strict


def differences(old: Strict, new: Strict) -> list[str]:
    """Return `path: old -> new` for each field that differs, in the schema's order.

    Example:
        >>> from l2o.configs.schema import TrainConfig
        >>> differences(TrainConfig(), TrainConfig(seed=3))
        ['seed: 0 -> 3']
    """
    return _differences(config_data(old), config_data(new), "")


def _differences(old: Any, new: Any, path: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict) and old and new:
        lines = []
        for key in [*old, *(key for key in new if key not in old)]:
            inner = f"{path}.{key}" if path else key
            lines += _differences(old.get(key), new.get(key), inner)
        return lines
    return [] if old == new else [f"{path}: {old!r} -> {new!r}"]

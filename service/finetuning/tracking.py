"""Logging of a fine-tune while it runs: TensorBoard, MLflow, trackio or W&B, by accelerate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2o.extras import needed_by

_LIBRARIES = {
    "tensorboard": "tensorboard",
    "mlflow": "mlflow",
    "trackio": "trackio",
    "wandb": "wandb",
}
"""Tracker -> the package that it needs."""


class Tracker:
    """Logs numbers by step; without a name it logs nowhere.

    Args:
        name: of the tracker, one of accelerate's.
        folder: of the run; TensorBoard writes into its `tensorboard/`.
        config: of the run, logged once.

    Raises:
        ValueError: the tracker's package is not installed; the message has the command.
        MissingExtraError: accelerate is not installed.
    """

    def __init__(self, name: str | None, folder: Path, config: Mapping[str, Any]) -> None:
        self._accelerator: Any = None
        if name is None:
            return
        with needed_by("tracker", "accelerate"):
            from accelerate import Accelerator
            from accelerate.tracking import get_available_trackers
        if name not in {str(getattr(each, "value", each)) for each in get_available_trackers()}:
            raise ValueError(
                f"tracker={name} needs the package {_LIBRARIES[name]}, which is not installed; "
                f"install it with: pip install {_LIBRARIES[name]}"
            )
        self._accelerator = Accelerator(log_with=name, project_dir=folder, cpu=True)
        self._accelerator.init_trackers(
            "tensorboard" if name == "tensorboard" else "l2o", config=_flat(config)
        )

    def log(self, step: int, numbers: Mapping[str, float | None]) -> None:
        """Log numbers of a step; what is not finite is left out."""
        if self._accelerator is not None:
            known = {k: v for k, v in numbers.items() if v is not None and math.isfinite(v)}
            self._accelerator.log(known, step=step)

    def close(self) -> None:
        """Write out what is not yet written."""
        if self._accelerator is not None:
            self._accelerator.end_training()


def _flat(config: Mapping[str, Any], at: str = "") -> dict[str, int | float | str | bool]:
    """Return nested fields by dotted names, as trackers take them.

    Example:
        >>> _flat({"task": {"name": "folder"}, "seed": 0})
        {'task.name': 'folder', 'seed': 0}
    """
    found: dict[str, int | float | str | bool] = {}
    for key, value in config.items():
        name = f"{at}.{key}" if at else str(key)
        if isinstance(value, Mapping):
            found |= _flat(value, name)
        else:
            found[name] = value if isinstance(value, int | float | str | bool) else str(value)
    return found

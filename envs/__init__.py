"""Gymnasium environments over fine-tunes; importing this registers `l2o/SynToReal-v0`
and `l2o/Simulator-v0`.

Names are loaded on first use: whoever wants a room of this package need not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING

from l2o.extras import needed_by

if TYPE_CHECKING:
    from l2o.envs.environment import FineTuneEnv
    from l2o.envs.fine_tuning.fine_tune import FineTune

with needed_by("l2o.envs", "train"):
    import gymnasium

gymnasium.register(
    id="l2o/SynToReal-v0",
    entry_point="l2o.envs.environment:FineTuneEnv",
    vector_entry_point="l2o.envs.stacked.environment:StackedFineTuneEnv",
)
gymnasium.register(
    id="l2o/Simulator-v0", entry_point="l2o.envs.simulators.learning.environment:SimulatorEnv"
)

_HOMES = {"FineTune": "fine_tuning.fine_tune", "FineTuneEnv": "environment"}

__all__ = ["FineTune", "FineTuneEnv"]


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'l2o.envs' has no attribute {name!r}")
    with needed_by("l2o.envs", "train"):
        return getattr(importlib.import_module(f"l2o.envs.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

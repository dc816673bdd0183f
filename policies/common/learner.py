"""The contract of learning algorithms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from l2o.configs.schema import TrainConfig
from l2o.deciding.learned import LearnedPolicy


class Learner(ABC):
    """Learns a policy, one iteration (collect fine-tunes, update) at a time.

    Args:
        config: the whole training config; `config.algorithm.options` are the subclass's arguments.

    Attributes:
        episodes: fine-tunes finished so far.
        fine_tune_steps: optimizer steps of the inner networks so far.
    """

    episodes: int = 0
    fine_tune_steps: int = 0

    def __init__(self, config: TrainConfig) -> None:
        self.config = config

    @abstractmethod
    def iterate(self) -> dict[str, float]:
        """Collect fine-tunes, update once, and return the iteration's metrics by name."""

    @abstractmethod
    def policy(self) -> LearnedPolicy:
        """Return a copy of the policy as it stands, on CPU."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: tensors and plain data only."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""

    def leave(self, out: Path) -> None:
        """Write into a run's folder what it leaves beside its policies; nothing by default.

        Called whenever a checkpoint is written.
        """
        return

    @abstractmethod
    def close(self) -> None:
        """End worker processes."""

"""What a controller shows of itself: pictures and TensorBoard."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from l2o.groups import LayerGroup
from l2o.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Seeing(ABC):
    """Draws and logs a history; what that takes is imported only then.

    Attributes:
        groups: layer groups, input to head.
        history: the decisions.
    """

    groups: tuple[LayerGroup, ...]
    history: History

    @property
    @abstractmethod
    def steps(self) -> int:
        """Optimizer steps done."""

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the learning rate of every layer group over the steps, as far as `history` goes.

        Args:
            path: where to write the picture ("rates.png"), if anywhere.

        Raises:
            ValueError: no decision was taken yet.
        """
        from l2o.plot import plot_history

        return plot_history(self.history, self._names(), self.steps, self.groups[-1].is_head, path)

    def log_to(self, target: str | os.PathLike[str] | Any) -> Any:
        """Write every decision to TensorBoard, those so far included; return the writer.

        Args:
            target: a folder, or the `SummaryWriter` that the training loop has already.
        """
        from l2o.tensorboard import TensorBoardLog

        log = TensorBoardLog(target, self._names)
        for decision in self.history:
            log(decision)
        self.history.listeners.append(log)
        return log.writer

    def _names(self) -> list[str]:
        return [group.name for group in self.groups]

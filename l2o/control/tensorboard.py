"""A controller's decisions as TensorBoard scalars."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Sequence
from typing import Any

from l2o.control.history import Decision
from l2o.extras import needed_by


class TensorBoardLog:
    """Writes `learning_rate/GROUP` and `multiplier/GROUP` at every decision.

    Guidance terms that the policy scales have `multiplier/guidance/NAME` alone.

    Args:
        target: a folder for a new event file, or what has `add_scalar(tag, value, step)`, such as
            the `SummaryWriter` that the training loop writes to already.
        names: gives the names of the layer groups, and of the rows after them.

    Raises:
        TypeError: the target is neither.
        MissingExtraError: a folder is given and TensorBoard is not installed.
    """

    def __init__(
        self, target: str | os.PathLike[str] | Any, names: Callable[[], Sequence[str]]
    ) -> None:
        self.writer = _writer_at(target) if isinstance(target, str | os.PathLike) else target
        if not callable(getattr(self.writer, "add_scalar", None)):
            raise TypeError(
                "log_to takes a folder or a writer with add_scalar(tag, value, step), got a "
                f"{type(target).__name__}"
            )
        self._names = names

    def __call__(self, decision: Decision) -> None:
        """Write one decision."""
        rates = decision.learning_rates
        rows = zip(self._names(), decision.multipliers, strict=True)
        for index, (name, multiplier) in enumerate(rows):
            if index < len(rates):
                self.writer.add_scalar(f"learning_rate/{name}", rates[index], decision.step)
            self.writer.add_scalar(f"multiplier/{name}", multiplier, decision.step)


def _writer_at(folder: str | os.PathLike[str]) -> Any:
    with needed_by("log_to a folder"):
        from torch.utils.tensorboard import SummaryWriter
    writer: Any = SummaryWriter(str(folder), flush_secs=30)
    # What is not flushed yet when the interpreter ends would be lost.
    atexit.register(writer.close)
    return writer

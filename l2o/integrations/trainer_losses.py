"""The losses of a Hugging Face Trainer's steps, without a hook on the model."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from torch import Tensor

from l2o.extras import needed_by

with needed_by("l2o.integrations.huggingface", "hf"):
    from transformers import Trainer, TrainerCallback


def find_trainer(callback: TrainerCallback) -> Trainer | None:
    """Return the Trainer whose event is being handled and that has this callback, or None.

    A callback is told of the model and the optimizer, but not of its Trainer; only that knows the
    loss, whoever computes it. It is among the callers.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, Trainer) and has_callback(caller, callback):
            return caller
        frame = frame.f_back
    return None


def has_callback(trainer: Trainer, callback: TrainerCallback) -> bool:
    """Return whether a Trainer calls this callback (by identity)."""
    return any(known is callback for known in trainer.callback_handler.callbacks)


class TrainerLosses:
    """Calls back with each loss that a Trainer's `training_step` returns.

    Those of the micro-batches of one step add up to the loss of the step, as the Trainer logs it.
    It stands in for the method of one Trainer, passes everything on, and can be pickled with it.

    Args:
        trainer: whose losses.
        see: called with each loss; returns whether it still wants to know.

    Attributes:
        trainer: whose losses.

    Example:
        >>> losses = TrainerLosses(trainer, print)  # doctest: +SKIP
        >>> losses.remove()  # doctest: +SKIP
    """

    def __init__(self, trainer: Trainer, see: Callable[[Tensor], bool]) -> None:
        self.trainer = trainer
        self._own = vars(trainer).get("training_step")
        self._step = trainer.training_step
        self._see: Callable[[Tensor], bool] | None = see
        functools.update_wrapper(self, self._step)
        trainer.training_step = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do the Trainer's own training step."""
        loss = self._step(*args, **kwargs)
        if self._see is not None and isinstance(loss, Tensor) and not self._see(loss):
            self.remove()
        return loss

    def remove(self) -> None:
        """Give the Trainer its own method back; where others wrapped this one, only pass on."""
        self._see = None
        if vars(self.trainer).get("training_step") is not self:
            return
        if self._own is None:
            del self.trainer.training_step
        else:
            self.trainer.training_step = self._own

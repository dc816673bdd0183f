"""Hugging Face's Trainer: a callback that attaches a controller and feeds it."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from l2o.control.controller import LRController
from l2o.control.history import Decision
from l2o.control.state import STATE_KEY
from l2o.deciding.given import as_policy
from l2o.deciding.policy import Policy
from l2o.extras import needed_by
from l2o.integrations.base import check_options, fresh

with needed_by("l2o.integrations.huggingface", "hf"):
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

    from l2o.integrations.trainer_losses import TrainerLosses, find_trainer, has_callback

logger = logging.getLogger("l2o")

STEP_KEY = "global_step"
"""Key of the Trainer's step in the controller's state, as it lies in a checkpoint."""


class LRCallback(TrainerCallback):
    """Sets the learning rates of a `transformers.Trainer`, layer by layer, as a policy decides.

        trainer = Trainer(model, args, train_dataset=data, callbacks=[LRCallback("asg-base")])

    The Trainer's own schedule goes on and is multiplied; `lr_scheduler_type="constant"` leaves all
    to the policy. Training losses are those that the Trainer backpropagates, whoever computes them;
    validation losses come from evaluations. The controller's state rides in the Trainer's
    checkpoints, and learning rates go to `state.log_history` with each log. Nothing hangs on the
    model, and after training nothing on the optimizer. A copy, pickled or not, has the history but
    no controller.

    Args:
        policy: a policy, or the name or folder of one.
        log_to: folder or `SummaryWriter` for the learning rates, see `LRController.log_to`.
        **options: of `LRController`; `total_steps` is the Trainer's unless given.

    Attributes:
        controller: the controller; None before training begins.
    """

    def __init__(
        self, policy: str | os.PathLike[str] | Policy, *, log_to: Any = None, **options: Any
    ) -> None:
        self.policy = as_policy(policy)
        self.log_to: str | os.PathLike[str] | Any = log_to
        self.options = check_options(options)
        self.controller: LRController | None = None
        self._carrying: Any = None
        self._losses: TrainerLosses | None = None
        self._loss: Tensor | None = None
        self._past: list[Decision] = []

    def __getstate__(self) -> dict[str, Any]:
        log_to = self.log_to if isinstance(self.log_to, str | os.PathLike) else None
        live = {"controller": None, "_carrying": None, "_losses": None, "_loss": None}
        return {**vars(self), **live, "log_to": log_to, "_past": self.history}

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        """Attach, and go on from what a checkpoint brought along."""
        optimizer = _torch_optimizer(optimizer)
        assert model is not None
        self._let_go()
        _release(optimizer, state)
        # The Trainer has loaded its checkpoint by now; torch keeps what stood in a param group.
        saved = _state_at(optimizer.param_groups[0].pop(STATE_KEY, None), state.global_step)
        # Without its state a controller begins anew, for what is left of the training.
        begun = state.global_step if saved is None else 0
        steps = max(1, state.max_steps - begun)
        options = {"total_steps": steps, **fresh(self.options)}
        self.controller = LRController(self.policy, optimizer, model, **options)
        self._carrying = optimizer.register_state_dict_post_hook(partial(_carry_state, state))
        if saved is not None:
            try:
                self.controller.load_state_dict(saved)
            except Exception:
                self._let_go()
                raise
        if self.log_to is not None:
            self.controller.log_to(self.log_to)
        _attached[optimizer] = weakref.ref(self), weakref.ref(state)
        trainer = find_trainer(self)
        self._losses = None if trainer is None else TrainerLosses(trainer, self._see)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Begin the step's loss."""
        self._loss = None

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        """Report the loss of the step, over all its micro-batches."""
        if self._loss is not None and self.controller is not None:
            self.controller.observe(loss=self._loss)
        self._loss = None

    def on_evaluate(self, *_: Any, metrics: dict[str, Any] | None = None, **__: Any) -> None:
        """Report the validation loss."""
        if self.controller is not None and metrics and metrics.get("eval_loss") is not None:
            self.controller.observe(val_loss=float(metrics["eval_loss"]))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Add the learning rates to the log, and take its loss where no other was seen."""
        if self.controller is None or not logs or "loss" not in logs:
            return
        if self._losses is None:
            self.controller.observe(loss=float(logs["loss"]))
        rates = {f"learning_rate/{k}": v for k, v in self.controller.get_last_lr().items()}
        if state.log_history:
            state.log_history[-1].update(rates)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Let go of the optimizer; the controller stays, to be looked at."""
        self._let_go()

    @property
    def history(self) -> list[Decision]:
        """The decisions so far; in a copy, those of the original."""
        return list(self._past if self.controller is None else self.controller.history)

    def _see(self, loss: Tensor) -> bool:
        if self._losses is None or not has_callback(self._losses.trainer, self):
            # A copy, or removed after a training that failed: this one is none of its business.
            self._let_go()
            return False
        loss = loss.detach().float().mean()
        self._loss = loss if self._loss is None else self._loss + loss
        return True

    def _let_go(self) -> None:
        """Take all off what an earlier training left, also one that ended with an exception."""
        if self._losses is not None:
            self._losses.remove()
        if self._carrying is not None:
            self._carrying.remove()
            assert self.controller is not None
            self.controller.detach()
        self._losses = self._carrying = self._loss = None


_attached: weakref.WeakKeyDictionary[Optimizer, tuple[Any, Any]] = weakref.WeakKeyDictionary()
"""Weak references to the callback of an optimizer and to the state of its training."""


def _release(optimizer: Optimizer, state: TrainerState) -> None:
    """Detach the callback of an earlier training, which ended without telling it."""
    callback, training = (ref() for ref in _attached.get(optimizer, ()) or (_nothing, _nothing))
    # Two callbacks in one training are refused by the controller.
    if callback is not None and training is not state:
        callback._let_go()


def _nothing() -> None:
    return None


def _torch_optimizer(optimizer: Any) -> Optimizer:
    inner, seen = optimizer, 0
    # accelerate's wrapper is an Optimizer itself; a Trainer that trains twice may wrap it twice.
    while getattr(inner, "optimizer", None) is not None and seen < 10:
        inner, seen = inner.optimizer, seen + 1
    if not isinstance(inner, Optimizer):
        raise TypeError(
            f"the Trainer's optimizer, a {type(inner).__name__}, is no torch optimizer; "
            "DeepSpeed and Lomo step by themselves and cannot be controlled"
        )
    return inner


def _state_at(saved: Any, step: int) -> dict[str, Any] | None:
    """Return a controller's state as it was saved at this step of the Trainer, else None.

    Torch keeps what a param group holds: a run without a controller hands the state on to its own
    checkpoints, at later steps, where it holds no longer.
    """
    if not step:
        return None
    if not isinstance(saved, Mapping):
        logger.warning(
            "l2o: the checkpoint, of step %d, has no state of a controller, which begins anew", step
        )
        return None
    state = dict(saved)
    stamp = state.pop(STEP_KEY, state.get("step"))
    if stamp == step:
        return state
    logger.warning(
        "l2o: the checkpoint is of step %d, the controller's state in it of step %s of another "
        "training; the controller begins anew",
        step,
        stamp,
    )
    return None


def _carry_state(state: TrainerState, _: Optimizer, state_dict: dict[str, Any]) -> None:
    """Put the controller's state where it outlives a load without a controller: a param group."""
    if STATE_KEY in state_dict:
        carried = {**state_dict[STATE_KEY], STEP_KEY: state.global_step}
        state_dict["param_groups"][0][STATE_KEY] = carried

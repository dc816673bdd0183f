"""Hugging Face's Trainer: a callback that attaches a controller and feeds it."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from l2o.controller import STATE_KEY, LRController
from l2o.history import Decision
from l2o.integrations.base import as_policy, check_options, fresh, missing
from l2o.policy import Policy

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise missing("transformers", "hf") from error


class LRCallback(TrainerCallback):
    """Sets the learning rates of a `transformers.Trainer`, layer by layer, as a policy decides.

        trainer = Trainer(model, args, train_dataset=data, callbacks=[LRCallback("asg-base")])

    The Trainer's own schedule goes on and is multiplied; `lr_scheduler_type="constant"` leaves all
    to the policy. Training losses come from the model's output (where it computes none, from the
    Trainer's log), validation losses from evaluations. The controller's state rides in the
    Trainer's checkpoints, and learning rates go to `state.log_history` with each log.

    Args:
        policy: a policy, or the name or folder of one.
        log_to: folder or `SummaryWriter` for the learning rates, see `LRController.log_to`.
        **options: of `LRController`; `total_steps` is the Trainer's unless given.

    Attributes:
        controller: the controller; None before training begins.
    """

    def __init__(self, policy: str | Policy, *, log_to: Any = None, **options: Any) -> None:
        self.policy = as_policy(policy)
        self.log_to: str | os.PathLike[str] | Any = log_to
        self.options = check_options(options)
        self.controller: LRController | None = None
        self._handles: list[Any] = []
        self._losses: list[Tensor] = []
        self._summed = False
        self._sees_losses = False

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
        if self.controller is not None:
            self.controller.detach()
        # The Trainer has loaded its checkpoint by now; torch keeps what stood in a param group.
        saved = optimizer.param_groups[0].pop(STATE_KEY, None)
        options = {"total_steps": state.max_steps, **fresh(self.options)}
        self.controller = LRController(self.policy, optimizer, model, **options)
        if saved is not None:
            self.controller.load_state_dict(saved)
        if self.log_to is not None:
            self.controller.log_to(self.log_to)
        see = torch.compiler.disable(self._see_output)
        self._handles = [
            optimizer.register_state_dict_post_hook(_carry_state),
            model.register_forward_hook(see, with_kwargs=True),
        ]
        self._losses, self._sees_losses = [], False

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        """Report the loss of the step, over all its micro-batches."""
        if self._losses and self.controller is not None:
            total = torch.stack(self._losses).sum()
            self.controller.observe(loss=total if self._summed else total / len(self._losses))
            self._losses = []

    def on_evaluate(self, *_: Any, metrics: dict[str, Any] | None = None, **__: Any) -> None:
        """Report the validation loss."""
        if self.controller is not None and metrics and "eval_loss" in metrics:
            self.controller.observe(val_loss=metrics["eval_loss"])

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Add the learning rates to the log, and take its loss where the model gives none."""
        if self.controller is None or not logs or "loss" not in logs:
            return
        if not self._sees_losses:
            self.controller.observe(loss=float(logs["loss"]))
        rates = {f"learning_rate/{k}": v for k, v in self.controller.get_last_lr().items()}
        state.log_history[-1].update(rates)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Stop watching the model; the controller stays, to be looked at."""
        self._let_go()

    @property
    def history(self) -> list[Decision]:
        """The decisions so far."""
        return [] if self.controller is None else list(self.controller.history)

    def _see_output(
        self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any
    ) -> None:
        loss = output.get("loss") if hasattr(output, "get") else None
        if loss is None or not module.training:
            return
        # Told how many items the whole step has, a model gives its share of the loss, else a mean.
        self._summed = kwargs.get("num_items_in_batch") is not None
        self._sees_losses = True
        self._losses.append(loss.detach().float().mean())

    def _let_go(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


def _torch_optimizer(optimizer: Any) -> Optimizer:
    inner = getattr(optimizer, "optimizer", optimizer)
    if not isinstance(inner, Optimizer):
        raise TypeError(
            f"the Trainer's optimizer, a {type(inner).__name__}, is no torch optimizer; "
            "DeepSpeed and Lomo step by themselves and cannot be controlled"
        )
    return inner


def _carry_state(_: Optimizer, state_dict: dict[str, Any]) -> None:
    """Put the controller's state where it outlives a load without a controller: a param group."""
    if STATE_KEY in state_dict:
        state_dict["param_groups"][0][STATE_KEY] = state_dict[STATE_KEY]

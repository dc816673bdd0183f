"""Lightning: a callback that attaches a controller to each optimizer and feeds it."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from l2o.control.controller import LRController
from l2o.control.history import Decision
from l2o.control.state import STATE_KEY
from l2o.deciding.given import as_policy
from l2o.deciding.policy import Policy
from l2o.extras import needed_by
from l2o.integrations.base import check_options, fresh
from l2o.integrations.networks import grouping_of, network_of
from l2o.integrations.pending_losses import PendingLosses

with needed_by("l2o.integrations.lightning"):
    from lightning.pytorch import Callback, LightningModule, Trainer

logger = logging.getLogger("l2o")


class LRCallback(Callback):
    """Sets the learning rates of a Lightning run, layer by layer, as a policy decides.

        trainer = Trainer(max_epochs=3, callbacks=[LRCallback("asg-base")])

    Works with automatic and manual optimization, raw optimizers (`use_pl_optimizer=False`), several
    optimizers, LR schedulers, and layers that are thawed or added later. The training loss is what
    is backpropagated; the validation loss is the logged metric `monitor`. Layer groups are those of
    the module less what other optimizers train; where that is one attribute (`self.model`, ...), of
    that. Controllers' states ride in Lightning's checkpoints; learning rates go to its loggers.
    After `fit` nothing is left on the optimizers. A copy, pickled or not, has the history but no
    controllers.

    Args:
        policy: a policy, or the name or folder of one; or one per optimizer, None to leave that
            optimizer alone.
        monitor: the logged metric that is the validation loss.
        **options: of `LRController`; `total_steps` is Lightning's estimate unless given.

    Raises:
        ValueError: when training begins: another number of policies than of optimizers.

    Attributes:
        controllers: one per optimizer, in their order; None where it was left alone.
    """

    def __init__(
        self,
        policy: str | os.PathLike[str] | Policy | Sequence[str | Policy | None],
        *,
        monitor: str = "val_loss",
        **options: Any,
    ) -> None:
        self.policy = policy
        self.monitor = monitor
        self.options = check_options(options)
        self.controllers: list[LRController | None] = []
        self._past: list[Decision] = []
        self._begin()

    def _begin(self) -> None:
        self._active: dict[int, LRController] = {}
        self._handles: list[Any] = []
        self._losses = PendingLosses()
        self._stepping: Optimizer | None = None
        self._sees_losses = False
        self._loaded_step: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        live = ("_active", "_handles", "_losses", "_stepping", "_sees_losses", "_loaded_step")
        kept = {key: value for key, value in vars(self).items() if key not in live}
        return {**kept, "controllers": [], "_past": self.history}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @property
    def controller(self) -> LRController | None:
        """The controller of the first optimizer that has one; None before training begins."""
        return next((c for c in self.controllers if c is not None), None)

    @property
    def history(self) -> list[Decision]:
        """The decisions of `controller` so far; in a copy, those of the original."""
        return list(self._past if self.controller is None else self.controller.history)

    # Attaching and letting go -------------------------------------------------------------------

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach to the optimizers; a checkpoint is restored only after this."""
        self._let_go()
        policies = self._policies(len(trainer.optimizers))
        self._losses, self._sees_losses = PendingLosses(), False
        self.controllers = [None] * len(policies)
        for index, policy in enumerate(policies):
            optimizer = _torch_optimizer(trainer.optimizers[index])
            # Before the controller's own hooks: losses are to be known when a step ends.
            before = torch.compiler.disable(partial(self._before_step, pl_module))
            self._handles += [
                optimizer.register_step_pre_hook(before),
                optimizer.register_step_post_hook(torch.compiler.disable(self._after_step)),
            ]
            if policy is not None:
                self._attach(trainer, pl_module, index, policy, done=0)

    def _attach(
        self, trainer: Trainer, module: LightningModule, index: int, policy: Policy, done: int
    ) -> None:
        optimizers = [_torch_optimizer(one) for one in trainer.optimizers]
        optimizer = optimizers[index]
        total = trainer.estimated_stepping_batches
        known = math.isfinite(total) and total > 0
        steps = {"total_steps": max(1, int(total) - done) if known else None}
        network = network_of(module, optimizer, optimizers)
        given = fresh(self.options)
        grouping = {} if {"by", "head"} & set(given) else grouping_of(network, optimizer)
        options = {**steps, **grouping, **given}
        controller = LRController(policy, optimizer, network, **options)
        self.controllers[index] = self._active[id(optimizer)] = controller
        self._log_decisions(trainer, controller)

    def _policies(self, count: int) -> list[Policy | None]:
        if isinstance(self.policy, str | os.PathLike | Policy):
            return [as_policy(self.policy)] * count
        if len(self.policy) != count:
            raise ValueError(
                f"{len(self.policy)} policies for {count} optimizers; give one policy for all, or "
                "one for each, None to leave an optimizer alone"
            )
        return [None if policy is None else as_policy(policy) for policy in self.policy]

    def _log_decisions(self, trainer: Trainer, controller: LRController) -> None:
        index = sum(c is not None for c in self.controllers) - 1
        prefix = f"optimizer{index}/" if len(trainer.optimizers) > 1 else ""

        def log(decision: Decision) -> None:
            names = (f"{prefix}learning_rate/{group.name}" for group in controller.groups)
            rates = dict(zip(names, decision.learning_rates, strict=True))
            for each in trainer.loggers:
                each.log_metrics(rates, step=trainer.global_step)

        controller.history.listeners.append(log)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the optimizers; the controllers stay, to be looked at."""
        if stage == "fit":
            self._let_go()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Let go of the optimizers."""
        self._let_go()

    def _let_go(self) -> None:
        for handle in self._handles:
            handle.remove()
        for controller in self._active.values():
            controller.detach()
        self._handles, self._active = [], {}

    # Checkpoints --------------------------------------------------------------------------------

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note the step; after `fit`, put the states where optimizers put them during it."""
        checkpoint[STATE_KEY] = {"global_step": trainer.global_step}
        states = checkpoint.get("optimizer_states") or []
        for controller, state in zip(self.controllers, states, strict=False):
            if controller is not None and isinstance(state, dict) and STATE_KEY not in state:
                state[STATE_KEY] = controller.state_dict()

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note of which step the controllers' states are."""
        noted = checkpoint.get(STATE_KEY)
        self._loaded_step = noted.get("global_step") if isinstance(noted, Mapping) else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew where the training goes on but no state of a controller came with it."""
        step, loaded = trainer.global_step, self._loaded_step
        self._loaded_step = None
        if not step:
            return
        stale = loaded is not None and loaded != step
        begun = [c is not None and (stale or not c.steps) for c in self.controllers]
        if any(begun):
            logger.warning(
                "l2o: the training goes on at step %d, without a controller's state of that step; "
                "the controller begins anew, for what is left",
                step,
            )
        for index, (controller, anew) in enumerate(zip(self.controllers, begun, strict=True)):
            if controller is None or not anew:
                continue
            assert controller.policy is not None
            controller.detach()
            done = step // len(trainer.optimizers)
            self._attach(trainer, pl_module, index, controller.policy, done)

    # Losses -------------------------------------------------------------------------------------

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin a batch."""
        self._stepping = None  # of a step that raised
        self._losses.begin_batch()

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Take the loss, without the factors of gradient accumulation and loss scaling."""
        loss = loss.detach().float().mean()
        if pl_module.automatic_optimization:
            loss = loss * trainer.accumulate_grad_batches
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None:
            loss = loss / scaler.scale(torch.ones_like(loss))
        self._sees_losses = True
        self._losses.add(loss)
        if self._stepping is not None:  # in the closure of a step by hand
            self._tell(self._stepping)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Report the losses that led to this step."""
        self._tell(_torch_optimizer(optimizer))

    def _before_step(
        self, module: LightningModule, optimizer: Optimizer, *_: Any, **__: Any
    ) -> None:
        """Report the losses of a step by hand, which may go past Lightning."""
        # In automatic optimization the last loss is yet to come, in the closure of the step.
        if not module.automatic_optimization:
            self._stepping = optimizer
            self._tell(optimizer)

    def _after_step(self, *_: Any, **__: Any) -> None:
        self._stepping = None

    def _tell(self, optimizer: Optimizer) -> None:
        loss = self._losses.take(id(optimizer))
        controller = self._active.get(id(optimizer))
        if controller is not None and loss is not None:
            controller.observe(loss=loss)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Take what the training step returned, if losses go past Lightning (`loss.backward()`)."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
        if isinstance(loss, Tensor) and not self._sees_losses:
            for controller in self._active.values():
                controller.observe(loss=loss.detach().float().mean())

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the validation loss."""
        value = trainer.callback_metrics.get(self.monitor)
        if value is not None and not trainer.sanity_checking:
            for controller in self._active.values():
                controller.observe(val_loss=float(value))


def _torch_optimizer(optimizer: Any) -> Optimizer:
    """Return the optimizer within Lightning's wrapper."""
    inner = getattr(optimizer, "optimizer", optimizer)
    return inner

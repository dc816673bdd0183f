"""Lightning: a callback that attaches a controller to each optimizer and feeds it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from l2o.controller import LRController
from l2o.history import Decision
from l2o.integrations.base import as_policy, check_options, fresh, missing
from l2o.policy import Policy

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise missing("lightning", "lightning") from error


class LRCallback(Callback):
    """Sets the learning rates of a Lightning run, layer by layer, as a policy decides.

        trainer = Trainer(max_epochs=3, callbacks=[LRCallback("asg-base")])

    Works with automatic and manual optimization, several optimizers and LR schedulers. The
    training loss is what is backpropagated; the validation loss is the logged metric `monitor`.
    Layer groups are those of the module's attribute that the optimizer trains (`self.model`, ...).
    Controllers' states ride in Lightning's checkpoints; learning rates go to its loggers.

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
        policy: str | Policy | Sequence[str | Policy | None],
        *,
        monitor: str = "val_loss",
        **options: Any,
    ) -> None:
        self.policy = policy
        self.monitor = monitor
        self.options = check_options(options)
        self.controllers: list[LRController | None] = []
        self._by_optimizer: dict[int, LRController] = {}
        self._losses: list[Tensor] = []

    @property
    def controller(self) -> LRController:
        """The controller of the first optimizer that has one."""
        return next(c for c in self.controllers if c is not None)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach to the optimizers; a checkpoint is restored only after this."""
        for controller in self.controllers:
            if controller is not None:
                controller.detach()
        policies = self._policies(len(trainer.optimizers))
        total = trainer.estimated_stepping_batches
        steps = {"total_steps": int(total) if math.isfinite(total) and total > 0 else None}
        self.controllers, self._by_optimizer = [], {}
        for policy, optimizer in zip(policies, trainer.optimizers, strict=True):
            options = {**steps, **fresh(self.options)}
            inner = getattr(optimizer, "optimizer", optimizer)
            network = network_of(pl_module, inner)
            controller = LRController(policy, inner, network, **options) if policy else None
            self.controllers.append(controller)
            if controller is not None:
                self._by_optimizer[id(inner)] = controller
                self._log_decisions(trainer, controller)
        self._losses = []

    def _policies(self, count: int) -> list[Policy | None]:
        if isinstance(self.policy, str | Policy):
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
            for logger in trainer.loggers:
                logger.log_metrics(rates, step=trainer.global_step)

        controller.history.listeners.append(log)

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
        self._losses.append(loss)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Report the losses that led to this step."""
        controller = self._by_optimizer.get(id(optimizer))
        if controller is not None and self._losses:
            controller.observe(loss=torch.stack(self._losses).mean())
        self._losses = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the validation loss."""
        value = trainer.callback_metrics.get(self.monitor)
        if value is not None and not trainer.sanity_checking:
            for controller in self._by_optimizer.values():
                controller.observe(val_loss=float(value))


def network_of(module: nn.Module, optimizer: Optimizer) -> nn.Module:
    """Return the direct child that an optimizer trains, or the whole: each network has its head.

    Example:
        >>> gan = nn.ModuleDict({"generator": nn.Linear(2, 3), "critic": nn.Linear(3, 1)})
        >>> network_of(gan, torch.optim.SGD(gan["critic"].parameters()))
        Linear(in_features=3, out_features=1, bias=True)
    """
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for child in module.children():
        if held <= {id(p) for p in child.parameters()}:
            return child
    return module

"""One fine-tune: a task, a real torch optimizer, guidance, and the real controller."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from l2o.configs.schema import FineTuning, Named
from l2o.controller import LRController
from l2o.envs.build import build
from l2o.envs.device import resolve_device
from l2o.envs.optimizers import OPTIMIZERS, InnerOptimizer
from l2o.envs.tasks.base import Examples, Task
from l2o.groups import group_layers, param_groups
from l2o.guidance import GUIDANCE, Guidance, ProxyKL
from l2o.policy import Policy
from l2o.spec import SignalSpec
from l2o.window import WindowMean

_PROXY_KL = ProxyKL()

SPLITS = ("source_validation", "target_validation", "target_test")


class FineTune:
    """Fine-tunes a task's network under a policy, or under multipliers set from outside.

    The loss is cross-entropy on source batches plus the guidance terms. Everything random derives
    from `seed`; on CPU two runs with equal arguments are bit-equal.

    Args:
        task: what to fine-tune.
        config: length, optimizer, guidance, decision interval, device.
        policy: sets the multipliers; None leaves that to `controller.set_multipliers`.
        base_lr: base learning rate; None takes the task's.
        seed: of the new head and the batches.
        validate: whether the policy is told the source validation loss at each decision.
        signals: the spec to observe with; None takes the policy's.

    Raises:
        ValueError: unknown optimizer or guidance, or values they refuse.
    """

    def __init__(
        self,
        task: Task,
        config: FineTuning,
        *,
        policy: Policy | None = None,
        base_lr: float | None = None,
        seed: int = 0,
        validate: bool = False,
        signals: SignalSpec | None = None,
    ) -> None:
        self.task = task
        self.config = config
        self.device = resolve_device(config.device)
        self.steps = config.steps or task.steps
        self.validate = validate
        self.step = 0
        self.diverged = False
        # Any: timm's convention (forward_features, ...) is duck-typed.
        self.model: Any = fresh_model(task, seed).to(self.device)
        self.proxy_head = copy.deepcopy(task.proxy_head).to(self.device).requires_grad_(False)
        groups = group_layers(self.model, head=self.model.get_classifier())
        rate = task.base_lr if base_lr is None else base_lr
        self.optimizer = build_optimizer(config).build(param_groups(groups, rate))
        self.guidance = build_guidance(config)
        self.controller = LRController(
            policy,
            self.optimizer,
            groups=groups,
            total_steps=self.steps,
            interval=config.interval,
            signals=signals,
            # A comparison of policies must not be one of rescues.
            guard=None,
        )
        self._source = task.source_train.to(self.device)
        self._teacher = task.teacher_logits.to(self.device)
        self._batches = batches(len(task.source_train), task.batch_size, seed)
        self._examples: dict[str, Examples] = {}
        self._loss, self._kl = WindowMean(), WindowMean()
        self.last_loss = self.last_proxy_kl = math.nan

    @property
    def done(self) -> bool:
        """Whether the fine-tune has ended: all steps taken, or diverged."""
        return self.diverged or self.step >= self.steps

    def advance(self, steps: int) -> None:
        """Take up to `steps` optimizer steps; stops at the end, and after a window that diverged.

        Afterwards `last_loss` and `last_proxy_kl` are the means over these steps.
        """
        for _ in range(min(steps, self.steps - self.step)):
            self._train_step()
        loss, _ = self._loss.close()
        kl, _ = self._kl.close()
        if steps > 0:
            self.last_loss, self.last_proxy_kl = loss, kl
            self.diverged = self.diverged or math.isinf(loss)

    def _train_step(self) -> None:
        index = next(self._batches).to(self.device)
        if self.validate and (self.step + 1) % self.config.interval == 0:
            self.controller.observe(val_loss=self.loss("source_validation"))
        features = self.model.forward_features(self._source.images[index])
        loss = functional.cross_entropy(
            self.model.forward_head(features), self._source.labels[index]
        )
        proxy_kl, guidance = self._guide(features, self._teacher[index])
        self.controller.observe(loss=loss, proxy_kl=proxy_kl)
        self._loss.add(loss)
        self._kl.add(proxy_kl)
        (loss + guidance).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1

    def _guide(self, features: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch's proxy KL, which every policy may see, and the guidance loss."""
        with torch.set_grad_enabled(bool(self.guidance)):
            student = self.proxy_head(features)
            kl = _PROXY_KL.divergence(student, teacher)
        total = torch.zeros((), device=self.device)
        for term in self.guidance:
            # The divergence is at hand: the signal and the loss term share one computation.
            shared = isinstance(term, ProxyKL)
            total = total + (term.weigh(kl) if shared else term(student, teacher))
        return kl.detach(), total

    @torch.no_grad()
    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.model.forward_features(images)
        return features

    def _data(self, split: str) -> Examples:
        if split not in self._examples:
            self._examples[split] = getattr(self.task, split).to(self.device)
        return self._examples[split]

    @torch.no_grad()
    def accuracy(self, split: str) -> float:
        """Return the share of right answers on one of `SPLITS`."""
        data = self._data(split)
        return _accuracy(self.model.forward_head(self._features(data.images)), data.labels)

    @torch.no_grad()
    def loss(self, split: str) -> float:
        """Return the mean cross-entropy on one of `SPLITS`."""
        data = self._data(split)
        logits = self.model.forward_head(self._features(data.images))
        return float(functional.cross_entropy(logits, data.labels))

    @torch.no_grad()
    def proxy_accuracy(self) -> float:
        """Return the accuracy of the proxy head on the fine-tuned backbone: what is kept."""
        data = self._data("proxy_test")
        return _accuracy(self.proxy_head(self._features(data.images)), data.labels)


def build_optimizer(config: FineTuning) -> InnerOptimizer:
    """Make what builds the inner optimizer."""
    return build("optimizer", OPTIMIZERS, config.optimizer)


def build_guidance(config: FineTuning) -> list[Guidance[Tensor]]:
    """Make the guidance terms."""
    return [
        build("guidance", GUIDANCE, Named(name=name, options=options))
        for name, options in config.guidance.items()
    ]


def check_finetuning(config: FineTuning) -> None:
    """Raise what a fine-tune of this config would raise, before any work."""
    resolve_device(config.device)
    build_optimizer(config)
    build_guidance(config)


def fresh_model(task: Task, seed: int) -> Any:
    """Build the task's model, with a new head drawn from `seed`, batch norm frozen.

    Source for frozen batch norm: Chen et al., Automated Synthetic-to-Real Generalization.
    """
    model: Any = task.build_model().train()
    draw_head(model, seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return model


def draw_head(model: Any, seed: int) -> None:
    """Draw a model's head anew, in place; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would reseed the GPUs for good, and takes a millisecond.
        torch.default_generator.manual_seed(seed)
        for module in model.get_classifier().modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()


def batches(examples: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Yield index tensors forever: each epoch a new permutation, a last short batch dropped."""
    generator = torch.Generator().manual_seed(seed)
    size = min(batch_size, examples)
    while True:
        order = torch.randperm(examples, generator=generator)
        yield from order[: examples // size * size].split(size)


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    # A network of NaNs would otherwise be credited with every image of class 0.
    right = (logits.argmax(-1) == labels) & torch.isfinite(logits).all(-1)
    return float(right.float().mean())

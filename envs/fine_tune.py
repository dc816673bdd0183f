"""One fine-tune: a task, a real torch optimizer, guidance, and the real controller."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from l2o.configs.schema import FineTuning, Named
from l2o.control.controller import LRController
from l2o.deciding.policy import Policy
from l2o.envs.build import build
from l2o.envs.optimizers import OPTIMIZERS, InnerOptimizer
from l2o.envs.optimizers.base import judged
from l2o.envs.runtime.device import resolve_device
from l2o.envs.tasks.base import Examples, Task
from l2o.envs.teacher import Teacher
from l2o.guarding.guard import Guard
from l2o.guidance import (
    GUIDANCE,
    Guidance,
    LayerMaps,
    ProxyKL,
    backbone_parameters,
    copy_parameters,
)
from l2o.intervals import Interval, Windows
from l2o.intervals.plain import as_interval
from l2o.layers.groups import group_layers, param_groups
from l2o.measures import Outputs
from l2o.measuring.window import WindowMean
from l2o.registry import unknown_name
from l2o.signals.spec import SignalSpec

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
        guidance_actions: without a policy, names of the guidance terms whose weights the
            multipliers scale, too; a policy names its own.
        cache_teacher: whether the frozen network's outputs on the source images are computed once;
            else they are computed anew in each step, to the same numbers.
        guard: what a user's own loop has by default; None: a comparison of policies must not be
            one of rescues.

    Raises:
        ValueError: unknown optimizer or guidance, or values they refuse, or guidance that the task
            does not have the means for.
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
        guidance_actions: Sequence[str] = (),
        cache_teacher: bool = True,
        guard: Guard | None = None,
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
        terms = build_guidance(config)
        self.guidance = prepare_guidance(terms.values(), task)
        named = dict(zip(terms, self.guidance, strict=True))
        if policy is None:
            check_guidance_actions(guidance_actions, named)
            named = {name: named[name] for name in guidance_actions}
        self.interval = decision_interval(config)
        self._windows = Windows(self.interval, self.steps)
        self.controller = LRController(
            policy,
            self.optimizer,
            groups=groups,
            total_steps=self.steps,
            interval=self.interval,
            signals=signals,
            guidance=named,
            guard=guard,
        )
        self.teacher = Teacher(
            task, self.model, self.guidance, self.device, seed=seed, cache=cache_teacher
        )
        self._prepare_student(rate)
        self._batches = batches(len(task.source_train), task.batch_size, seed)
        self._examples: dict[str, Examples] = {}
        self._loss, self._kl = WindowMean(), WindowMean()
        self.last_loss = self.last_proxy_kl = math.nan

    def _prepare_student(self, rate: float) -> None:
        """Make what the guidance terms look at and train beside the network's own outputs."""
        wanted = {term.compares for term in self.guidance}
        self._held: dict[str, Any] = {}
        self._start: dict[str, Tensor] = {}
        if "parameters" in wanted:
            self._held["parameters"] = backbone_parameters(self.model, self.model.get_classifier())
            self._start = copy_parameters(self._held["parameters"])
        if "maps" in wanted:
            self._held["maps"] = LayerMaps(self.model, self.teacher.layers).maps
        self._base_lr = rate
        trained = [p for term in self.guidance for p in term.parameters()]
        self.guidance_optimizer = (
            build_optimizer(self.config).build([{"params": trained, "lr": rate}])
            if trained
            else None
        )

    @property
    def done(self) -> bool:
        """Whether the fine-tune has ended: all steps taken, or diverged."""
        return self.diverged or self.step >= self.steps

    @property
    def window(self) -> int:
        """Optimizer steps until the next decision, or the end if that comes first."""
        return min(self._windows.end_after(self.step), self.steps) - self.step

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
        if self.validate and self._windows.ends_at(self.step + 1):
            self.controller.observe(val_loss=self.loss("source_validation"))
        images, teacher = self.teacher.draw(index)
        features = self.model.forward_features(images)
        loss = functional.cross_entropy(
            self.model.forward_head(features), self.teacher.source.labels[index]
        )
        proxy_kl, guidance = self._guide(features, teacher)
        self.controller.observe(loss=loss, proxy_kl=proxy_kl)
        self._loss.add(loss)
        self._kl.add(proxy_kl)
        (loss + guidance).backward()
        self._step_guidance()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1

    def _guide(self, features: Tensor, teacher: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return the batch's proxy KL, which every policy may see, and the guidance loss."""
        wanted = any(term.compares == "logits" for term in self.guidance)
        with torch.set_grad_enabled(wanted):
            logits = self.proxy_head(features)
            kl = _PROXY_KL.divergence(logits, teacher["logits"])
        student = {"logits": logits, "features": features, **self._held}
        teacher = {**teacher, "parameters": self._start}
        total = torch.zeros((), device=self.device)
        progress = self.step / self.steps
        for term in self.guidance:
            what = term.compares
            # The divergence is at hand: the signal and the loss term share one computation.
            shared = term.measured_as == "proxy_kl"
            divergence = kl if shared else term.divergence(student[what], teacher[what])
            total = total + term.weigh(divergence, progress)
        return kl.detach(), total

    def _step_guidance(self) -> None:
        """Train what guidance terms have of their own, at the learning rate of the head."""
        if self.guidance_optimizer is None:
            return
        heads = [group.is_head for group in self.controller.groups]
        multiplier = list(self.controller.multipliers.values())[heads.index(True)]
        self.guidance_optimizer.param_groups[0]["lr"] = self._base_lr * multiplier
        self.guidance_optimizer.step()
        self.guidance_optimizer.zero_grad()

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
        with judged(self.optimizer):
            return _accuracy(self.model.forward_head(self._features(data.images)), data.labels)

    @torch.no_grad()
    def loss(self, split: str) -> float:
        """Return the mean cross-entropy on one of `SPLITS`."""
        data = self._data(split)
        with judged(self.optimizer):
            logits = self.model.forward_head(self._features(data.images))
        return float(functional.cross_entropy(logits, data.labels))

    @torch.no_grad()
    def outputs(self, split: str) -> Outputs:
        """Return logits, labels and features on one of `SPLITS`, for `l2o.measures`."""
        data = self._data(split)
        with judged(self.optimizer):
            features = self._features(data.images)
            logits = self.model.forward_head(features)
        return Outputs(logits=logits, labels=data.labels, features=features)

    @torch.no_grad()
    def proxy_accuracy(self) -> float:
        """Return the accuracy of the proxy head on the fine-tuned backbone: what is kept."""
        data = self._data("proxy_test")
        with judged(self.optimizer):
            return _accuracy(self.proxy_head(self._features(data.images)), data.labels)


def build_optimizer(config: FineTuning) -> InnerOptimizer:
    """Make what builds the inner optimizer."""
    return build("optimizer", OPTIMIZERS, config.optimizer)


def build_guidance(config: FineTuning) -> dict[str, Guidance[Any]]:
    """Make the guidance terms, by name."""
    return {
        name: build("guidance", GUIDANCE, Named(name=name, options=options))
        for name, options in config.guidance.items()
    }


def prepare_guidance(terms: Iterable[Guidance[Any]], task: Task) -> list[Guidance[Any]]:
    """Give terms what they need to know of a task's pretraining.

    Raises:
        ValueError: the task does not know it.
    """
    return [
        term.with_pretraining(lambda: importance_of(task.name, task.importance)) for term in terms
    ]


def importance_of(
    name: str, importance: Callable[[], Mapping[str, Tensor]] | None
) -> Mapping[str, Tensor]:
    """Return the importance of the parameters of a task's proxy.

    Raises:
        ValueError: the task does not know it.
    """
    if importance is None:
        raise ValueError(
            f"task {name!r} does not know how important its proxy's parameters are, which "
            "guidance 'si' needs; give Task.importance, gathered by "
            "l2o.guidance.ImportanceTracker or estimated by estimate_importance"
        )
    with torch.enable_grad():
        return importance()


def decision_interval(config: FineTuning) -> Interval:
    """Return the interval that a config's number or mapping stands for."""
    return as_interval(config.model_dump(include={"interval"})["interval"])


def check_guidance_actions(names: Sequence[str], guidance: Mapping[str, Any]) -> None:
    """Raise unless all names are those of guidance terms, each once.

    Raises:
        ValueError: an unknown name, or one that is there twice.
    """
    for name in names:
        if name not in guidance:
            raise ValueError(
                unknown_name("guidance term", name, guidance)
                + " environment.guidance_actions takes names of finetuning.guidance."
            )
        if names.count(name) > 1:
            raise ValueError(f"environment.guidance_actions names {name!r} twice; name it once")


def check_finetuning(config: FineTuning) -> None:
    """Raise what a fine-tune of this config would raise, before any work."""
    resolve_device(config.device)
    decision_interval(config)
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

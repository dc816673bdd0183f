"""One fine-tune: a task, a real torch optimizer, guidance, and the real controller."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from l2o.configs.schema import FineTuning
from l2o.control.controller import LRController
from l2o.deciding.policy import Policy
from l2o.envs.fine_tuning.base_schedule import BaseSchedule
from l2o.envs.fine_tuning.compute import part_of, parts
from l2o.envs.fine_tuning.forward import Forward
from l2o.envs.fine_tuning.fresh import fresh_model
from l2o.envs.fine_tuning.inner_loop import InnerLoop, check_guidance_actions
from l2o.envs.fine_tuning.orders import batches
from l2o.envs.fine_tuning.processes import OneProcess
from l2o.envs.fine_tuning.random_stream import RandomStream, draws
from l2o.envs.fine_tuning.scoring import Scoring
from l2o.envs.fine_tuning.sources.make import mix_of, rehearsal_of, sourced
from l2o.envs.fine_tuning.teacher import Teacher
from l2o.envs.tasks.base import Task
from l2o.guarding.guard import Guard
from l2o.guidance import LayerMaps, ProxyKL, backbone_parameters, copy_parameters
from l2o.intervals import Windows
from l2o.layers.groups import LayerGroup, group_layers, param_groups
from l2o.measures import Outputs
from l2o.measuring.window import WindowMean
from l2o.registry import unknown_name
from l2o.schedules import Schedule
from l2o.signals.spec import SignalSpec

_PROXY_KL = ProxyKL()

SPLITS = ("source_validation", "target_validation", "target_test")
"""What a fine-tuned network is scored on; `proxy_scores` scores what it keeps of the proxy."""


class FineTune:
    """Fine-tunes a task's network under a policy, or under multipliers set from outside.

    The loss is the task's objective on source batches plus the guidance terms. Everything random
    derives from `seed`; on CPU two runs with equal arguments are bit-equal.

    Args:
        task: what to fine-tune.
        config: length, optimizer, guidance, decision interval, device; resolved or not.
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
        processes: that share the fine-tune; None: this one has it alone.
        base_schedule: moves the base learning rate step by step, under whatever the multipliers
            are; None: it stays.
        begin_from: weights to begin from, as a stage before left them; None: the pretrained ones
            and a new head. What guidance compares with is the pretrained network in any case.
        grouping: how layers are grouped: a number of groups at most, or name -> regular expression
            (`l2o.group_layers`); None: one group for each block.

    Attributes:
        objective: what the network's outputs mean: its loss, and the metrics of `scores`.
        proxy_objective: likewise of the proxy head.

    Raises:
        ValueError: unknown optimizer or guidance, or values they refuse, or guidance that the task
            does not have the means for.
    """

    def __init__(
        self,
        task: Task,
        config: FineTuning | InnerLoop,
        *,
        policy: Policy | None = None,
        base_lr: float | None = None,
        seed: int = 0,
        validate: bool = False,
        signals: SignalSpec | None = None,
        guidance_actions: Sequence[str] = (),
        cache_teacher: bool = True,
        guard: Guard | None = None,
        processes: OneProcess | None = None,
        base_schedule: Schedule | None = None,
        grouping: int | Mapping[str, str] | None = None,
        begin_from: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.task = task
        self.loop = InnerLoop.of(config)
        self.compute = self.loop.compute
        self.processes = processes or OneProcess()
        self.objective, self.proxy_objective = task.build_objectives()
        self.device = self.loop.device
        self.steps = self.loop.steps or task.steps
        self.interval = self.loop.interval_of(policy, self.steps)
        self.validate = validate
        self.step = 0
        self.diverged = False
        # Any: timm's convention (forward_features, ...) is duck-typed.
        pretrained: Any = self.compute.lay_out(fresh_model(task, seed), self.device)
        self.model = pretrained if begin_from is None else copy.deepcopy(pretrained)
        if begin_from is not None:
            self.model.load_state_dict(begin_from)
        self.proxy_head = copy.deepcopy(task.proxy_head).to(self.device).requires_grad_(False)
        groups = grouped(self.model, grouping)
        rate = task.base_lr if base_lr is None else base_lr
        self.optimizer = self.loop.optimizer.build(param_groups(groups, rate))
        self.base_schedule = BaseSchedule(self.optimizer, base_schedule, self.steps)
        named = self.loop.terms(task)
        self.guidance = list(named.values())
        if policy is None:
            check_guidance_actions(guidance_actions, named)
            named = {name: named[name] for name in guidance_actions}
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
            task, pretrained, self.guidance, self.device, seed, cache_teacher, self.compute
        )
        self._prepare_student(rate, pretrained)
        self._prepare_steps(seed, pretrained)

    def _prepare_steps(self, seed: int, pretrained: Any) -> None:
        """Make what steps and scores are computed with."""
        task = self.task
        forward = self.compute.compiled(self.processes.wrap(Forward(self.model)))
        self._sourced = sourced(self.loop, task, self.model, forward)
        self._forward = self._sourced or forward
        self._scaler = self.compute.scaler(self.device)
        self._random = RandomStream(seed, self.device, draws(self.model))
        self._seed = seed
        self.mix = mix_of(self.loop, task, self.steps, seed)
        self.rehearsal = rehearsal_of(self.loop, task, self.proxy_head, seed)
        self._batches = self._read_on()
        self.scoring = Scoring(
            task,
            self.model,
            self.proxy_head,
            self.optimizer,
            self.compute,
            self.device,
            pretrained,
        )
        self._loss, self._kl = WindowMean(), WindowMean()
        self.last_loss = self.last_proxy_kl = math.nan

    def _prepare_student(self, rate: float, pretrained: Any) -> None:
        """Make what the guidance terms look at and train beside the network's own outputs."""
        wanted = {term.compares for term in self.guidance}
        self._held: dict[str, Any] = {}
        self._start: dict[str, Tensor] = {}
        if "parameters" in wanted:
            self._held["parameters"] = backbone_parameters(self.model, self.model.get_classifier())
            start = backbone_parameters(pretrained, pretrained.get_classifier())
            self._start = copy_parameters(start)
        if "maps" in wanted:
            self._held["maps"] = LayerMaps(self.model, self.teacher.layers).maps
        self._base_lr = rate
        trained = list(self._other_parameters())
        self.guidance_optimizer = (
            self.loop.optimizer.build([{"params": trained, "lr": rate}]) if trained else None
        )

    def _other_parameters(self) -> Iterator[nn.Parameter]:
        """Yield what is trained beside the network."""
        for term in self.guidance:
            yield from term.parameters()

    def _read_on(self) -> Iterator[tuple[Tensor, Tensor, dict[str, Any]]]:
        """Return the batches of the steps that are left."""
        task = self.task
        orders = (
            batches(len(task.source_train), task.batch_size, self._seed)
            if self.mix is None
            else self.mix.orders()
        )
        own = islice(orders, self.step, self.steps)
        left: Iterator[Tensor] = map(self.processes.share, own)
        if self._sourced is not None:
            left = self._sourced.noting(left)
        share = min(task.batch_size, len(task.source_train)) // self.processes.count
        return self.teacher.batches(left, first=self.step * share)

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
        self.base_schedule.set(self.step)
        if self.validate and self._windows.ends_at(self.step + 1):
            self.controller.observe(val_loss=self.scores("source_validation")["loss"])
        images, labels, teacher = next(self._batches)
        with self._random.lent():
            loss, proxy_kl = self._backward(self.compute.images(images), labels, teacher)
        loss, proxy_kl = self.processes.mean(loss), self.processes.mean(proxy_kl)
        self.controller.observe(loss=loss, proxy_kl=proxy_kl)
        self._loss.add(loss)
        self._kl.add(proxy_kl)
        self._step_guidance()
        self._scaler.unscale_(self.optimizer)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad()
        self.step += 1

    def _backward(
        self, images: Tensor, labels: Tensor, teacher: dict[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """Add up a batch's gradients, part by part; return its loss and proxy KL, detached."""
        losses, kls = [], []
        cut = parts(len(images), self.compute.accumulate)
        for part in cut:
            share = (part.stop - part.start) / len(images)
            with self.compute.autocast(self.device):
                features, outputs = self._forward(images[part])
                loss = self.objective.loss(outputs, labels[part])
                proxy_kl, guidance = self._guide(features, part_of(teacher, part))
                if self.rehearsal is not None:
                    guidance = guidance + self.rehearsal.term(self.model.forward_features)
            if self.mix is not None:
                self.mix.tell(self.objective.losses(outputs.detach(), labels[part]))
            total = loss + guidance
            self._scaler.scale(total if len(cut) == 1 else total * share).backward()
            losses.append(loss.detach() * share)
            kls.append(proxy_kl * share)
        if len(cut) == 1:
            return loss.detach(), proxy_kl
        return torch.stack(losses).sum(), torch.stack(kls).sum()

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
        rate = self._base_lr * self.base_schedule.factor(self.step)
        self.guidance_optimizer.param_groups[0]["lr"] = rate * multiplier
        self._average(self.guidance_optimizer)
        self._scaler.unscale_(self.guidance_optimizer)
        self._scaler.step(self.guidance_optimizer)
        self.guidance_optimizer.zero_grad()

    def _average(self, optimizer: Optimizer) -> None:
        """Average gradients over the processes, where no wrapper does."""
        if self.processes.count > 1:
            for parameter in optimizer.param_groups[0]["params"]:
                if parameter.grad is not None:
                    parameter.grad.copy_(self.processes.mean(parameter.grad))

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs to go on, as plain data and tensors.

        A fine-tune that goes on from it is the one that was never stopped, on CPU to the last bit.
        Take it between two calls of `advance`.
        """
        trained = self.guidance_optimizer
        return {
            "step": self.step,
            "diverged": self.diverged,
            "last": (self.last_loss, self.last_proxy_kl),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "guidance": [term.state_dict() for term in self.guidance],
            "guidance_optimizer": None if trained is None else trained.state_dict(),
            "teacher": self.teacher.state_dict(),
            "random": self._random.state_dict(),
            "scaler": self._scaler.state_dict(),
            "mix": None if self.mix is None else self.mix.state_dict(self.step),
            "norm": None if self._sourced is None else self._sourced.norm.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()` of a fine-tune with the same arguments.

        Raises:
            ValueError: it is of another fine-tune: more steps, other layers.
        """
        if not 0 <= state["step"] <= self.steps:
            raise ValueError(
                f"the state is of step {state['step']}, but this fine-tune has {self.steps} steps"
            )
        self.model.load_state_dict(state["model"])
        # The controller's state goes with the optimizer's.
        self.optimizer.load_state_dict(state["optimizer"])
        for term, own in zip(self.guidance, state["guidance"], strict=True):
            term.load_state_dict(own)
        if self.guidance_optimizer is not None:
            self.guidance_optimizer.load_state_dict(state["guidance_optimizer"])
        self.teacher.load_state_dict(state["teacher"])
        self._random.load_state_dict(state["random"])
        self._scaler.load_state_dict(state["scaler"])
        self.step, self.diverged = int(state["step"]), bool(state["diverged"])
        self.last_loss, self.last_proxy_kl = state["last"]
        if self.mix is not None:
            self.mix.load_state_dict(state["mix"])
        if self._sourced is not None:
            self._sourced.norm.load_state_dict(state["norm"])
        if self.rehearsal is not None:
            self.rehearsal.begin(self.step)
        self._batches = self._read_on()

    def scores(self, split: str) -> dict[str, float]:
        """Return the objective's metrics on one of `SPLITS`, the loss among them.

        They are NaN where the split's labels are not known.

        Raises:
            ValueError: there is no such split.
        """
        if split not in SPLITS:
            raise ValueError(unknown_name("split", split, list(SPLITS)))
        return self.scoring.scores(self.objective, split)

    def proxy_scores(self) -> dict[str, float]:
        """Return the metrics of the proxy head on the fine-tuned backbone: what is kept."""
        return self.scoring.proxy_scores(self.proxy_objective)

    def outputs(self, split: str) -> Iterator[Outputs]:
        """Yield outputs, labels and features of each batch of one of `SPLITS`, for `l2o.measures`.

        `l2o.measures.joined` puts together what a measure has to see at once.
        """
        return self.scoring.outputs(split)


def grouped(model: Any, grouping: int | Mapping[str, str] | None) -> tuple[LayerGroup, ...]:
    """Return a model's layer groups: so many at most, or those of regular expressions."""
    head = model.get_classifier()
    if grouping is None or isinstance(grouping, int):
        return group_layers(model, head=head, max_groups=grouping)
    return group_layers(model, by=grouping, head=head)

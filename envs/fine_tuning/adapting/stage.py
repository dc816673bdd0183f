"""The second stage: a fine-tune whose batches have unlabelled images of the target, too."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from l2o.adaptation import Batch, EmaTeacher, HeadInputs, Phase, SelfTraining, Side, target_orders
from l2o.envs.fine_tuning.adapting.forward import labelled, split_batch
from l2o.envs.fine_tuning.adapting.predicting import predictions
from l2o.envs.fine_tuning.adapting.rounds import UNLABELLED, Round, as_ignored, select
from l2o.envs.fine_tuning.adapting.settings import Settings, check_task
from l2o.envs.fine_tuning.adapting.target_batches import Target, target_batches
from l2o.envs.fine_tuning.compute import part_of, parts
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.fine_tuning.orders import batches
from l2o.envs.tasks.base import Task

logger = logging.getLogger("l2o")

_STREAM = 20
"""Begins the entropy of a stage's draws, apart from those of the stage before."""


class AdaptationStage(FineTune):
    """Trains on source and target at once, by a method of `l2o.adaptation`, in rounds or jointly.

    A round of self-training predicts all unlabelled images and selects pseudo-labels; one in which
    nothing is selected is passed over, and said so. The network, the optimizer and the controller
    go on through all rounds. Where a method takes several steps on a batch, each is one step here,
    and the gradients of what it does not train are dropped.

    Args:
        task: with `target_train`.
        settings: what is done.
        begin_from: weights of the stage before.
        on_round: told of each round's pseudo-labels.
        **others: of `FineTune`.

    Attributes:
        method: this stage's own copy.
        round: the newest pseudo-labels; None before the first, and in a joint stage.

    Raises:
        ValueError: the task has no unlabelled images, or several processes share the fine-tune.
    """

    def __init__(
        self,
        task: Task,
        settings: Settings,
        *,
        begin_from: Mapping[str, Tensor],
        seed: int = 0,
        on_round: Callable[[Round], None] | None = None,
        **others: Any,
    ) -> None:
        check_task(task)
        self.settings, self._entropy_of = settings, seed
        self.method = copy.deepcopy(settings.method)
        self.on_round = on_round
        self.round: Round | None = None
        self._begun = -1
        self._target: Target | None = None
        self._targets: Iterator[Target] = iter(())
        super().__init__(
            task,
            # Statistics of sources are pooled by now: batches are of the target, too.
            replace(settings.loop, steps=settings.steps, source_norm=False),
            begin_from=begin_from,
            seed=seed,
            base_schedule=settings.schedule,
            **others,
        )
        if self.processes.count > 1:
            raise ValueError("adaptation runs in one process; start it without a launcher")
        self._random.needed = self._random.needed or self.method.draws
        decay = settings.config.teacher
        self.ema = None if decay is None else EmaTeacher(self.model, decay)
        self._ignore: int | None = getattr(self.objective, "ignore_index", None)

    # What is made once -----------------------------------------------------------------------

    def _prepare_student(self, rate: float, pretrained: Any) -> None:
        head = self.model.get_classifier()
        image = self.task.target_train.still[0][0][None].to(self.device)  # type: ignore[union-attr]
        with torch.no_grad(), HeadInputs(head) as caught:
            self.model.forward_head(self.model.forward_features(self.compute.images(image)))
            features = caught.features
        self.method.seed = self.method.seed or self._entropy(0, 0)
        self.method.prepare(head, features)
        super()._prepare_student(rate, pretrained)

    def _other_parameters(self) -> Iterator[nn.Parameter]:
        yield from super()._other_parameters()
        yield from self.method.parameters()

    def _entropy(self, number: int, purpose: int) -> int:
        """Return a seed for a round and a purpose."""
        sequence = np.random.SeedSequence([_STREAM, self._entropy_of, number, purpose])
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))

    # Rounds ----------------------------------------------------------------------------------

    def _read_on(self) -> Iterator[Any]:
        return iter(())

    def begin_round(self) -> None:
        """Predict and select, if the method does, and make the round's batches ready."""
        number = self.step // self.settings.per_round
        if isinstance(self.method, SelfTraining):
            self.round = select(self.method, number, self._predictions, self.task.num_classes)
            self._tell(self.round)
        self._begun = number
        self._open()

    def _predictions(self) -> Iterator[Side]:
        assert self.task.target_train is not None
        return predictions(
            self.task.target_train.still,
            self.model,
            self.scoring,
            self.task.loading,
            self.device,
            self.ema,
        )

    def _tell(self, found: Round) -> None:
        kept, images = int(found.kept.sum()), len(found.counts)
        if found.empty:
            logger.warning(
                "round %d of self-training is passed over: none of %d images has a pseudo-label",
                found.number + 1,
                images,
            )
        else:
            logger.info("round %d: %d of %d images are labelled", found.number + 1, kept, images)
        if self.on_round is not None:
            self.on_round(found)

    @property
    def passed_over(self) -> bool:
        """Whether nothing is trained in this round."""
        return self.round is not None and self.round.empty

    def _open(self) -> None:
        """Make iterators over the batches of this round that are left."""
        settings, number = self.settings, self._begun
        within = self.step - number * settings.per_round
        done, total = within // settings.phases, -(-settings.per_round // settings.phases)
        source, target = settings.sizes(number, self.task.batch_size)
        if self.passed_over:
            return
        before = number * settings.per_round * (source + target)
        orders = batches(len(self.task.source_train), source, self._entropy(number, 1))
        source = min(source, len(self.task.source_train))
        self._batches = _repeated(
            self.teacher.batches(islice(orders, done, total), before + done * source),
            settings.phases,
            within % settings.phases,
        )
        self._targets = _repeated(
            target_batches(
                self.task.target_train,  # type: ignore[arg-type]
                self.round,
                islice(self._target_orders(target, number), done, total),
                self.task.loading,
                self.device,
                self._entropy(number, 2),
                before + done * target,
            ),
            settings.phases,
            within % settings.phases,
        )

    def _target_orders(self, size: int, number: int) -> Iterator[Tensor]:
        """Yield places of the target images of each batch."""
        assert self.task.target_train is not None
        config, seed = self.settings.config, self._entropy(number, 3)
        if self.round is None:
            none = torch.zeros(len(self.task.target_train), 1, dtype=torch.int64)
            yield from target_orders(none, size, seed)
            return
        pool = torch.arange(len(self.round.counts))
        if not getattr(self.method, "draws_all", False):
            pool = pool[self.round.kept]
        orders = target_orders(
            self.round.counts[pool],
            size,
            seed,
            balanced=config.balanced,
            rare=config.rare,
            probability=config.rare_probability,
        )
        for order in orders:
            yield pool[order]

    # Steps -----------------------------------------------------------------------------------

    def _train_step(self) -> None:
        if self.step // self.settings.per_round != self._begun:
            self.begin_round()
        if self.passed_over:
            self.step += 1
            return
        self._target = next(self._targets)
        super()._train_step()
        if self.ema is not None:
            self.ema.update(self.model)

    @property
    def phase(self) -> Phase:
        """The phase of the next step."""
        within = self.step - max(0, self._begun) * self.settings.per_round
        return self.method.phases[within % self.settings.phases]

    def _backward(
        self, images: Tensor, labels: Tensor, teacher: dict[str, Any]
    ) -> tuple[Tensor, Tensor]:
        assert self._target is not None
        target, phase = self._target, self.phase
        count = min(self.compute.accumulate, len(images), len(target[0]))
        told, kls = [], []
        for own, other in zip(parts(len(images), count), parts(len(target[0]), count), strict=True):
            share = (own.stop - own.start) / len(images)
            unlabelled = tuple(None if each is None else each[other] for each in target)
            with self.compute.autocast(self.device):
                total, loss, kl = self._losses(
                    images[own], labels[own], part_of(teacher, own), unlabelled, phase
                )
            self._scaler.scale(total if count == 1 else total * share).backward()
            told.append(loss * share)
            kls.append(kl * share)
        self._drop_gradients(phase)
        return torch.stack(told).sum(), torch.stack(kls).sum()

    def _losses(
        self,
        images: Tensor,
        labels: Tensor,
        teacher: dict[str, Any],
        target: Any,
        phase: Phase,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is minimised, the loss that a policy is told, and the proxy KL."""
        others, chosen, soft = target
        with HeadInputs(self.model.get_classifier()) as caught:
            ours, theirs = split_batch(
                self._forward, self.compute.images(images), self.compute.images(others), caught
            )
        loss = self.objective.loss(ours.side.outputs, labels)
        kl, guidance = self._guide(ours.backbone, teacher)
        source = labelled(ours.side, as_ignored(labels, self._ignore), None)
        unlabelled = theirs.side
        if chosen is not None:
            ignore = UNLABELLED if chosen.dim() > 1 else None
            unlabelled = labelled(unlabelled, as_ignored(chosen.long(), ignore), soft)
        batch = Batch(
            source,
            unlabelled,
            loss + guidance,
            self.model.get_classifier(),
            self.step / self.steps,
        )
        total = self.method.loss(batch, phase)
        if not self.method.relabels:
            # Of terms and of phases, which are on scales of their own, a policy is told nothing.
            return total, loss.detach(), kl
        part = len(images) / (len(images) + len(others))
        return total, (total - part * guidance).detach(), kl

    def _drop_gradients(self, phase: Phase) -> None:
        """Drop the gradients of what a phase does not train."""
        if phase.trains == "all":
            return
        head = {id(p) for p in self.model.get_classifier().parameters()}
        for parameter in self.model.parameters():
            if (id(parameter) in head) != (phase.trains == "head"):
                parameter.grad = None
        if phase.trains == "backbone":
            for parameter in self.method.parameters():
                parameter.grad = None

    def _step_guidance(self) -> None:
        trained = self.guidance_optimizer
        if trained is None or all(p.grad is None for p in trained.param_groups[0]["params"]):
            return
        super()._step_guidance()

    # State -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs to go on: the pseudo-labels, too."""
        return {
            **super().state_dict(),
            "method": self.method.state_dict(),
            "begun": self._begun,
            "round": None if self.round is None else self.round.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()` of a stage with the same arguments."""
        super().load_state_dict(state)
        self.method.load_state_dict(state["method"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.round = None if state["round"] is None else Round.from_state(state["round"])
        self._begun = int(state["begun"])
        if self._begun >= 0 and self.step // self.settings.per_round == self._begun:
            self._open()


def _repeated(made: Iterator[Any], times: int, skipped: int) -> Iterator[Any]:
    """Yield each of some things so many times, the first one less often."""
    for each in made:
        for _ in range(skipped, times):
            yield each
        skipped = 0

"""Some networks of one architecture, trained and evaluated together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from l2o.envs.stacked.data import EvaluationData, TrainingData
from l2o.envs.stacked.graph import GraphedStep
from l2o.envs.stacked.optimizers import STACKED_OPTIMIZERS, StackedOptimizer
from l2o.envs.stacked.stack import Stack
from l2o.envs.stacked.start import Prepared
from l2o.guidance import ProxyKL
from l2o.head_window import mean_and_std


class Chunk:
    """N fine-tunes of one architecture as stacked tensors; position i is one of them.

    Nothing here waits for the device: results stay on it until they are collected.

    Args:
        like: a start, for shapes, architecture and optimizer.
        kind: the kind of stack.
        count: N.
        capacity: room for source examples of each task.
        steps: room for batches of each fine-tune.
        guidance: the guidance term, None for plain fine-tuning.
        keep_start: whether drift is measured, which needs the weights of the start.
        watch_head: whether the mean and std of the head's weights are added up at every step.
        device: of everything.
        evaluation_batch: images of each network per forward pass when evaluating.
    """

    def __init__(
        self,
        like: Prepared,
        kind: type[Stack],
        count: int,
        *,
        capacity: int,
        steps: int,
        guidance: ProxyKL | None,
        keep_start: bool,
        watch_head: bool = False,
        device: torch.device,
        evaluation_batch: int,
    ) -> None:
        self.count = count
        self.layout = like.layout
        self.device = device
        self.guidance = guidance
        self.evaluation_batch = evaluation_batch
        self.members: list[Prepared | None] = [None] * count
        like_parameter = next(like.model.parameters())
        size = count * like.layout.numel
        self.parameters = torch.zeros(size, dtype=like_parameter.dtype, device=device)
        self.gradients = torch.zeros_like(self.parameters)
        self.before = torch.empty_like(self.parameters)
        self.start = torch.zeros_like(self.parameters) if keep_start else None
        make = STACKED_OPTIMIZERS[type(like.optimizer)]
        self.optimizer: StackedOptimizer = make(self.parameters, like.optimizer)
        self.weight = self.parameters.new_zeros(count)
        self.loss_sum = torch.zeros(count, device=device)
        self.kl_sum = torch.zeros(count, device=device)
        self.watch_head = watch_head
        self.head_sum = torch.zeros(2, count, device=device)
        self.validation_loss = torch.full((count,), torch.nan, device=device)
        self.data = TrainingData(like, count, capacity, steps, device)
        self._captured: Callable[[Tensor], None] | None = None
        self._evaluation: dict[str, tuple[EvaluationData, list[Tensor]]] = {}
        self.leaves, self._tensors, self._proxies = self._make_tensors(like)
        model, head = like.model, like.proxy_head
        self.stack = kind(model, head, self._tensors, self._proxies, count)

    def _make_tensors(
        self, like: Prepared
    ) -> tuple[list[Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Return the trained tensors (views of the flat buffer), all tensors, the proxy heads'."""
        views = self.layout.views(self.parameters, self.count)
        leaves = [view.detach().requires_grad_() for view in views]
        tensors = dict(zip(self.layout.names, leaves, strict=True))
        frozen = _stacked_like(like.model, self.count, self.device, skip=set(tensors))
        return leaves, tensors | frozen, _stacked_like(like.proxy_head, self.count, self.device)

    @torch.no_grad()
    def load(self, position: int, start: Prepared, default_weight: float) -> None:
        """Begin a fine-tune at a position; its neighbours go on untouched."""
        self.members[position] = start
        for module, tensors in ((start.model, self._tensors), (start.proxy_head, self._proxies)):
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                tensors[name].detach()[position] = tensor.to(self.device)
        self.data.load(position, start)
        weight = start.guidance_weight
        self.weight[position] = default_weight if weight is None else weight
        for buffer in self.optimizer.state():
            for row in self.layout.rows(buffer, self.count):
                row[position] = 0.0
        if self.start is not None:
            self._copy_rows(self.parameters, self.start, [position])
        self._evaluation.clear()

    def _copy_rows(self, source: Tensor, target: Tensor, positions: Sequence[int]) -> None:
        pairs = (self.layout.rows(buffer, self.count) for buffer in (source, target))
        chosen = list(positions)
        for one, other in zip(*pairs, strict=True):
            other[chosen] = one[chosen]

    # Training -----------------------------------------------------------------------------------

    def set_rates(self, rates: Tensor) -> None:
        """Set the learning rates `[N, L]` of the next steps."""
        self.layout.expand_into(self.optimizer.rates, rates.to(self.optimizer.rates))

    def train(self, steps: Tensor, length: int, still: Sequence[int]) -> None:
        """Take `length` optimizer steps with all networks but those that hold still.

        Args:
            steps: `[N]` on the device, steps done.
            length: of the window.
            still: positions that must stay as they are.
        """
        held = self._copies() if still else []
        window = self.data.window(steps, length)
        step = self._fastest_step(window) if length else self.step
        for rows in window:
            step(rows)
        if still:
            self._put_back(held, still)

    def _fastest_step(self, window: Tensor) -> Callable[[Tensor], None]:
        """Return the captured step on CUDA; where it cannot be captured, the step as it is."""
        if self._captured is None:
            self._captured = self.step
            if self.device.type == "cuda":
                # Capturing takes steps, which must not count.
                before = self._copies()
                with contextlib.suppress(RuntimeError):
                    self._captured = GraphedStep(self.step, window[0])
                self._put_back(before, range(self.count))
        return self._captured

    def _state(self) -> list[Tensor]:
        return [self.parameters, *self.optimizer.state()]

    def _copies(self) -> list[Tensor]:
        return [t.clone() for t in (*self._state(), self.loss_sum, self.kl_sum, self.head_sum)]

    @torch.no_grad()
    def _put_back(self, copies: list[Tensor], positions: Sequence[int]) -> None:
        *state, loss_sum, kl_sum, head_sum = copies
        for copy, target in zip(state, self._state(), strict=True):
            self._copy_rows(copy, target, positions)
        chosen = list(positions)
        self.loss_sum[chosen] = loss_sum[chosen]
        self.kl_sum[chosen] = kl_sum[chosen]
        self.head_sum[:, chosen] = head_sum[:, chosen]

    def remember(self) -> None:
        """Remember the weights, so that the next step's update can be measured."""
        self.before.copy_(self.parameters)

    def step(self, rows: Tensor) -> None:
        """Take one optimizer step on rows `[B, N]` of the training data."""
        total = self.forward(rows)
        gradients = torch.autograd.grad(total, self.leaves)
        with torch.no_grad():
            self.layout.flatten_into(self.gradients, gradients)
            self.optimizer.step(self.gradients)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the sum of all networks' losses; cross-entropy and proxy KL are added up."""
        if self.watch_head:
            self._add_head()
        labels, teacher = self.data.targets(rows)
        features = self.stack.features(self.stack.gather(self.data.images, rows))
        loss = self._cross_entropy(self.stack.logits(features), labels).mean(dim=0)
        with torch.set_grad_enabled(self.guidance is not None):
            kl = _proxy_kl(self.stack.proxy_logits(features), teacher).mean(dim=0)
        self.loss_sum += loss.detach()
        self.kl_sum += kl.detach()
        if self.guidance is None:
            return loss.sum()
        term = self.weight * kl
        if self.guidance.cap is not None:
            term = term.clamp_max(self.guidance.cap)
        return (loss + term).sum()

    @torch.no_grad()
    def _add_head(self) -> None:
        layout = self.layout
        rows = zip(layout.layers, layout.shapes, self.layout.rows(self.parameters, self.count))
        weights = [row for layer, shape, row in rows if layout.is_head[layer] and len(shape) > 1]
        if weights:
            self.head_sum += torch.stack(mean_and_std(torch.cat(weights, dim=1)))

    @staticmethod
    def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of each example `[B, N]`."""
        each = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return each.view(labels.shape)

    # Evaluation ---------------------------------------------------------------------------------

    def _split(self, name: str) -> tuple[EvaluationData, list[Tensor]]:
        if name not in self._evaluation:
            some = next(member for member in self.members if member is not None)
            tasks = [(member or some).task for member in self.members]
            data = EvaluationData.of([getattr(task, name) for task in tasks], self.device)
            parts = data.images.split(self.evaluation_batch)
            self._evaluation[name] = (data, [self.stack.arrange(part) for part in parts])
        return self._evaluation[name]

    @torch.no_grad()
    def accuracy(self, split: str) -> Tensor:
        """Return the share of right answers `[N]` on a split."""
        data, inputs = self._split(split)
        read = self.stack.proxy_logits if split == "proxy_test" else self.stack.logits
        logits = torch.cat([read(self.stack.features(part)) for part in inputs])
        right = (logits.argmax(-1) == data.labels) & torch.isfinite(logits).all(-1)
        return (right * data.held).sum(dim=0) / data.held.sum(dim=0)

    @torch.no_grad()
    def loss(self, split: str) -> Tensor:
        """Return the mean cross-entropy `[N]` on a split."""
        data, inputs = self._split(split)
        logits = torch.cat([self.stack.logits(self.stack.features(part)) for part in inputs])
        each = self._cross_entropy(logits, data.labels)
        each = torch.where(data.held > 0, each, torch.zeros_like(each))
        return each.sum(dim=0) / data.held.sum(dim=0)

    # Measuring ----------------------------------------------------------------------------------

    @torch.no_grad()
    def measure(self, started: bool) -> dict[str, Tensor]:
        """Return the layers' norms `[N, L]`; those of the last step only where there was one."""
        layout, count = self.layout, self.count
        rows: dict[str, Any] = {"weight_norm": layout.norms(self.parameters, count)}
        if self.start is not None:
            rows["drift_norm"] = layout.norms(self.parameters - self.start, count)
        if started:
            update = self.parameters - self.before
            rows["gradient_norm"] = layout.norms(self.gradients, count)
            rows["update_norm"] = layout.norms(update, count)
            rows["gradient_dot_update"] = -layout.dots(self.gradients, update, count)
        return rows

    def weights(self, position: int) -> dict[str, Tensor]:
        """Return a copy of one network's trained parameters, by name."""
        views = self.layout.views(self.parameters, self.count)
        return {
            name: view[position].clone()
            for name, view in zip(self.layout.names, views, strict=True)
        }


def _proxy_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Return KL(teacher ‖ student) of each example `[B, N]`; see `l2o.guidance.ProxyKL`."""
    p, log_p = teacher.unbind(dim=2)
    log_q = torch.log_softmax(student.to(torch.promote_types(student.dtype, torch.float32)), -1)
    return torch.where(p > 0, p * (log_p - log_q), torch.zeros_like(p)).sum(dim=-1)


def _stacked_like(
    module: Any,
    count: int,
    device: torch.device,
    skip: set[str] = frozenset(),  # type: ignore[assignment]
) -> dict[str, Tensor]:
    """Return zeros `[count, *shape]` for parameters and buffers."""
    named = (*module.named_parameters(), *module.named_buffers())
    return {
        name: torch.zeros(count, *tensor.shape, dtype=tensor.dtype, device=device)
        for name, tensor in named
        if name not in skip
    }

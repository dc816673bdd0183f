"""Some networks of one architecture, trained and evaluated together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import torch
from torch import Tensor, nn

from l2o.envs.fine_tuning.scoring import evaluating
from l2o.envs.objectives import Objective
from l2o.envs.stacked.data import EvaluationData, TrainingData
from l2o.envs.stacked.guidance import Batch, Room, StackedGuidance
from l2o.envs.stacked.head import HeadSums
from l2o.envs.stacked.maps import WantedMaps
from l2o.envs.stacked.optimizers import STACKED_OPTIMIZERS, StackedOptimizer
from l2o.envs.stacked.stack import Stack
from l2o.envs.stacked.start import Prepared
from l2o.envs.stacked.views import ViewData
from l2o.envs.tasks.base import examples_of
from l2o.guidance import Guidance
from l2o.measures import Outputs


class Chunk:
    """N fine-tunes of one architecture as stacked tensors; position i is one of them.

    Nothing here waits for the device: results stay on it until they are collected.

    Args:
        like: a start, for shapes, architecture and optimizer.
        kind: the kind of stack.
        count: N.
        capacity: room for source examples of each task.
        steps: room for batches of each fine-tune.
        guidance: terms by name; none for plain fine-tuning.
        keep_start: whether drift is measured, which needs the weights of the start.
        watch_head: whether the head's weights are watched at every step.
        largest: whether the largest update of a layer's tensors is measured.
        guidance_actions: names of the terms whose weights are scaled.
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
        guidance: Mapping[str, Guidance[Any]],
        keep_start: bool,
        device: torch.device,
        evaluation_batch: int,
        watch_head: bool = False,
        largest: bool = False,
        guidance_actions: Sequence[str] = (),
    ) -> None:
        self.count = count
        self.layout = like.layout
        self.objective, self.proxy_objective = like.objective, like.proxy_objective
        self.device = device
        self.evaluation_batch = evaluation_batch
        self.members: list[Prepared | None] = [None] * count
        like_parameter = next(like.model.parameters())
        size = count * like.layout.numel
        self.parameters = torch.zeros(size, dtype=like_parameter.dtype, device=device)
        self.gradients = torch.zeros_like(self.parameters)
        self.before = torch.empty_like(self.parameters)
        room = Room(self.layout, count, self.parameters.dtype, device, like)
        self.guidance = StackedGuidance(guidance, room, steps, guidance_actions)
        keep_start = keep_start or self.guidance.needs_start
        self.start = torch.zeros_like(self.parameters) if keep_start else None
        make = STACKED_OPTIMIZERS[type(like.optimizer)]
        self.optimizer: StackedOptimizer = make(self.parameters, like.optimizer)
        self.loss_sum = torch.zeros(count, device=device)
        self.kl_sum = torch.zeros(count, device=device)
        self.largest = largest
        self.head = HeadSums(like.layout, self.parameters, count) if watch_head else None
        self.maps = WantedMaps.of(guidance.values(), like)
        self.data = self._make_data(like, capacity, steps, list(guidance.values()))
        self._splits: dict[str, EvaluationData] = {}
        self._unread: dict[str, set[int]] = {}
        self.leaves, self._tensors, self._proxies = self._make_tensors(like)
        model, head = like.model, like.proxy_head
        self._statistics = [self._tensors[name] for name in _moving_statistics(model)]
        self.stack = kind(model, head, self._tensors, self._proxies, count)

    def _make_data(
        self, like: Prepared, capacity: int, steps: int, terms: list[Guidance[Any]]
    ) -> TrainingData:
        room = (like, self.count, capacity, steps, self.device, self.guidance.needs_features)
        return TrainingData(*room) if self.maps is None else ViewData(*room, terms, self.maps)

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
    def load(self, starts: Mapping[int, Prepared]) -> None:
        """Begin fine-tunes, by position; the others go on untouched."""
        places = torch.tensor(list(starts)).to(self.device)
        every = list(starts.values())

        def bring(target: Tensor, rows: Sequence[Tensor]) -> None:
            target.detach().index_copy_(0, places, torch.stack(list(rows)).to(self.device))

        for name, target in self._tensors.items():
            bring(target, [start.tensors[name] for start in every])
        heads = [_named_tensors(start.proxy_head) for start in every]
        for name, target in self._proxies.items():
            bring(target, [head[name] for head in heads])
        self.guidance.load(starts)
        for buffer in self.optimizer.state():
            for row in self.layout.rows(buffer, self.count):
                row.index_fill_(0, places, 0.0)
        if self.start is not None:
            both = (self.layout.rows(flat, self.count) for flat in (self.parameters, self.start))
            for now, begun in zip(*both, strict=True):
                begun.index_copy_(0, places, now.index_select(0, places))
        for position, start in starts.items():
            self.members[position] = start
            self.data.load(position, start)
        for unread in self._unread.values():
            unread.update(starts)

    # Training -----------------------------------------------------------------------------------

    def set_rates(self, rates: Tensor) -> None:
        """Set the learning rates `[N, L]` of the next steps."""
        self.layout.expand_into(self.optimizer.rates, rates.to(self.optimizer.rates))
        self.guidance.set_rates(rates)

    def train(self, steps: Tensor, length: int) -> None:
        """Take `length` optimizer steps with all networks.

        Args:
            steps: `[N]` on the device, steps done.
            length: of the window.
        """
        weights = self.guidance.window(steps, length)
        for rows, now in zip(self.data.window(steps, length), weights):
            self.step(rows, now)

    def state(self) -> list[Tensor]:
        """Return all tensors that training changes."""
        return [*self._moving(), self.gradients, self.before]

    def _moving(self) -> list[Tensor]:
        flat = [self.parameters, *self.optimizer.state()]
        return [*flat, *self._sums(), *self.guidance.state(), *self._statistics]

    def _sums(self) -> list[Tensor]:
        watched = [] if self.head is None else self.head.sums
        return [self.loss_sum, self.kl_sum, *watched]

    def begin_window(self) -> None:
        """Begin to add up anew what is added up over a window."""
        for total in self._sums():
            total.zero_()

    def copies(self) -> list[Tensor]:
        """Return what `put_back` needs."""
        return [tensor.clone() for tensor in self._moving()]

    @torch.no_grad()
    def put_back(self, copies: Sequence[Tensor], moving: Tensor) -> None:
        """Undo training since the copies, but for networks that move `[N]`."""
        for tensor, copy in zip(self._moving(), copies, strict=True):
            if len(tensor) == len(moving):
                mask = moving.view(-1, *(1,) * (tensor.dim() - 1))
                tensor.copy_(torch.where(mask, tensor, copy))
            else:
                self.layout.hold(tensor, copy, moving)

    def remember(self) -> None:
        """Remember the weights, so that the next step's update can be measured."""
        self.before.copy_(self.parameters)

    def step(self, rows: Tensor, weights: Tensor) -> None:
        """Take one optimizer step.

        Args:
            rows: `[B, N]`, of the training data; pairs `[2, B, N]` where maps are compared.
            weights: `[terms, N]`, of the guidance.
        """
        total = self.forward(rows, weights)
        along = self.guidance.leaves
        gradients = torch.autograd.grad(total, [*self.leaves, *along])
        gradients, theirs = gradients[: len(self.leaves)], gradients[len(self.leaves) :]
        with torch.no_grad():
            self.layout.flatten_into(self.gradients, gradients)
            if self.guidance.needs_start:
                assert self.start is not None
                self.guidance.pull(self.gradients, self.parameters, self.start, weights)
            self.optimizer.step(self.gradients)
            self.guidance.step(theirs)

    def forward(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Return the sum of all networks' losses; source loss and proxy KL are added up."""
        if self.head is not None:
            self.head.add()
        maps: dict[str, Tensor] = {}
        rows, key_maps = self.data.keyed(rows)
        labels, teacher = self.data.targets(rows)
        inputs = self.stack.gather(self.data.images, rows)
        if self.maps is None:
            features = self.stack.features(inputs)
        else:
            features, maps = self.stack.features_and_maps(inputs, self.maps)
        loss = self.objective.stacked_loss(self.stack.logits(features), labels)
        with torch.set_grad_enabled(self.guidance.needs_kl):
            kl = _proxy_kl(self.stack.proxy_logits(features), teacher).mean(dim=0)
        self.loss_sum += loss.detach()
        self.kl_sum += kl.detach()
        kept = self.data.teacher_features(rows)
        batch = Batch(kl, self.stack.by_network(features), kept, maps, key_maps)
        terms = self.guidance.loss(batch, weights)
        return loss.sum() if terms is None else (loss + terms).sum()

    # Evaluation ---------------------------------------------------------------------------------

    def prepare(self, split: str) -> bool:
        """Bring a split's examples to the device; return whether they lie elsewhere than before."""
        some = next(member for member in self.members if member is not None)
        tasks = [(member or some).task for member in self.members]
        examples = [examples_of(getattr(task, split)) for task in tasks]
        data = self._splits.get(split)
        moved = data is None or not all(data.fits(each) for each in examples)
        if moved:
            size = max(len(each) for each in examples)
            batch, arrange = self.evaluation_batch, self.stack.arrange
            data = EvaluationData(examples[0], self.count, size, batch, arrange, self.device)
            self._splits[split] = data
            self._unread[split] = set(range(self.count))
        assert data is not None
        for position in self._unread[split]:
            data.load(position, examples[position])
        self._unread[split] = set()
        data.settle()
        return moved

    def objective_of(self, split: str) -> Objective:
        """Return what the outputs on a split mean: "proxy_test" is scored by the proxy heads."""
        return self.proxy_objective if split == "proxy_test" else self.objective

    @torch.no_grad()
    def evaluate(self, split: str, scores: Tensor) -> None:
        """Write the metrics `[metrics, N]` on a split; `prepare` must have been called."""
        data = self._splits[split]
        read = self.stack.proxy_logits if split == "proxy_test" else self.stack.logits
        with evaluating(self.stack.model):
            outputs = torch.cat([read(self.stack.features(part)) for part in data.inputs])
        scores.copy_(self.objective_of(split).stacked_scores(outputs, data.labels, data.held))

    @torch.no_grad()
    def outputs(self, split: str, positions: Sequence[int]) -> list[Outputs]:
        """Return networks' outputs on a split, on the host; `prepare` must have been called."""
        data = self._splits[split]
        with evaluating(self.stack.model):
            parts = [self.stack.features(part) for part in data.inputs]
            logits = torch.cat([self.stack.logits(part) for part in parts])
        features = torch.cat([self.stack.by_network(part) for part in parts])
        every = []
        for position in positions:
            held = data.held[:, position]
            mine, labels, kept = (
                column[:, position][held].cpu() for column in (logits, data.labels, features)
            )
            every.append(Outputs(logits=mine, labels=labels, features=kept))
        return every

    # Measuring ----------------------------------------------------------------------------------

    @torch.no_grad()
    def norms(self) -> dict[str, Tensor]:
        """Return the layers' norms `[N, L]` of the weights and their drift, inf for NaN."""
        buffers = {"weight_norm": self.parameters}
        if self.start is not None:
            buffers["drift_norm"] = self.parameters - self.start
        return self._norms(buffers)

    @torch.no_grad()
    def last_step(self) -> dict[str, Tensor]:
        """Return what the layers' last step was like, `[N, L]`."""
        update = self.parameters - self.before
        dots = self.layout.dots(self.gradients, update, self.count)
        buffers = {"gradient_norm": self.gradients, "update_norm": update}
        told = {"gradient_dot_update": -dots, **self._norms(buffers)}
        if self.largest:
            told["largest_update"] = self.layout.largest_ratio(update, self.parameters, self.count)
        return told

    def _norms(self, buffers: dict[str, Tensor]) -> dict[str, Tensor]:
        norms = self.layout.norms(list(buffers.values()), self.count)
        told = torch.nan_to_num(norms, nan=torch.inf, posinf=torch.inf)
        return dict(zip(buffers, told.unbind(), strict=True))

    def weights(self, position: int) -> dict[str, Tensor]:
        """Return a copy of one network's trained parameters, by name."""
        views = self.layout.views(self.parameters, self.count)
        return {
            name: view[position].clone()
            for name, view in zip(self.layout.names, views, strict=True)
        }


def _proxy_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """Return KL(teacher ‖ student) of each example `[B, N]`; see `l2o.guidance.ProxyKL`.

    Args:
        student: logits `[B, N, K, ...]`; of dense ones the mean over pixels is returned.
        teacher: p and log p `[B, N, 2, K, ...]`.
    """
    p, log_p = teacher.unbind(dim=2)
    log_q = torch.log_softmax(student.to(torch.promote_types(student.dtype, torch.float32)), 2)
    each = torch.where(p > 0, p * (log_p - log_q), torch.zeros_like(p)).sum(dim=2)
    return each if each.dim() == 2 else each.flatten(2).mean(dim=2)


def _moving_statistics(model: nn.Module) -> list[str]:
    """Return the names of the buffers of batch norm that training changes."""
    return [
        f"{name}.{key}" if name else key
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
        for key, _ in module.named_buffers(recurse=False)
    ]


def _named_tensors(module: Any) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _stacked_like(
    module: Any,
    count: int,
    device: torch.device,
    skip: Set[str] = frozenset(),
) -> dict[str, Tensor]:
    """Return zeros `[count, *shape]` for parameters and buffers."""
    return {
        name: torch.zeros(count, *tensor.shape, dtype=tensor.dtype, device=device)
        for name, tensor in _named_tensors(module).items()
        if name not in skip
    }

"""Contrastive guidance of N fine-tunes: N query MLPs, key MLPs and queues for each layer."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from l2o.envs.stacked.guidance.base import Batch, Room, StackedTerm
from l2o.envs.stacked.guidance.queue import KeyQueues
from l2o.envs.stacked.maps import WantedMaps
from l2o.envs.stacked.optimizers import STACKED_OPTIMIZERS, StackedOptimizer
from l2o.envs.stacked.start import Prepared
from l2o.guidance import Contrastive
from l2o.guidance.contrastive import position_table
from l2o.guidance.pooling import attention_weights, average_weights, pool_crops


class StackedContrastive(StackedTerm):
    """`l2o.guidance.Contrastive`, with the MLPs of N networks as batched products.

    All MLPs of a network lie side by side in a row of one flat buffer, so that they follow, and
    are trained by the networks' own kind of optimizer, in a few operations.
    """

    def __init__(self, term: Contrastive, room: Room) -> None:
        super().__init__(term, room)
        like, count = room.like, room.count
        self.term, shapes = prepared_for(term, like)
        # On the device beforehand: a step must not wait for it.
        self._crops = {
            name: position_table(shape[1:], term.crops).to(room.device, room.dtype)
            for name, shape in shapes.items()
            if len(shape) > 1 or term.crops is not None
        }
        drawn = list(self.term.parameters())
        self._drawn = nn.utils.parameters_to_vector(drawn).detach().to(room.device, room.dtype)
        self.queries = self._drawn.repeat(count)
        self.keys = self.queries.clone()
        make = STACKED_OPTIMIZERS[type(like.optimizer)]
        self.optimizer: StackedOptimizer = make(self.queries, like.optimizer)
        self.leaves = [part.requires_grad_() for part in _parts(self.queries, count, drawn)]
        self._key_parts = _parts(self.keys, count, drawn)
        self.queues = [
            KeyQueues(count, term.queue, term.dim, room.dtype, room.device)
            for _ in self.term.layers
        ]
        self._new: list[Tensor] = []
        self._head = like.layout.is_head.index(True)

    @classmethod
    def lacks(cls, term: Contrastive) -> str | None:
        """Return what keeps this term from being stacked: views that nobody made beforehand."""
        return None if term.views else "views: 0, new ones in each step"

    @torch.no_grad()
    def load(self, starts: Mapping[int, Prepared]) -> None:
        """Give fine-tunes that begin MLPs as drawn, and empty queues."""
        places = torch.tensor(list(starts)).to(self.room.device)
        for flat in (self.queries, self.keys):
            flat.view(self.room.count, -1)[places] = self._drawn
        held = [buffer.view(self.room.count, -1) for buffer in self.optimizer.state()]
        for tensor in (*held, *(each for queue in self.queues for each in queue.state())):
            tensor.index_fill_(0, places, 0)

    def state(self) -> list[Tensor]:
        """Return MLPs, their optimizer's state, and queues."""
        flat = [self.queries, self.keys, *self.optimizer.state()]
        rows = [buffer.view(self.room.count, -1) for buffer in flat]
        return [*rows, *(tensor for queue in self.queues for tensor in queue.state())]

    def set_rates(self, rates: Tensor) -> None:
        """Train the MLPs at the learning rates of the heads from now on."""
        self.optimizer.rates.view(self.room.count, -1).copy_(rates[:, self._head, None])

    def divergence(self, batch: Batch) -> Tensor:
        """Return the sum over layers of each network's InfoNCE loss; key MLPs follow."""
        with torch.no_grad():
            self.keys.lerp_(self.queries, 1.0 - self.term.momentum)
        self._new = []
        losses = []
        per_layer = zip(self.term.layers, self.queues, _fours(self.leaves), _fours(self._key_parts))
        for name, queue, query_mlp, key_mlp in per_layer:
            query, key = self._pool(name, batch.maps[name], batch.key_maps[name])
            queries = functional.normalize(_mlp(query, query_mlp), dim=2)
            with torch.no_grad():
                keys = functional.normalize(_mlp(key, key_mlp), dim=2)
            losses.append(self._loss(queries, keys, queue))
            self._new.append(keys)
        return torch.stack(losses).sum(dim=0)

    def _loss(self, queries: Tensor, keys: Tensor, queue: KeyQueues) -> Tensor:
        """Return the InfoNCE loss of queries and keys `[N, M, dim]`, `[N]`."""
        single = torch.promote_types(queries.dtype, torch.float32)
        scaled = queries / self.term.temperature
        positive = (scaled * keys).sum(dim=2, keepdim=True)
        logits = torch.cat([positive.to(single), queue.products(scaled).to(single)], dim=2)
        rows = logits.flatten(0, 1)
        first = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        each = functional.cross_entropy(rows, first, reduction="none")
        return each.view(self.room.count, -1).mean(dim=1)

    def _pool(self, name: str, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Return pooled features `[N, B · crops², C]` of a layer's maps `[B, N, C, ...]`."""
        if name not in self._crops:
            return query.transpose(0, 1), key.transpose(0, 1)
        crops = self._crops[name].to(query)
        maps, others = query.flatten(3), key.flatten(3)
        if self.term.pooling == "average":
            weights = average_weights(crops)
        else:
            weights = attention_weights(maps, crops)
        pooled = (pool_crops(maps, weights, crops), pool_crops(others, weights.detach(), crops))
        one, other = (each.permute(1, 0, 3, 2).flatten(1, 2) for each in pooled)
        return one, other

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Train the query MLPs, and take the step's keys into the queues."""
        count = self.room.count
        self.optimizer.step(torch.cat([g.reshape(count, -1) for g in gradients], dim=1).view(-1))
        for queue, keys in zip(self.queues, self._new, strict=True):
            queue.take(keys)
        self._new = []


def prepared_for(
    term: Contrastive, like: Prepared
) -> tuple[Contrastive, Mapping[str, tuple[int, ...]]]:
    """Return a copy of a term with MLPs for networks such as this one, and the shapes of its maps.

    The term itself stays without MLPs, as networks of another width need others.
    """
    term = copy.copy(term)
    wanted = WantedMaps.of([term], like)
    assert wanted is not None
    dtype = next(like.model.parameters()).dtype
    term.prepare({name: torch.zeros(1, *size, dtype=dtype) for name, size in wanted.shapes.items()})
    return term, wanted.shapes


def _mlp(x: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    """Return N two-layer MLPs of `[N, M, d]`; see `l2o.guidance.contrast_layer`."""
    weight, bias, last_weight, last_bias = tensors
    hidden = bias[:, None].baddbmm(x, weight.transpose(1, 2)).relu()
    return last_bias[:, None].baddbmm(hidden, last_weight.transpose(1, 2))


def _parts(flat: Tensor, count: int, like: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors `[N, *shape]` of a buffer of N rows, without a copy."""
    split = flat.view(count, -1).split([tensor.numel() for tensor in like], dim=1)
    return [part.view(count, *one.shape).detach() for part, one in zip(split, like, strict=True)]


def _fours(tensors: Sequence[Tensor]) -> Iterable[Sequence[Tensor]]:
    """Yield the tensors of each MLP: two weights, each with its bias."""
    return (tensors[at : at + 4] for at in range(0, len(tensors), 4))


def bytes_kept(term: Contrastive, like: Prepared) -> int:
    """Return the bytes that one fine-tune's MLPs, their optimizer and queues take."""
    networks, _ = prepared_for(term, like)
    size = next(like.model.parameters()).element_size()
    parameters = sum(p.numel() for p in networks.parameters())
    # Twice what training changes, and rates, scratch and gradients.
    changed = 2 + STACKED_OPTIMIZERS[type(like.optimizer)].buffers
    queues = len(term.layers) * term.queue * term.dim
    return size * (parameters * (2 * changed + 3) + 2 * queues)


def bytes_computing(term: Contrastive, like: Prepared) -> int:
    """Return the bytes of the logits of one fine-tune, over all layers, while it computes."""
    rows = like.batch_size * (term.crops or 1) ** 2
    size = max(4, next(like.model.parameters()).element_size())
    # Products, logits, their log-softmax, and the gradients of all three.
    return 6 * size * rows * (term.queue + 1) * len(term.layers)

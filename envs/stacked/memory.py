"""Memory that N stacked fine-tunes need, predicted before they start."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from l2o.envs.fine_tuning.teacher import the_contrastive
from l2o.envs.stacked.data import frozen_features, room_for
from l2o.envs.stacked.fine_tune import EVALUATION_BATCH, StackedFineTune
from l2o.envs.stacked.guidance import STACKED_GUIDANCE
from l2o.envs.stacked.guidance.contrastive import bytes_computing, bytes_kept
from l2o.envs.stacked.maps import WantedMaps
from l2o.envs.stacked.optimizers import STACKED_OPTIMIZERS
from l2o.envs.stacked.start import Prepared, Start

_SHARE = 0.9
"""Of the free memory, what may be planned with."""
_FIXED_BUFFERS = 3
"""Weights at the start, rates, scratch."""
_CHANGED_BUFFERS = 3
"""Parameters, gradients, weights before the step."""


@dataclass(frozen=True)
class Need:
    """Bytes: N fine-tunes take `each · N`, and `working` for each of those computed at once."""

    each: int
    working: int

    def total(self, runs: int, at_once: int) -> int:
        """Return the bytes that `runs` fine-tunes need, `at_once` of them computed together."""
        return self.each * runs + self.working * min(runs, at_once)

    def largest(self, limit: int, at_once: int) -> int:
        """Return the largest N within a limit."""
        in_full_chunks = (limit - self.working * at_once) // self.each
        if in_full_chunks >= at_once:
            return int(in_full_chunks)
        return int(max(0, min(at_once, limit // (self.each + self.working))))


def predict_memory(start: Start, runs: StackedFineTune, splits: Iterable[str]) -> Need:
    """Return the bytes per fine-tune like this one.

    Args:
        start: one of the fine-tunes; of several architectures, the largest.
        runs: what will compute them.
        splits: data sets that are evaluated on.
    """
    prepared = Prepared(start, runs.loop.steps, runs.optimizer)
    task, layout = prepared.task, prepared.layout
    parameters = layout.numel * next(prepared.model.parameters()).element_size()
    # Twice what training changes: capturing, or holding networks still, keeps copies of it.
    changed = _CHANGED_BUFFERS + STACKED_OPTIMIZERS[type(prepared.optimizer)].buffers
    buffers = _FIXED_BUFFERS + 2 * changed
    tensors = [*prepared.model.parameters(), *prepared.proxy_head.parameters()]
    term = the_contrastive(list(runs.guidance.values()))
    views = 1 if term is None else term.views
    logits = prepared.teacher_logits
    source = (*vars(prepared.source).values(), logits, logits)
    room = room_for(len(prepared.source)) / len(prepared.source)
    # As they are, and as the stack takes them.
    data = 2 * [tensor for name in splits for tensor in vars(getattr(task, name)).values()]
    each = parameters * buffers + sum(_bytes(tensor) for tensor in (*tensors, *data))
    each += int(views * room * sum(_bytes(tensor) for tensor in source))
    each += prepared.steps * (prepared.batch_size + len(runs.guidance)) * 8
    each += _guidance(prepared, runs, parameters, views)
    working = _working(prepared)
    if term is not None:
        each += prepared.steps * prepared.batch_size * 8
        each += bytes_kept(term, prepared)
        working += bytes_computing(term, prepared)
    return Need(each, working)


def check_memory(
    start: Start,
    count: int,
    runs: StackedFineTune,
    splits: Iterable[str],
    limit: int | None = None,
) -> None:
    """Raise ValueError if that many fine-tunes need more memory than there is.

    Args:
        start: one of the fine-tunes.
        count: how many.
        runs: what will compute them.
        splits: data sets that are evaluated on.
        limit: bytes that may be used; None takes nine tenths of what is free.
    """
    need = predict_memory(start, runs, splits)
    free = int(_SHARE * free_memory(runs.device)) if limit is None else limit
    needed = need.total(count, runs.chunk)
    if needed > free:
        raise ValueError(
            f"{count} fine-tunes need about {needed / 2**20:.0f} MiB of memory on {runs.device}, "
            f"{free / 2**20:.0f} MiB may be used; the largest number that fits is "
            f"{need.largest(free, runs.chunk)}"
        )


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a device; of the machine, where the device shares its memory."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        import psutil
    except ImportError:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(psutil.virtual_memory().available)


def _guidance(start: Prepared, runs: StackedFineTune, parameters: int, views: int) -> int:
    """Return the bytes that guidance keeps of one fine-tune: curvatures, the frozen network's."""
    kinds = [STACKED_GUIDANCE[type(term)] for term in runs.guidance.values()]
    curvatures = sum(kind.needs_start for kind in kinds) * parameters
    source = start.source
    of_one = 0
    if any(kind.needs_features for kind in kinds):
        of_one += _bytes(frozen_features(start.model, source.images[:1]))
    maps = WantedMaps.of(runs.guidance.values(), start)
    if maps is not None:
        of_one += maps.bytes_of_one(start.teacher_logits.element_size())
    return curvatures + views * room_for(len(source)) * of_one


def _working(start: Prepared) -> int:
    """Return the bytes that training, or else evaluating, one network takes while it computes."""
    images = start.source.images
    batch = images[: start.batch_size]
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = _bytes(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        features = start.model.forward_features(batch)
        start.model.forward_head(features)
    # Gradients of activations, and what the allocator cannot reuse at once, as much again.
    training = 2 * sum(kept.values()) + _bytes(batch)
    evaluating = sum(kept.values()) * EVALUATION_BATCH // max(len(batch), 1)
    return max(training, evaluating)


def _bytes(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())

"""What contrastive guidance keeps for one layer: two MLPs and a queue of past keys."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class ContrastLayer(nn.Module):
    """Query MLP (trained), key MLP (its moving average) and the queue of one layer.

    Args:
        width: d, channels of the layer.
        dim: of the space in which queries and keys are compared.
        queue: how many past keys are kept.
    """

    queue: Tensor

    def __init__(self, width: int, dim: int, queue: int) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.register_buffer("queue", torch.zeros(queue, dim))
        self.held = 0
        self.place = 0
        self.waiting: Tensor | None = None

    def loss(self, query: Tensor, key: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Return the InfoNCE loss of pooled features `[M, d]` and the keys `[M, dim]`.

        −log exp(q·k/τ) / (exp(q·k/τ) + Σ over the queue of exp(q·z/τ)), the mean over rows; with
        an empty queue it is zero.
        """
        queries = functional.normalize(self.query(query), dim=1)
        with torch.no_grad():
            keys = functional.normalize(self.key(key), dim=1)
        positive = (queries * keys).sum(dim=1, keepdim=True)
        negative = queries @ self.queue[: self.held].T
        logits = torch.cat([positive, negative], dim=1) / temperature
        return (logits.logsumexp(dim=1) - logits[:, 0]).mean(), keys

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Begin a step: key MLP ← m · key MLP + (1 − m) · query MLP, past keys into the queue."""
        self.settle()
        keys: list[Tensor] = list(self.key.parameters())
        queries: list[Tensor] = list(self.query.parameters())
        torch._foreach_lerp_(keys, queries, 1.0 - momentum)

    def enqueue(self, keys: Tensor) -> None:
        """Note keys for the queue: backward still needs it as it is."""
        self.settle()
        self.waiting = keys

    @torch.no_grad()
    def settle(self) -> None:
        """Put waiting keys into the queue, over the oldest ones where it is full."""
        if self.waiting is None:
            return
        size = len(self.queue)
        keys, self.waiting = self.waiting[-size:], None
        fits = min(len(keys), size - self.place)
        self.queue[self.place : self.place + fits] = keys[:fits]
        self.queue[: len(keys) - fits] = keys[fits:]
        self.place = (self.place + len(keys)) % size
        self.held = min(self.held + len(keys), size)

    def get_extra_state(self) -> dict[str, int]:
        """Return how far the queue is filled."""
        return {"held": self.held, "place": self.place}

    def set_extra_state(self, state: Any) -> None:
        """Restore it."""
        self.held, self.place = int(state["held"]), int(state["place"])
